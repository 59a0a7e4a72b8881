"""Where classes begin: clustering at fixed poses, each particle left out of the references it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.maximisation import CONSENSUS_T, DELTA
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
Mask = Callable[[npt.NDArray[np.complex64]], npt.NDArray[np.complex64]]
CACHE_BYTES = 2**21  # what is worked on at once


def shell_power(values: npt.NDArray[np.complex64], lattice: Lattice, voxels: int) -> FloatArray:
    """Mean |value|² of its shell, at each of the first voxels, shape (voxels,)."""
    shell = lattice.shell[:voxels]
    power = np.bincount(shell, np.abs(values) ** 2) / np.maximum(np.bincount(shell), 1)
    spread: FloatArray = power[shell]
    return spread


def rand_index(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Adjusted Rand index of two labelings (Hubert & Arabie 1985); 1 when both are one class."""
    a, b = np.unique(np.asarray(a), return_inverse=True)[1], np.unique(np.asarray(b), return_inverse=True)[1]
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)

    def pairs(x: FloatArray) -> float:
        return float((x * (x - 1) / 2).sum())

    both, rows, columns, total = pairs(table), pairs(table.sum(1)), pairs(table.sum(0)), len(a) * (len(a) - 1) / 2
    expected, most = rows * columns / max(total, 1), (rows + columns) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


@dataclass(frozen=True)
class Inside:
    """Where classes may differ, for particles at fixed poses.

    Attributes
    ----------
    g : ndarray, shape (n, V)
        The particles, their differences from what the average predicts masked.
    differences, whole : callable
        Masks of differences and of the average, on values of shape (V,).
    """

    g: npt.NDArray[np.complex64]
    differences: Mask
    whole: Mask

    @classmethod
    def of(cls, g: npt.NDArray[np.complex64], h: npt.NDArray[np.float32], differences: Mask, whole: Mask, threads: int) -> Inside:
        """Of particles with data `g` and weights `h`, shape (n, V); the average is theirs without regularisation.

        The weights of a particle spread what is inside over the edge of a mask, and the other way round, as far as its missing wedge does.
        """
        mean = (g.sum(0) / (h.sum(0) + 1e-9)).astype(np.complex64)
        kept = np.empty_like(g)

        def one(i: int) -> None:
            kept[i] = h[i] * mean + differences(g[i] - h[i] * mean)

        for _ in ordered_map(one, range(len(g)), threads):
            pass
        return cls(kept, differences, whole)


