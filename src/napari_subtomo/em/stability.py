"""Would other particles have shown the same classes? Halves of the particles are classified on their own, and each judges the other.

Reproducible is not real: random starts on the same particles find the same split of one species again, because they share its noise. It
does not help to leave folds out of the references, since the labels of the other folds were found with the help of the fold that is left
out. So a repeat draws two random halves. Each is classified as if the other did not exist, from the poses of the common average on; its
maps then label the particles of the other half, whose poses are searched against all of them anew. What the labels of particles have to
do with those of the whole classification is in `agreement.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.engine import Setup, initial_state, labels_by, one_iteration
from napari_subtomo.em.frames import Held
from napari_subtomo.em.model import Particles
from napari_subtomo.em.prepare import Prepared, Statistics3D
from napari_subtomo.em.state import State
from napari_subtomo.io.atomic import atomic_path
from napari_subtomo.progress import Reporter

IntArray = npt.NDArray[np.int64]

ITERATIONS = 6  # of a half with its classes, the clustering included
SEEDS_APART = 1000  # seeds of repeats, beyond those that a user counts up


@dataclass(frozen=True)
class Judgements:
    """What R repeats say of n particles.

    Attributes
    ----------
    half : ndarray, shape (R, n), int
        0 or 1.
    labels : ndarray, shape (R, n), int
        Class from 1 on by the maps of the other half, the empty class last. Each half of each repeat has its own numbers of classes.
    """

    half: IntArray
    labels: IntArray

    @classmethod
    def none(cls, n: int) -> Judgements:
        """Of no repeat."""
        return cls(np.zeros((0, n), np.int64), np.zeros((0, n), np.int64))

    def __len__(self) -> int:
        """Number of repeats."""
        return len(self.half)

    def with_one(self, half: IntArray, labels: IntArray) -> Judgements:
        """With one repeat more, arrays of shape (n,)."""
        return Judgements(np.concatenate([self.half, half[None]]), np.concatenate([self.labels, labels[None]]))

    def rows(self, index: IntArray) -> Judgements:
        """The particles in another order, or some of them."""
        return Judgements(self.half[:, index], self.labels[:, index])


class _Quiet:
    """Progress and stops of a repeat are passed on, its talk is not."""

    def __init__(self, reporter: Reporter) -> None:
        self.stage, self.advance, self.check = reporter.stage, reporter.advance, reporter.check

    def message(self, text: str) -> None:
        """Ignore."""

    def warn(self, text: str) -> None:
        """Ignore."""

    def event(self, kind: str, **data: Any) -> None:
        """Ignore."""


def part_of(setup: Setup, rows: IntArray, seed: int) -> Setup:
    """The setup of some of the particles, with folds and random numbers of its own."""
    p, chosen = setup.prepared, setup.particles
    o = setup.options
    if o.align and o.local_range < 0:  # a search of all orientations turns its particles where they are
        g = p.G[rows]
        prepared = Prepared(p.lattice, g, g if p.GE is p.G else p.GE[rows], p.H[rows])
    else:
        prepared = p.some(rows)
    folds = min(setup.options.folds, len(rows))
    fold = np.empty(len(rows), np.int64)
    fold[np.random.default_rng([seed, 2]).permutation(len(rows))] = np.arange(len(rows)) % folds

    def load(i: int) -> Statistics3D:
        return setup.load(int(rows[i]))

    return replace(
        setup,
        options=setup.options.model_copy(update={"seed": seed}),
        prepared=prepared,
        load=load,
        particles=Particles(chosen.optics[rows], chosen.group[rows], fold),
        order=setup.order[rows],
        frames=setup.frames[rows],
        centres=setup.centres[rows],
        held=Held(setup.held.frames[rows], setup.held.centres[rows]),
        input_orientations=setup.input_orientations[rows],
        input_offsets=setup.input_offsets[rows],
        tomograms=setup.tomograms[rows],
        priors=None if setup.priors is None else setup.priors.of(rows),
        external=None if setup.external is None else replace(setup.external, keep=False),
    )


def last_common(setup: Setup) -> int:
    """The last iteration with one common class; 0 where the classes begin at once."""
    return max((i for i in range(1, setup.options.iterations + 1) if setup.phase(i) == "consensus"), default=0)


def judge(setup: Setup, start: State, repeat: int, reporter: Reporter) -> tuple[IntArray, IntArray]:
    """One repeat: halves and labels as in `Judgements`, each of shape (n,).

    Parameters
    ----------
    setup : Setup
    start : State
        After the last iteration with one common class, or before the first iteration.
    repeat : int
        From 1 on; the halves, folds, starts and grids depend on it and on the seed.
    reporter : Reporter
    """
    quiet, n = _Quiet(reporter), len(start.labels)
    seed = setup.options.seed + SEEDS_APART * repeat
    half = np.empty(n, np.int64)
    half[np.random.default_rng([seed, 7]).permutation(n)] = np.arange(n) % 2
    common = last_common(setup)
    # classes that begin at random need the time that the whole classification takes
    last = common + ITERATIONS if common else setup.options.iterations
    labels = np.zeros(n, np.int64)
    for h in (0, 1):
        mine, other = np.flatnonzero(half == h), np.flatnonzero(half != h)
        part, state = part_of(setup, mine, seed), _of(start, mine)
        while state.iteration < last:
            state, _ = one_iteration(part, state, quiet)
            reporter.check()
        del part  # its copy of the particles makes room for that of the others
        labels[other] = labels_by(part_of(setup, other, seed), state, _of(start, other), quiet)
    return half, labels


def _of(state: State, rows: IntArray) -> State:
    """The state of some of the particles."""
    names = ["orientations", "offsets", "labels", *(("frames", "centres") if len(state.frames) else ())]
    some: dict[str, Any] = {name: getattr(state, name)[rows] for name in names}
    return replace(state, **some, recent=np.zeros((0, 0), np.int64))


def repeated(setup: Setup, start: State | None, path: Path, reporter: Reporter) -> Judgements:
    """All repeats that the options ask for, those in the file `path` not made again; it is written after each.

    Parameters
    ----------
    setup : Setup
    start : State or None
        As in `judge`; None: before the first iteration.
    path : Path
    reporter : Reporter
    """
    wanted, n = setup.options.repeats - 1, len(setup.order)
    found = read_judgements(path, n) if wanted else Judgements.none(n)
    if len(found) < wanted and start is None:
        start = initial_state(setup)
    for repeat in range(len(found) + 1, wanted + 1):
        assert start is not None
        reporter.message(f"Repeat {repeat} of {wanted}: each of two random halves is classified on its own and labels the other.")
        found = found.with_one(*judge(setup, start, repeat, reporter))
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, half=found.half, labels=found.labels)
        reporter.event("repeat", repeat=repeat, of=wanted)
    return Judgements(found.half[:wanted], found.labels[:wanted])


def read_judgements(path: Path, n: int) -> Judgements:
    """What an earlier run wrote of n particles; none where there is no such file, or a damaged one, or one of other particles."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            found = Judgements(arrays["half"], arrays["labels"])
    except (OSError, KeyError, ValueError, EOFError, BadZipFile):
        return Judgements.none(n)
    return found if found.half.shape == found.labels.shape and found.half.shape[1:] == (n,) else Judgements.none(n)
