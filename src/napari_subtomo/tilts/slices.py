"""Transforms of particles in their tilt images, multiplied with what the microscope did to them: sufficient statistics of any average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_subtomo.io.modulation import Modulation
from napari_subtomo.numerics.backend import device_context, to_device
from napari_subtomo.tilts.circles import cut_circles
from napari_subtomo.tilts.plan import IntArray, Sightings
from napari_subtomo.tilts.squares import Binning, cut_squares


@dataclass(frozen=True, eq=False)
class Slices:
    """Images of one particle, in the order of the tilt series.

    Attributes
    ----------
    values : complex64 array, shape (m, box, box // 2 + 1)
        Transforms times `transfer`, bright protein, the particle at the origin, in the grey scale of RELION's 2D stacks.
    transfer : float32 array of the same shape
        CTF times damping; the weight of a sample is its square.
    counts : float32 array of the same shape, or None
        0 where the dose has damped the signal away.
    tilts : ndarray of int, shape (m,)
        Rows of the tilt series.
    """

    values: Any
    transfer: Any
    counts: Any | None
    tilts: IntArray


class SliceMaker:
    """Makes the slices of the particles of a tomogram.

    Parameters
    ----------
    sightings : Sightings
        Its images are read where they are not loaded yet.
    box : int
        Edge in binned pixels, even.
    binning : float
        At least 1.
    invert : bool
        Turn dark protein in the images into bright protein.
    circle : bool
        Cut the squares of the images to circles before anything else, as RELION's `Reconstruct particle` does.
    device : str
    """

    def __init__(
        self, sightings: Sightings, box: int, binning: float, *, invert: bool = True, circle: bool = False, device: str = "cpu"
    ) -> None:
        self.sightings, self.circle, self.device = sightings, circle, device
        self.binning = Binning(box, binning)
        pixel_size = sightings.tomogram.frame.pixel_size * binning
        self.sign = np.float32(-1 if invert else 1)
        with device_context(device):
            self.modulation = Modulation(sightings.series, sightings.tomogram, box, pixel_size, device)

    def slices(self, particle: int) -> Slices:
        """Slices of a particle (its row in the sightings) in the images where it is visible."""
        seen = self.sightings
        tilts = np.flatnonzero(seen.visible[particle])
        corners, places = self.binning.corners(seen.places[particle, tilts])
        squares = cut_squares([seen.images[tilt] for tilt in tilts.tolist()], corners, self.binning.side)
        with device_context(self.device):
            on_device = to_device(squares, self.device)
            values = self.binning.transform(cut_circles(on_device, self.binning.side // 2) if self.circle else on_device, places)
            transfer = self.modulation.at(tilts, seen.defocus_offsets[particle, tilts])
            values *= transfer
            values *= self.sign
            return Slices(values, transfer, self.modulation.counts(tilts), tilts)
