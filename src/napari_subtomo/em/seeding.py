"""Classes at the best poses so far: the first references by clustering, and posteriors for later iterations; or random classes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.accumulate import mean_noise
from napari_subtomo.em.class_shell import MOST, class_shell, extended, labels_from_others
from napari_subtomo.em.class_sums import class_sums
from napari_subtomo.em.constraints import composed
from napari_subtomo.em.convergence import PATIENCE
from napari_subtomo.em.fixed_poses import FixedPoses
from napari_subtomo.em.frames import searches_everywhere
from napari_subtomo.em.lattice import beyond, lattice_map
from napari_subtomo.em.on_device import on_device
from napari_subtomo.em.outliers import with_outliers
from napari_subtomo.em.start import ROUNDS, Common, alive, cluster, leave_one_out
from napari_subtomo.em.state import State
from napari_subtomo.em.subdivision import subdivided
from napari_subtomo.em.subsets import last_of_subsets
from napari_subtomo.em.temperature import uncertainty
from napari_subtomo.numerics.backend import namespace, to_host
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Reporter

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]

VALUES = 1e8  # of particles that are held at once: of a large set, as many shells as that is
SELDOM = 5  # of so many iterations with a large set, or with settled classes, one judges them at best poses; and the last does
SETTLED = 0.002  # of the particles: where a judgement changes the labels of no more, classes have settled
WARM_ROUNDS = 20  # of EM at the poses of an iteration: its labels are near to begin with


def random_classes(n: int, classes: int, seed: int) -> npt.NDArray[np.bool_]:
    """One random class allowed for each particle (RELION's seeding), shape (n, classes)."""
    order = np.random.default_rng([seed, 3]).permutation(n)
    allowed = np.zeros((n, classes), bool)
    allowed[order, np.arange(n) % classes] = True
    return allowed


def at_poses(options: ClassifyOptions, n: int, iteration: int, first: int) -> bool:
    """Whether an iteration judges the classes of n particles at their best poses, where all of them take part.

    Of a large set it would take too long to turn all particles in each.

    Parameters
    ----------
    options : ClassifyOptions
    n : int
    iteration, first : int
        Its number, and that of the first iteration with all classes.

    Returns
    -------
    bool
    """
    if options.classes < 2 or options.start != "leave-one-out" or options.classes_at_poses == 0:
        return False
    return n <= options.classes_at_poses or (iteration - first) % SELDOM == 0 or iteration == options.iterations


def judged_at_poses(setup: Setup, state: State) -> bool:
    """Whether the iteration after a state judges classes at best poses: not before these are known, and seldom where classes have settled.

    It does where it may be the one after which a job stops. After subsets, particles that were in none of the last of them have labels and
    poses of long ago, or of the common class: the first iteration with all of them compares them with the references, and judges nothing.
    """
    o, iteration = setup.options, state.iteration + 1
    subsets = last_of_subsets(o, len(setup.order))
    if searches_everywhere(setup, state) or (subsets and iteration <= subsets + 1):
        return False
    if o.stop_when_converged and state.quiet + 1 >= PATIENCE and len(state.judgement):
        return True
    due = at_poses(o, len(setup.order), iteration, max(setup.first_of_classes, subsets + 2 if subsets else 0))
    return due and (not state.settled or iteration - state.judged >= SELDOM or iteration == o.iterations)


def classes_at_poses(setup: Setup, state: State, reporter: Reporter) -> tuple[State, FloatArray | None]:
    """Posteriors of the classes at the best poses of a state, by leave-one-out EM from its labels; or those of the last judgement.

    Parameters
    ----------
    setup : Setup
        Of n particles.
    state : State
        Of the iteration before.
    reporter : Reporter

    Returns
    -------
    state : State
        With the judgement; with references made anew where a class that had died has taken particles that fit no other: by its old
        reference, the average, the search would find them a pose in no class but the one that they spoil.
    given : ndarray, shape (n, classes), or None
        NaN for particles of the empty class; None where classes are not judged so, or particles are too few.
    """
    o = setup.options
    there = int(np.count_nonzero(state.labels <= o.classes))
    if state.maps.shape[1] < o.classes or there < 2 * o.classes or searches_everywhere(setup, state):
        return replace(state, judgement=np.zeros((0, 0), np.float32), settled=False), None
    if not judged_at_poses(setup, state):
        if len(state.judgement) != len(state.labels):
            return state, None
        reporter.message(f"  Classes are those that iteration {state.judged} judged at best poses.")
        return state, state.judgement.astype(np.float64)
    values = min(there * setup.lattice.prefix(state.last_shell), VALUES)
    return on_device(lambda device: _judged(setup, state, there, device, reporter), setup.device, values, reporter)


def _judged(setup: Setup, state: State, there: int, device: str, reporter: Reporter) -> tuple[State, FloatArray]:
    """`classes_at_poses` on a device, of so many particles that are not empty."""
    o, n = setup.options, len(state.labels)
    shell = fitting(state.class_shell or state.last_shell, there, setup.lattice.prefix)
    fixed = FixedPoses.of(setup, state, shell, device, reporter)
    start = np.eye(o.classes)[state.labels[fixed.kept] - 1]
    temperature = state.temperature * uncertainty(o.initial_uncertainty, state.iteration + 1 - setup.first_of_classes)
    gamma = with_outliers(fixed, start, temperature, o.regularisation, WARM_ROUNDS, fixed.threads)
    if gamma is not None:
        finest = FixedPoses.of(setup, state, fitting(state.last_shell, there, setup.lattice.prefix), device, reporter)
        return _kept(_with_references(setup, state, finest, gamma), fixed.spread(gamma, n), False)
    g, h, noise, inside = fixed.g, fixed.h, fixed.noise, fixed.inside
    gamma = leave_one_out(g, h, setup.lattice, noise, temperature, start, o.regularisation, WARM_ROUNDS, inside, fixed.threads)
    hot = uncertainty(o.initial_uncertainty, state.iteration + 1 - setup.first_of_classes) > 1
    changed = float(np.mean(gamma.argmax(1) != start.argmax(1)))
    return _kept(state, fixed.spread(gamma, n), changed <= SETTLED and not hot)


def _kept(state: State, given: FloatArray, settled: bool) -> tuple[State, FloatArray]:
    """The state with a judgement, on which later iterations rely, and the judgement."""
    return replace(state, judgement=given.astype(np.float32), judged=state.iteration + 1, settled=settled), given


def clustered_references(setup: Setup, state: State, reporter: Reporter) -> tuple[State, FloatArray | None]:
    """References of all classes from leave-one-out clustering at the best poses of a state, and the posteriors of its classes.

    Particles of the empty class take no part. Each fold's references are made from the other folds. Very many particles are told apart
    by as many shells as fit into memory, and shells beyond them remain as they were, the same in all references.

    Returns
    -------
    state : State
        With these references.
    given : ndarray, shape (n, classes), or None
        As of `classes_at_poses`.
    """
    o = setup.options
    there = int(np.count_nonzero(state.labels <= o.classes))
    if there < 2 * o.classes:
        reporter.warn(
            f"Expected at least {2 * o.classes} particles that are not empty for {o.classes} classes, found {there}: "
            "the classes begin as copies of one reference; check the reference, or use fewer classes."
        )
        return copied(state, o.classes), None
    values = min(there * setup.lattice.prefix(state.last_shell), VALUES)
    return on_device(lambda device: _begun(setup, state, there, device, reporter), setup.device, values, reporter)


def fitting(last_shell: int, n: int, voxels: Callable[[int], float]) -> int:
    """The finest shell up to which no more than `VALUES` are held of n particles.

    Parameters
    ----------
    last_shell : int
        At most.
    n : int
    voxels : callable
        Number of voxels up to and with a shell.

    Returns
    -------
    int
    """
    return next(shell for shell in range(last_shell, 0, -1) if shell == 1 or n * voxels(shell) <= VALUES)


def _begun(setup: Setup, state: State, there: int, device: str, reporter: Reporter) -> tuple[State, FloatArray | None]:
    """`clustered_references` on a device, of so many particles that are not empty."""
    o, n = setup.options, len(state.labels)
    finest = fitting(state.last_shell, there, setup.lattice.prefix)
    fixed = FixedPoses.of(setup, state, finest, device, reporter)
    last, gamma, agreement = _told_apart(setup, finest, state.temperature, fixed, reporter)
    sizes = ", ".join(str(s) for s in np.bincount(gamma.argmax(1), minlength=o.classes))
    reporter.message(f"Leave-one-out clustering of {len(gamma)} particles: classes of {sizes}; agreement between starts {agreement:.2f}.")
    if agreement < 0.3 and o.restarts > 1 and o.classes > 1:
        reporter.warn(
            f"Starts of the clustering agree little (adjusted Rand index {agreement:.2f}): "
            f"the data may not hold {o.classes} distinct classes."
        )
    begun = _with_references(setup, replace(state, class_shell=last), fixed, gamma)
    return _kept(begun, fixed.spread(gamma, n), False) if judged_at_poses(setup, state) else (begun, None)


def _with_references(setup: Setup, state: State, fixed: FixedPoses, gamma: FloatArray) -> State:
    """The state with references and fractions by posteriors at its poses; each fold's are made from the other folds.

    Shells beyond those of the particles are of the former references.
    """
    o, lattice = setup.options, setup.lattice
    kept, g, h, maximiser, voxels, xp = fixed.kept, fixed.g, fixed.h, fixed.maximiser, fixed.g.shape[1], namespace(fixed.g)
    group, region = setup.particles.noise[kept], maximiser.region
    sigma2 = xp.asarray(mean_noise(state.noise, np.bincount(group, minlength=len(state.noise)))[lattice.shell[:voxels]])
    fold, folds = setup.particles.fold[kept], setup.folds
    n, former = lattice.n, state.maps.shape[1]
    finer = voxels < lattice.prefix(state.last_shell)
    maps = np.empty((folds, o.classes, n, n, n), np.float32)
    precision = (h / fixed.noise).mean(0)
    precision[: lattice.prefix(0)] = 0
    for f in range(folds):
        others = fold != f if folds > 1 else np.ones(len(kept), bool)
        here = others.astype(np.float32)  # products with 0 and 1: a copy of the others would take as much again as all of them
        sums = class_sums(g, h, xp.asarray(here[:, None] * gamma.astype(np.float32)))
        common = Common.settled(sums, sigma2, precision, lattice, o.regularisation, fixed.inside.differences)
        rho = common.rho * maximiser.solvent_share
        rest = [beyond(each, lattice, voxels) if finer else 0.0 for each in state.maps[f]]
        for c, (num, den) in enumerate(sums):
            values = to_host(((num + rho * common.mean) / (den + rho)).astype(np.complex64))
            maps[f, c] = (lattice_map(values, lattice) + rest[c % former]) * region
        if setup.focus is not None:
            average = (lattice_map(to_host(common.mean), lattice) + rest[0]) * region
            maps[f] = composed(maps[f][None], average[None], setup.focus)[0]
    map_noise = maximiser.map_noise(maps, o.threads)
    fractions = np.append(gamma.sum(0) / len(state.labels), 1 - len(kept) / len(state.labels) if o.empty_class else 0.0)
    if o.empty_class:
        fractions = np.maximum(fractions, 1e-3)
    with np.errstate(divide="ignore"):
        log_fractions = np.log(fractions / fractions.sum())
    return replace(state, maps=maps, map_noise=map_noise, log_fractions=log_fractions)


def _told_apart(setup: Setup, finest: int, temperature: float, fixed: FixedPoses, reporter: Reporter) -> tuple[int, FloatArray, float]:
    """The shell up to which classes are told apart, `finest` at most, their posteriors, and the agreement between starts."""
    o, extent = setup.options, setup.lattice.n * setup.pixel_size

    measured = o.classes > 1 and o.class_limit < 0
    if measured:
        reach = class_shell(fixed, finest, o.classes, temperature, o.regularisation, o.seed, fixed.threads, reporter)
        last = reach.shell
    else:
        last = int(np.clip(extent / o.class_limit + 0.5, 1, finest)) if o.class_limit > 0 and o.classes > 1 else finest
    part = fixed.up_to(last)
    gamma, agreement = _clustered(part, o, temperature, reporter)
    if not measured:
        return last, gamma, agreement
    apart = with_outliers(part, gamma, temperature, o.regularisation, WARM_ROUNDS, fixed.threads)
    gamma = gamma if apart is None else apart
    last, gamma = extended(fixed, gamma, last, finest, temperature, o.regularisation, fixed.threads)
    whole = gamma
    last, gamma = subdivided(fixed, gamma, last, finest, temperature, o.regularisation, o.restarts, o.seed, fixed.threads, reporter)
    divided = "" if gamma is whole else "; a class was divided, of which halves agree that it is two"
    reporter.message(
        f"Classes are told apart up to {extent / last:.0f} Å, {alive(gamma)} of {o.classes}; two halves of the particles agree about "
        f"{reach.classes} of them up to {extent / reach.shell:.0f} Å (adjusted Rand index {reach.index:.2f}){divided}."
    )
    return last, gamma, agreement


def _clustered(part: FixedPoses, o: ClassifyOptions, temperature: float, reporter: Reporter) -> tuple[FloatArray, float]:
    """Posteriors of particles by several starts, shape (n, classes), and the agreement between starts; as `cluster`.

    Of very many, `MOST` are clustered; the others are labelled by their classes, and leave-one-out EM of all goes on from there.
    """
    n = len(part.g)
    some = np.sort(np.random.default_rng([o.seed, 8]).permutation(n)[:MOST])
    few = part if n <= MOST else part.up_to(int(part.lattice.shell[part.g.shape[1] - 1]), some)
    given = (few.g, few.h, few.lattice, few.noise, temperature, o.classes, o.regularisation)
    found, agreement = cluster(*given, o.restarts if o.classes > 1 else 1, o.seed, part.threads, reporter, few.inside)
    if n <= MOST:
        return found, agreement
    labels = np.empty(n, np.int64)
    for rows in (slice(first, first + MOST) for first in range(0, n, MOST)):  # views: what is made of them takes as much again
        piece = replace(part, g=part.g[rows], h=part.h[rows], noise=part.noise[rows])
        labels[rows] = labels_from_others(piece, few, found, temperature, o.regularisation)
    start = np.eye(o.classes)[labels]
    start[some] = found
    every = (part.g, part.h, part.lattice, part.noise, temperature, start, o.regularisation)
    return leave_one_out(*every, ROUNDS, part.inside, part.threads), agreement


def copied(state: State, classes: int) -> State:
    """The state with its reference, one for all, as that of every class; fractions are shared."""
    fractions = np.exp(state.log_fractions)
    with np.errstate(divide="ignore"):
        log_fractions = np.log(np.append(np.full(classes, fractions[:-1].sum() / classes), fractions[-1]))
    repeat = classes // state.maps.shape[1]
    return replace(
        state, maps=np.repeat(state.maps, repeat, axis=1), map_noise=np.repeat(state.map_noise, repeat, axis=0), log_fractions=log_fractions
    )
