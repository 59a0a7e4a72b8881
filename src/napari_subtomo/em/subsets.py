"""Iterations on random parts of the particles, RELION's fast subsets: which particles, and how what they say becomes a state of all.

Early iterations need no more particles than make references that are good enough for the next one. A subset is drawn anew in each, so that
many particles have a share in the classes before the last iterations take all of them. The particles of a subset are views: nothing is
copied, and particles on disk stay there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.frames import Held, searches_everywhere
from napari_subtomo.em.model import Particles
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.remembered import Statistics3D
from napari_subtomo.em.state import State
from napari_subtomo.em.statistics import ParticleResults
from napari_subtomo.options.classify import ClassifyOptions

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

IntArray = npt.NDArray[np.int64]

#: last iteration of a stage, its particles a class, and the least share of all (RELION's, conventions section 5.11); then all
STAGES: Sequence[tuple[int, int, float]] = ((5, 1500, 0.0), (10, 4500, 0.0), (15, 4500, 0.3))


def subset_size(options: ClassifyOptions, n: int, iteration: int) -> int:
    """How many of n particles take part in an iteration.

    The last of the iterations that search all orientations takes all: afterwards each particle is searched about what was found.
    """
    everywhere = options.align and options.local_range < 0 and max(options.sigma_tilt, options.sigma_psi) <= 0
    if not options.fast_subsets or (everywhere and iteration == options.global_iterations):
        return n
    for last, of_class, share in STAGES:
        if iteration <= last:
            return min(n, max(of_class * options.classes, math.ceil(share * n), options.folds))
    return n


def last_of_subsets(options: ClassifyOptions, n: int) -> int:
    """The last iteration without all of n particles; 0 where all take part always."""
    return max((i for i in range(1, STAGES[-1][0] + 1) if subset_size(options, n, i) < n), default=0)


def chosen(setup: Setup, state: State, iteration: int) -> IntArray | None:
    """The particles of an iteration, ascending, as many of each fold as of any other; None: all.

    Parameters
    ----------
    setup : Setup
    state : State
        Before the iteration.
    iteration : int
        Its number: with the seed, all that the choice depends on.
    """
    o, n = setup.options, len(setup.order)
    size = subset_size(o, n, iteration)
    if size >= n or (searches_everywhere(setup, state) and iteration > o.global_iterations):
        return None
    order = np.random.default_rng([o.seed, 9, iteration]).permutation(n)
    turn, fold = np.empty(n, np.int64), setup.particles.fold[order]
    for f in range(setup.folds):
        members = np.flatnonzero(fold == f)
        turn[members] = np.arange(len(members))
    rows: IntArray = np.sort(order[np.argsort(turn, kind="stable")[:size]])
    return rows


def setup_of(setup: Setup, rows: IntArray, copied: bool = False) -> Setup:
    """The setup of some of the particles, views of the prepared ones or copies of them."""
    p, which = setup.prepared, setup.particles
    prepared = p.some(rows)
    if copied:
        g = p.G[rows]
        prepared = Prepared(p.lattice, g, g if p.GE is p.G else p.GE[rows], p.H[rows])

    def load(i: int) -> Statistics3D:
        return setup.load(int(rows[i]))

    group = np.arange(len(rows)) if setup.options.particle_scales else which.group[rows]
    return replace(
        setup,
        prepared=prepared,
        load=load,
        particles=Particles(which.noise[rows], group, which.fold[rows]),
        order=setup.order[rows],
        frames=setup.frames[rows],
        centres=setup.centres[rows],
        held=Held(setup.held.frames[rows], setup.held.centres[rows]),
        input_orientations=setup.input_orientations[rows],
        input_offsets=setup.input_offsets[rows],
        tomograms=setup.tomograms[rows],
        priors=None if setup.priors is None else setup.priors.of(rows),
    )


def state_of(setup: Setup, state: State, rows: IntArray) -> State:
    """The state of some of the particles."""
    names = ["orientations", "offsets", "labels", *(("frames", "centres") if len(state.frames) else ())]
    some: dict[str, Any] = {name: getattr(state, name)[rows] for name in names}
    scales = state.scales[rows] if setup.options.particle_scales else state.scales
    none = np.zeros((0, 0), np.float32)
    return replace(state, **some, scales=scales, recent=np.zeros((0, 0), np.int64), figures=np.zeros((0, 4)), judgement=none)


def part_of(setup: Setup, state: State, rows: IntArray | None) -> tuple[Setup, State]:
    """Setup and state of the particles of an iteration; noise groups that have none of them keep their spectrum."""
    if rows is None:
        return setup, state
    part = setup_of(setup, rows)
    there = np.bincount(part.particles.noise, minlength=len(state.noise)) > 0
    return replace(part, power=np.where(there[:, None], setup.power, state.noise)), state_of(setup, state, rows)


def whole_of(setup: Setup, state: State, new: State, results: ParticleResults, rows: IntArray | None) -> State:
    """The state of all particles after an iteration of some; the others keep pose, class and figures.

    Parameters
    ----------
    setup : Setup
        Of all.
    state : State
        Of all, before the iteration.
    new : State
        Of the iteration's particles, after it.
    results : ParticleResults
        Of the iteration's particles.
    rows : ndarray or None
        Which they are; None: all.
    """
    n = len(setup.order)
    if rows is None and last_of_subsets(setup.options, n) < new.iteration:  # no later file asks for former figures
        return new
    figures = state.figures.copy() if len(state.figures) else np.zeros((n, 4))
    now = np.stack([results.log_likelihood, results.log_evidence, results.pmax, results.significant], axis=1)
    figures[slice(None) if rows is None else rows] = now
    return replace(new if rows is None else _scattered(setup, state, new, rows), figures=figures)


def _scattered(setup: Setup, state: State, new: State, rows: IntArray) -> State:
    """The particles of an iteration among all."""

    def among(former: Any, now: Any) -> Any:
        values = former.copy()
        values[rows] = now
        return values

    arrays = {name: among(getattr(state, name), getattr(new, name)) for name in ("orientations", "offsets", "labels")}
    if setup.options.particle_scales:
        arrays["scales"] = among(state.scales, new.scales)
    else:
        there = np.bincount(setup.particles.group[rows], minlength=len(state.scales)) > 0
        arrays["scales"] = np.where(there, new.scales, state.scales)
    return replace(new, **arrays, frames=state.frames, centres=state.centres, judgement=state.judgement)
