"""The E-step: posteriors of class, orientation and offset of every particle, as matrix products in the particles' own frames.

    log p(particle | class c, rotation R, shift t) = Σ_k 2 Re[G(k) e^{+2πi k·t/n} A_cR(k)*] w − Σ_k H(k) |A_cR(k)|² w,   w = 1/(κ σ²)

with sums over the half sphere without DC, `A_cR(k) = A_c(Rᵀ k)`, relative to "nothing there" (the empty class has 0 exactly).
A particle is compared with the references of its own fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.poses import PoseGrid
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.shifts import ShiftBasis, phases, shift_basis
from napari_subtomo.em.statistics import ParticleResults
from napari_subtomo.numerics.backend import device_context, namespace, to_device, to_host
from napari_subtomo.numerics.rotate import Interpolation, PaddedGrid
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BLOCK_BYTES = 96 * 2**20
REFERENCE_BYTES = 512 * 2**20
ENOUGH = 200  # particles whose mean weight stands for all
SPAN = 16.0  # nats below a particle's best pose beyond which a pose is not remembered


@dataclass(frozen=True)
class Particles:
    """Which group each of n particles belongs to, as indices from 0."""

    optics: IntArray
    group: IntArray
    fold: IntArray


@dataclass(frozen=True)
class Model:
    """What the E-step compares particles with.

    Attributes
    ----------
    maps : ndarray, shape (folds, classes, n, n, n), float32
        Masked references; a particle of fold f is compared with `maps[f]`.
    noise : ndarray, shape (n optics groups, S)
        σ² per unit weight.
    temperature : float
        κ.
    scales : ndarray, shape (n groups,)
    log_fractions : ndarray, shape (classes + 1,)
        The last is the empty class (-inf: none).
    map_noise : ndarray, shape (classes, S)
        Variance of a reference's own noise, given back to the log-likelihood.
    sigma_offset : float
        Pixels.
    """

    maps: npt.NDArray[np.float32] = field(repr=False)
    noise: FloatArray
    temperature: float
    scales: FloatArray
    log_fractions: FloatArray
    map_noise: FloatArray
    sigma_offset: float


@dataclass(frozen=True)
class EStep:
    """One E-step: grids, limits, model.

    Attributes
    ----------
    last_shell : int
        Of the comparison.
    offsets_px : ndarray, shape (n, 3)
        Input offset of each particle in its own frame; the offset prior is about zero total offset.
    allowed : ndarray of bool, shape (n, classes), optional
        Classes each particle may take (random seeding).
    cross_correlation : bool
        Score by normalised cross-correlation and give all weight to the best pose.
    """

    grid: PaddedGrid
    lattice: Lattice
    poses: PoseGrid
    last_shell: int
    model: Model
    particles: Particles
    offsets_px: FloatArray
    allowed: npt.NDArray[np.bool_] | None = None
    cross_correlation: bool = False
    device: str = "cpu"

    @property
    def voxels(self) -> int:
        """Voxels of the comparison."""
        return self.lattice.prefix(self.last_shell)

    def whitening(self, ids: IntArray) -> npt.NDArray[np.float32]:
        """1/(κ σ²) at the voxels of the comparison for these particles, zero at DC, shape (m, V)."""
        shell = self.lattice.shell[: self.voxels]
        weight = 1.0 / (self.model.temperature * self.model.noise[self.particles.optics[ids]][:, shell])
        weight[:, shell == 0] = 0
        return weight.astype(np.float32)

    def phases(self, voxels: int | None = None) -> npt.NDArray[np.complex64]:
        """e^{+2πi k·t/n} of every shift at the first voxels of the lattice (all without a number), shape (nT, V)."""
        return phases(self.poses.shifts, self.lattice.k[:voxels], self.lattice.n)

    def shift_basis(self, volumes: Any, prepared: Prepared) -> ShiftBasis:
        """Functions that give the shifts' phases for these references, shape (nodes, references), and these particles' weights."""
        if self.cross_correlation:  # the scale of the references is arbitrary, and so is what they leave
            return ShiftBasis(self.phases(self.voxels), None, 0.0)
        shell, last = self.lattice.shell[: self.voxels], self.last_shell
        counts = np.maximum(np.bincount(shell, minlength=last + 1), 1)
        one = rotated(self, volumes, np.eye(3)[None])[0]
        power = to_host(one.real**2 + one.imag**2).max(1)
        some = np.linspace(0, len(prepared) - 1, min(len(prepared), ENOUGH)).astype(np.int64)
        scale = self.model.scales[self.particles.group[some]][:, None] ** 2
        weight = (prepared.H[some, : self.voxels] * self.whitening(some) * scale).mean(0)
        return shift_basis(self.poses.shifts, self.lattice, last, np.bincount(shell, power * weight, last + 1) / counts)

    def shift_log_prior(self, ids: IntArray) -> FloatArray:
        """Log of the Gaussian offset prior on the grid of shifts, shape (m, nT); normalised over a grid that is the whole range."""
        total = self.offsets_px[ids][:, None, :] + self.poses.shifts[None]
        log = -0.5 * (total**2).sum(-1) / self.model.sigma_offset**2
        mass = np.logaddexp.reduce(log, axis=1, keepdims=True)
        if not self.poses.whole_range and len(self.poses.shifts) > 1:  # what the grid covers of the Gaussian, at most all of it
            mass = np.maximum(mass, 3 * np.log(np.sqrt(2 * np.pi) * self.model.sigma_offset / self.poses.shift_step))
        normalised: FloatArray = log - mass
        return normalised


@dataclass
class Poses:
    """The poses of one particle that matter: parallel arrays."""

    shift: npt.NDArray[np.int32]
    klass: npt.NDArray[np.int32]
    rotation: npt.NDArray[np.int32]
    score: npt.NDArray[np.float32]


def rotated(step: EStep, volumes: Any, rotations: Any) -> Any:
    """References at the comparison's voxels for some rotations.

    Parameters
    ----------
    volumes : array, shape (nodes, c), complex64
        Padded transforms.
    rotations : array, shape (r, 3, 3)

    Returns
    -------
    array, shape (r, V, c), complex64
    """
    xp = namespace(volumes)
    k = xp.asarray(step.lattice.k[: step.voxels])
    points = (k[None] @ xp.asarray(rotations, dtype=xp.float32)).reshape(-1, 3)
    return Interpolation(step.grid, points).gather(volumes).reshape(len(rotations), step.voxels, -1)


def reference_volumes(step: EStep) -> Any:
    """Padded transforms of all references as columns, shape (nodes, folds·classes), on the step's device."""
    folds, classes = step.model.maps.shape[:2]
    flat = step.model.maps.reshape(folds * classes, *step.model.maps.shape[2:])
    columns = [step.grid.transform(to_device(m, step.device)).reshape(-1, 1) for m in flat]
    xp = namespace(columns[0])
    return xp.concatenate(columns, axis=1)


