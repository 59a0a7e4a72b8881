"""Data of the particles of a fold, shifted and summed by class and rotation: what is then turned back and inserted into the maps.

For a row (class and rotation) these are Σ γ e^{+2πi k·t/n} s G and Σ γ s² H over particles and shifts. The posteriors of a block of
particles are a sparse matrix, rows by pairs of particle and shift; on a GPU a product for each particle would be over before it has been
asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.expectation import EStep
from napari_subtomo.em.posteriors import Poses
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.numerics.backend import free_bytes, namespace, scipy_namespace
from napari_subtomo.progress import Reporter

IntArray = npt.NDArray[np.int64]

BLOCK_BYTES = 32 * 2**20  # of the shifted data of a block, while they are made
DEVICE_SHARE = 16  # on a GPU this part of its free memory


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

    def data(self, ids: IntArray) -> Any:
        """s G of some particles, weighted by noise group, shape (m, v)."""
        xp, scale = namespace(self.turns), self._scale(ids)
        return xp.asarray(self.prepared.G[ids, : self.voxels]) * xp.asarray(scale * self._factor(ids))

    def weight(self, ids: IntArray) -> Any:
        """s² H of some particles, likewise."""
        xp, scale = namespace(self.turns), self._scale(ids)
        return xp.asarray(self.prepared.H[ids, : self.voxels]) * xp.asarray(scale**2 * self._factor(ids))

    def _factor(self, ids: IntArray) -> npt.NDArray[np.float32]:
        """Weight of each particle's noise group, shape (m, v)."""
        factor: npt.NDArray[np.float32] = np.take(
            self.relative[self.step.particles.noise[ids]], self.step.lattice.shell[: self.voxels], axis=1
        )
        return factor

    def _scale(self, ids: IntArray) -> npt.NDArray[np.float32]:
        return self.step.model.scales[self.step.particles.group[ids]].astype(np.float32)[:, None]


def pose_sums(shifted: Shifted, poses: Poses, ids: IntArray, first: int, last: int, reporter: Reporter) -> PoseSums:
    """Sums of the poses of some particles at some rotations.

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
    xp, voxels = namespace(shifted.turns), shifted.voxels
    n_rotations = len(shifted.step.poses.rotations)
    taken = marked(poses, ids, n_rotations, shifted.step.model.maps.shape[1])
    taken[:, :first] = taken[:, last + 1 :] = False
    keys = np.flatnonzero(taken)
    place = np.cumsum(taken) - 1  # of class · rotations + rotation
    sums = PoseSums(keys, xp.zeros((len(keys), voxels), xp.complex64), xp.zeros((len(keys), voxels), xp.float32))
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
