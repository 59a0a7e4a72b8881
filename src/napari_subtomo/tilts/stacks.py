"""2D stacks: the images of a particle, one a visible tilt, as RELION writes them."""

from __future__ import annotations

from typing import Any

from napari_subtomo.numerics.backend import fft_module, namespace
from napari_subtomo.tilts.circles import cut_circles


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
        images = cut_circles(images, crop / 2, at_first_pixel=True)
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
    """Transforms of images cut to a circle of diameter `crop` with a soft edge, of transforms (m, box, box // 2 + 1)."""
    return fft_module(namespace(values)).rfft2(cut_circles(_images(values), crop / 2, at_first_pixel=True))
