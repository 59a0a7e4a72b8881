"""Maps on another grid: any ratio of pixel sizes and any boxes, by the map's own Fourier series."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import namespace

FloatArray = npt.NDArray[np.float64]
PIXEL_PRECISION = 5e-4
"""Pixel sizes that differ by no more than this part are the same one, written with four digits or more: 1.244 Å for 1.24453 Å."""


def same_pixel_size(a: float, b: float) -> bool:
    """Whether two pixel sizes in Å differ by no more than the precision with which headers and forms state them."""
    return abs(a - b) <= PIXEL_PRECISION * min(abs(a), abs(b))


def rescale(volume: Any, ratio: float, new_shape: int | tuple[int, ...]) -> Any:
    """Map sampled on a grid whose pixel is `ratio` times the old one; index n // 2 stays the centre and grey values are kept.

    The map is taken for one period of its Fourier series, without the frequencies that the new grid cannot hold, and evaluated at the
    new points; so the ratio is exact for every box, where cutting a transform could only give ratios of whole numbers. Outside of the
    old box the map is 0. With boxes of one extent this is what cutting or padding the transform gives, the Nyquist frequency aside.

    Parameters
    ----------
    volume : real array, shape (n, ...)
    ratio : float
        New pixel size divided by the old one.
    new_shape : int or tuple of int
        An int for all axes.

    Returns
    -------
    float32 array of the new shape
    """
    xp = namespace(volume)
    shape = (new_shape,) * volume.ndim if isinstance(new_shape, int) else tuple(new_shape)
    out = volume.astype(xp.float32)
    for axis, (old, new) in enumerate(zip(volume.shape, shape, strict=True)):
        kernel = xp.asarray(_kernel(old, new, ratio).astype(np.float32))
        out = xp.moveaxis(xp.tensordot(kernel, out, axes=(1, axis)), 0, axis)
    return xp.ascontiguousarray(out)


def _kernel(old: int, new: int, ratio: float) -> FloatArray:
    """What each new sample takes of each old one along an axis, shape (new, old): a sum of cosines up to the lower Nyquist frequency."""
    points = (np.arange(new) - new // 2) * ratio
    samples = np.arange(old) - old // 2
    limit = old / (2 * max(ratio, 1.0))
    k = np.arange(1, int(np.floor(limit + 1e-9)) + 1)
    weights = np.where(np.abs(k - limit) < 1e-9, 0.5, 1.0)  # of the Nyquist frequency both signs are one sample of the transform
    at_points, at_samples = 2 * np.pi * np.outer(points, k) / old, 2 * np.pi * np.outer(samples, k) / old
    waves = (np.cos(at_points) * weights) @ np.cos(at_samples).T + (np.sin(at_points) * weights) @ np.sin(at_samples).T
    kernel: FloatArray = (1 + 2 * waves) / old
    kernel[(points < samples[0] - 0.5) | (points > samples[-1] + 0.5)] = 0
    return kernel
