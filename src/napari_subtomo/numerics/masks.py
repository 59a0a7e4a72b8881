"""Soft masks in real space."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def radius_grid(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Distance in voxels from the centre index n // 2 of each axis; any number of axes."""
    axes = np.meshgrid(*[np.arange(n, dtype=np.float32) - n // 2 for n in shape], indexing="ij", sparse=True)
    total: Any = sum(a**2 for a in axes)
    radius: npt.NDArray[np.float32] = np.sqrt(total).astype(np.float32)
    return radius


def soft_sphere(n: int, radius_px: float, edge_px: float = 5.0) -> npt.NDArray[np.float32]:
    """Sphere with a raised-cosine edge outside the radius (RELION's `softMaskOutsideMap`).

    Parameters
    ----------
    n : int
        Box; the centre is index n // 2.
    radius_px : float
        Radius up to which the mask is 1.
    edge_px : float
        Width of the fall-off; 0 beyond radius + edge.

    Returns
    -------
    ndarray, shape (n, n, n), float32
    """
    r = radius_grid((n, n, n))
    if edge_px <= 0:
        return (r <= radius_px).astype(np.float32)
    edge = np.clip((r - radius_px) / edge_px, 0, 1)
    mask: npt.NDArray[np.float32] = (0.5 + 0.5 * np.cos(np.pi * edge)).astype(np.float32)
    return mask
