"""Transforms between a map and the low frequencies of its padded transform, as products with small Fourier matrices.

For a part of the nodes they take less than a fast transform of the padded box. A map is first folded about its centre, along z and along y,
into sums and differences of what lies opposite: with `v(±p)` at positions p and -p,

    Σ v(p) e^{-iθp} = Σ_{p ≥ 0} cos(θp) [v(p) + v(-p)]  +  Σ_{p > 0} sin(θp) (-i) [v(p) - v(-p)]

(position 0 once), where the matrices are real: half of the products that complex ones take. A map that is the same at opposite positions
has a real transform, and half of its planes tell it: half of the products once more.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import loops, namespace

ComplexMatrix = npt.NDArray[np.complex64]
Real = npt.NDArray[np.float32]


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
    if xp is np:
        out = np.empty((*volume.shape[:-3], edge, edge, edge // 2 + 1), np.complex64)
        for place in np.ndindex(volume.shape[:-3]):
            _of_one(np.ascontiguousarray(volume[place], np.float32), size, edge, out[place].view(np.float32))
        return out
    real, turned = (xp.asarray(matrix) for matrix in _folding(n, size, edge))
    folded, half, several = _folded(_folded(volume, -3), -2), n // 2 + 1, volume.shape[:-3]
    lines = xp.empty((*folded.shape[:-1], turned.shape[-1]), xp.float32)
    sums, differences = slice(0, half), slice(half, None)
    for z, of_z in enumerate((sums, differences)):
        for y, of_y in enumerate((sums, differences)):  # -i for each axis along which there is a difference
            lines[..., of_z, of_y, :] = folded[..., of_z, of_y, :] @ turned[z + y]
    planes = (real @ lines).reshape(*several, real.shape[1], -1)
    return (real @ planes).view(xp.complex64).reshape(*several, edge, edge, -1)


def _of_one(volume: Real, size: int, edge: int, out: Real) -> None:
    """`low_frequencies` of a map in few and large products, since others wait for each call; out (E, E, 2·(E // 2 + 1))."""
    n, compiled = len(volume), loops()
    half, rows, width = n // 2 + 1, 2 * (n // 2) + 1, out.shape[2]
    real, turned = _folding(n, size, edge)
    planes = np.empty((edge, rows, width), np.float32)
    if compiled is None:
        folded = _folded(_folded(volume, 0), 1)
        parts = folded[:, :half], folded[:, half:]
    else:
        parts = np.empty((rows, half, n), np.float32), np.empty((rows, rows - half, n), np.float32)
        compiled.fold(volume, *parts)
    first = 0
    for y, part in enumerate(parts):  # sums along y, then differences; -i for each axis along which there is a difference
        count = part.shape[1]
        lines = np.empty((rows, count, width), np.float32)
        for z, some in enumerate((slice(0, half), slice(half, None))):
            np.matmul(part[some].reshape(-1, n), turned[z + y], out=lines[some].reshape(-1, width))
        planes[:, first : first + count] = (real @ lines.reshape(rows, -1)).reshape(edge, count, width)
        first += count
    np.matmul(real, planes, out=out)


def even_low_frequencies(volume: Any, size: int, edge: int) -> Any:
    """`low_frequencies` of maps that are the same at opposite positions; what is on the rim of a box of even edge is halved, at both ends.

    Parameters
    ----------
    volume : real array, shape (..., n, n, n), (z, y, x)
        Origin at n // 2, values at p and -p (modulo n) being the same.
    size, edge : int
        As of `low_frequencies`.

    Returns
    -------
    float32 array, shape (..., E, E, E // 2 + 1), (k_z, k_y, k_x)
    """
    xp, n, several = namespace(volume), volume.shape[-1], volume.shape[:-3]
    of_x, of_y, of_z = (xp.asarray(matrix) for matrix in _even(n, size, edge))
    half, rows, width = n // 2 + 1, len(of_y[0]), edge // 2 + 1
    folded = xp.empty((*several, half, rows, n), xp.float32)
    # planes from the middle upwards; of an even box the rim, which lies below it, at the end
    above = volume[..., n // 2 :, :, :]
    whole = above if n % 2 else xp.concatenate([above, volume[..., :1, :, :]], axis=-3)
    right, left = whole[..., n // 2 + 1 :, :], xp.flip(whole[..., : n // 2, :], -2)[..., : n - half, :]
    folded[..., 0, :] = whole[..., n // 2, :]
    xp.add(right, left, out=folded[..., 1 : 1 + n - half, :])
    xp.subtract(right, left, out=folded[..., half:, :])
    if n % 2 == 0:
        folded[..., half - 1, :] = whole[..., 0, :]
    lines = (folded.reshape(-1, n) @ of_x).reshape(*several, half, rows, 2, width)
    differences = lines[..., half:, :, :].copy()  # times -i
    lines[..., half:, 0, :], lines[..., half:, 1, :] = differences[..., 1, :], -differences[..., 0, :]
    planes = (of_y @ lines.reshape(*several, half, rows, -1)).reshape(*several, half, edge, 2, width)
    inner = len(of_z[0]) - half  # planes whose imaginary parts do not cancel
    parts = xp.empty((*several, half + inner, edge, width), xp.float32)
    parts[..., :half, :, :], parts[..., half:, :, :] = planes[..., 0, :], planes[..., 1 : 1 + inner, :, 1, :]
    return (of_z @ parts.reshape(*several, half + inner, -1)).reshape(*several, edge, edge, width)


def rim_at_both_ends(volume: Any) -> Any:
    """Maps (..., n, n, n) with values at -n / 2 halved, at both ends of each axis, (..., n + 1, n + 1, n + 1); of odd n as they are."""
    xp, n = namespace(volume), volume.shape[-1]
    if n % 2:
        return volume
    for axis in (-3, -2, -1):
        first = volume.take(xp.arange(1), axis) / 2
        volume = xp.concatenate([first, volume.take(xp.arange(1, n), axis), first], axis=axis)
    return volume


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
def _folding(n: int, size: int, edge: int) -> tuple[Real, Real]:
    """Cosines and sines of nodes (rows) and folded positions, shape (E, 2·(n//2) + 1); (-i)^j e^{-iθx} of x and nodes, j = 0, 1, 2."""
    half = n // 2
    _, x = _matrices(n, size, edge)
    above = np.exp(-2j * np.pi * (np.outer(wrapped_frequencies(edge), np.arange(half + 1)) % size) / size)
    real = np.concatenate([above.real, -above.imag[:, 1:]], axis=1)
    turned = np.stack([x, -1j * x, -x]).astype(np.complex64)
    return real.astype(np.float32), np.ascontiguousarray(turned).view(np.float32)


@lru_cache(maxsize=8)
def _even(n: int, size: int, edge: int) -> tuple[Real, Real, Real]:
    """Matrices of `even_low_frequencies`: of x (n, 2·(E // 2 + 1)), real parts first; of y (E, folded rows); of planes and nodes of z."""
    half = n // 2
    _, x = _matrices(n, size, edge)
    of_x = np.concatenate([x.real, x.imag], axis=1)
    if n % 2 == 0:
        of_x[0, edge // 2 + 1 :] = 0  # the rim, at both ends: sines cancel
    angle = 2 * np.pi * (np.outer(wrapped_frequencies(edge), np.arange(half + 1)) % size) / size
    inner = slice(1, half if n % 2 == 0 else half + 1)
    of_y = np.concatenate([np.cos(angle), np.sin(angle[:, inner])], axis=1)
    twice = np.full(half + 1, 2.0)
    twice[0] = 1
    if n % 2 == 0:
        twice[half] = 1
    of_z = np.concatenate([np.cos(angle) * twice, 2 * np.sin(angle[:, inner])], axis=1)
    return of_x.astype(np.float32), of_y.astype(np.float32), of_z.astype(np.float32)


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
