"""The M-step: from sums to the references of the next E-step, and to the maps that are written.

References of the E-step (engine notes, sections 4 and 7): the consensus `Ā = NUM/(DEN + σ²/(4τ²))` of all classes and particles;
a class `A_c = (NUM_c + ρĀ)/(DEN_c + ρ)` with `ρ = σ²/(δ·T·|Ā|²)` per shell, its sums without the fold that will be compared with it.
Written maps are each class's own data, Wiener-filtered with the signal and noise power that the folds themselves show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.statistics import Sums
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.padded_grid import PaddedGrid

FloatArray = npt.NDArray[np.float64]

CONSENSUS_T = 4.0
DELTA = 0.3  # prior variance of a class's difference, in units of the consensus power
FLOOR = 1e-3  # least denominator, in units of its shell mean
UNREGULARISED_SHELLS = 5


@dataclass(frozen=True)
class OwnMap:
    """A class's own map and what is known of it, S = last_shell + 1 shells.

    Attributes
    ----------
    volume : ndarray, shape (n, n, n), float32
        Wiener-filtered, masked; zero for an empty class.
    tau2, sigma2, ssnr, completeness : ndarray, shape (S,)
        Signal power, noise power of the map, their ratio, share of measured nodes.
    """

    volume: npt.NDArray[np.float32]
    tau2: FloatArray
    sigma2: FloatArray
    ssnr: FloatArray
    completeness: FloatArray


@dataclass(frozen=True)
class References:
    """References of the next E-step.

    Attributes
    ----------
    maps : ndarray, shape (folds, classes, n, n, n), float32
        Masked.
    map_noise : ndarray, shape (classes, S)
        Variance of the leave-fold-out maps by jackknife over the folds.
    solvent : ndarray, shape (n, n, n), or None
        What was found to be particle, and masks them too.
    """

    maps: npt.NDArray[np.float32]
    map_noise: FloatArray
    solvent: npt.NDArray[np.float32] | None


@dataclass(frozen=True)
class Problem:
    """A reference before the division: numerator/(denominator + σ²/(T·τ²)).

    Attributes
    ----------
    numerator, denominator : array, shape of the grid
    regularisation : float or None
        T; None where the denominator holds all the regularisation that there is.
    """

    numerator: Any
    denominator: Any
    regularisation: float | None


@dataclass(frozen=True)
class Maximiser:
    """Grid, mask and limits shared by all maps of a job.

    Attributes
    ----------
    grid : PaddedGrid
    mask : ndarray, shape (n, n, n)
        Solvent mask of all references (one for all, or the class with the larger mask pays for its noise).
    last_shell : int
        Beyond it maps are zero.
    n_shells : int
        Length of spectra.
    data_share : float
        Share of the noise power that is left in the particles on which σ² is measured: below 1 where they are masked.
    solvent : ndarray, shape (n, n, n), optional
        Where the particle is, inside the mask; it does not mask the maps that are written, but what is said of their signal and noise.
    """

    grid: PaddedGrid
    mask: npt.NDArray[np.float32]
    last_shell: int
    n_shells: int
    data_share: float = 1.0
    solvent: npt.NDArray[np.float32] | None = None

    @property
    def inside(self) -> npt.NDArray[np.bool_]:
        """Nodes up to the last shell."""
        inside: npt.NDArray[np.bool_] = self.grid.shell <= self.last_shell
        return inside

    @property
    def mask_share(self) -> float:
        """Share of the box's noise power that is left in the region of the references."""
        return _power(self.region)

    @property
    def region(self) -> npt.NDArray[np.float32]:
        """Where references are: inside the mask, or where the particle is."""
        return self.mask if self.solvent is None else self.solvent

    @property
    def solvent_share(self) -> float:
        """Share of the noise power inside the mask that is left where the particle is."""
        return 1.0 if self.solvent is None else _power(self.solvent) / max(_power(self.mask), 1e-30)

    def spread(self, spectrum: FloatArray) -> npt.NDArray[np.float32]:
        """A per-shell spectrum as a node array; the last value beyond its end."""
        return spectrum.astype(np.float32).take(self.grid.shell, mode="clip")

    def shell_mean(self, values: Any) -> FloatArray:
        """Mean of node values per shell 0 … n_shells - 1."""
        return np.asarray(self.grid.shell_mean(values, self.n_shells - 1), dtype=np.float64)

    def floored(self, denominator: Any) -> Any:
        """Denominator with the least value that keeps unmeasured nodes from exploding."""
        mean = self.shell_mean(denominator)
        return np.maximum(denominator, self.spread(FLOOR * mean + 1e-20))

    def signal_power(self, numerator: Any, denominator: Any) -> FloatArray:
        """Power |NUM/DEN|² per shell, nodes weighted by how well they are measured."""
        ratio = numerator / self.floored(denominator)
        weight = self.shell_mean(denominator)
        power = self.shell_mean(denominator * (ratio.real**2 + ratio.imag**2))
        return power / np.maximum(weight, 1e-30)

    def consensus(self, numerator: Any, denominator: Any, noise: FloatArray) -> Any:
        """Regularised average of numerators and denominators on the grid, whatever their classes."""
        tau2 = self.signal_power(numerator, denominator)
        regulariser = noise / (CONSENSUS_T * np.maximum(tau2, 1e-30))
        return numerator / (self.floored(denominator) + self.spread(regulariser))

    def masked_map(self, transform: Any) -> npt.NDArray[np.float32]:
        """Real map of a grid transform, cut at the last shell and masked."""
        volume: npt.NDArray[np.float32] = self.grid.to_map(np.where(self.inside, transform, 0)) * self.mask
        return volume

    def references(self, sums: Sums, noise: FloatArray, regularisation: float, shrink_to: str, threads: int = 1) -> npt.NDArray[np.float32]:
        """References per fold and class, shape (folds, classes, n, n, n), none of them made with the fold that will be compared with it.

        The consensus leaves the fold out as well: a particle's own share in it would favour every real class over the empty one.

        Parameters
        ----------
        sums : Sums
        noise : ndarray, shape (S,)
            σ² per unit weight.
        regularisation : float
            T.
        shrink_to : str
            "consensus", or "own" for RELION's prior (each class towards zero by its own spectrum).
        threads : int
        """
        folds, classes = sums.numerator.shape[:2]
        n = self.grid.n
        maps = np.empty((folds, classes, n, n, n), np.float32)
        if shrink_to == "own":
            for c in range(classes):
                maps[:, c] = self._own_reference(sums.numerator[:, c].sum(0), sums.denominator[:, c].sum(0), noise, regularisation)
            return maps
        problems = self.left_out(sums, noise, regularisation)

        def of_fold(f: int) -> None:
            for c, problem in enumerate(problems(f)):
                num, den = problem.numerator, problem.denominator
                maps[f, c] = self.masked_map(num / den if problem.regularisation is None else self.consensus(num, den, noise))

        for _ in ordered_map(of_fold, range(folds), threads):
            pass
        return maps

    def map_noise(self, maps: npt.NDArray[np.float32], threads: int = 1) -> FloatArray:
        """Variance per shell of references that leave out one fold each, by jackknife, shape (classes, S).

        Parameters
        ----------
        maps : ndarray, shape (folds, classes, n, n, n)
        threads : int
        """
        if len(maps) < 2:
            return np.zeros((maps.shape[1], self.n_shells))
        return np.stack([self.jackknife(list(ordered_map(self.grid.transform, column, threads))) for column in maps.swapaxes(0, 1)])

    def left_out(self, sums: Sums, noise: FloatArray, regularisation: float) -> Callable[[int], Iterator[Problem]]:
        """For each fold, what the references of its particles are made of, class by class: none of their own data.

        One class is the common average itself. Of several, each gets the common average as data of weight ρ, the less the smaller the
        part of the mask in which the particle is: classes differ there, and noise elsewhere is masked.

        Parameters
        ----------
        sums : Sums
        noise : ndarray, shape (S,)
            σ² per unit weight.
        regularisation : float
            T.
        """
        folds, classes = sums.numerator.shape[:2]
        everything = sums.total
        by_fold = sums.numerator.sum(1), sums.denominator.sum(1)
        totals = sums.numerator.sum(0), sums.denominator.sum(0)
        mean = self.consensus(*everything, noise)
        strength = DELTA * regularisation / self.solvent_share
        rho = self.spread(noise / (strength * np.maximum(self.shell_mean(mean.real**2 + mean.imag**2), 1e-30)))
        left = 0 if folds == 1 else 1  # with a single fold there is nothing to leave out

        def of_fold(f: int) -> Iterator[Problem]:
            num, den = everything[0] - left * by_fold[0][f], np.maximum(everything[1] - left * by_fold[1][f], 0)
            if classes == 1:
                yield Problem(num, den, CONSENSUS_T)
                return
            others = self.consensus(num, den, noise)
            for c in range(classes):
                num = totals[0][c] - left * sums.numerator[f, c]
                den = np.maximum(totals[1][c] - left * sums.denominator[f, c], 0)
                yield Problem(num + rho * others, den + rho, None)

        return of_fold

    def jackknife(self, transforms: list[Any]) -> FloatArray:
        """Variance per shell of estimates that each leave one fold out, shape (S,)."""
        folds = len(transforms)
        if folds < 2:
            return np.zeros(self.n_shells)
        mean = sum(transforms) / folds
        spread = sum(np.abs(t - mean) ** 2 for t in transforms)
        return (folds - 1) / folds * self.shell_mean(spread)

    def _own_reference(self, numerator: Any, denominator: Any, noise: FloatArray, regularisation: float) -> npt.NDArray[np.float32]:
        """RELION's Wiener filter with the class's own spectrum, not applied in the first shells."""
        regulariser = noise / (regularisation * np.maximum(self.signal_power(numerator, denominator), 1e-30))
        regulariser[:UNREGULARISED_SHELLS] = 0
        if not np.any(denominator > 0):
            return np.zeros((self.grid.n,) * 3, np.float32)
        return self.masked_map(numerator / (self.floored(denominator) + self.spread(regulariser)))

    def own_map(self, numerator: Any, denominator: Any, noise: FloatArray) -> OwnMap:
        """Map of one class from its own data, with spectra.

        Parameters
        ----------
        numerator, denominator : array, shape (folds, *grid)
            Of that class.
        noise : ndarray, shape (S,)
            Used where there is only one fold.

        Returns
        -------
        OwnMap
        """
        folds = len(numerator)
        num, den = numerator.sum(0), denominator.sum(0)
        mean_weight = self.shell_mean(den)
        if not np.any(mean_weight > 0):
            flat = np.zeros(self.n_shells)
            return OwnMap(np.zeros((self.grid.n,) * 3, np.float32), flat, flat + 1e-30, flat, flat)
        measured = self.shell_mean((den > self.spread(FLOOR * mean_weight)).astype(np.float32))
        ratio = num / self.floored(den)
        # nodes weighted by their weight: a hardly measured node says little about signal or noise
        norm = np.maximum(mean_weight, 1e-30)
        power = self.shell_mean(den * np.abs(ratio) ** 2) / norm
        if folds > 1:
            without = [(num - numerator[f]) / self.floored(np.maximum(den - denominator[f], 0)) for f in range(folds)]
            mean = sum(without) / folds
            noise_power = (folds - 1) / folds * self.shell_mean(den * sum(np.abs(w - mean) ** 2 for w in without)) / norm
        else:
            noise_power = noise / self.data_share / norm  # the map is made from particles without their mask
        tau2 = np.maximum(power - noise_power, 0)
        # All signal lies inside the mask, of the noise only the mask's share. Spectra of masked maps would say the same, but a mask
        # mixes neighbouring shells, and noise aligned in the shells of the E-step would leak into those that judge it.
        noise_power = noise_power * self.mask_share
        ssnr = tau2 / np.maximum(noise_power, 1e-30)
        ssnr[self.last_shell + 1 :] = 0
        # σ²/τ² with σ² such that the map's noise is σ²/DEN on average
        regulariser = np.minimum(noise_power * norm / np.maximum(tau2, 1e-30), 1e30)
        regulariser[0] = 0
        volume = self.masked_map(num / (self.floored(den) + self.spread(regulariser)))
        return OwnMap(volume, tau2, noise_power, ssnr, measured)


def _power(mask: npt.NDArray[np.float32]) -> float:
    """Share of the noise power of a box that a mask leaves."""
    return float((mask.astype(np.float64) ** 2).mean())


def resolved_shell(ssnr: FloatArray, first: int = 1) -> int:
    """Last shell of the unbroken run with SSNR >= 1 that begins at shell `first`; `first` - 1 if there is none."""
    below = np.flatnonzero(ssnr[first:] < 1)
    return first - 1 + (int(below[0]) if len(below) else len(ssnr) - first)
