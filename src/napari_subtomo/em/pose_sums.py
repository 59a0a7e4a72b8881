"""Data of the particles of a fold, shifted and summed by class and rotation: what is then turned back and inserted into the maps.

For a row (class and rotation) these are Σ γ e^{+2πi k·t/n} s G and Σ γ s² H over particles and shifts. The posteriors of a block of
particles are a sparse matrix, rows by pairs of particle and shift; on a GPU a product for each particle would be over before it has been
asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.expectation import EStep
from napari_subtomo.em.posteriors import Poses
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import free_bytes, loops, namespace, scipy_namespace
from napari_subtomo.progress import Reporter

IntArray = npt.NDArray[np.int64]

BLOCK_BYTES = 32 * 2**20  # of the shifted data of a block, while they are made
DEVICE_SHARE = 16  # on a GPU this part of its free memory
RANGES = 2  # of voxels for each thread, of all folds together: folds alone are shared out unevenly


@dataclass(frozen=True)
class PoseSums:
    """Sums over the particles of a fold, one row for each class and rotation that any of them takes.

    Attributes
    ----------
    keys : ndarray, shape (r,)
        class · rotations + rotation, ascending.
    data : array, shape (r, v), complex64
    weight : array, shape (r, v), float32
    """

    keys: IntArray
    data: Any
    weight: Any


@dataclass(frozen=True)
class Shifted:
    """What every sum needs, on the device.

    Attributes
    ----------
    turns : array, shape (nT, v), complex64
        Phases of the shifts.
    relative : ndarray, shape (n noise groups, S), float32
        Weights of the noise groups by shell; on the host.
    """

    step: EStep
    prepared: Prepared
    turns: Any
    relative: npt.NDArray[np.float32]

    @property
    def voxels(self) -> int:
        """v."""
        return int(self.turns.shape[1])

    def data(self, ids: IntArray, voxels: slice | None = None) -> Any:
        """s G of some particles, weighted by noise group, shape (m, v), or on some of the voxels."""
        xp, scale, some = namespace(self.turns), self._scale(ids), slice(self.voxels) if voxels is None else voxels
        return xp.asarray(self.prepared.G[ids, some]) * xp.asarray(scale * self._factor(ids, some))

    def weight(self, ids: IntArray, voxels: slice | None = None) -> Any:
        """s² H of some particles, likewise."""
        xp, scale, some = namespace(self.turns), self._scale(ids), slice(self.voxels) if voxels is None else voxels
        return xp.asarray(self.prepared.H[ids, some]) * xp.asarray(scale**2 * self._factor(ids, some))

    def _factor(self, ids: IntArray, voxels: slice) -> npt.NDArray[np.float32]:
        """Weight of each particle's noise group, shape (m, some)."""
        spectra = self.relative[self.step.particles.noise[ids]]
        factor: npt.NDArray[np.float32] = np.take(spectra, self.step.lattice.shell[voxels], axis=1)
        return factor

    def _scale(self, ids: IntArray) -> npt.NDArray[np.float32]:
        return self.step.model.scales[self.step.particles.group[ids]].astype(np.float32)[:, None]


