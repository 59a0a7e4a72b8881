"""How well poses can be told apart: RELION's expected angular and translational errors (`calculateExpectedAngularErrors`).

A pose is turned (or shifted) further and further until the sum over voxels of |ΔF|² W/(κ σ²), the mean loss of log-likelihood, exceeds
-ln 0.01 = 4.605; the mean of these angles (shifts) over up to 100 particles is the accuracy of a class.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.expectation import EStep, rotated
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.poses import ASIDE
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.statistics import ParticleResults
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.geometry.orientations import rotation_vectors_to_matrices
from napari_subtomo.numerics.backend import loops

FloatArray = npt.NDArray[np.float64]
Values = npt.NDArray[np.float32]

UNKNOWN = 999.0
THRESHOLD = -np.log(0.01)
PARTICLES = 100
LEAST_FRACTION = 0.01
ANGLES = np.geomspace(0.05, 30, 14)  # degrees
SHIFTS = np.geomspace(0.02, 10, 14)  # pixels


@dataclass(frozen=True)
class Accuracy:
    """Expected errors of K classes; S shells.

    Attributes
    ----------
    rotations : ndarray, shape (K,)
        Degrees; 999 where not estimated: a class with less than 1 % of the particles, or an iteration that compares by correlation.
    offsets : ndarray, shape (K,)
        Pixels; 999 likewise.
    orientability : ndarray, shape (K, S)
        Share of each shell in the sum at the threshold; 0 where not estimated.
    """

    rotations: FloatArray
    offsets: FloatArray
    orientability: FloatArray

    @classmethod
    def unknown(cls, classes: int, n_shells: int) -> Accuracy:
        """Nothing was estimated."""
        return cls(np.full(classes, UNKNOWN), np.full(classes, UNKNOWN), np.zeros((classes, n_shells)))


def expected_errors(step: EStep, prepared: Prepared, results: ParticleResults, seed: int, threads: int = 1) -> Accuracy:
    """Accuracies of the classes of an E-step, from its references, its noise and the best poses of a class's own particles.

    Parameters
    ----------
    step : EStep
    prepared : Prepared
    results : ParticleResults
    seed : int
        Draws particles and axes.
    threads : int
        The result is the same with any number of them.

    Returns
    -------
    Accuracy
        Of the real classes.
    """
    classes = step.model.maps.shape[1]
    found = Accuracy.unknown(classes, step.lattice.last_shell + 1)
    if step.cross_correlation or len(step.poses.rotations) * len(step.poses.shifts) == 1:
        return found
    best, references = results.posterior.argmax(1), turned_references(step, threads)

    def of_class(c: int) -> None:
        members = np.flatnonzero(best == c)
        if len(members) < LEAST_FRACTION * len(best) or not np.any(step.model.maps[:, c]):
            return
        rng = np.random.default_rng([seed, 6, c])
        chosen = np.sort(rng.permutation(members)[:PARTICLES])
        axes = rng.integers(3, size=len(chosen))
        weights = _weights(step, prepared, chosen, step.poses.rotations[results.rotation[chosen]] @ _aside(step))
        turned = turned_losses(references, c)
        angles = crossing(ANGLES, _sums(weights, turned, axes))
        nearest = np.abs(np.log(ANGLES[None] / angles[:, None])).argmin(1)
        found.rotations[c] = angles.mean()
        found.offsets[c] = crossing(SHIFTS, _sums(weights, shifted_losses(step, references, c), axes)).mean()
        found.orientability[c] = _shares(step.lattice, weights, turned[axes, nearest])

    deque(ordered_map(of_class, range(classes), threads), maxlen=0)
    return found


def crossing(ladder: FloatArray, loss: FloatArray) -> FloatArray:
    """Where each particle's loss first exceeds the threshold.

    Parameters
    ----------
    ladder : ndarray, shape (l,)
        Ascending perturbations.
    loss : ndarray, shape (n, l)

    Returns
    -------
    ndarray, shape (n,)
        Between the steps as a power law (losses begin with the square of the perturbation); the ladder's end where it never does.
    """
    loss = np.maximum(loss, 1e-30)
    above = loss > THRESHOLD
    first = np.where(above.any(1), above.argmax(1), len(ladder) - 1)
    row, before = np.arange(len(loss)), np.maximum(first - 1, 0)
    low, high = np.log(loss[row, before]), np.log(loss[row, first])
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # of rows without a crossing between two steps
        part = (np.log(THRESHOLD) - low) / (high - low)
        between = np.exp(np.log(ladder[before]) + part * np.log(ladder[first] / ladder[before]))
    at_start = ladder[0] * np.sqrt(THRESHOLD / loss[:, 0])  # below the first step the square holds
    crossed: FloatArray = np.where(~above.any(1), ladder[-1], np.where(first == 0, at_start, between))
    return crossed


def turned_references(step: EStep, threads: int = 1) -> npt.NDArray[np.complex64]:
    """Means of the classes' references over the folds, as they are and turned about their x, y and z, all seen from aside (`_aside`).

    Parameters
    ----------
    step : EStep
    threads : int
        The result is the same with any number of them.

    Returns
    -------
    ndarray, shape (1 + 3·len(ANGLES), V, K)
    """
    columns = np.concatenate([step.grid.transform(_reference(step, c)).reshape(-1, 1) for c in range(step.model.maps.shape[1])], axis=1)
    vectors = np.eye(3)[:, None, :] * ANGLES[None, :, None]
    rotations = np.concatenate([np.eye(3)[None], rotation_vectors_to_matrices(vectors.reshape(-1, 3))])
    pieces = np.array_split(_aside(step).T @ rotations, max(1, min(threads, len(rotations))))
    return np.concatenate(list(ordered_map(lambda some: rotated(step, columns, some), pieces, threads)))


def turned_losses(references: npt.NDArray[np.complex64], c: int) -> Values:
    """|A(δᵀk) - A(k)|² at the comparison's voxels for turns about the reference's x, y and z, shape (3, len(ANGLES), V)."""
    difference = references[1:, :, c] - references[0, :, c]
    losses: Values = (difference.real**2 + difference.imag**2).reshape(3, len(ANGLES), -1)
    return losses


def shifted_losses(step: EStep, references: npt.NDArray[np.complex64], c: int) -> Values:
    """|A(k)|² |e^{2πi k·t/n} - 1|² for shifts along x, y and z, shape (3, len(SHIFTS), V)."""
    values = references[0, :, c]
    k = step.lattice.k[: step.voxels].T
    phase = np.pi / step.lattice.n * k[:, None, :] * SHIFTS[None, :, None].astype(np.float32)
    losses: Values = (4 * np.sin(phase) ** 2 * (values.real**2 + values.imag**2)).astype(np.float32)
    return losses


def _aside(step: EStep) -> FloatArray:
    """What turns the points at which references are compared, off the nodes of a padded grid: see `PoseGrid.beside`."""
    return ASIDE if step.grid.padding > 1 else np.eye(3)


def _reference(step: EStep, c: int) -> Values:
    """Mean of a class's references over the folds."""
    mean: Values = step.model.maps[:, c].mean(0)
    return mean


