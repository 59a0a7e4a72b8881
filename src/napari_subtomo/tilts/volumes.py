"""3D pseudo-subtomograms: the images of a particle inserted into a box along its subtomogram frame, as RELION writes them."""

from __future__ import annotations

from typing import Any

from napari_subtomo.numerics.backend import fft_module, namespace
from napari_subtomo.numerics.slices import SliceInsertion
from napari_subtomo.tilts.stacks import circle_cropped


def pseudo_subtomogram(
    insertion: SliceInsertion, values: Any, transfer: Any, counts: Any | None = None, *, binning: float = 1.0, circle: bool = True
) -> tuple[Any, Any]:
    """Data and weights of a particle.

    As RELION does, images are cut to a circle of the diameter of the written box before they are inserted, and the data are in the
    scale of the 2D stacks times the square root of box and binning.

    Parameters
    ----------
    insertion : SliceInsertion
    values : complex array, shape (m, box, box // 2 + 1)
        Transforms multiplied with `transfer`, the particle at the origin.
    transfer : array of the same shape
        CTF and damping.
    counts : array of the same shape, optional
        0 for samples that do not count.
    binning : float
        Pixel of the slices divided by that of the tilt images.
    circle : bool
        Cut images to a circle.

    Returns
    -------
    data : array, shape (crop, crop, crop), float32
        The particle at index crop // 2.
    weights : array, shape (2 · crop, crop, crop // 2 + 1), float32
        The sum of squared transfer functions and, below it, the multiplicity, in FFTW's half layout.
    """
    xp = namespace(values)
    n = insertion.box
    if circle:
        values = circle_cropped(values, n)
    total, weights, multiplicity = insertion.insert(values, transfer**2, counts)
    data = xp.fft.fftshift(fft_module(xp).irfftn(total, s=(n, n, n), axes=(0, 1, 2))) * xp.float32((n * binning) ** 0.5)
    return data, xp.concatenate([weights, multiplicity])
