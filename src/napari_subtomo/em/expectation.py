"""The E-step: posteriors of class, orientation and offset of every particle, as matrix products in the particles' own frames.

    log p(particle | class c, rotation R, shift t) = Σ_k 2 Re[G(k) e^{+2πi k·t/n} A_cR(k)*] w − Σ_k H(k) |A_cR(k)|² w,   w = 1/(κ σ²)

with sums over the half sphere without DC, `A_cR(k) = A_c(Rᵀ k)`, relative to "nothing there" (the empty class has 0 exactly).
A particle is compared with the references of its own fold.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.basis import Basis, phases, reference_basis, shift_basis
from napari_subtomo.em.blocks import Shrinking
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.model import Model, Particles
from napari_subtomo.em.poses import PoseGrid
from napari_subtomo.em.posteriors import SPAN, Block, Poses, collect, finish
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.priors import RotationPrior
from napari_subtomo.em.statistics import ParticleResults
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import device_context, free_bytes, loops, namespace, release_memory, to_device, to_host
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.numerics.rotate import Interpolation, squared
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BLOCK_BYTES = 32 * 2**20  # on processors: each thread has a block; larger ones are not faster
DEVICE_SHARE = 16  # a block takes this part of the free memory of a GPU
REFERENCE_BYTES = 512 * 2**20
ENOUGH = 200  # particles whose mean weight stands for all
CORRELATED = 100.0  # nats taken for references that particles are correlated with: offsets are left out to 0.3 % of a correlation


@dataclass(frozen=True)
class EStep:
    """One E-step: grids, limits, model.

    Attributes
    ----------
    last_shell : int
        Of the comparison.
    offsets_px : ndarray, shape (n, 3)
        Offset taken out of each particle, in its own frame; the offset prior is about zero total offset.
    allowed : ndarray of bool, shape (n, classes), optional
        Classes each particle may take (random seeding).
    cross_correlation : bool
        Score by normalised cross-correlation and give all weight to the best pose.
    rotation_prior : RotationPrior, optional
        Of single particles, in place of the grid's.
    given : ndarray, shape (n, classes), optional
        Posteriors of the real classes that hold in place of those from the sums over poses; NaN for particles that keep these.
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
    rotation_prior: RotationPrior | None = None
    given: FloatArray | None = None

    @property
    def voxels(self) -> int:
        """Voxels of the comparison."""
        return self.lattice.prefix(self.last_shell)

    @cached_property
    def _whitening(self) -> npt.NDArray[np.float32]:
        """1/(κ σ²) by noise group and shell, zero at DC, shape (n noise groups, S)."""
        weight = 1.0 / (self.model.temperature * self.model.noise)
        weight[:, 0] = 0
        return weight.astype(np.float32)

    def whitening(self, ids: IntArray) -> npt.NDArray[np.float32]:
        """1/(κ σ²) at the voxels of the comparison for these particles, zero at DC, shape (m, V)."""
        spectra = self._whitening[self.particles.noise[ids]]
        values: npt.NDArray[np.float32] = np.take(spectra, self.lattice.shell[: self.voxels], axis=1)
        return values

    def phases(self, voxels: int | None = None) -> npt.NDArray[np.complex64]:
        """e^{+2πi k·t/n} of every shift at the first voxels of the lattice (all without a number), shape (nT, V)."""
        turns: npt.NDArray[np.complex64] = phases(self.poses.shifts, self.lattice.k[:voxels], self.lattice.n)
        return turns

    def shift_basis(self, volumes: Any, prepared: Prepared) -> Basis:
        """Functions that give the shifts' phases for these references, shape (nodes, references), and these particles' weights."""
        shell, last = self.lattice.shell[: self.voxels], self.last_shell
        counts = np.maximum(np.bincount(shell, minlength=last + 1), 1)
        one = rotated(self, volumes, np.eye(3)[None])[0]
        power = to_host(one.real**2 + one.imag**2).max(1)
        energy = np.bincount(shell, power * self.mean_weight(np.arange(len(prepared)), prepared), last + 1).astype(np.float64)
        if self.cross_correlation:  # the scale of the references is arbitrary
            energy *= CORRELATED / max(float(energy.sum()), np.finfo(np.float64).tiny)
        return shift_basis(self.poses.shifts, self.lattice, last, energy / counts)

    def mean_weight(self, ids: IntArray, prepared: Prepared) -> npt.NDArray[np.float32]:
        """H/(κσ²) at the voxels of the comparison, mean of some of these particles, shape (V,)."""
        some = ids[np.linspace(0, len(ids) - 1, min(len(ids), ENOUGH)).astype(np.int64)]
        scale = self.model.scales[self.particles.group[some]].astype(np.float32)[:, None] ** 2
        mean: npt.NDArray[np.float32] = (to_host(prepared.H[some, : self.voxels]) * self.whitening(some) * scale).mean(0)
        return mean

    def shift_log_prior(self, ids: IntArray) -> FloatArray:
        """Log of the Gaussian offset prior on the grid of shifts, shape (m, nT); normalised over a grid that is the whole range."""
        total = self.offsets_px[ids][:, None, :] + self.poses.shifts[None]
        log = -0.5 * (total**2).sum(-1) / self.model.sigma_offset**2
        mass = np.logaddexp.reduce(log, axis=1, keepdims=True)
        if not self.poses.whole_range and len(self.poses.shifts) > 1:  # what the grid covers of the Gaussian, at most all of it
            mass = np.maximum(mass, 3 * np.log(np.sqrt(2 * np.pi) * self.model.sigma_offset / self.poses.shift_step))
        normalised: FloatArray = log - mass
        return normalised


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
    return _interpolation(step, rotations, namespace(volumes)).gather(volumes).reshape(len(rotations), step.voxels, -1)