def leave_one_out(
    g: npt.NDArray[np.complex64],
    h: npt.NDArray[np.float32],
    lattice: Lattice,
    noise: FloatArray | npt.NDArray[np.float32],
    temperature: float,
    start: FloatArray,
    regularisation: float,
    rounds: int = 60,
    inside: Inside | None = None,
) -> FloatArray:
    """Class posteriors at fixed poses by EM; a particle's own share is taken out of every class it is compared with, exactly.

    `A_c without p = (NUM_c − γ_pc·G_p + ρĀ) / (DEN_c − γ_pc·H_p + ρ)` (engine notes, section 7.1). Inside a region the differences from
    the average are masked: NUM_c + ρĀ becomes `(DEN_c + ρ)·(Ā' + M[A_c − Ā])`, and the own share that of a particle whose difference from
    the average is masked, `G'_p = H_p A + M[G_p − H_p A]` with their plain average A; it is compared as it is.

    Parameters
    ----------
    g, h : ndarray, shape (n, V)
        Aligned data and weights on the first V lattice voxels.
    lattice : Lattice
    noise : ndarray, shape (n, V)
        σ² at those voxels for each particle.
    temperature : float
        κ.
    start : ndarray, shape (n, classes)
        Posteriors to begin with.
    regularisation : float
        T.
    rounds : int
        Most EM rounds.
    inside : Inside, optional
        The region in which classes may differ.

    Returns
    -------
    ndarray, shape (n, classes)
    """
    voxels = g.shape[1]
    n, classes = start.shape
    whitening = (1.0 / (noise * temperature)).astype(np.float32)
    whitening[:, lattice.shell[:voxels] == 0] = 0
    sigma2 = noise.mean(0)
    raw = g.sum(0) / (h.sum(0) + 1e-9)
    mean = g.sum(0) / (h.sum(0) + sigma2 / (CONSENSUS_T * np.maximum(shell_power(raw, lattice, voxels), 1e-30)))
    rho = (sigma2 / (DELTA * regularisation * np.maximum(shell_power(mean, lattice, voxels), 1e-30))).astype(np.float32)
    prior = (rho * mean).astype(np.complex64)
    own_g, average = (g, mean) if inside is None else (inside.g, inside.whole(mean))
    gamma = start.astype(np.float32)
    size = max(1, CACHE_BYTES // (60 * voxels))
    blocks = [slice(first, first + size) for first in range(0, n, size)]  # of particles: their temporary arrays stay in the cache
    for _ in range(rounds):
        log = np.empty((n, classes))
        sums = [(gamma[:, c] @ g + prior, gamma[:, c] @ h + rho) for c in range(classes)]
        if inside is not None:
            sums = [((average + inside.differences(num / np.maximum(den, 1e-20) - mean)) * den, den) for num, den in sums]
        squares = [numerator.real**2 + numerator.imag**2 for numerator, _ in sums]
        for some in blocks:
            x, y, w = g[some].real, g[some].imag, h[some]
            own_x, own_y = (x, y) if inside is None else (own_g[some].real, own_g[some].imag)
            power, own_power = x * own_x + y * own_y, own_x**2 + own_y**2
            for c, (numerator, denominator) in enumerate(sums):
                own = gamma[some, c, None]
                # with N, D the sums without the particle: Σ 2 Re[G N*]/D − H |N|²/D²
                alone = x * numerator.real + y * numerator.imag - own * power
                inverse = 1 / np.maximum(denominator - own * w, 1e-20)
                square = squares[c] - own * (2 * (own_x * numerator.real + own_y * numerator.imag) - own * own_power)
                log[some, c] = np.einsum("nv,nv->n", inverse * (2 * alone - w * inverse * square), whitening[some])
        log += np.log(gamma.mean(0, dtype=np.float64) + 1e-9)
        new = np.exp(log - np.logaddexp.reduce(log, axis=1, keepdims=True))
        change = np.abs(new - gamma).max()
        gamma = new.astype(np.float32)
        if change < 1e-3:
            break
    result: FloatArray = gamma.astype(np.float64)
    return result


def cluster(
    g: npt.NDArray[np.complex64],
    h: npt.NDArray[np.float32],
    lattice: Lattice,
    noise: FloatArray | npt.NDArray[np.float32],
    temperature: float,
    classes: int,
    regularisation: float,
    restarts: int,
    seed: int,
    threads: int,
    reporter: Reporter,
    inside: Inside | None = None,
) -> tuple[FloatArray, float]:
    """Leave-one-out clustering from several random starts; the partition that agrees most with the others is taken.

    Likelihood does not choose: in 3 of 7 runs of the study the likeliest start was wrong while most others were right. Partitions
    with a class of less than 2 % of the particles are taken only if there is no other.

    Returns
    -------
    posteriors : ndarray, shape (n, classes)
        Classes in order of size, largest first.
    agreement : float
        Mean adjusted Rand index between the chosen partition and those of the other starts (1 with a single start).
    """
    n = len(g)
    reporter.stage("Leave-one-out clustering", restarts, "starts")

    def of_start(restart: int) -> FloatArray:
        rng = np.random.default_rng([seed, 5, restart])
        start = np.eye(classes)[rng.permutation(np.arange(n) % classes)]
        result = leave_one_out(g, h, lattice, noise, temperature, start, regularisation, inside=inside)
        reporter.advance()
        return result

    found = list(ordered_map(of_start, range(restarts), threads))
    labels = [f.argmax(1) for f in found]
    agreement = np.ones(restarts)
    if restarts > 1:
        table = np.array([[rand_index(a, b) for b in labels] for a in labels])
        agreement = (table.sum(1) - 1) / (restarts - 1)
    least = np.array([np.bincount(label, minlength=classes).min() for label in labels])
    good = least >= max(2, 0.02 * n)
    order = np.lexsort((-np.arange(restarts), agreement, good))
    chosen = found[order[-1]]
    by_size = np.argsort(-chosen.sum(0), kind="stable")
    return chosen[:, by_size], float(agreement[order[-1]])