def fold_sums(
    shifted: Shifted,
    poses: Poses,
    members: Sequence[IntArray],
    first: int,
    last: int,
    threads: int,
    reporter: Reporter,
    used: Sequence[PoseSums] = (),
) -> list[PoseSums]:
    """Sums of folds at some rotations.

    Parameters
    ----------
    shifted : Shifted
    poses : Poses
        With posteriors.
    members : sequence of ndarray of int
        The particles of each fold, ascending.
    first, last : int
        The rotations from one to another, both included.
    threads : int
        The result is the same with any number of them.
    reporter : Reporter
        Advanced by a particle at a time.
    used : sequence of PoseSums
        Sums that nobody needs any more: their memory is used again.

    Returns
    -------
    list of PoseSums
        Rows of classes and rotations that any pose of the fold has.
    """
    compiled = loops() if namespace(shifted.turns) is np else None
    if compiled is None:
        return list(ordered_map(lambda ids: pose_sums(shifted, poses, ids, first, last, reporter), members, threads))
    n_rotations = len(shifted.step.poses.rotations)
    begun = [_no_sums(shifted, poses, ids, first, last, old) for ids, old in zip_longest(members, used[: len(members)])]
    # ranges of voxels are summed beside each other
    edges = np.linspace(0, shifted.voxels, -(-RANGES * threads // len(members)) + 1).astype(np.int64)

    def some(unit: tuple[int, int]) -> None:
        f, at = unit
        here, (sums, place) = slice(int(edges[at]), int(edges[at + 1])), begun[f]
        room = int(BLOCK_BYTES // (32 * max(here.stop - here.start, 1)))
        for ids in np.array_split(members[f], max(1, -(-len(members[f]) // max(room, 1)))):
            every = poses.rows_of(ids)
            rows = place[poses.klass[every].astype(np.int64) * n_rotations + poses.rotation[every]]
            start = np.append(0, np.cumsum(poses.start[ids + 1] - poses.start[ids]))
            values = shifted.data(ids, here), shifted.weight(ids, here)
            given = start, poses.shift[every], rows, poses.score[every], here.start
            compiled.add_poses(*values, shifted.turns, *given, sums.data, sums.weight)
            if at == 0:
                reporter.advance(len(ids))

    for _ in ordered_map(some, [(f, at) for f in range(len(members)) for at in range(len(edges) - 1)], threads):
        pass
    return [sums for sums, _ in begun]


def _no_sums(
    shifted: Shifted, poses: Poses, ids: IntArray, first: int, last: int, old: PoseSums | None = None
) -> tuple[PoseSums, IntArray]:
    """Sums of some particles at some rotations before anything is added; the row of each class · rotations + rotation, -1 for none."""
    xp = namespace(shifted.turns)
    taken = marked(poses, ids, len(shifted.step.poses.rotations), shifted.step.model.maps.shape[1])
    taken[:, :first] = taken[:, last + 1 :] = False
    keys = np.flatnonzero(taken)
    place = np.where(taken.reshape(-1), np.cumsum(taken) - 1, -1)
    shape = len(keys), shifted.voxels
    if old is None or len(old.data) < len(keys):
        return PoseSums(keys, xp.zeros(shape, xp.complex64), xp.zeros(shape, xp.float32)), place
    sums = PoseSums(keys, old.data[: len(keys)], old.weight[: len(keys)])
    sums.data[:], sums.weight[:] = 0, 0
    return sums, place


def pose_sums(shifted: Shifted, poses: Poses, ids: IntArray, first: int, last: int, reporter: Reporter) -> PoseSums:
    """Sums of the poses of some particles at some rotations, by sparse products.

    Broad posteriors have many thousand poses a particle: nothing is made that has as many entries, but for a block of particles.

    Parameters
    ----------
    shifted : Shifted
    poses : Poses
        With posteriors.
    ids : ndarray of int, shape (m,)
        The particles, ascending.
    first, last : int
        The rotations from one to another, both included.
    reporter : Reporter
        Advanced by a particle at a time.

    Returns
    -------
    PoseSums
        Rows of classes and rotations that any of these poses has.
    """
    voxels = shifted.voxels
    n_rotations = len(shifted.step.poses.rotations)
    sums, place = _no_sums(shifted, poses, ids, first, last)
    room = BLOCK_BYTES if shifted.step.device == "cpu" else max(BLOCK_BYTES, free_bytes(shifted.step.device) // DEVICE_SHARE)
    wanted = (poses.rotation >= first) & (poses.rotation <= last)
    counts = np.array([np.count_nonzero(wanted[poses.rows(slice(i, i + 1))]) for i in ids], np.int64)
    most = max(1, room // (16 * voxels))
    for here in _whole_particles(counts, most):
        every = poses.rows_of(ids[here])
        every = every[wanted[every]]
        particle = np.repeat(ids[here], counts[here])
        for part in _pieces(poses.shift[every], most):
            some = every[part]
            row = place[poses.klass[some].astype(np.int64) * n_rotations + poses.rotation[some]]
            _add(shifted, sums, particle[part], row, poses.shift[some], poses.score[some])
        reporter.advance(int(np.count_nonzero(counts[here])))
    return sums


def marked(poses: Poses, ids: IntArray, n_rotations: int, classes: int) -> npt.NDArray[np.bool_]:
    """Which classes and rotations any of some particles takes, shape (classes, n_rotations)."""
    taken = np.zeros((classes, n_rotations), bool)
    for i in ids:
        rows = poses.rows(slice(i, i + 1))
        taken[poses.klass[rows], poses.rotation[rows]] = True
    return taken


def _whole_particles(counts: IntArray, most: int) -> Iterator[slice]:
    """Runs of particles with at most so many poses together, or of one that has more; `counts` of each, shape (m,)."""
    end = np.cumsum(counts)
    begin, done = 0, 0
    while done < (end[-1] if len(end) else 0):
        stop = max(int(np.searchsorted(end, done + most, side="right")), int(np.searchsorted(end, done, side="right")) + 1)
        yield slice(begin, stop)
        begin, done = stop, int(end[stop - 1])


def _pieces(shift: npt.NDArray[np.int32], most: int) -> list[Any]:
    """Which poses of a block are added at once: all, or of a particle with very many those with some of its shifts."""
    if len(shift) <= most:
        return [slice(None)]
    order = np.argsort(shift, kind="stable")
    piece = np.cumsum(np.diff(shift[order], prepend=shift[order[0]]) > 0) // most
    return np.split(order, np.flatnonzero(np.diff(piece)) + 1)


def _add(shifted: Shifted, sums: PoseSums, particle: IntArray, row: IntArray, shift: Any, gamma: Any) -> None:
    """Add the poses of some particles."""
    xp, sparse = namespace(shifted.turns), scipy_namespace(shifted.turns).sparse
    ids, who = np.unique(particle, return_inverse=True)
    shifts = len(shifted.turns)
    pairs, pair = np.unique(who * shifts + shift, return_inverse=True)
    to, at_row = np.unique(row, return_inverse=True)
    values, rows = xp.asarray(gamma), xp.asarray(at_row)
    of_pairs = sparse.csr_matrix((values, (rows, xp.asarray(pair))), shape=(len(to), len(pairs)))
    of_particles = sparse.csr_matrix((values, (rows, xp.asarray(who))), shape=(len(to), len(ids)))
    moved = shifted.turns[xp.asarray(pairs % shifts)]
    moved *= shifted.data(ids)[xp.asarray(pairs // shifts)]
    data = xp.ascontiguousarray(of_pairs @ moved.view(xp.float32)).view(xp.complex64)
    weight = xp.ascontiguousarray(of_particles @ shifted.weight(ids))
    sums.data[xp.asarray(to)] += data
    sums.weight[xp.asarray(to)] += weight
