"""How far in resolution classes are told apart: up to the shell at which halves of the particles agree best about them.

Beyond the shells that species differ in, every voxel adds noise to the references and nothing to what tells particles apart; the noise of
a hundred particles in thousands of voxels has many partitions that hold themselves up, and starts fall into one or another of them. How
far differences reach depends on species, numbers and noise. So it is measured: random halves of the particles are clustered each on its
own, at several resolutions; the classes of one half are shown to the particles of the other, and the labels that come of it are compared
with its own. No particle has a part in the classes it is compared with, so noise does not agree.

All particles together tell finer differences than halves of them. So shells are added as long as they bear witness to the classes that
were found without them, whose noise has no part in their labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.fixed_poses import FixedPoses, references, without_own
from napari_subtomo.em.inside import portions
from napari_subtomo.em.start import annealed, leave_one_out, living, rand_index
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import namespace, to_host
from napari_subtomo.progress import Reporter

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]

LEAST, STEP = 4, 1.25  # first shell that is tried, and the ratio of each to the one before
SPLITS = 4  # into halves
MOST = 3000  # particles that are asked
ASKED = 3e7  # values of all particles up to a shell: finer ones are not asked about, but taken where they bear witness
ROUNDS = 30  # most EM rounds at the temperature of the data: labels that still change do not count much
DOUBT = 30.0  # nats: particles whose class is surer than that would hide what the others say
WITNESS = 3.0  # mean gain of added shells in units of its standard error, from which on they are taken; noise seldom reaches 2.5
WORK_BYTES = 5e8  # for halves that are clustered at once
BYTES = 28  # a voxel of a particle in a half: data, those inside the mask, weights, σ² and 1/(κσ²)


@dataclass(frozen=True)
class Reach:
    """Up to where halves of the particles agree.

    Attributes
    ----------
    shell : int
    information : float
        Nats that the labels of a half say about those by the other half's classes, less what chance would say.
    index : float
        Adjusted Rand index between the two, mean over halves.
    classes : int
        How many classes are alive in both labelings, mean over halves and rounded: that all are one class is agreed about, too.
    """

    shell: int
    information: float
    index: float
    classes: int


def tried(last_shell: int) -> list[int]:
    """Shells that are tried, in order; all of those compared at last.

    Returns
    -------
    list of int
    """
    shells, next_shell = [], float(LEAST)
    while round(next_shell) < last_shell:
        shells.append(round(next_shell))
        next_shell = max(next_shell * STEP, next_shell + 1)
    return [*shells, last_shell]


def asked(last_shell: int, n: int, voxels: Callable[[int], float]) -> list[int]:
    """Shells that halves of n particles are asked about: those that are tried, without such as would take very long.

    Parameters
    ----------
    last_shell : int
        The last one compared.
    n : int
    voxels : callable
        Number of voxels up to and with a shell.

    Returns
    -------
    list of int
    """
    shells = tried(last_shell)
    return [shell for shell in shells if shell == shells[0] or min(n, MOST) * voxels(shell) <= ASKED]


def at_once(threads: int, n: int, voxels: float) -> int:
    """Splits of n particles that are worked on at once."""
    return max(1, min(threads, SPLITS, int(WORK_BYTES // (BYTES * min(n, MOST) * voxels))))


def working_bytes(threads: int, n: int, voxels: float) -> float:
    """Bytes for the splits that are worked on at once."""
    return at_once(threads, n, voxels) * BYTES * min(n, MOST) * voxels


def shared_information(a: IntArray, b: IntArray) -> float:
    """Mutual information of two labelings in nats, less its mean for labelings that have nothing to do with each other.

    That is (A − 1)(B − 1)/2n to first order, with A and B labels in use (Miller 1955). An index is 1 for any two labelings that are the
    same; information is the larger the more is told apart, and nothing where all particles are one class.

    Parameters
    ----------
    a, b : ndarray, shape (n,)

    Returns
    -------
    float
    """
    (first, a), (second, b) = (np.unique(labels, return_inverse=True) for labels in (a, b))
    table = np.zeros((len(first), len(second)))
    np.add.at(table, (a, b), 1)
    joint = table / len(a)
    alone = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / alone[there])).sum()) - (len(first) - 1) * (len(second) - 1) / (2 * len(a))


def class_shell(
    fixed: FixedPoses, last_shell: int, classes: int, temperature: float, regularisation: float, seed: int, threads: int, reporter: Reporter
) -> Reach:
    """The shell up to which halves of the particles share most information about the classes.

    Parameters
    ----------
    fixed : FixedPoses
        All particles, up to `last_shell` or beyond.
    last_shell : int
    classes : int
    temperature : float
        κ.
    regularisation : float
        T.
    seed : int
    threads : int
        The result is the same with any number of them.
    reporter : Reporter

    Returns
    -------
    Reach
    """
    shells = asked(last_shell, len(fixed.g), fixed.lattice.prefix)
    reporter.stage("Resolution that tells classes apart", len(shells) * SPLITS, "halvings")
    each = agreements(fixed, shells, classes, range(SPLITS), temperature, regularisation, seed, threads, reporter)
    chosen = finest(each[:, :, 0])
    information, index, count = (float(value) for value in each[chosen].mean(0))
    return Reach(shells[chosen], information, index, round(count))


def agreements(
    fixed: FixedPoses,
    shells: Sequence[int],
    classes: int,
    splits: range,
    temperature: float,
    regularisation: float,
    seed: int,
    threads: int,
    reporter: Reporter,
) -> FloatArray:
    """What halves of the particles agree about, by shell and split; other arguments as of `class_shell`.

    Parameters
    ----------
    shells : sequence of int
        Up to which halves are clustered.
    splits : range
        Numbers of splits into halves; the same number is the same split of the same particles.

    Returns
    -------
    ndarray, shape (shells, splits, 3)
        Information in nats, adjusted Rand index, classes that are alive; each the mean of both halves.
    """
    n = len(fixed.g)
    some = np.sort(np.random.default_rng([seed, 8]).permutation(n)[:MOST])
    by_split = []
    for shell in shells:
        together = at_once(threads, n, fixed.lattice.prefix(shell))
        each = max(1, threads // together)

        def halved(split: int, shell: int = shell, each: int = each) -> list[tuple[float, float, int]]:
            rng = np.random.default_rng([seed, 9, split])
            mixed = some[rng.permutation(len(some))]
            parts = [fixed.up_to(shell, np.sort(half), each) for half in (mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :])]
            own = [_clustered(part, classes, temperature, regularisation, rng, each) for part in parts]
            both = []
            for part, gamma, (other, by) in zip(parts, own, ((parts[1], own[1]), (parts[0], own[0])), strict=True):
                shown = labels_from_others(part, other, by, temperature, regularisation)
                found = gamma.argmax(1)
                in_use = min(living(labels, classes) for labels in (shown, found))
                both.append((shared_information(shown, found), rand_index(shown, found), in_use))
            reporter.advance()
            return both

        by_split.append(np.mean(list(ordered_map(halved, splits, together)), axis=1))
    return np.array(by_split)


def finest(information: npt.NDArray[np.float64]) -> int:
    """Which shell is taken: the one with most information, or a finer one that has no less beyond the spread of the splits.

    Parameters
    ----------
    information : ndarray, shape (shells, splits)
        Of the same splits, coarse shells first.

    Returns
    -------
    int
        Row; all from the best up to it are no worse than the best by more than the standard error of the difference.
    """
    best = chosen = int(information.mean(1).argmax())
    for row in range(best + 1, len(information)):
        less = information[best] - information[row]
        if less.mean() > less.std(ddof=1) / np.sqrt(len(less)):
            break
        chosen = row
    return chosen


def extended(
    fixed: FixedPoses, gamma: FloatArray, shell: int, last_shell: int, temperature: float, regularisation: float, threads: int
) -> tuple[int, FloatArray]:
    """More shells, as long as they speak for the classes found without them; and the posteriors by all of them.

    Parameters
    ----------
    fixed : FixedPoses
        All particles, up to `last_shell` or beyond.
    gamma : ndarray, shape (n, classes)
        Posteriors by the shells up to `shell`.
    shell, last_shell : int
    temperature, regularisation : float
        κ, T.
    threads : int

    Returns
    -------
    shell : int
    posteriors : ndarray, shape (n, classes)
    """
    for finer in (each for each in tried(last_shell) if each > shell):
        part = fixed.up_to(finer)
        if witness(part, gamma, shell, temperature, regularisation) < WITNESS:
            break
        start, shell = gamma, finer
        given = (part.g, part.h, part.lattice, part.noise, temperature, start, regularisation)
        gamma = leave_one_out(*given, ROUNDS, part.inside, threads)
    return shell, gamma


def witness(part: FixedPoses, gamma: FloatArray, shell: int, temperature: float, regularisation: float) -> float:
    """Mean log-odds of particles for their class against the next best by the shells beyond one, in units of its standard error.

    Each particle is compared with references without its own share, as in `leave_one_out`.

    Parameters
    ----------
    part : FixedPoses
        With the added shells.
    gamma : ndarray, shape (n, classes)
        Posteriors by the shells up to `shell`.
    shell : int
    temperature, regularisation : float
        κ, T.

    Returns
    -------
    float
        Minus infinity where there are fewer than two particles in doubt.
    """
    alive = np.flatnonzero(np.bincount(gamma.argmax(1), minlength=gamma.shape[1]) > 1)
    if len(alive) < 2:
        return -np.inf
    known = part.lattice.prefix(shell)
    common, sums = references(part, gamma, temperature, regularisation)
    least = namespace(part.g).maximum(common.rho, 1e-20)
    log = np.stack([_log_likelihoods(part, gamma[:, c], *sums[c], least, known, temperature) for c in alive], axis=1)  # (n, alive, 2)
    rows = np.arange(len(gamma))
    own = gamma[:, alive].argmax(1)
    before = log[:, :, 0].copy()
    mine = before[rows, own]
    before[rows, own] = -np.inf
    other = before.argmax(1)
    doubted = mine - before[rows, other] < DOUBT
    gain = (log[rows, own, 1] - log[rows, other, 1])[doubted]
    return float(gain.mean() / max(gain.std(ddof=1), 1e-12) * np.sqrt(len(gain))) if len(gain) > 1 else -np.inf


def _log_likelihoods(
    part: FixedPoses, shares: FloatArray, numerator: Any, denominator: Any, least: Any, known: int, temperature: float
) -> FloatArray:
    """Of all particles by a class without their own share in it, by the first voxels and by those beyond, shape (n, 2)."""
    log = np.empty((len(part.g), 2))
    for rows in portions(part.g):
        values = without_own(part, rows, shares[rows].astype(np.float32), numerator, denominator, least)
        agree = 2 * (part.g[rows] * values.conj()).real - part.h[rows] * (values.real**2 + values.imag**2)
        agree /= part.noise[rows] * np.float32(temperature)
        agree[:, : part.lattice.prefix(0)] = 0
        log[rows, 0], log[rows, 1] = to_host(agree[:, :known].sum(1)), to_host(agree[:, known:].sum(1))
    return log


def _clustered(
    part: FixedPoses, classes: int, temperature: float, regularisation: float, rng: np.random.Generator, threads: int
) -> npt.NDArray[np.float64]:
    """Posteriors of one random start, shape (n, classes)."""
    start = np.eye(classes)[rng.permutation(np.arange(len(part.g)) % classes)]
    return annealed(part.g, part.h, part.lattice, part.noise, temperature, start, regularisation, ROUNDS, part.inside, threads)


def labels_from_others(
    particles: FixedPoses, others: FixedPoses, gamma: npt.NDArray[np.float64], temperature: float, regularisation: float
) -> IntArray:
    """Classes of particles, shape (n,), by the classes of other particles.

    Parameters
    ----------
    particles : FixedPoses
    others : FixedPoses
        Up to the same shell.
    gamma : ndarray, shape (m, classes)
        Posteriors of the others.
    temperature, regularisation : float
        κ, T.
    """
    _, sums = references(others, gamma, temperature, regularisation)
    whitening = 1 / (particles.noise * np.float32(temperature))
    whitening[:, : particles.lattice.prefix(0)] = 0
    log = np.empty((len(particles.g), len(sums)))
    for c, (numerator, denominator) in enumerate(sums):
        values = numerator / denominator
        agree = 2 * (particles.g * values.conj()).real - particles.h * (values.real**2 + values.imag**2)
        log[:, c] = to_host(namespace(agree).einsum("nv,nv->n", agree, whitening)) + np.log(gamma[:, c].mean() + 1e-9)
    labels: IntArray = log.argmax(1)
    return labels
