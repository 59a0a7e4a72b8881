"""2D stacks: the images of a particle, one a visible tilt, as RELION writes them."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import namespace
from napari_subtomo.numerics.masks import radius_grid
from napari_subtomo.tilts.squares import fft_module

EDGE = 5.0  # px over which the circle falls off


@lru_cache(maxsize=4)
def _circle(box: int, crop: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Weight of each pixel, and which pixels lie outside."""
    radius = radius_grid((box, box))
    inside = np.clip((crop / 2 - radius) / EDGE, 0, 1)
    return (0.5 - 0.5 * np.cos(np.pi * inside)).astype(np.float32), radius > crop / 2


def crop_circle(images: Any, crop: int) -> Any:
    """Images less the mean of what lies outside the circle of diameter `crop`, and softly cut to it.

    The weight falls from 1 to 0 over the last 5 px inside of the circle.

    Parameters
    ----------
    images : array, shape (m, box, box)
        Centres at index box // 2; changed in place.
    crop : int

    Returns
    -------
    array of the same shape
    """
    xp = namespace(images)
    weight, outside = (xp.asarray(a) for a in _circle(images.shape[-1], crop))
    images -= images[:, outside].mean(axis=1)[:, None, None]
    images *= weight
    return images


def stack_images(values: Any, crop: int, circle: bool = True) -> Any:
    """Images of transforms.

    Parameters
    ----------
    values : complex array, shape (m, box, box // 2 + 1)
        Particles at the origin.
    crop : int
        Edge of what is given, at most the box.
    circle : bool
        Cut to a circle of this diameter.

    Returns
    -------
    array, shape (m, crop, crop), float32
        Particles at index crop // 2.
    """
    box = values.shape[1]
    images = _images(values)
    if circle:
        images = crop_circle(images, crop)
    start = box // 2 - crop // 2
    return images[:, start : start + crop, start : start + crop]


def _images(values: Any) -> Any:
    """Images with the particle in the middle, of transforms with the particle at the origin."""
    xp = namespace(values)
    box = values.shape[1]
    return xp.fft.fftshift(fft_module(xp).irfft2(values, s=(box, box)), axes=(1, 2))


def circle_cropped(values: Any, crop: int) -> Any:
    """Transforms of images cut to a circle of diameter `crop` as `crop_circle` does, of transforms (m, box, box // 2 + 1)."""
    xp = namespace(values)
    return fft_module(xp).rfft2(xp.fft.ifftshift(crop_circle(_images(values), crop), axes=(1, 2)))
