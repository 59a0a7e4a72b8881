"""Where between the poses of a grid a particle's posterior has its peak."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from napari_subtomo.em.poses import PoseGrid
from napari_subtomo.geometry.orientations import rotation_vectors_to_matrices

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REACH = 1.5  # steps from the best pose to its neighbours: beyond are other optima
SPREAD = 0.75  # steps: neighbours count as a Gaussian of this width has it, since no posterior is Gaussian far from its peak
FARTHEST = 0.75  # steps from the mean over the neighbours to the peak at most
DAMPING = 0.1  # nats per squared step: what is flatter keeps its mean, which is a small part of its width off, and no rounding moves it
EDGE = 0.2  # steps from a point to the mean of its neighbours, beyond which it is at the edge of the grid
TOLD = 4.0  # nats above what is least known at which the best neighbour says all it can
# Added to the squares: a curvature that neighbours don't tell is that of the other directions, a slope that they don't tell is none.
ROUND, FLAT = 1e-3, 1e-6
# Symmetric matrices of which all others are sums: the round one first.
_SQUARES = np.array(
    [
        np.eye(3),
        np.diag([1.0, -1.0, 0.0]),
        np.diag([-1.0, -1.0, 2.0]) / np.sqrt(3),
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]],
        [[0, 0, 1], [0, 0, 0], [1, 0, 0]],
        [[0, 0, 0], [0, 0, 1], [0, 1, 0]],
    ]
)


@dataclass(frozen=True)
class Neighbours:
    """Neighbours of some points of a grid, each point first among its own.

    Attributes
    ----------
    points : ndarray, shape (b, k)
        Indices into the grid; -1 where a point has fewer than k.
    moves : ndarray, shape (b, k, 3)
        From each point to its neighbours, (x, y, z), in steps.
    fit : ndarray, shape (b, 10, k)
        Value, slope (3) and curvature (6, of `_SQUARES`) at the point of a quadratic function, by its values at the neighbours.
    inward : ndarray, shape (b, 3), (x, y, z)
        Direction away from the edge of the grid, of length one; zero inside.
    size : int
        Points of the grid.
    """

    points: IntArray
    moves: FloatArray
    fit: FloatArray
    inward: FloatArray
    size: int

    @cached_property
    def _keys(self) -> tuple[IntArray, IntArray]:
        """Sorted numbers of pairs of a point and a neighbour, and the place of each in the table."""
        keys = np.where(self.points >= 0, np.arange(len(self.points))[:, None] * self.size + self.points, -1).ravel()
        order = np.argsort(keys)
        return keys[order], order

    def places(self, row: IntArray, point: npt.NDArray[np.integer]) -> IntArray:
        """Which neighbour of the point of a row each of these points is, -1: none; all of shape (e,)."""
        keys, order = self._keys
        wanted = row * self.size + point
        at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        places: IntArray = np.where(keys[at] == wanted, order[at] % self.points.shape[1], -1)
        return places


class Neighbourhoods:
    """Who is near whom in a grid of poses, rotations and shifts each on their own.

    Parameters
    ----------
    poses : PoseGrid
    """

    def __init__(self, poses: PoseGrid) -> None:
        self.poses = poses

    @cached_property
    def _rotations(self) -> KDTree:
        return KDTree(self.poses.rotations.reshape(-1, 9))

    @cached_property
    def _shifts(self) -> KDTree:
        return KDTree(self.poses.shifts)

    def rotations(self, some: IntArray) -> Neighbours:
        """Of these rotations; a rotation b moves to c by the rotation vector of bᵀc."""
        matrices, step = self.poses.rotations, np.radians(self.poses.angular_step)
        reach = 2 * np.sqrt(2) * np.sin(min(REACH * step, np.pi) / 2 + 1e-6)  # of the difference of two matrices, Frobenius norm
        points = _padded(self._rotations.query_ball_point(matrices[some].reshape(-1, 9), reach), some)
        between = matrices[some].transpose(0, 2, 1)[:, None] @ matrices[points]
        moves = Rotation.from_matrix(between.reshape(-1, 3, 3)).as_rotvec().reshape(*points.shape, 3)
        return _neighbours(points, moves, step, len(matrices))

    def shifts(self, some: IntArray) -> Neighbours:
        """Of these shifts."""
        shifts, step = self.poses.shifts, self.poses.shift_step
        points = _padded(self._shifts.query_ball_point(shifts[some], REACH * step + 1e-6), some)
        return _neighbours(points, shifts[points] - shifts[some][:, None], step, len(shifts))


def _padded(found: npt.NDArray[np.object_], some: IntArray) -> IntArray:
    """Lists of neighbours as rows of one length, each with its own point first."""
    others = [[point for point in points if point != own] for points, own in zip(found, some, strict=True)]
    table = np.full((len(some), 1 + max(map(len, others), default=0)), -1)
    table[:, 0] = some
    for row, points in zip(table, others, strict=True):
        row[1 : 1 + len(points)] = points
    return table


def _neighbours(points: IntArray, moves: FloatArray, step: float, size: int) -> Neighbours:
    """Neighbours with their fit; moves in the units of the step."""
    there = points >= 0
    moves = np.where(there[..., None], moves / (step or 1.0), 0.0)
    squares = 0.5 * np.einsum("bki,mij,bkj->bkm", moves, _SQUARES, moves)
    design = np.concatenate([np.ones((*there.shape, 1)), moves, squares], axis=-1)
    weighted = design * np.where(there, np.exp(-0.5 * ((moves / SPREAD) ** 2).sum(-1)), 0.0)[..., None]
    normal = weighted.transpose(0, 2, 1) @ design + np.diag([0.0, *4 * [FLAT], *5 * [ROUND]])
    middle = moves.sum(1) / np.maximum(there.sum(1) - 1, 1)[:, None]
    length = np.linalg.norm(middle, axis=1, keepdims=True)
    inward = np.where(length > EDGE, middle / np.maximum(length, EDGE), 0.0)
    return Neighbours(points, moves, np.linalg.solve(normal, weighted.transpose(0, 2, 1)), inward, size)


def peaks(
    near_by: Neighbourhoods, rotation: npt.NDArray[np.int32], shift: npt.NDArray[np.int32], score: FloatArray, begin: IntArray, least: float
) -> tuple[FloatArray, FloatArray]:
    """Rotations and shifts at which posteriors have their peak, between the poses of a grid.

    The best pose of the grid is off by up to half a step. A posterior near its peak is about a Gaussian: a quadratic function is fitted
    to the logarithm of what the best rotation and its neighbours hold (summed over the best shift and its neighbours), and likewise for
    shifts, each within some part of a step about the mean over the neighbours. Beyond the edge of the grid nothing was searched, and
    nothing is guessed.

    Parameters
    ----------
    near_by : Neighbourhoods
        Of the grid.
    rotation, shift : ndarray, shape (e,)
        Poses of m particles, those of a particle beside each other, its best first.
    score : ndarray, shape (e,)
        Log posteriors.
    begin : ndarray, shape (m,)
        Where those of each begin.
    least : float
        Nats below the best that poses of the grid have at least that are not among these.

    Returns
    -------
    rotation : ndarray, shape (m, 3, 3)
        dR of `PoseGrid`.
    shift : ndarray, shape (m, 3)
        (x, y, z), pixels, in the particle's frame.
    """
    of = np.repeat(np.arange(len(begin)), np.diff(np.append(begin, len(score))))
    best_rotations, which_rotation = np.unique(rotation[begin], return_inverse=True)
    best_shifts, which_shift = np.unique(shift[begin], return_inverse=True)
    rotations, shifts = near_by.rotations(best_rotations.astype(np.int64)), near_by.shifts(best_shifts.astype(np.int64))
    moved = shifts.places(which_shift[of], shift)
    near = np.flatnonzero(moved >= 0)
    turned = rotations.places(which_rotation[of[near]], rotation[near])
    near, turned = near[turned >= 0], turned[turned >= 0]
    # less what those that are not among them have at most: whether one that has just as much is among them changes nothing
    held = np.maximum(np.exp(score[near] - score[begin][of[near]]) - np.exp(-least), 0.0)

    def peak(neighbours: Neighbours, row: IntArray, places: IntArray) -> FloatArray:
        """Moves from the best pose, steps, shape (m, 3)."""
        k = neighbours.points.shape[1]
        sums: FloatArray = np.bincount(of[near] * k + places, weights=held, minlength=len(row) * k).astype(np.float64)
        return _peak(neighbours, row, sums.reshape(-1, k), least)

    poses = near_by.poses
    turns = rotation_vectors_to_matrices(peak(rotations, which_rotation, turned) * poses.angular_step)
    moves = peak(shifts, which_shift, moved[near]) * poses.shift_step
    return poses.rotations[rotation[begin]] @ turns, poses.shifts[shift[begin]] + moves


def _peak(neighbours: Neighbours, row: IntArray, sums: FloatArray, least: float) -> FloatArray:
    """Moves to the peak by what each neighbour holds, shape (m, k), the best pose about one.

    From the mean a Newton step within a radius (a trust region), so that the peak changes little where the sums change little: also
    where a posterior is flat, or its neighbours begin to be known.
    """
    values, moves = np.log(sums + np.exp(-least)), neighbours.moves[row]
    mean: FloatArray = (sums[:, None] @ moves)[:, 0] / sums.sum(1, keepdims=True)
    c = (neighbours.fit[row] @ values[..., None])[..., 0]
    curvature = np.einsum("nm,mij->nij", c[:, 4:], _SQUARES)
    slope = c[:, 1:4] + (curvature @ mean[..., None])[..., 0]
    best = values[:, 1:].max(1, initial=-least)
    found = mean + _within(slope, curvature, FARTHEST * np.clip((best + least) / TOLD, 0, 1))
    inward = neighbours.inward[row]
    peak: FloatArray = found - np.minimum(0.0, (found * inward).sum(1, keepdims=True)) * inward
    return peak


def _within(slope: FloatArray, curvature: FloatArray, radius: FloatArray) -> FloatArray:
    """Where within a radius quadratic functions are largest, shape (m, 3): (damping - curvature)⁻¹ slope (Moré & Sorensen 1983).

    The damping is the least, and at least `DAMPING`, that makes the function fall in all directions and keeps the radius.
    """
    falls, axes = np.linalg.eigh(-curvature)
    along = (axes.transpose(0, 2, 1) @ slope[..., None])[..., 0]
    low = np.maximum(DAMPING, 1e-9 - falls[:, 0])
    high = low + np.linalg.norm(slope, axis=1) / np.maximum(radius, 1e-9)
    for _ in range(40):
        middle = (low + high) / 2
        far = np.linalg.norm(along / (falls + middle[:, None]), axis=1) > radius
        low, high = np.where(far, middle, low), np.where(far, high, middle)
    moves: FloatArray = (axes @ (along / (falls + high[:, None]))[..., None])[..., 0]
    return moves
