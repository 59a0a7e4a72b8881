"""Where the particles of a tomogram are in its tilt images, and in which of these they are visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import TiltSeries, Tomogram
from napari_subtomo.errors import InputError
from napari_subtomo.geometry.projection import defocus_offset, project, tilt_matrices
from napari_subtomo.io.trajectories import Trajectories
from napari_subtomo.tilts.images import TiltImages
from napari_subtomo.tilts.refusals import refuse_series

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sightings:
    """Particles of one tomogram in its tilt images.

    Attributes
    ----------
    tomogram : Tomogram
    series : TiltSeries
    images : TiltImages
    places : ndarray, shape (n, n_tilts, 2)
        x and y in pixels of the images, centre of the first pixel at 0.
    defocus_offsets : ndarray, shape (n, n_tilts)
        What the depth of the particle adds to the defocus, Å.
    visible : ndarray of bool, shape (n, n_tilts)
    """

    tomogram: Tomogram
    series: TiltSeries
    images: TiltImages
    places: FloatArray
    defocus_offsets: FloatArray
    visible: BoolArray

    def select(self, index: npt.ArrayLike) -> Sightings:
        """The chosen particles: a mask, or rows."""
        chosen = np.asarray(index)
        return replace(self, places=self.places[chosen], defocus_offsets=self.defocus_offsets[chosen], visible=self.visible[chosen])

    def axes(self, frames: FloatArray) -> FloatArray:
        """Image axes in frames of subtomograms.

        Parameters
        ----------
        frames : ndarray, shape (n, 3, 3)
            Frames S: x_tomogram = S·x_box.

        Returns
        -------
        ndarray, shape (n, n_tilts, 2, 3)
            x and y axes of each image, xyz of the box: rows of Rz·Ry·Rx·S.
        """
        axes: FloatArray = np.einsum("tij,njk->ntik", tilt_matrices(self.series)[:, :2], frames)
        return axes


def see(
    tomogram: Tomogram,
    series: TiltSeries,
    positions: FloatArray,
    *,
    margin: float,
    max_dose: float | None = None,
    trajectories: Trajectories | None = None,
    names: Sequence[str] = (),
) -> Sightings:
    """Project particles into tilt images and find where they are visible.

    A particle is visible in an image when it lies at least `margin` from every edge, seen from the pixel indices 0 and width (height), and
    the exposure before the image is at most `max_dose` (conventions, section 3.2).

    Parameters
    ----------
    tomogram : Tomogram
    series : TiltSeries
    positions : ndarray, shape (n, 3)
        True positions, xyz, Å from the centre of the tomogram.
    margin : float
        Pixels of the images.
    max_dose : float, optional
        e/Å².
    trajectories : Trajectories, optional
        Displacements in each tilt; they move the particle in its images and do not change its defocus, as in RELION.
    names : sequence of str
        Of the particles, for `trajectories`.

    Raises
    ------
    InputError
        Images, an alignment or doses that are missing, or images that are deformed.
    """
    refuse_series(tomogram, series)
    images = TiltImages(series)
    frame = tomogram.frame
    still = project(positions, series, frame, images.size)
    places = still[..., :2]
    if trajectories is not None:
        moves = np.stack([trajectories.of(name, len(series)) for name in names], axis=1)
        places = places + np.einsum("tij,tnj->tni", tilt_matrices(series)[:, :2], moves) / frame.pixel_size
    visible: BoolArray = np.asarray(((places > margin) & (places < np.array(images.size) - margin)).all(axis=-1))
    if max_dose is not None:
        if np.isnan(series.dose).any():
            raise InputError(f"Expected the exposure before each image of {tomogram.name} for a maximum dose, found none; leave it out.")
        visible = visible & (series.dose <= max_dose)[:, None]
    offsets = defocus_offset(still[..., 2], frame.pixel_size, tomogram.hand, tomogram.defocus_slope)
    return Sightings(tomogram, series, images, np.ascontiguousarray(places.transpose(1, 0, 2)), offsets.T, visible.T)
