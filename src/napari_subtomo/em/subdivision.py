"""A class in which there are two, though halves of all particles did not say so.

How much halves of the particles agree about is measured for all classes at once (`em/class_shell.py`). A thing altogether different, such
as gold beads, is told by the first few shells, and halves agree about it perfectly; what a weak difference between two species adds at
finer shells is little beside it, and may not make up for what is lost where some halves take noise for a class. So where a class is left
with hardly any particles, halves of the largest classes are asked whether there are two in them. Only where they agree is one divided.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.class_shell import MOST, agreements, asked, extended
from napari_subtomo.em.fixed_poses import FixedPoses
from napari_subtomo.em.start import ROUNDS, cluster, fewest, leave_one_out, rand_index
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FIRST, SPLITS = 4, 12  # splits into halves: at every shell, and where those few say something
CANDIDATE = 0.01  # nats that few splits must agree about
LEAST = 0.02  # nats that all splits must agree about: two equal halves of which one particle in ten is mistaken hold 0.37
SURE = 2.5  # and in units of its standard error
SPARE = 0.05  # of the particles: a class with fewer may be given to another
LARGE, MEMBERS = 0.2, 20  # of the particles, and at least: classes that may be divided; classes of a few particles in halves are noise
HOLDS = 0.5  # adjusted Rand index between the two found and what all particles make of them


def subdivided(
    fixed: FixedPoses,
    gamma: FloatArray,
    shell: int,
    last_shell: int,
    temperature: float,
    regularisation: float,
    restarts: int,
    seed: int,
    threads: int,
    reporter: Reporter,
) -> tuple[int, FloatArray]:
    """Posteriors with large classes divided as long as there is a class to spare and halves of their particles agree about two.

    Parameters
    ----------
    fixed : FixedPoses
        All particles, up to `last_shell` or beyond.
    gamma : ndarray, shape (n, classes)
        Posteriors by the shells up to `shell`.
    shell, last_shell : int
    temperature, regularisation : float
        κ, T.
    restarts : int
        Starts of the clustering of a class that is divided.
    seed : int
    threads : int
        The result is the same with any number of them.
    reporter : Reporter

    Returns
    -------
    shell : int
        By which classes are told apart now; `shell` or a finer one.
    posteriors : ndarray, shape (n, classes)
    """
    n, classes = gamma.shape
    way = (temperature, regularisation, seed, threads, reporter)
    for _ in range(classes - 1):
        labels = gamma.argmax(1)
        counts = np.bincount(labels, minlength=classes)
        spare = int(counts.argmin())
        if counts[spare] >= max(fewest(n), SPARE * n):
            break
        for large in np.argsort(-counts, kind="stable")[:2]:
            rows = np.flatnonzero(labels == large)
            if len(rows) < max(LARGE * n, MEMBERS) or large == spare:
                continue
            some = np.sort(np.random.default_rng([seed, 10]).permutation(rows)[:MOST])
            found = _two(fixed.up_to(last_shell, some), last_shell, restarts, way)
            if found is None:
                continue
            start = np.eye(classes)[labels]
            start[labels == spare] = 1 / classes
            start[rows] = (np.eye(classes)[large] + np.eye(classes)[spare]) / 2  # those that were not asked
            start[some] = np.eye(classes)[np.where(found[1], spare, large)]
            finer = max(shell, found[0])
            part = fixed.up_to(finer)
            given = (part.g, part.h, part.lattice, part.noise, temperature, start, regularisation)
            after = leave_one_out(*given, ROUNDS, part.inside, threads)
            if rand_index(after[some].argmax(1), found[1]) < HOLDS:
                continue
            shell, gamma = extended(fixed, after, finer, last_shell, temperature, regularisation, threads)
            break
        else:
            break
    return shell, gamma


def _two(
    part: FixedPoses, last_shell: int, restarts: int, way: tuple[float, float, int, int, Reporter]
) -> tuple[int, npt.NDArray[np.bool_]] | None:
    """The shell up to which halves of some particles agree most about two classes, and which are of the second, shape (m,); or None.

    `way`: temperature, regularisation, seed, threads and reporter of `subdivided`.
    """
    temperature, regularisation, seed, threads, reporter = way
    shells, stage = asked(last_shell, len(part.g), part.lattice.prefix), f"Whether a class of {len(part.g)} holds two"
    reporter.stage(stage, len(shells) * FIRST, "halvings")
    first = agreements(part, shells, 2, range(FIRST), *way)[:, :, 0]
    some = np.flatnonzero(first.mean(1) > CANDIDATE)
    if not len(some):
        return None
    reporter.stage(stage, len(some) * (SPLITS - FIRST), "halvings")
    more = agreements(part, [shells[row] for row in some], 2, range(FIRST, SPLITS), *way)[:, :, 0]
    information = np.hstack([first[some], more])
    mean, error = information.mean(1), information.std(1, ddof=1) / np.sqrt(SPLITS)
    sure = (mean > LEAST) & (mean > SURE * error)
    if not sure.any():
        return None
    shell = shells[some[np.where(sure, mean, -np.inf).argmax()]]
    told = part.up_to(shell)
    whole = (told.g, told.h, told.lattice, told.noise, temperature, 2, regularisation)
    both, _ = cluster(*whole, restarts, seed, threads, reporter, told.inside)
    second = both.argmax(1) == 1
    return (shell, second) if second.any() else None
