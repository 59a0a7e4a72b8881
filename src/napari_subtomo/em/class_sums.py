"""What classes hold at fixed poses: sums of the particles' data by their shares in each class."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import namespace

PIECES = 4  # of the voxels, which threads share: the same with any number of them


def class_sums(g: Any, h: Any, shares: Any, threads: int = 1) -> list[tuple[Any, Any]]:
    """Σ γ_pc G_p and Σ γ_pc H_p over particles p for each class c. Data, which the cache does not hold, are read once for all classes.

    Parameters
    ----------
    g, h : array, shape (n, V), complex64 and float32
        Aligned data and weights, of numpy or on the current GPU.
    shares : array, shape (n, classes), float32
        γ.
    threads : int
        The result is the same with any number of them.

    Returns
    -------
    list of (array, array), each of shape (V,)
        For each class, complex64 and float32.
    """
    xp, voxels, classes = namespace(g), g.shape[1], shares.shape[1]
    by_class = xp.ascontiguousarray(shares.T)
    if xp is not np:
        return list(zip(by_class @ g, by_class @ h, strict=True))
    numerator, denominator = np.empty((classes, voxels), np.complex64), np.empty((classes, voxels), np.float32)
    # real products with the parts of complex numbers take half as long
    parts, of_parts, edges = g.view(np.float32), numerator.view(np.float32), np.linspace(0, voxels, PIECES + 1).astype(int).tolist()

    def add(piece: int) -> None:
        some, two = (slice(times * edges[piece], times * edges[piece + 1]) for times in (1, 2))
        of_parts[:, two], denominator[:, some] = by_class @ parts[:, two], by_class @ h[:, some]

    deque(ordered_map(add, range(PIECES), threads), maxlen=0)
    return list(zip(numerator, denominator, strict=True))
