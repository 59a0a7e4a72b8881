"""Masks on particles at fixed poses, and how many of them are worked on at once; on the processor or a GPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import namespace

Mask = Callable[[Any], Any]
CACHE_BYTES, DEVICE_BYTES = 2**23, 2**28  # what is worked on at once: a thread's part of the cache; many kernels of a GPU for each call
BYTES = 60  # of a voxel of a particle, in arrays that are made of it while it is compared
TOGETHER = 32  # particles that a GPU masks at once


def portions(g: Any) -> list[slice]:
    """Particles that are worked on at once, so that what is made of them stays in the cache.

    Parameters
    ----------
    g : array, shape (n, V)
        Of numpy or a GPU.

    Returns
    -------
    list of slice
        Of rows, one after the other.
    """
    most = CACHE_BYTES if namespace(g) is np else DEVICE_BYTES
    n, size = len(g), max(1, most // (BYTES * g.shape[1]))
    return [slice(first, first + size) for first in range(0, n, size)]


@dataclass(frozen=True)
class Inside:
    """Where classes may differ, for particles at fixed poses.

    Attributes
    ----------
    g : array, shape (n, V), complex64
        The particles, their differences from what the average predicts masked; on their device.
    differences, whole : callable
        Masks of differences and of the average, on values of shape (..., V).
    """

    g: Any
    differences: Mask
    whole: Mask

    @classmethod
    def of(cls, g: Any, h: Any, differences: Mask, whole: Mask, threads: int) -> Inside:
        """Of particles with data `g` and weights `h`, shape (n, V); the average is theirs without regularisation.

        The weights of a particle spread what is inside over the edge of a mask, and the other way round, as far as its missing wedge does.
        """
        xp = namespace(g)
        mean = (g.sum(0) / (h.sum(0) + 1e-9)).astype(np.complex64)
        kept = xp.empty_like(g)
        size = 1 if xp is np else TOGETHER

        def some(first: int) -> None:
            rows = slice(first, first + size)
            kept[rows] = h[rows] * mean + differences(g[rows] - h[rows] * mean)

        deque(ordered_map(some, range(0, len(g), size), threads), maxlen=0)
        return cls(kept, differences, whole)
