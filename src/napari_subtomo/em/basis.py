"""Shifts and rotated references of the E-step through fewer functions than there are of them.

On low shells the phases of neighbouring shifts, and a map turned by neighbouring rotations, are nearly linear combinations of a few
functions. With `phases[t] ≈ Σ_s mixing[t, s] functions[s]` and the same for references, the large product over voxels is made for the
functions, and the scores of all poses are combinations of few numbers. How many functions it takes depends on ranges and resolution, not on
how fine the steps are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from napari_subtomo.em.lattice import Lattice
from napari_subtomo.numerics.backend import namespace, to_host

FloatArray = npt.NDArray[np.float64]

#: Largest Σ H|A|²|error|²/(κσ²) of a shift or of a rotated reference in nats. The noise of a particle turns a residual ε into an error of
#: √(2ε) in the score of a single pose; sums over a particle's poses average it to 0.01 nat.
TOLERANCE = 1e-3
#: Functions are used where there are at most this many of them for each that they stand for, and not for fewer than this.
WORTH, LEAST = 0.75, 16
#: Finding functions for N references is not free: overlaps of their V voxels, and an eigenvalue problem. The product with them has to have
#: at least `ROWS` · N · (1 + `EIGEN` · N / V) rows (as timed by benchmarks/reference_functions.py); on a GPU `DEVICE` times as many, since
#: products are what it does best (not measured).
ROWS, EIGEN, DEVICE = 1.6, 4.0, 50.0
MANY = 512  # functions of which a few are found first, and eigenvectors among those: 0.04 for 0.10 s of 925, 0.10 for 0.68 s of 1791
AT_ONCE = 1024  # voxels for which the phases of all shifts are made at once
ANGLES = 2**22  # phases that are made at once


@dataclass(frozen=True)
class Basis:
    """Functions that others, the given ones, are made of.

    Attributes
    ----------
    functions : array, shape (s, V), complex64
    mixing : array, shape (N, s), float32, or None
        None: the functions are the given ones themselves.
    residual : float
        Largest residual of a given one, nats as of `TOLERANCE`.
    """

    functions: Any = field(repr=False)
    mixing: Any = field(repr=False)
    residual: float

    def on(self, xp: Any) -> Basis:
        """The same as arrays of a namespace."""
        return Basis(xp.asarray(self.functions), None if self.mixing is None else xp.asarray(self.mixing), self.residual)

    def mix(self, cross: Any) -> Any:
        """From products with the functions, shape (m, s, C), to those with the given ones, shape (m, N, C)."""
        return cross if self.mixing is None else self.mixing @ cross

    def mix_last(self, cross: Any) -> Any:
        """From products with the functions, shape (..., s), to those with the given ones, shape (..., N)."""
        return cross if self.mixing is None else cross @ self.mixing.T


def phases(shifts: FloatArray, k: Any, n: int) -> Any:
    """e^{+2πi k·t/n} for shifts (nT, 3) in pixels and frequencies (V, 3) of a box of n, shape (nT, V), complex64, where `k` is."""
    xp = namespace(k)
    turned = xp.asarray((2 * np.pi / n * shifts).astype(np.float32))
    parts = xp.empty((len(shifts), len(k), 2), xp.float32)
    at_once = max(1, ANGLES // max(len(k), 1))  # angles, cosines and sines of all would take more memory than what they make
    for first in range(0, len(shifts), at_once):
        some = slice(first, first + at_once)
        angle = turned[some] @ k.T
        parts[some, :, 0], parts[some, :, 1] = xp.cos(angle), xp.sin(angle)
    return parts.view(xp.complex64)[:, :, 0]


def shift_basis(shifts: FloatArray, lattice: Lattice, last_shell: int, energy: FloatArray, tolerance: float = TOLERANCE) -> Basis:
    """The fewest functions that give the phases of all shifts within the tolerance.

    Parameters
    ----------
    shifts : ndarray, shape (nT, 3)
        Pixels.
    lattice : Lattice
    last_shell : int
        Of the comparison.
    energy : ndarray, shape (last_shell + 1,)
        What a voxel of each shell adds to Σ H|A|²/(κσ²) of the references that are compared, nats.
    tolerance : float
        0: the phases themselves.

    Returns
    -------
    Basis
        On the host.
    """
    k = lattice.k[: lattice.prefix(last_shell)]
    if tolerance <= 0 or len(shifts) < LEAST:
        return Basis(phases(shifts, k, lattice.n), None, 0.0)
    mixing, residual = leading(_overlaps(shifts, lattice, last_shell, energy), tolerance)
    if mixing.shape[1] > WORTH * len(shifts):
        return Basis(phases(shifts, k, lattice.n), None, 0.0)
    functions = np.empty((mixing.shape[1], len(k)), np.complex64)
    for first in range(0, len(k), AT_ONCE):  # phases of a thousand shifts take more memory than anything else of a comparison
        some = slice(first, first + AT_ONCE)
        functions[:, some] = (mixing.T @ phases(shifts, k[some], lattice.n).view(np.float32)).view(np.complex64)
    return Basis(functions, mixing, residual)


def reference_basis(references: Any, weight: Any, rows: int, tolerance: float = TOLERANCE) -> Basis:
    """The fewest functions that give all rotated references within the tolerance.

    Parameters
    ----------
    references : array, shape (N, V), complex64
    weight : array, shape (V,)
        H/(κσ²) of the particles that are compared, their mean.
    rows : int
        Rows of the product that the functions are for.
    tolerance : float
        0: the references themselves.

    Returns
    -------
    Basis
        On the references' device; references are their own functions where others would not pay.
    """
    xp, (count, voxels) = namespace(references), references.shape
    enough = (1.0 if xp is np else DEVICE) * ROWS * count * (1 + EIGEN * count / voxels)
    if tolerance <= 0 or count < LEAST or rows < enough:
        return Basis(references, None, 0.0)
    weighted = (references * xp.sqrt(weight)).view(xp.float32).astype(xp.float64)  # rounded overlaps would hide what is left
    mixing, residual = leading(weighted @ weighted.T, tolerance)
    if mixing.shape[1] > WORTH * count:
        return Basis(references, None, 0.0)
    return Basis(xp.ascontiguousarray(mixing.T @ references.view(xp.float32)).view(xp.complex64), mixing, residual)


def leading(overlaps: Any, tolerance: float) -> tuple[Any, float]:
    """The combinations of fewest functions from which all given ones follow within the tolerance (Eckart & Young: leading eigenvectors).

    Parameters
    ----------
    overlaps : array, shape (N, N), float64
        Inner products of the given functions.
    tolerance : float
        Largest squared residual of a given one.

    Returns
    -------
    mixing : array, shape (N, s), float32
        Orthonormal columns: functions are `mixing.T @ given`, the given ones again `mixing @ functions`.
    residual : float
        Largest squared residual.
    """
    xp, count = namespace(overlaps), len(overlaps)
    if xp is np and count >= MANY:
        factor, outside = _factor(overlaps, tolerance / 100), tolerance / 100
        values, inner = np.linalg.eigh(factor.T @ factor)
        scaled = factor @ inner
        squares, vectors = scaled**2, scaled / np.sqrt(np.maximum(values, np.finfo(np.float64).tiny))
    else:
        values, vectors = xp.linalg.eigh(overlaps)
        squares, outside = vectors**2 * xp.maximum(values, 0), 0.0
    left = to_host(squares.cumsum(axis=1).max(axis=0)) + outside  # of each without the smallest functions, one more in each column
    dropped = min(int(np.searchsorted(left, tolerance, side="right")), vectors.shape[1] - 1)  # functions of nothing leave nothing
    mixing = xp.ascontiguousarray(vectors[:, dropped:]).astype(xp.float32)
    return mixing, float(left[dropped - 1]) if dropped else outside


def _factor(overlaps: FloatArray, tolerance: float) -> FloatArray:
    """Fewest columns L of a Cholesky factor with pivots so that L Lᵀ misses overlaps by a matrix of trace below the tolerance.

    No projection leaves more than that trace of what is missing. Takes N² r operations for r columns, all eigenvectors take 9 N³ (Higham,
    Analysis of the Cholesky decomposition of a semi-definite matrix, 1990; LAPACK's pstrf).
    """
    rows, order, rank, _ = lapack.dpstrf(overlaps, tol=tolerance / len(overlaps))
    factor = np.zeros((len(overlaps), max(rank, 1)))  # a single column of nothing where overlaps are nothing
    factor[order[:, None] - 1, np.arange(rank)] = np.triu(rows[:rank]).T
    return factor


def _overlaps(shifts: FloatArray, lattice: Lattice, last_shell: int, energy: FloatArray) -> FloatArray:
    """Σ_k energy(k) cos(2π k·(t - t')/n) of all pairs of shifts, shape (nT, nT).

    The sum does not change when axes are exchanged or mirrored, so that there are few different ones on a grid.
    """
    voxels = lattice.prefix(last_shell)
    different, which = _differences(shifts)
    weight = energy[lattice.shell[:voxels]]
    angle = (2 * np.pi / lattice.n) * (different @ lattice.k[:voxels].T.astype(np.float64))
    overlaps: FloatArray = (np.cos(angle) @ weight)[which]
    return overlaps


def _differences(shifts: FloatArray) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Differences of pairs of shifts, their lengths along three axes in ascending order: the different ones (d, 3), and which (nT, nT).

    Of a grid they are counted in steps: sorting all pairs of a thousand shifts takes longer than the comparison that they are for.
    """
    origin = shifts.min(0)
    gaps = np.diff(np.sort(shifts - origin, axis=0), axis=0)
    step = float(gaps[gaps > 1e-6].min(initial=1.0))
    place = np.rint((shifts - origin) / step).astype(np.int32)
    edge = int(place.max(initial=0)) + 1
    if np.abs(origin + place * step - shifts).max(initial=0) > 1e-6 or edge**3 > 64 * max(len(shifts), 64):  # no grid
        between = np.sort(np.abs(shifts[:, None] - shifts[None]).reshape(-1, 3).round(6), axis=1)
        different, which = np.unique(between, axis=0, return_inverse=True)
        return different, which.reshape(len(shifts), -1)
    x, y, z = (np.abs(line[:, None] - line[None]) for line in place.T)
    least, most = np.minimum(np.minimum(x, y), z), np.maximum(np.maximum(x, y), z)
    code = (most * edge + (x + y + z - least - most)) * edge + least
    there = np.zeros(edge**3, bool)
    there[code] = True
    codes = np.flatnonzero(there)
    found: FloatArray = step * np.stack([codes % edge, codes // edge % edge, codes // edge**2], axis=1).astype(np.float64)
    return found, (np.cumsum(there) - 1)[code]
