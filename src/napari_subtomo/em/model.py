"""What the E-step compares with what: groups of particles, and the references with all that scores depend on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Particles:
    """Which group each of n particles belongs to, as indices from 0.

    Attributes
    ----------
    optics, group, fold : ndarray, shape (n,)
    of_all : ndarray, shape (n optics groups,), optional
        Where these are some of the particles: how many of all are in each optics group. Data of several groups are weighted against
        their mean noise, which has to be the same wherever sums are to be added.
    """

    optics: IntArray
    group: IntArray
    fold: IntArray
    of_all: IntArray | None = None

    def optics_counts(self, groups: int) -> IntArray:
        """Particles in each of the optics groups, of all particles."""
        return np.bincount(self.optics, minlength=groups) if self.of_all is None else self.of_all

    def some(self, ids: IntArray, groups: int) -> Particles:
        """Some of them, shape (m,), in sums that are to be added to those of others; there are so many optics groups."""
        return Particles(self.optics[ids], self.group[ids], self.fold[ids], self.optics_counts(groups))


@dataclass(frozen=True)
class Model:
    """What the E-step compares particles with.

    Attributes
    ----------
    maps : ndarray, shape (folds, classes, n, n, n), float32
        Masked references; a particle of fold f is compared with `maps[f]`.
    noise : ndarray, shape (n optics groups, S)
        σ² per unit weight.
    temperature : float
        κ.
    scales : ndarray, shape (n groups,)
    log_fractions : ndarray, shape (classes + 1,)
        The last is the empty class (-inf: none).
    map_noise : ndarray, shape (classes, S)
        Variance of a reference's own noise, given back to the log-likelihood.
    sigma_offset : float
        Pixels.
    """

    maps: npt.NDArray[np.float32] = field(repr=False)
    noise: FloatArray
    temperature: float
    scales: FloatArray
    log_fractions: FloatArray
    map_noise: FloatArray
    sigma_offset: float
