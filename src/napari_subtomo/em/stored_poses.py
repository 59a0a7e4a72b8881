"""An iteration at stored poses: E-step, sums of the maps and residuals in one pass over the particles, as matrix products alone.

With a single pose each particle lies on the lattice of the reference, so nothing is turned, shifted or interpolated. For the particles of
one fold and noise group, with V voxels and C classes,

    log-likelihoods   [particles × 2V] @ [2V × C]  −  [particles × V] @ [V × C]       data with references, weights with their power
    sums of the maps  [C × particles] @ [particles × 2V],  [C × particles] @ [particles × V]

and residuals are made of sums over the particles of a tomogram and class. A block of particles is read once for all of them. Results are
those of `expectation.search`, `accumulate.map_sums` and `accumulate.shell_sums`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.accumulate import relative_weight
from napari_subtomo.em.back_rotation import whole
from napari_subtomo.em.expectation import EStep, reference_volumes
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.posteriors import KEPT, LEAST, given_sums
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.statistics import ParticleResults, ShellSums, Sums
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import device_context, namespace, to_host
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

BLOCK_BYTES = 32 * 2**20


def iterate_stored(
    step: EStep, prepared: Prepared, last_shell: int, mates: FloatArray, threads: int, reporter: Reporter
) -> tuple[ParticleResults, Sums, ShellSums]:
    """E-step and sums of one iteration where every particle keeps its pose.

    Parameters
    ----------
    step : EStep
        With one pose and an exact grid.
    prepared : Prepared
    last_shell : int
        Up to which maps are made.
    mates : ndarray, shape (m, 3, 3)
        Symmetry rotations of the reference, the identity first.
    threads : int
        A fold is summed in one thread, so that their number does not change a result.
    reporter : Reporter

    Returns
    -------
    results : ParticleResults
    sums : Sums
        On the step's grid.
    shells : ShellSums
    """
    folds, classes = step.model.maps.shape[:2]
    reporter.stage("Classes at stored poses", len(prepared), "particles")
    with device_context(step.device):
        volumes = reference_volumes(step)
        at = namespace(volumes).asarray(_nodes(step.grid, step.lattice, step.voxels))
        references = volumes[at].reshape(step.voxels, folds, classes)

        def one_fold(f: int) -> _Fold:
            return _Fold.of(step, prepared, f, namespace(references).ascontiguousarray(references[:, f].T), last_shell, reporter)

        parts = list(ordered_map(one_fold, range(folds), threads if step.device == "cpu" else 1))
    results = ParticleResults.empty(len(prepared), classes)
    shells = ShellSums.zero(len(step.model.noise), len(step.model.scales), step.lattice.last_shell + 1)
    for part in parts:
        for ids, log in part.scores:
            _note(step, results, ids, log)
        shells = shells + part.shells
    return results, _sums(step, parts, mates, last_shell), shells


@dataclass(frozen=True)
class _Fold:
    """What the particles of one fold add: log posterior numerators by block, sums of the maps on the lattice, sums per shell."""

    scores: list[tuple[IntArray, FloatArray]]
    data: npt.NDArray[np.complex64]
    weight: npt.NDArray[np.float32]
    shells: ShellSums

    @classmethod
    def of(cls, step: EStep, prepared: Prepared, fold: int, references: Any, last_shell: int, reporter: Reporter) -> _Fold:
        """All blocks of a fold; `references` (classes, V)."""
        xp = namespace(references)
        lattice, model = step.lattice, step.model
        n_shells, made, classes = lattice.last_shell + 1, lattice.prefix(last_shell), len(references)
        power = references.real**2 + references.imag**2
        to_shells = xp.asarray(np.eye(n_shells, dtype=np.float32)[lattice.shell])
        relative = relative_weight(step).astype(np.float32)
        data, weight = xp.zeros((classes, made), xp.complex64), xp.zeros((classes, made), xp.float32)
        total = ShellSums.zero(len(model.noise), len(model.scales), n_shells)
        scores = []
        for noise in np.unique(step.particles.noise[step.particles.fold == fold]):
            members = np.flatnonzero((step.particles.fold == fold) & (step.particles.noise == noise))
            members = members[np.argsort(step.particles.group[members], kind="stable")]  # few tomograms in a block
            products = _Products.of(step, int(members[0]), references, power)
            by_class, by_weight = xp.zeros_like(data), xp.zeros_like(weight)
            for ids in _blocks(members, made):
                block = _Block.of(xp, prepared, ids, made)
                log = products.scores(step, block, ids)
                scale = model.scales[step.particles.group[ids]][:, None]
                found = Posterior.of(step, log)
                gamma = np.where(found.kept.sum(1, keepdims=True) > LEAST, found.kept, 0)
                by_class += (xp.asarray((gamma * scale).T, dtype=xp.float32) @ block.g.view(xp.float32)).view(xp.complex64)
                by_weight += xp.asarray((gamma * scale**2).T, dtype=xp.float32) @ block.h
                total = total + _shell_sums(step, block, ids, found, references, power, to_shells)
                scores.append((ids, log))
                reporter.advance(len(ids))
            factor = xp.asarray(relative[noise][lattice.shell[:made]])
            data += by_class * factor
            weight += by_weight * factor
        return cls(scores, to_host(data), to_host(weight), total)


@dataclass(frozen=True)
class _Block:
    """Some particles on the device: masked data, unmasked data and weights as far as maps are made."""

    ge: Any
    g: Any
    h: Any

    @classmethod
    def of(cls, xp: Any, prepared: Prepared, ids: IntArray, made: int) -> _Block:
        ge = xp.ascontiguousarray(xp.asarray(prepared.GE[ids, :made]))
        g = ge if prepared.GE is prepared.G else xp.ascontiguousarray(xp.asarray(prepared.G[ids, :made]))
        return cls(ge, g, xp.ascontiguousarray(xp.asarray(prepared.H[ids, :made])))


@dataclass(frozen=True)
class _Products:
    """References of a fold, whitened for a noise group: 2A/(κσ²) and (|A|² − its own noise)/(κσ²), both (V, classes) transposed."""

    cross: Any
    energy: Any

    @classmethod
    def of(cls, step: EStep, member: int, references: Any, power: Any) -> _Products:
        xp = namespace(references)
        whitening = xp.asarray(step.whitening(np.array([member]))[0])
        if not step.cross_correlation:
            power = power - xp.asarray(step.model.map_noise[:, step.lattice.shell[: step.voxels]].astype(np.float32))
        return cls(references * (2 * whitening), power * whitening)

    def scores(self, step: EStep, block: _Block, ids: IntArray) -> FloatArray:
        """Log posterior numerators of the real classes (correlations in a step that compares by them), shape (m, classes)."""
        xp, classes = namespace(self.cross), len(self.cross)
        scale = step.model.scales[step.particles.group[ids]][:, None]
        cross = to_host(block.ge.view(xp.float32)[:, : 2 * step.voxels] @ self.cross.view(xp.float32).T) * scale
        energy = to_host(block.h[:, : step.voxels] @ self.energy.T) * scale**2
        if step.cross_correlation:
            correlation: FloatArray = cross / np.sqrt(np.maximum(energy, 1e-20))
            return correlation
        prior = np.broadcast_to(step.model.log_fractions[:classes], cross.shape)
        if step.allowed is not None:
            prior = np.where(step.allowed[ids], 0.0, -np.inf)
        log: FloatArray = cross - energy + prior
        return log if step.given is None else given_sums(step.given[ids], log)


@dataclass(frozen=True)
class Posterior:
    """Posteriors of m particles from the log numerators of their real classes.

    Attributes
    ----------
    log_evidence, log_likelihood : ndarray, shape (m,)
    posterior : ndarray, shape (m, classes + 1)
        The last is the empty class.
    kept : ndarray, shape (m, classes)
        Posteriors without the smallest classes that together hold less than 0.1 % of the real ones.
    """

    log_evidence: FloatArray
    log_likelihood: FloatArray
    posterior: FloatArray
    kept: FloatArray

    @classmethod
    def of(cls, step: EStep, log: FloatArray) -> Posterior:
        """From scores, shape (m, classes)."""
        rows, best = np.arange(len(log)), log.argmax(1)
        if step.cross_correlation:
            only = np.zeros((len(log), log.shape[1] + 1))
            only[rows, best] = 1
            return cls(log[rows, best], log[rows, best], only, only[:, :-1].copy())
        fractions = step.model.log_fractions
        real = np.logaddexp.reduce(log, axis=1)
        total = np.logaddexp(real, fractions[-1])
        posterior = np.exp(np.column_stack([log, np.full(len(log), fractions[-1])]) - total[:, None])
        order = np.argsort(-log, axis=1, kind="stable")
        mass = np.take_along_axis(posterior, order, axis=1).cumsum(axis=1)
        enough = (mass < KEPT * np.exp(real - total)[:, None]).sum(1) + 1
        rank = np.argsort(order, axis=1)
        kept = np.where(rank < enough[:, None], posterior[:, :-1], 0)
        return cls(real - np.logaddexp.reduce(fractions[:-1]), total, posterior, kept)


def _note(step: EStep, results: ParticleResults, ids: IntArray, log: FloatArray) -> None:
    """Write the posteriors of some particles into the results of all."""
    found = Posterior.of(step, log)
    results.log_evidence[ids], results.log_likelihood[ids], results.posterior[ids] = (
        found.log_evidence,
        found.log_likelihood,
        found.posterior,
    )
    results.best_class[ids] = log.argmax(1)
    results.pmax[ids], results.significant[ids] = found.kept.max(1), np.maximum((found.kept > 0).sum(1), 1)


def _shell_sums(step: EStep, block: _Block, ids: IntArray, found: Posterior, references: Any, power: Any, to_shells: Any) -> ShellSums:
    """Sums per shell of a block of one noise group at the best class of each particle, the parts of |X − sWA|² summed apart."""
    xp, voxels = namespace(references), step.voxels
    n_noise, n_groups, n_shells = len(step.model.noise), len(step.model.scales), to_shells.shape[1]
    empty = found.posterior[:, -1] > 0.5
    group, klass = step.particles.group[ids], found.posterior[:, :-1].argmax(1)
    cells, cell = np.unique(np.stack([group, klass])[:, ~empty], axis=1, return_inverse=True)
    member = np.zeros((cells.shape[1], len(ids)), np.float32)
    member[cell.reshape(-1), np.flatnonzero(~empty)] = 1
    member_, classes = xp.asarray(member), xp.asarray(cells[1])
    reference, energy = references[classes], power[classes]
    ge, h, near = block.ge, block.h[:, :voxels], to_shells[:voxels]

    def per_shell(values: Any) -> FloatArray:
        summed: FloatArray = to_host(values @ near).astype(np.float64)
        return summed

    def along(sums: Any) -> FloatArray:
        return per_shell(sums.real * reference.real + sums.imag * reference.imag)

    def of_cells(values: Any) -> Any:
        return (member_ @ values.view(xp.float32)).view(xp.complex64)

    data = ge[:, :voxels]
    squares = xp.einsum("ij,ij->j", data.real, data.real) + xp.einsum("ij,ij->j", data.imag, data.imag)
    residual = per_shell(squares)
    scale = step.model.scales[cells[0]][:, None]
    residual += (-2 * scale * along(of_cells(h * data)) + scale**2 * per_shell((member_ @ (h * h)) * energy)).sum(0)
    cross, strength = along(of_cells(xp.ascontiguousarray(data))), per_shell((member_ @ h) * energy)
    sums = ShellSums.zero(n_noise, n_groups, n_shells)
    noise = step.particles.noise[ids[0]]
    sums.residual[noise] = residual
    sums.weight[noise] = per_shell(h.sum(0))
    np.add.at(sums.cross, cells[0], cross)
    np.add.at(sums.power, cells[0], strength)
    there = ids[~empty]
    return ShellSums(sums.residual, sums.weight, sums.cross, sums.power, float((step.offsets_px[there] ** 2).sum()), float(len(there)))


def _sums(step: EStep, parts: list[_Fold], mates: FloatArray, last_shell: int) -> Sums:
    """Sums on the grid from sums on the lattice."""
    grid, classes = step.grid, step.model.maps.shape[1]
    at = _nodes(grid, step.lattice, step.lattice.prefix(last_shell))

    def placed(values: Any) -> Any:
        column = np.zeros(grid.nodes, values.dtype)
        column[at] = values
        return whole(grid, column, mates[1:])

    numerator = np.stack([np.stack([placed(part.data[c]) for c in range(classes)]) for part in parts])
    return Sums(numerator, np.stack([np.stack([placed(part.weight[c]) for c in range(classes)]) for part in parts]))


def _nodes(grid: PaddedGrid, lattice: Lattice, voxels: int) -> IntArray:
    """Number of the node of an exact grid at each of the first voxels of a lattice."""
    x, y, z = lattice.k[:voxels].astype(np.int64).T * grid.padding
    nodes: IntArray = ((z % grid.edge) * grid.edge + y % grid.edge) * grid.shape[2] + x
    return nodes


def _blocks(ids: IntArray, voxels: int) -> Iterator[IntArray]:
    """Blocks of particles whose data fit `BLOCK_BYTES`."""
    size = max(1, BLOCK_BYTES // (32 * voxels))
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
