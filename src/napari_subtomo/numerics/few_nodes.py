"""Transforms between a map and the low frequencies of its padded transform, as products with small Fourier matrices.

For a part of the nodes they take less than a fast transform of the padded box. A map is first folded about its centre, along z and along y,
into sums and differences of what lies opposite: with `v(±p)` at positions p and -p,

    Σ v(p) e^{-iθp} = Σ_{p ≥ 0} cos(θp) [v(p) + v(-p)]  +  Σ_{p > 0} sin(θp) (-i) [v(p) - v(-p)]

(position 0 once), where the matrices are real: half of the products that complex ones take.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import namespace

ComplexMatrix = npt.NDArray[np.complex64]


def low_frequencies(volume: Any, size: int, edge: int) -> Any:
    """Transform of a map, or of each of several, padded to `size`: the nodes of a cube of edge `edge` about the origin.

    Parameters
    ----------
    volume : real array, shape (..., n, n, n), (z, y, x)
        Origin at n // 2.
    size : int
        P, edge of the padded box.
    edge : int
        E, even.

    Returns
    -------
    complex64 array, shape (..., E, E, E // 2 + 1), (k_z, k_y, k_x)
        k_z and k_y wrap.
    """
    xp, n = namespace(volume), volume.shape[-1]
    real, turned = (xp.asarray(matrix) for matrix in _folding(n, size, edge))
    folded, half, several = _folded(_folded(volume, -3), -2), n // 2 + 1, volume.shape[:-3]
    lines = xp.empty((*folded.shape[:-1], turned.shape[-1]), xp.float32)
    sums, differences = slice(0, half), slice(half, None)
    for z, of_z in enumerate((sums, differences)):
        for y, of_y in enumerate((sums, differences)):  # -i for each axis along which there is a difference
            lines[..., of_z, of_y, :] = folded[..., of_z, of_y, :] @ turned[z + y]
    planes = (real @ lines).reshape(*several, real.shape[1], -1)
    return (real @ planes).view(xp.complex64).reshape(*several, edge, edge, -1)


def map_of(transform: Any, n: int, size: int) -> Any:
    """Map of the nodes of a cube about the origin, those outside being zero: the inverse of the padded transform.

    Parameters
    ----------
    transform : complex array, shape (E, E, E // 2 + 1), (k_z, k_y, k_x)
        Nodes with 0 < k_x stand for their Friedel mates too.
    n, size : int
        Edges of the box and of the padded box.

    Returns
    -------
    float32 array, shape (n, n, n), (z, y, x)
    """
    xp, edge = namespace(transform), transform.shape[0]
    whole, x = (xp.asarray(matrix.conj()) for matrix in _matrices(n, size, edge))
    counted = np.full(edge // 2 + 1, 2, np.float32)
    counted[0] = 1
    weighted = transform.astype(xp.complex64) * xp.asarray(counted / np.float32(size**3))
    planes = whole @ xp.tensordot(whole, weighted, axes=(1, 0))
    # the half with k_x >= 0, counted twice, has the real part of the whole sum
    return planes.real @ x.real.T - planes.imag @ x.imag.T


def _folded(volume: Any, axis: int) -> Any:
    """Sums of values at opposite positions 0 … n // 2 along an axis, then differences at positions from 1 on."""
    xp, n = namespace(volume), volume.shape[axis]
    half = n // 2
    folded = xp.empty((*volume.shape[:axis], 2 * half + 1, *volume.shape[axis:][1:]), volume.dtype)
    to, values = folded.swapaxes(axis, 0), volume.swapaxes(axis, 0)
    above, below = values[half + 1 :], xp.flip(values[:half], 0)[: n - half - 1]
    to[0] = values[half]
    xp.add(above, below, out=to[1 : n - half])
    xp.subtract(above, below, out=to[half + 1 : n])
    if n % 2 == 0:  # nothing lies opposite the first
        to[half], to[n] = values[0], -values[0]
    return folded


@lru_cache(maxsize=8)
def _folding(n: int, size: int, edge: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Cosines and sines of nodes (rows) and folded positions, shape (E, 2·(n//2) + 1); (-i)^j e^{-iθx} of x and nodes, j = 0, 1, 2."""
    half = n // 2
    _, x = _matrices(n, size, edge)
    above = np.exp(-2j * np.pi * (np.outer(wrapped_frequencies(edge), np.arange(half + 1)) % size) / size)
    real = np.concatenate([above.real, -above.imag[:, 1:]], axis=1)
    turned = np.stack([x, -1j * x, -x]).astype(np.complex64)
    return real.astype(np.float32), np.ascontiguousarray(turned).view(np.float32)


@lru_cache(maxsize=8)
def _matrices(n: int, size: int, edge: int) -> tuple[ComplexMatrix, ComplexMatrix]:
    """e^{-2πi k·x/P} of positions in the box (rows) and nodes (columns), along z and y, and along x."""
    position = np.arange(n) - n // 2
    whole = np.exp(-2j * np.pi * (np.outer(position, wrapped_frequencies(edge)) % size) / size)
    half = np.exp(-2j * np.pi * (np.outer(position, np.arange(edge // 2 + 1)) % size) / size)
    return whole.astype(np.complex64), half.astype(np.complex64)


def wrapped_frequencies(edge: int) -> npt.NDArray[np.int64]:
    """Frequencies of nodes along an axis that wraps, shape (edge,)."""
    frequencies: npt.NDArray[np.int64] = np.rint(np.fft.fftfreq(edge, 1 / edge)).astype(np.int64)
    return frequencies