def _weights(step: EStep, prepared: Prepared, ids: npt.NDArray[np.int64], turns: FloatArray) -> Values:
    """W/(κ σ²) of particles at the points of the reference that these turns bring to their frames, times squared scales; shape (m, V).

    Nearest voxels: sums over thousands of them need no interpolation.
    """
    lattice = step.lattice
    last = lattice.last_shell + 1  # a turned point is rounded to one shell more at most
    strides = (2.0 * last + 1) ** np.arange(3)
    middle = int(last * strides.sum())
    table = np.full((2 * last + 1) ** 3, -1, np.int32)

    def place(points: Values) -> npt.NDArray[np.int64]:
        """Index into the table of points on voxels; products of floats are BLAS's, and exact."""
        at: npt.NDArray[np.int64] = (points.astype(np.float64) @ strides + middle).astype(np.int64)
        return at

    at = place(lattice.k)
    table[at] = table[2 * middle - at] = np.arange(len(at))
    whitening = step.whitening(ids)
    scale = step.model.scales[step.particles.group[ids]] ** 2
    weights, compiled = np.empty((len(ids), step.voxels), np.float32), loops()
    k, held = lattice.k[: step.voxels], prepared.H
    for row, (i, turn) in enumerate(zip(ids, turns.astype(np.float32), strict=True)):
        if compiled is not None and isinstance(held, np.ndarray):
            compiled.take_nearest(held[i], k, turn, table, last, weights[row])
        else:
            points = k @ turn.T
            near = table[place(np.rint(points))]
            beyond = np.flatnonzero(near < 0)
            near[beyond] = table[place(np.trunc(points[beyond]))]  # towards the centre where the sphere ends
            weights[row] = held[i, near]
        weights[row] *= whitening[row] * scale[row]
    return weights


def _sums(weights: Values, losses: Values, axes: npt.NDArray[np.int64]) -> FloatArray:
    """What each step of a ladder costs each particle along its axis, shape (m, ladder); losses (3, ladder, V)."""
    every = (weights @ losses.reshape(-1, losses.shape[2]).T).reshape(len(weights), 3, -1)
    along: FloatArray = every[np.arange(len(weights)), axes].astype(np.float64)
    return along


def _shares(lattice: Lattice, weights: Values, losses: Values) -> FloatArray:
    """Share of each shell in the summed losses of all particles, shape (last_shell + 1,); both arguments (m, V)."""
    total = (weights * losses).sum(0, dtype=np.float64)
    shares = np.bincount(lattice.shell[: len(total)], total, lattice.last_shell + 1)
    normalised: FloatArray = shares / max(float(shares.sum()), 1e-30)
    return normalised
