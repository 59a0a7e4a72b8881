"""Images cut to a circle with a soft edge, as RELION's are before they are written or inserted."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import namespace
from napari_subtomo.numerics.masks import radius_grid

EDGE = 5.0  # px over which a circle falls off


def cut_circles(images: Any, radius: float, *, at_first_pixel: bool = False) -> Any:
    """Images less the mean of what lies outside their circle, and softly cut to it: the weight falls off over its outermost 5 px.

    Parameters
    ----------
    images : array, shape (m, box, box), float32
        Changed in place.
    radius : float
        Pixels.
    at_first_pixel : bool
        Circles about the first pixel, as transforms with the origin at the particle give images; else about index box // 2.

    Returns
    -------
    array of the same shape
    """
    xp = namespace(images)
    weight, outside = (xp.asarray(a) for a in _circle(images.shape[-1], radius, at_first_pixel))
    images -= (images.reshape(len(images), -1) @ outside.ravel())[:, None, None]
    images *= weight
    return images


@lru_cache(maxsize=8)
def _circle(box: int, radius: float, at_first_pixel: bool) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weight of each pixel, and the share of each in the mean of those outside; both of shape (box, box)."""
    distance = radius_grid((box, box))
    weight = (0.5 - 0.5 * np.cos(np.pi * np.clip((radius - distance) / EDGE, 0, 1))).astype(np.float32)
    outside = (distance > radius).astype(np.float32)
    outside /= max(1.0, float(outside.sum()))
    return (np.fft.ifftshift(weight), np.fft.ifftshift(outside)) if at_first_pixel else (weight, outside)