def blocks(step: EStep, ids: IntArray, rotations: int) -> Iterator[IntArray]:
    """Blocks of particles whose shifted data and scores fit `BLOCK_BYTES`."""
    shifts, classes = len(step.poses.shifts), step.model.maps.shape[1]
    per_particle = shifts * (8 * step.voxels + 8 * classes * rotations) + 1
    size = int(np.clip(BLOCK_BYTES // per_particle, 1, 64))
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def score(step: EStep, prepared: Prepared, ids: IntArray, refs: Any, power: Any, basis: ShiftBasis, rotation_log_prior: Any) -> Any:
    """Log posterior numerators of a block.

    Parameters
    ----------
    ids : ndarray, shape (m,)
    refs : array, shape (classes·r, V), complex64
    power : array, shape (classes·r, V), float32
        |refs|².
    basis : ShiftBasis
        On the device.
    rotation_log_prior : array, shape (r,)

    Returns
    -------
    array, shape (m, nT, classes, r), float32
    """
    xp = namespace(refs)
    m, classes = len(ids), step.model.maps.shape[1]
    whitening = step.whitening(ids)
    scale = step.model.scales[step.particles.group[ids]].astype(np.float32)[:, None]
    g = xp.asarray(prepared.GE[ids, : step.voxels] * (2 * scale * whitening))
    h = xp.asarray(prepared.H[ids, : step.voxels] * (scale**2 * whitening))
    shifted = (g[:, None, :] * basis.functions[None]).reshape(-1, step.voxels)
    cross = (shifted.view(xp.float32) @ refs.view(xp.float32).T).reshape(m, len(basis.functions), -1)
    cross = basis.mix(cross).reshape(m, len(step.poses.shifts), classes, -1)
    energy = (h @ power.T).reshape(m, 1, classes, -1)
    if step.cross_correlation:
        return cross / xp.sqrt(xp.maximum(energy, 1e-20))
    log = cross - energy
    prior = np.zeros((m, classes)) + step.model.log_fractions[:classes]
    shell = step.lattice.shell[: step.voxels]
    prior = prior + to_host(h) @ step.model.map_noise[:, shell].T
    if step.allowed is not None:
        prior = np.where(step.allowed[ids], prior - step.model.log_fractions[:classes], -np.inf)
    log += xp.asarray((step.shift_log_prior(ids)[:, :, None] + prior[:, None, :])[..., None], dtype=xp.float32)
    log += rotation_log_prior
    return log


def search(step: EStep, prepared: Prepared, threads: int, reporter: Reporter, volumes: Any = None) -> tuple[list[Poses], ParticleResults]:
    """Posteriors of all particles.

    Parameters
    ----------
    step : EStep
    prepared : Prepared
    threads : int
    reporter : Reporter
    volumes : array, optional
        `reference_volumes(step)`, where they are made already.

    Returns
    -------
    poses : list of Poses
        Of each particle, the poses that hold 99.9 % of the posterior of the real classes, scores replaced by posteriors.
    results : ParticleResults
    """
    with device_context(step.device):
        found, running = _search(step, prepared, reference_volumes(step) if volumes is None else volumes, threads, reporter)
    return finish(step, found, running)


def _search(step: EStep, prepared: Prepared, volumes: Any, threads: int, reporter: Reporter) -> tuple[list[list[Poses]], FloatArray]:
    """Poses near the best of each particle, block by block, and the log of the sum over poses per class, shape (n, classes)."""
    xp = namespace(volumes)
    folds, classes = step.model.maps.shape[:2]
    count = len(prepared)
    n_rotations = len(step.poses.rotations)
    chunk = max(1, int(REFERENCE_BYTES // (8 * 8 * step.voxels * max(folds * classes, 8))))
    basis = step.shift_basis(volumes, prepared).on(xp)
    log_prior = xp.asarray(step.poses.rotation_log_prior, dtype=xp.float32)
    running = np.full((count, classes), -np.inf)
    best = np.full(count, -np.inf)
    found: list[list[Poses]] = [[] for _ in range(count)]
    members = [np.flatnonzero(step.particles.fold == f) for f in range(folds)]
    starts = range(0, n_rotations, chunk)
    reporter.stage("Expectation", len(starts) * count, "particles" if len(starts) == 1 else f"particles in {len(starts)} passes")

    for start in starts:
        some = slice(start, min(start + chunk, n_rotations))
        turned = rotated(step, volumes, step.poses.rotations[some]).reshape(some.stop - some.start, step.voxels, folds, classes)

        def one_fold(f: int, turned: Any = turned, some: slice = some) -> None:
            refs = xp.ascontiguousarray(turned[:, :, f].transpose(2, 0, 1)).reshape(-1, step.voxels)
            power = refs.real**2 + refs.imag**2
            for ids in blocks(step, members[f], some.stop - some.start):
                log = score(step, prepared, ids, refs, power, basis, log_prior[some])
                collect(log, ids, some.start, running, best, found, 0.0 if step.cross_correlation else SPAN)
                reporter.advance(len(ids))

        for _ in _map(one_fold, range(folds), threads if step.device == "cpu" else 1):
            pass
    return found, running


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
    with np.errstate(divide="ignore"):
        running[ids] = np.logaddexp(running[ids], np.log(total) + top[:, None])
    best[ids] = np.maximum(best[ids], top)
    for row, i in enumerate(ids):
        where = xp.flatnonzero(flat[row] >= np.float32(best[i] - span))
        score_ = to_host(flat[row][where])
        t, c, q = np.unravel_index(to_host(where), (log.shape[1], classes, r))
        found[i].append(Poses(t.astype(np.int32), c.astype(np.int32), (q + first_rotation).astype(np.int32), score_))


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
            stop = int(np.searchsorted(mass, 0.999 * share)) + 1
            order, gamma = order[:stop], gamma[:stop]
        first = order[0]
        results.shift[i], results.rotation[i], results.best_class[i] = shift[first], rotation[first], klass[first]
        results.pmax[i], results.significant[i] = gamma[0], len(order)
        near = klass[order] == klass[first]
        results.turn[i], results.offset[i] = local_mean(
            step.poses, rotation[order][near], shift[order][near], np.exp(values[order][near] - values[first])
        )
        kept.append(Poses(shift[order], klass[order], rotation[order], gamma.astype(np.float32)))
    return kept, results


def local_mean(poses: PoseGrid, rotation: IntArray, shift: IntArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Posterior mean of rotation and shift over the grid's neighbours of the best pose, the first.

    The best grid point alone is off by up to half a step; neighbours farther than one and a half steps are other optima.

    Returns
    -------
    rotation : ndarray, shape (3, 3)
    shift : ndarray, shape (3,)
        Pixels.
    """
    matrices, shifts = poses.rotations[rotation], poses.shifts[shift]
    cosine = (np.einsum("ij,nij->n", matrices[0], matrices) - 1) / 2
    close = np.arccos(np.clip(cosine, -1, 1)) <= np.radians(1.5 * poses.angular_step) + 1e-6
    close &= np.linalg.norm(shifts - shifts[0], axis=1) <= 1.5 * poses.shift_step + 1e-6
    share = weight[close] / weight[close].sum()
    u, _, vt = np.linalg.svd(np.einsum("n,nij->ij", share, matrices[close]))
    return u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt, share @ shifts[close]


def _map(function: Any, items: Any, threads: int) -> Iterator[Any]:
    """`map` on threads, results in order."""
    if threads <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(function, items)
