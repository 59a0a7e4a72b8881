"""Sums over particles that add: what the E-step hands to the M-step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ShellSums:
    """Per-shell sums of one block of particles.

    Attributes
    ----------
    residual, weight : ndarray, shape (n noise groups, S)
        |X - W A|² at the best pose, and W.
    cross, power : ndarray, shape (n scale groups, S)
        Re(X A*) and W |A|² at the best pose of particles that are not empty: the scale of a group is their ratio.
    offsets : float
        Posterior-weighted squared offsets, pixels², all three components.
    offset_weight : float
        Posterior weight behind it.
    """

    residual: FloatArray
    weight: FloatArray
    cross: FloatArray
    power: FloatArray
    offsets: float = 0.0
    offset_weight: float = 0.0

    @classmethod
    def zero(cls, n_noise: int, n_groups: int, n_shells: int) -> ShellSums:
        """Sums over no particle."""
        noise, groups = (n_noise, n_shells), (n_groups, n_shells)
        return cls(np.zeros(noise), np.zeros(noise), np.zeros(groups), np.zeros(groups))

    def __add__(self, other: ShellSums) -> ShellSums:
        """Sums over both."""
        names = self.__dataclass_fields__
        return ShellSums(*[getattr(self, name) + getattr(other, name) for name in names])


@dataclass(frozen=True)
class Sums:
    """Numerators and denominators of the maps on the padded grid, by fold and class.

    Attributes
    ----------
    numerator : array, shape (folds, classes, *grid), complex64
        Σ γ X, in the reference's frame, both Friedel mates counted.
    denominator : array, shape (folds, classes, *grid), float32
        Σ γ W.
    """

    numerator: Any
    denominator: Any

    def __add__(self, other: Sums) -> Sums:
        """Sums over both."""
        return Sums(self.numerator + other.numerator, self.denominator + other.denominator)

    @property
    def total(self) -> tuple[Any, Any]:
        """Numerator and denominator over all folds and classes, shape of the grid."""
        return self.numerator.sum((0, 1)), self.denominator.sum((0, 1))


@dataclass(frozen=True)
class ParticleResults:
    """What an E-step found for each of n particles.

    Attributes
    ----------
    posterior : ndarray, shape (n, classes + 1)
        Class posteriors; the last column is the empty class (0 without one).
    rotation, shift, best_class : ndarray, shape (n,), int
        Indices of the best pose in the grid and of its class (0-based, real classes only).
    turn : ndarray, shape (n, 3, 3)
        Rotation in the particle's frame: posterior mean around the best pose, between the points of the grid.
    offset : ndarray, shape (n, 3)
        Shift in the particle's frame, pixels, likewise.
    log_evidence : ndarray, shape (n,)
        Log of the sum over real classes and poses, class fractions normalised over the real classes.
    log_likelihood : ndarray, shape (n,)
        Log of the sum over everything.
    pmax : ndarray, shape (n,)
    significant : ndarray, shape (n,), int
    """

    posterior: FloatArray
    rotation: npt.NDArray[np.int64]
    shift: npt.NDArray[np.int64]
    best_class: npt.NDArray[np.int64]
    turn: FloatArray
    offset: FloatArray
    log_evidence: FloatArray
    log_likelihood: FloatArray
    pmax: FloatArray
    significant: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, n: int, classes: int) -> ParticleResults:
        """Room for n particles."""
        i = [np.zeros(n, np.int64) for _ in range(4)]
        f = [np.zeros(n) for _ in range(3)]
        turns = np.repeat(np.eye(3)[None], n, axis=0)
        return cls(np.zeros((n, classes + 1)), i[0], i[1], i[2], turns, np.zeros((n, 3)), f[0], f[1], f[2], i[3])