def reference_volumes(step: EStep, threads: int = 1) -> Any:
    """Padded transforms of all references as columns, shape (nodes, folds·classes), on the step's device."""
    folds, classes = step.model.maps.shape[:2]
    flat = step.model.maps.reshape(folds * classes, *step.model.maps.shape[2:])
    xp = namespace(to_device(flat[:0], step.device))
    volumes = xp.empty((step.grid.nodes, len(flat)), xp.complex64)

    def put(column: int) -> None:
        volumes[:, column] = step.grid.transform(to_device(flat[column], step.device)).reshape(-1)

    deque(ordered_map(put, range(len(flat)), threads if step.device == "cpu" else 1), maxlen=0)
    return volumes


def blocks(step: EStep, ids: IntArray, rotations: int, functions: int = 1) -> Iterator[IntArray]:
    """Blocks of particles, nearly equal ones, whose data times functions of shifts and whose scores fit the memory planned for them.

    They are the same whatever the number of threads.
    """
    room = BLOCK_BYTES if step.device == "cpu" else max(BLOCK_BYTES, free_bytes(step.device) // DEVICE_SHARE)
    shifts, classes = len(step.poses.shifts), step.model.maps.shape[1]
    per_particle = 8 * functions * (step.voxels + classes * rotations) + 8 * shifts * classes * rotations
    size = int(np.clip(room // per_particle, 1, 64))
    yield from np.array_split(ids, -(-len(ids) // size)) if len(ids) else ()


def score(step: EStep, prepared: Prepared, ids: IntArray, refs: Basis, power: Any, shifts: Basis, rotation_log_prior: Any) -> Any:
    """Log posterior numerators of a block.

    Parameters
    ----------
    ids : ndarray, shape (m,)
    refs : Basis
        Of the references, classes·r of them.
    power : array, shape (classes·r, V), float32
        |references|².
    shifts : Basis
        On the device, as `refs`.
    rotation_log_prior : array, shape (r,) or (m, 1, 1, r)

    Returns
    -------
    array, shape (m, nT, classes, r), float32
    """
    xp = namespace(power)
    m, classes = len(ids), step.model.maps.shape[1]
    whitening = step.whitening(ids)
    scale = step.model.scales[step.particles.group[ids]].astype(np.float32)[:, None]
    g = xp.asarray(prepared.GE[ids, : step.voxels]) * xp.asarray(2 * scale * whitening)
    h = xp.asarray(prepared.H[ids, : step.voxels]) * xp.asarray(scale**2 * whitening)
    shifted = (g[:, None, :] * shifts.functions[None]).reshape(-1, step.voxels)
    cross = refs.mix_last(shifted.view(xp.float32) @ refs.functions.view(xp.float32).T).reshape(m, len(shifts.functions), -1)
    cross = shifts.mix(cross).reshape(m, len(step.poses.shifts), classes, -1)
    energy = (h @ power.T).reshape(m, 1, classes, -1)
    if step.cross_correlation:
        alike = cross / xp.sqrt(xp.maximum(energy, 1e-20))
        return alike if step.rotation_prior is None else xp.where(xp.isfinite(rotation_log_prior), alike, -xp.inf)
    log = cross - energy
    prior = np.zeros((m, classes)) + step.model.log_fractions[:classes]
    shell = step.lattice.shell[: step.voxels]
    prior = prior + to_host(h) @ step.model.map_noise[:, shell].T
    if step.allowed is not None:
        prior = np.where(step.allowed[ids], prior - step.model.log_fractions[:classes], -np.inf)
    log += xp.asarray((step.shift_log_prior(ids)[:, :, None] + prior[:, None, :])[..., None], dtype=xp.float32)
    log += rotation_log_prior
    return log


def search(step: EStep, prepared: Prepared, threads: int, reporter: Reporter, volumes: Any = None) -> tuple[Poses, ParticleResults]:
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
    poses : Poses
        Those of each particle that hold 99.9 % of the posterior of the real classes, scores replaced by posteriors.
    results : ParticleResults
    """
    with device_context(step.device):
        found, running = _search(step, prepared, reference_volumes(step, threads) if volumes is None else volumes, threads, reporter)
    return finish(step, found, running, threads)


def _search(step: EStep, prepared: Prepared, volumes: Any, threads: int, reporter: Reporter) -> tuple[list[Block], FloatArray]:
    """Poses near the best of each particle, block by block, and the log of the sum over poses per class, shape (n, classes)."""
    count, span = len(prepared), 0.0 if step.cross_correlation else SPAN
    running, best = np.full((count, step.model.maps.shape[1]), -np.inf), np.full(count, -np.inf)
    found: list[Block] = []

    def take(log: Any, ids: IntArray, some: slice) -> None:
        collect(log, ids, some.start, running, best, found, span)

    compare(step, prepared, volumes, threads, reporter, "Expectation", take)
    return found, running


def compare(
    step: EStep,
    prepared: Prepared,
    volumes: Any,
    threads: int,
    reporter: Reporter,
    stage: str,
    take: Callable[[Any, IntArray, slice], None],
) -> None:
    """Scores of all particles with all poses, a block of particles and a chunk of rotations at a time, within the device's context.

    Parameters
    ----------
    step : EStep
    prepared : Prepared
    volumes : array, shape (nodes, folds·classes)
        From `reference_volumes`.
    threads : int
    reporter : Reporter
    stage : str
        What progress is called.
    take : callable
        Gets the scores of a block, shape (m, nT, classes, r), its particles (m,) and which rotations they are. Blocks that come at the
        same time are of different particles. It must leave no trace where it runs out of memory: it is called again with fewer particles.
    """
    xp = namespace(volumes)
    folds, classes = step.model.maps.shape[:2]
    count, n_rotations = len(prepared), len(step.poses.rotations)
    chunk = max(1, int(REFERENCE_BYTES // (8 * 8 * step.voxels * max(folds * classes, 8))))
    shifts = step.shift_basis(volumes, prepared).on(xp)
    log_prior = xp.asarray(step.poses.rotation_log_prior, dtype=xp.float32)
    members = [np.flatnonzero(step.particles.fold == f) for f in range(folds)]
    number = -(-n_rotations // chunk)
    shrinking = Shrinking(step.device, "particles", reporter)
    reporter.stage(stage, number * count, "particles" if number == 1 else f"particles in {number} passes")
    lanes = threads if step.device == "cpu" else 1
    used = []
    for some, references in passes(step, prepared, volumes, members, shifts, chunk, lanes, reporter):

        def of_block(unit: tuple[int, IntArray], references: Any = references, some: slice = some) -> None:
            f, ids = unit
            refs, power = references[f]

            def one_block(ids: IntArray) -> None:
                prior = log_prior[some] if step.rotation_prior is None else xp.asarray(step.rotation_prior.log(ids, some))
                take(score(step, prepared, ids, refs, power, shifts, prior), ids, some)
                reporter.advance(len(ids))

            shrinking.run([ids], one_block)

        units = [(f, ids) for f in range(folds) for ids in blocks(step, members[f], some.stop - some.start, len(shifts.functions))]
        for _ in ordered_map(of_block, units, lanes):
            pass
        used += [(len(refs.mixing), len(refs.functions), refs.residual) for refs, _ in references if refs.mixing is not None]
    _say_residuals(step, shifts, used, reporter)


def passes(
    step: EStep,
    prepared: Prepared,
    volumes: Any,
    members: list[Any],
    shifts: Basis,
    chunk: int,
    threads: int,
    reporter: Reporter,
) -> Iterator[tuple[slice, list[tuple[Basis, Any]]]]:
    """Rotations, a chunk of them or fewer at a time where memory is short, and each fold's references with their power."""
    shrinking, count, start = Shrinking(step.device, "rotations", reporter), len(step.poses.rotations), 0
    xp, (folds, classes) = namespace(volumes), step.model.maps.shape[:2]
    # a loop reads all columns of a node at once; a sparse product makes a copy of what it gives
    together = folds * classes if xp is np and loops() is not None else classes
    columns = [xp.ascontiguousarray(volumes[:, first : first + together]) for first in range(0, folds * classes, together)]
    made: list[list[tuple[Basis, Any]]] = []

    def turn(some: slice) -> None:
        pieces = np.array_split(step.poses.rotations[some], min(threads, some.stop - some.start))
        turns = list(ordered_map(lambda rotations: _interpolation(step, rotations, xp), pieces, threads))
        ends = np.cumsum([len(piece) * step.voxels for piece in pieces])
        places = [slice(end - len(piece) * step.voxels, end) for piece, end in zip(pieces, ends, strict=True)]

        values = [xp.empty((together, (some.stop - some.start) * step.voxels), xp.complex64) for _ in columns]

        def read(unit: tuple[int, int]) -> None:
            which, i = unit
            turns[i].gather(columns[which], values[which][:, places[i]].T)

        deque(ordered_map(read, list(np.ndindex(len(columns), len(turns))), threads), maxlen=0)
        references = [fold.reshape(-1, step.voxels) for each in values for fold in each.reshape(-1, classes, each.shape[1])]

        def fewer(f: int) -> Basis:
            """Functions for the references of a fold."""
            if step.cross_correlation or not len(members[f]):
                return Basis(references[f], None, 0.0)
            weight = xp.asarray(step.mean_weight(members[f], prepared))
            return reference_basis(references[f], weight, len(members[f]) * len(shifts.functions))

        first = next((f for f, ids in enumerate(members) if len(ids)), 0)
        jobs: list[Callable[[], Any]] = [partial(fewer, first), *(partial(squared, each) for each in references)]
        basis, *powers = ordered_map(lambda job: job(), jobs, threads)
        bases = [Basis(each, None, 0.0) for each in references]
        bases[first] = basis
        if basis.mixing is not None:  # where fewer functions do not stand for one fold's they do not for another's
            rest = [f for f in range(folds) if f != first]
            for f, other in zip(rest, ordered_map(fewer, rest, threads), strict=True):
                bases[f] = other
        made.append(list(zip(bases, powers, strict=True)))

    while start < count:
        size = min(chunk if shrinking.most is None else min(chunk, shrinking.most), count - start)
        some = slice(start, start + size)
        if shrinking.fits(size, partial(turn, some)):
            start += size
            release_memory("cpu")
            yield some, made.pop()


def _interpolation(step: EStep, rotations: FloatArray, xp: Any) -> Interpolation:
    """From the grid to the comparison's voxels for some rotations of the references."""
    k = xp.asarray(step.lattice.k[: step.voxels])
    return Interpolation(step.grid, (k[None] @ xp.asarray(rotations, dtype=xp.float32)).reshape(-1, 3))


def _say_residuals(step: EStep, shifts: Basis, references: list[tuple[int, int, float]], reporter: Reporter) -> None:
    """For how many offsets and rotated references fewer functions stood (of each fold and chunk: given, functions, residual)."""
    words = [] if shifts.mixing is None else [f"{len(shifts.functions)} functions for {len(shifts.mixing)} offsets"]
    if references:
        given, functions, _ = max(references)
        words.append(f"{functions} functions for {given} rotated references")
    if words:
        left = max([shifts.residual, *(residual for *_, residual in references)])
        amount = (
            f"{100 * math.sqrt(left / CORRELATED):.1f} % of a correlation"
            if step.cross_correlation
            else f"{left:.4f} nat of a log-likelihood"
        )
        reporter.message(f"  Compared through {', '.join(words)}; at most {amount} left out.")
