"""From scores to posteriors: sums over poses, the poses that are remembered, the best one and the peak near it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.peaks import Neighbourhoods, peaks
from napari_subtomo.em.statistics import ParticleResults
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import namespace, to_host

if TYPE_CHECKING:
    from napari_subtomo.em.expectation import EStep

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SPAN = 16.0  # nats below a particle's best pose beyond which a pose is not remembered
KEPT = 0.999  # share of a particle's posterior in the sums of the maps
LEAST = 1e-4  # posterior of the real classes below which a particle adds nothing to them
MANY = 1000  # poses of a particle from which on those are forgotten that together hold
PIECE = 2**16  # poses that are weighed at once
LEAST_GIVEN = 1e-6  # posterior given to classes of which a pose is remembered, below which nothing is given
TAIL = 1e-4  # this share of the sum over poses: `finish` leaves out ten times as much


@dataclass(frozen=True)
class Poses:
    """The poses of n particles that matter, those of a particle beside each other.

    Attributes
    ----------
    start : ndarray, shape (n + 1,)
        Where the poses of each particle begin, and the number of all.
    shift, klass, rotation : ndarray, shape (e,)
        Indices into the grid of poses, and the class.
    score : ndarray, shape (e,)
        Log posterior numerators, or posteriors.
    """

    start: IntArray
    shift: npt.NDArray[np.int32]
    klass: npt.NDArray[np.int32]
    rotation: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]

    def __len__(self) -> int:
        """Number of particles."""
        return len(self.start) - 1

    @property
    def particle(self) -> IntArray:
        """Particle of each pose, shape (e,)."""
        return self.particles(slice(0, len(self)))

    def particles(self, some: slice) -> IntArray:
        """Particle of each pose of some particles."""
        return np.repeat(np.arange(some.start, some.stop), np.diff(self.start[some.start : some.stop + 1]))

    def rows(self, some: slice) -> slice:
        """Where the poses of some particles are."""
        return slice(self.start[some.start], self.start[some.stop])

    def rows_of(self, particles: IntArray) -> IntArray:
        """Where the poses of these particles are, shape (m,) of particles, one particle after the other; shape (e,)."""
        first, counts = self.start[particles], np.diff(self.start)[particles]
        rows: IntArray = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        return rows

    def of(self, particle: int) -> Poses:
        """The poses of one particle."""
        here = self.rows(slice(particle, particle + 1))
        return Poses(np.array([0, here.stop - here.start]), self.shift[here], self.klass[here], self.rotation[here], self.score[here])

    def kept(self, rows: npt.NDArray[np.bool_], score: npt.NDArray[np.float32]) -> Poses:
        """Some poses of each particle, with other scores; both of shape (e,)."""
        start = np.append(0, np.cumsum(rows))[self.start]
        return Poses(start, self.shift[rows], self.klass[rows], self.rotation[rows], score[rows])


@dataclass(frozen=True)
class Block:
    """Poses of some particles that were found together: parallel arrays, particles ascending, the best of each first."""

    particle: IntArray
    shift: npt.NDArray[np.int32]
    klass: npt.NDArray[np.int32]
    rotation: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]

    def runs(self) -> tuple[IntArray, IntArray, IntArray]:
        """The particles, the row of the first pose of each, and how many it has."""
        first = np.flatnonzero(np.diff(self.particle, prepend=-1))
        return self.particle[first], first, np.diff(first, append=len(self.particle))


def collect(
    log: Any, ids: IntArray, first_rotation: int, running: FloatArray, best: FloatArray, found: list[Block], span: float = SPAN
) -> None:
    """Add a block's scores (m, nT, classes, r) to the running sums per class and remember the poses within `span` of the best.

    Correlations lie so close together that every pose would be within nats of the best: only the best of them counts (`span` 0).
    """
    xp = namespace(log)
    m, classes, r = log.shape[0], log.shape[2], log.shape[3]
    flat = log.reshape(m, -1)
    top = to_host(flat.max(axis=1)).astype(np.float64)
    total = to_host(xp.exp(log - xp.asarray(top, dtype=xp.float32)[:, None, None, None]).sum(axis=(1, 3), dtype=xp.float64))
    least = np.maximum(best[ids], top)
    where = xp.flatnonzero(flat >= xp.asarray(least - span, dtype=xp.float32)[:, None])
    score = flat.reshape(-1)[where]
    order = best_first(where // flat.shape[1], score)
    where, score = to_host(where[order]), to_host(score[order])
    row, inside = np.divmod(where, flat.shape[1])
    if span > 0:
        matter = _those_that_matter(row, score, top, total.sum(1))
        row, inside, score = row[matter], inside[matter], score[matter]
    shift, klass, rotation = (np.asarray(index, np.int32) for index in np.unravel_index(inside, (log.shape[1], classes, r)))
    block = Block(ids[row], shift, klass, rotation + np.int32(first_rotation), score)
    # all that takes memory is done: from here on a block cannot fail halfway
    with np.errstate(divide="ignore"):
        running[ids] = np.logaddexp(running[ids], np.log(total) + top[:, None])
    best[ids] = least
    found.append(block)


def best_first(row: Any, score: Any) -> Any:
    """Order by row, and within a row by falling score: one number for both is sorted much faster than two.

    Parameters
    ----------
    row : array, shape (e,), int
        Not negative.
    score : array, shape (e,), float32
    """
    xp = namespace(score)
    bits = score.view(xp.uint32)  # of an IEEE number: in order but for the sign bit, and for negative ones backwards
    rising = xp.where(bits >= xp.uint32(1 << 31), ~bits, bits | xp.uint32(1 << 31))
    return xp.argsort((row.astype(xp.uint64) << xp.uint64(32)) | (~rising).astype(xp.uint64))


def _those_that_matter(row: IntArray, scores: npt.NDArray[np.float32], top: FloatArray, total: FloatArray) -> slice | npt.NDArray[np.bool_]:
    """Poses without those of particles with very many that together hold less than `TAIL` of the sum over poses, exp(top)·total."""
    edges = np.searchsorted(row, np.arange(len(top) + 1))
    many = np.flatnonzero(np.diff(edges) > MANY)
    if not len(many):
        return slice(None)
    matter = np.ones(len(row), bool)
    for i in many:
        mine = slice(edges[i], edges[i + 1])
        ascending = np.sort(scores[mine])
        mass = np.cumsum(np.exp(ascending.astype(np.float64) - top[i]))
        matter[mine] = scores[mine] >= ascending[min(int(np.searchsorted(mass, TAIL * total[i])), len(ascending) - 1)]
    return matter


def _joined(found: list[Block], count: int) -> Poses:
    """Poses of all particles, the best of each first; blocks are taken out of the list, so that poses are not held twice."""
    counts = np.zeros(count, np.int64)
    for block in found:
        ids, _, each = block.runs()
        counts[ids] += each
    start = np.append(0, np.cumsum(counts))
    shift, klass, rotation = (np.empty(start[-1], np.int32) for _ in range(3))
    score, filled, several = np.empty(start[-1], np.float32), start[:-1].copy(), np.zeros(count, bool)
    while found:
        block = found.pop(0)
        ids, first, each = block.runs()
        to = np.repeat(filled[ids] - first, each) + np.arange(len(block.particle))
        shift[to], klass[to], rotation[to], score[to] = block.shift, block.klass, block.rotation, block.score
        several[ids] |= filled[ids] > start[ids]
        filled[ids] += each
    poses = Poses(start, shift, klass, rotation, score)
    for some in _pieces(start):  # found in one pass, the poses of a particle are in order; in several, they come from several blocks
        if several[some].any():
            rows = poses.rows(some)
            order = rows.start + best_first(poses.particles(some) - some.start, score[rows])
            shift[rows], klass[rows], rotation[rows], score[rows] = shift[order], klass[order], rotation[order], score[order]
    return poses


def finish(step: EStep, found: list[Block], running: FloatArray, threads: int = 1) -> tuple[Poses, ParticleResults]:
    """Normalise, keep the poses that hold 99.9 %, and note the best of each particle."""
    count, classes = running.shape
    results = ParticleResults.empty(count, classes)
    log_fractions = step.model.log_fractions
    poses = _joined(found, count)
    if step.given is not None:
        poses, running = with_classes(step.given, poses, running)
    real = np.logaddexp.reduce(running, axis=1)
    total = np.logaddexp(real, log_fractions[-1])
    # fractions normalised over the real classes: "a particle" against "nothing", whatever the share of empty places
    results.log_evidence[:] = real - np.logaddexp.reduce(log_fractions[:-1])
    results.log_likelihood[:] = total
    results.posterior[:, :classes] = np.exp(running - total[:, None])
    results.posterior[:, classes] = np.exp(log_fractions[-1] - total)
    start, share = poses.start, np.exp(real - total)
    first = start[:-1]
    results.shift[:], results.rotation[:], results.best_class[:] = (a[first] for a in (poses.shift, poses.rotation, poses.klass))
    if step.cross_correlation:
        results.posterior[:] = np.eye(classes + 1)[results.best_class]
        results.log_evidence[:] = results.log_likelihood[:] = poses.score[first]
    kept, posterior = np.zeros(len(poses.score), bool), np.zeros(len(poses.score), np.float32)
    near_by = Neighbourhoods(step.poses)

    def weigh(some: slice) -> None:
        """Posteriors of the poses of some particles, and the peak near the best of each."""
        rows, begin = poses.rows(some), start[some] - start[some.start]
        of = poses.particles(some) - some.start
        values, klass = poses.score[rows].astype(np.float64), poses.klass[rows]
        if step.cross_correlation:
            gamma = np.zeros(len(values))
            gamma[begin] = 1
            held = gamma > 0
        else:
            gamma = np.exp(values - total[some][of])
            before = np.cumsum(gamma) - gamma
            before -= before[begin][of]
            held = before < KEPT * share[some][of]
            held[begin] = True
        same = np.flatnonzero(klass == klass[begin][of])
        shift, rotation = poses.shift[rows][same], poses.rotation[rows][same]
        results.turn[some], results.offset[some] = peaks(near_by, rotation, shift, values[same], np.searchsorted(same, begin), SPAN)
        results.pmax[some], results.significant[some] = gamma[begin], np.add.reduceat(held, begin, dtype=np.int64)
        kept[rows], posterior[rows] = held, gamma

    for _ in ordered_map(weigh, _pieces(start), threads):
        pass
    return poses.kept(kept, posterior), results


def with_classes(given: FloatArray, poses: Poses, running: FloatArray) -> tuple[Poses, FloatArray]:
    """Scores of poses, and their sums per class, such that the real classes have the posteriors given; see `given_sums`.

    Where no pose of a given class has come near the best pose, its reference was alike at no pose, and what is given says nothing.

    Parameters
    ----------
    given : ndarray, shape (n, classes)
    poses : Poses
        The best of each particle first, as those returned.
    running : ndarray, shape (n, classes)
    """
    seen, pieces = np.zeros(running.shape, bool), list(_pieces(poses.start))
    for some in pieces:
        seen[poses.particles(some), poses.klass[poses.rows(some)]] = True
    sums = given_sums(np.where(seen, given, 0), running)
    more = np.subtract(sums, running, out=np.zeros_like(sums), where=seen)
    parts, counts = [], np.zeros(len(poses), np.int64)
    for some in pieces:  # what sorting takes is many times what poses take
        rows, particle = poses.rows(some), poses.particles(some)
        score = (poses.score[rows] + more[particle, poses.klass[rows]]).astype(np.float32)
        there = np.flatnonzero(np.isfinite(score))
        there = there[best_first(particle[there] - some.start, score[there])]
        counts[some] = np.bincount(particle[there] - some.start, minlength=some.stop - some.start)
        parts.append((poses.shift[rows][there], poses.klass[rows][there], poses.rotation[rows][there], score[there]))
    shift, klass, rotation, score = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Poses(np.append(0, np.cumsum(counts)), shift, klass, rotation, score), sums


def given_sums(given: FloatArray, running: FloatArray) -> FloatArray:
    """Log sums over poses per class, shared among the classes as given; NaN or nothing given: as they are.

    Their sum over classes stays: whether there is a particle at all is not changed.

    Parameters
    ----------
    given, running : ndarray, shape (n, classes)
        Posteriors; log sums.

    Returns
    -------
    ndarray, shape (n, classes)
    """
    mass = given.sum(1, keepdims=True)
    told = mass > LEAST_GIVEN
    with np.errstate(divide="ignore", invalid="ignore"):
        shared = np.logaddexp.reduce(running, axis=1)[:, None] + np.log(given / mass)
    sums: FloatArray = np.where(told, shared, running)
    return sums


def _pieces(start: IntArray) -> Iterator[slice]:
    """Particles in pieces with about `PIECE` poses, whole particles each."""
    begin, count = 0, len(start) - 1
    while begin < count:
        end = max(begin + 1, int(np.searchsorted(start, start[begin] + PIECE, side="right")) - 1)
        yield slice(begin, min(end, count))
        begin = min(end, count)
