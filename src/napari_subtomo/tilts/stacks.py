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
def _circle(box: int, crop: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Weight of each pixel, and the share of each in the mean of those outside; the middle of the image at the first pixel."""
    radius = radius_grid((box, box))
    inside = np.clip((crop / 2 - radius) / EDGE, 0, 1)
    outside = (radius > crop / 2).astype(np.float32)
    weight = (0.5 - 0.5 * np.cos(np.pi * inside)).astype(np.float32)
    return np.fft.ifftshift(weight), np.fft.ifftshift(outside / outside.sum())


def crop_circle(images: Any, crop: int) -> Any:
    """Images less the mean of what lies outside the circle of diameter `crop`, and softly cut to it.

    The weight falls from 1 to 0 over the last 5 px inside of the circle.

    Parameters
    ----------
    images : array, shape (m, box, box)
        Centres at the first pixel, as transforms with the origin at the particle give them; changed in place.
    crop : int

    Returns
    -------
    array of the same shape
    """
    xp = namespace(images)
    weight, outside = (xp.asarray(a) for a in _circle(images.shape[-1], crop))
    images -= (images.reshape(len(images), -1) @ outside.ravel())[:, None, None]
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
    xp = namespace(values)
    images = _images(values)
    if circle:
        images = crop_circle(images, crop)
    out = xp.empty((len(images), crop, crop), xp.float32)
    low, high = crop // 2, crop - crop // 2  # pixels before the middle, and from it on
    box = values.shape[1]
    halves = ((slice(0, low), slice(box - low, box)), (slice(low, crop), slice(0, high)))
    for to_y, from_y in halves:
        for to_x, from_x in halves:
            out[:, to_y, to_x] = images[:, from_y, from_x]
    return out


def _images(values: Any) -> Any:
    """Images of transforms, (m, box, box), the particle at the first pixel as in the transforms."""
    box = values.shape[1]
    return fft_module(namespace(values)).irfft2(values, s=(box, box))


def circle_cropped(values: Any, crop: int) -> Any:
    """Transforms of images cut to a circle of diameter `crop` as `crop_circle` does, of transforms (m, box, box // 2 + 1)."""
    return fft_module(namespace(values)).rfft2(crop_circle(_images(values), crop))
