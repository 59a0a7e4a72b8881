"""Shifts of the E-step through a few functions: on low shells the phases of neighbouring shifts are nearly linear combinations.

With `phases[t] ≈ Σ_s mixing[t, s] functions[s]` the large product over voxels is made for the functions, and the scores of all shifts
are combinations of few numbers: 257 shifts within 2 pixels, at shell 12 of 48, take a quarter of the product's time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.lattice import Lattice

#: Largest Σ H|A|²|error|²/(κσ²) of a shift in nats. The noise of a particle turns a residual ε into an error of √(2ε) in its
#: log-likelihood: 0.01 nat.
TOLERANCE = 5e-5
#: Functions are used where there are at most this many of them for each shift, and not for fewer shifts than this.
WORTH, LEAST = 0.75, 16


@dataclass(frozen=True)
class ShiftBasis:
    """Functions that shifts are made of.

    Attributes
    ----------
    functions : array, shape (s, V), complex64
    mixing : array, shape (nT, s), float32, or None
        None: the functions are the phases of the shifts themselves.
    residual : float
        Largest residual of a shift, nats as of `TOLERANCE`.
    """

    functions: Any = field(repr=False)
    mixing: Any = field(repr=False)
    residual: float

    def on(self, xp: Any) -> ShiftBasis:
        """The same as arrays of a namespace."""
        return ShiftBasis(xp.asarray(self.functions), None if self.mixing is None else xp.asarray(self.mixing), self.residual)

    def mix(self, cross: Any) -> Any:
        """From products with the functions, shape (m, s, C), to those with the shifts, shape (m, nT, C)."""
        return cross if self.mixing is None else self.mixing @ cross


def phases(shifts: npt.NDArray[np.float64], k: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.complex64]:
    """e^{+2πi k·t/n} for shifts (nT, 3) in pixels and frequencies (V, 3) of a box of n, shape (nT, V)."""
    angle = (2 * np.pi / n * shifts).astype(np.float32) @ k.T
    found = np.empty(angle.shape, np.complex64)
    np.cos(angle, out=found.real)
    np.sin(angle, out=found.imag)
    return found


def shift_basis(
    shifts: npt.NDArray[np.float64], lattice: Lattice, last_shell: int, energy: npt.NDArray[np.float64], tolerance: float = TOLERANCE
) -> ShiftBasis:
    """The fewest functions that give all shifts within the tolerance (Eckart & Young: leading left singular vectors).

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
    ShiftBasis
        On the host.
    """
    k = lattice.k[: lattice.prefix(last_shell)]
    whole = phases(shifts, k, lattice.n)
    if tolerance <= 0 or len(shifts) < LEAST:
        return ShiftBasis(whole, None, 0.0)
    values, vectors = np.linalg.eigh(_overlaps(shifts, lattice, last_shell, energy))
    # what is left of each shift without the smallest functions, one more in each column
    left = (vectors**2 * np.maximum(values, 0)).cumsum(axis=1).max(axis=0)
    dropped = min(int(np.searchsorted(left, tolerance, side="right")), len(shifts) - 1)  # references of nothing leave nothing
    if len(shifts) - dropped > WORTH * len(shifts):
        return ShiftBasis(whole, None, 0.0)
    mixing = np.ascontiguousarray(vectors[:, dropped:]).astype(np.float32)
    functions = (mixing.T @ whole.view(np.float32)).view(np.complex64)
    return ShiftBasis(functions, mixing, float(left[dropped - 1]))


def _overlaps(
    shifts: npt.NDArray[np.float64], lattice: Lattice, last_shell: int, energy: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Σ_k energy(k) cos(2π k·(t - t')/n) of all pairs of shifts, shape (nT, nT).

    The sum does not change when axes are exchanged or mirrored, so that there are few different ones on a grid.
    """
    voxels = lattice.prefix(last_shell)
    between = np.sort(np.abs(shifts[:, None] - shifts[None]).reshape(-1, 3).round(6), axis=1)
    different, which = np.unique(between, axis=0, return_inverse=True)
    weight = energy[lattice.shell[:voxels]]
    angle = (2 * np.pi / lattice.n) * (different @ lattice.k[:voxels].T.astype(np.float64))
    overlaps: npt.NDArray[np.float64] = (np.cos(angle) @ weight)[which.reshape(-1)].reshape(len(shifts), -1)
    return overlaps
