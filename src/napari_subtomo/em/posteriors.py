"""From scores to posteriors: sums over poses, the poses that are remembered, the best one and the mean about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.poses import PoseGrid
from napari_subtomo.em.statistics import ParticleResults
from napari_subtomo.numerics.backend import namespace, to_host

if TYPE_CHECKING:
    from napari_subtomo.em.expectation import EStep

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SPAN = 16.0  # nats below a particle's best pose beyond which a pose is not remembered
KEPT = 0.999  # share of a particle's posterior in the sums of the maps
LEAST = 1e-4  # posterior of the real classes below which a particle adds nothing to them
MANY = 1000  # poses of a particle from which on those are forgotten that together hold
TAIL = 1e-4  # this share of the sum over poses: `finish` leaves out ten times as much


@dataclass
class Poses:
    """The poses of one particle that matter: parallel arrays."""

    shift: npt.NDArray[np.int32]
    klass: npt.NDArray[np.int32]
    rotation: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]


def collect(
    log: Any, ids: IntArray, first_rotation: int, running: FloatArray, best: FloatArray, found: list[list[Poses]], span: float = SPAN
) -> None:
    """Add a block's scores (m, nT, classes, r) to the running sums per class and remember the poses within `span` of the best.

    Correlations lie so close together that every pose would be within nats of the best: only the best of them counts (`span` 0).
    """
    xp = namespace(log)
    m, classes, r = log.shape[0], log.shape[2], log.shape[3]
    flat = log.reshape(m, -1)
    top = to_host(flat.max(axis=1)).astype(np.float64)
    total = to_host(xp.exp(log - xp.asarray(top, dtype=xp.float32)[:, None, None, None]).sum(axis=(1, 3), dtype=xp.float64))
    least, near = np.maximum(best[ids], top), []
    for row in range(m):
        where = xp.flatnonzero(flat[row] >= np.float32(least[row] - span))
        score_, where = to_host(flat[row][where]), to_host(where)
        if len(score_) > MANY and span > 0:
            matter = score_ >= _least_that_matters(score_, top[row], total[row].sum())
            score_, where = score_[matter], where[matter]
        t, c, q = np.unravel_index(where, (log.shape[1], classes, r))
        near.append(Poses(t.astype(np.int32), c.astype(np.int32), (q + first_rotation).astype(np.int32), score_))
    # all that takes memory is done: from here on a block cannot fail halfway
    with np.errstate(divide="ignore"):
        running[ids] = np.logaddexp(running[ids], np.log(total) + top[:, None])
    best[ids] = least
    for i, poses in zip(ids, near, strict=True):
        found[i].append(poses)


def _least_that_matters(scores: npt.NDArray[np.float32], top: float, total: float) -> np.float32:
    """The score below which poses hold less than `TAIL` of the sum over poses, exp(top)·total."""
    ascending = np.sort(scores)
    mass = np.cumsum(np.exp(ascending.astype(np.float64) - top))
    least: np.float32 = ascending[min(int(np.searchsorted(mass, TAIL * total)), len(scores) - 1)]
    return least


def finish(step: EStep, found: list[list[Poses]], running: FloatArray) -> tuple[list[Poses], ParticleResults]:
    """Normalise, keep the poses that hold 99.9 %, and note the best of each particle."""
    count, classes = running.shape
    results = ParticleResults.empty(count, classes)
    log_fractions = step.model.log_fractions
    real = np.logaddexp.reduce(running, axis=1)
    total = np.logaddexp(real, log_fractions[-1])
    # fractions normalised over the real classes: "a particle" against "nothing", whatever the share of empty places
    results.log_evidence[:] = real - np.logaddexp.reduce(log_fractions[:-1])
    results.log_likelihood[:] = total
    results.posterior[:, :classes] = np.exp(running - total[:, None])
    results.posterior[:, classes] = np.exp(log_fractions[-1] - total)
    kept = []
    means = np.zeros((count, 3, 3))
    for i, parts in enumerate(found):
        shift, klass = np.concatenate([p.shift for p in parts]), np.concatenate([p.klass for p in parts])
        rotation, values = np.concatenate([p.rotation for p in parts]), np.concatenate([p.score for p in parts]).astype(np.float64)
        if step.cross_correlation:
            order, gamma = np.array([int(values.argmax())]), np.ones(1)
            results.posterior[i] = 0
            results.posterior[i, klass[order[0]]] = 1
            results.log_evidence[i] = results.log_likelihood[i] = values.max()
        else:
            order = np.argsort(-values, kind="stable")
            gamma = np.exp(values[order] - total[i])
            mass = np.cumsum(gamma)
            share = np.exp(real[i] - total[i])
            stop = int(np.searchsorted(mass, KEPT * share)) + 1
            order, gamma = order[:stop], gamma[:stop]
        first = order[0]
        results.shift[i], results.rotation[i], results.best_class[i] = shift[first], rotation[first], klass[first]
        results.pmax[i], results.significant[i] = gamma[0], len(order)
        near = order[klass[order] == klass[first]]
        means[i], results.offset[i] = local_mean(step.poses, rotation[near], shift[near], np.exp(values[near] - values[first]))
        kept.append(Poses(shift[order], klass[order], rotation[order], gamma.astype(np.float32)))
    results.turn[:] = nearest_rotations(means)
    return kept, results


def local_mean(poses: PoseGrid, rotation: IntArray, shift: IntArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Posterior means of rotation matrix and shift over the grid's neighbours of the best pose, the first.

    The best grid point alone is off by up to half a step; neighbours farther than one and a half steps are other optima.

    Returns
    -------
    rotation : ndarray, shape (3, 3)
        No rotation yet: see `nearest_rotations`.
    shift : ndarray, shape (3,)
        Pixels.
    """
    flat = poses.rotations.reshape(-1, 9)
    turned = (flat @ flat[rotation[0]] - 1) / 2 >= np.cos(np.radians(1.5 * poses.angular_step) + 1e-6)
    moved = ((poses.shifts - poses.shifts[shift[0]]) ** 2).sum(1) <= (1.5 * poses.shift_step + 1e-6) ** 2
    close = turned[rotation] & moved[shift]
    share = weight[close] / weight[close].sum()
    mean: FloatArray = share @ flat[rotation[close]]
    return mean.reshape(3, 3), share @ poses.shifts[shift[close]]


def nearest_rotations(matrices: FloatArray) -> FloatArray:
    """Rotations nearest to matrices (Frobenius norm; Schönemann 1966), shape (n, 3, 3)."""
    u, _, vt = np.linalg.svd(matrices)
    u[:, :, 2] *= np.linalg.det(u @ vt)[:, None]
    rotations: FloatArray = u @ vt
    return rotations
