"""From posteriors to sums that add: numerators and denominators of the maps, residuals, scales, noise temperature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.expectation import EStep, Poses, _map, blocks, reference_volumes
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.shifts import phases
from napari_subtomo.em.statistics import ParticleResults, ShellSums, Sums
from napari_subtomo.numerics.backend import to_host
from napari_subtomo.numerics.rotate import Interpolation, PaddedGrid, rotate_volume
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SCATTER_VALUES = 4_000_000  # points per scattered chunk
SCATTER_PARTS = 4  # chunks at least, whatever the number of threads that take them


def map_sums(
    step: EStep, prepared: Prepared, poses: list[Poses], last_shell: int, mates: FloatArray, threads: int, reporter: Reporter
) -> Sums:
    """Numerators and denominators of all maps, in raw units (never whitened: a whitened sum on a grid leaks high shells into low ones).

    Parameters
    ----------
    step : EStep
    prepared : Prepared
    poses : list of Poses
        Posteriors per particle.
    last_shell : int
        Up to which maps are made.
    mates : ndarray, shape (m, 3, 3)
        Symmetry rotations of the reference, identity included.
    threads : int
    reporter : Reporter

    Returns
    -------
    Sums
        On the padded grid; Friedel mates counted.
    """
    folds, classes = step.model.maps.shape[:2]
    n_rotations, voxels = len(step.poses.rotations), step.lattice.prefix(last_shell)
    turns = step.phases(voxels)
    relative = relative_weight(step)[:, step.lattice.shell[:voxels]].astype(np.float32)
    members = [np.flatnonzero(step.particles.fold == f) for f in range(folds)]
    reporter.stage("Maximisation", len(prepared), "particles")

    def one_fold(f: int) -> tuple[IntArray, Any, Any]:
        keys = [poses[i].klass.astype(np.int64) * n_rotations + poses[i].rotation for i in members[f]]
        rows = np.unique(np.concatenate(keys)) if keys else np.zeros(0, np.int64)
        data, weight = np.zeros((len(rows), voxels), np.complex64), np.zeros((len(rows), voxels), np.float32)
        for i, key in zip(members[f], keys, strict=True):
            gamma = poses[i].score
            if gamma.sum() > 1e-4:
                row, at_row = np.unique(key, return_inverse=True)
                column, at_column = np.unique(poses[i].shift, return_inverse=True)
                share = np.zeros((len(row), len(column)), np.float32)
                share[at_row, at_column] = gamma
                scale = np.float32(step.model.scales[step.particles.group[i]])
                factor = relative[step.particles.optics[i]]
                shifted = turns[column] * (prepared.G[i, :voxels] * (scale * factor))
                at = np.searchsorted(rows, row)
                data[at] += (share @ shifted.view(np.float32)).view(np.complex64)
                weight[at] += share.sum(1)[:, None] * (prepared.H[i, :voxels] * (scale**2 * factor))
            reporter.advance()
        return rows, data, weight

    parts = list(_map(one_fold, range(folds), threads))
    used = np.unique(np.concatenate([rows % n_rotations for rows, _, _ in parts]))
    return _insert(step, parts, used, classes, voxels, mates, threads, reporter)


def _insert(
    step: EStep, parts: list[Any], used: IntArray, classes: int, voxels: int, mates: FloatArray, threads: int, reporter: Reporter
) -> Sums:
    """Rotate the summed data of each rotation back and add them on the padded grid."""
    folds, n_rotations = len(parts), len(step.poses.rotations)
    columns = folds * classes
    numerator = np.zeros((step.grid.nodes, columns), np.complex64)
    denominator = np.zeros((step.grid.nodes, columns), np.float32)
    size = max(1, min(SCATTER_VALUES // (voxels * max(1, columns // 4)), -(-len(used) // SCATTER_PARTS)))
    chunks = [used[a : a + size] for a in range(0, len(used), size)]
    k = step.lattice.k[:voxels]
    # on an exact grid other orientations fall between the nodes: symmetry is applied to the summed volumes instead
    inserted = mates[:1] if step.grid.exact else mates
    reporter.stage("Back-rotation", len(chunks) * len(inserted), "chunks")

    def one_chunk(chunk: IntArray) -> tuple[Any, Any]:
        data = np.zeros((len(chunk), voxels, columns), np.complex64)
        weight = np.zeros((len(chunk), voxels, columns), np.float32)
        for f, (rows, fold_data, fold_weight) in enumerate(parts):
            for c in range(classes):
                wanted = c * n_rotations + chunk
                at = np.minimum(np.searchsorted(rows, wanted), max(len(rows) - 1, 0))
                present = np.flatnonzero(rows[at] == wanted) if len(rows) else np.zeros(0, np.int64)
                data[present, :, f * classes + c] = fold_data[at[present]]
                weight[present, :, f * classes + c] = fold_weight[at[present]]
        a, b = 0, 0
        for mate in inserted:
            turn = step.poses.rotations[chunk] @ mate
            interpolation = Interpolation(step.grid, (k[None] @ turn.astype(np.float32)).reshape(-1, 3))
            a = a + interpolation.scatter(data.reshape(-1, columns))
            b = b + interpolation.scatter(weight.reshape(-1, columns))
            reporter.advance()
        return a, b

    for a, b in _map(one_chunk, chunks, threads):
        numerator += a
        denominator += b
    shape = (folds, classes, *step.grid.shape)
    num = np.stack([whole(step.grid, numerator[:, j], mates[len(inserted) :]) for j in range(columns)]).reshape(shape)
    den = np.stack([whole(step.grid, denominator[:, j], mates[len(inserted) :]) for j in range(columns)]).reshape(shape)
    return Sums(num, den)


def whole(grid: PaddedGrid, sums: Any, more_mates: FloatArray) -> Any:
    """A column of sums with both Friedel mates counted, and copies turned by further symmetry mates added."""
    total = grid.symmetrise(sums.reshape(grid.shape))
    if not len(more_mates):
        return total
    volume = grid.to_map(total)
    transform = grid.transform(volume + sum(rotate_volume(volume, mate) for mate in more_mates))
    return transform.astype(np.complex64) if np.iscomplexobj(sums) else np.maximum(transform.real, 0).astype(np.float32)


def relative_weight(step: EStep) -> FloatArray:
    """Weight of each optics group against the mean noise, by shell; 1 where there is one group. Shape (n optics, S)."""
    noise = step.model.noise
    return mean_noise(noise, np.bincount(step.particles.optics, minlength=len(noise)))[None] / noise


def mean_noise(noise: FloatArray, counts: npt.ArrayLike) -> FloatArray:
    """Harmonic mean over optics groups of noise spectra (n optics, S), weighted by particle counts; shape (S,)."""
    share = np.asarray(counts, dtype=np.float64) / max(np.sum(counts), 1)
    mean: FloatArray = 1.0 / np.maximum((share[:, None] / noise).sum(0), 1e-300)
    return mean


def shell_sums(step: EStep, prepared: Prepared, results: ParticleResults, threads: int, volumes: Any = None) -> ShellSums:
    """Residuals, weights, scales and offsets at the best pose of every particle; `volumes` as of `reference_volumes`."""
    folds, classes = step.model.maps.shape[:2]
    volumes = reference_volumes(replace(step, device="cpu")) if volumes is None else to_host(volumes)
    voxels, n_shells = step.voxels, step.lattice.last_shell + 1
    shell, all_shells = step.lattice.shell[:voxels], step.lattice.shell
    k = step.lattice.k[:voxels]
    n_optics, n_groups = len(step.model.noise), len(step.model.scales)
    empty = results.posterior[:, -1] > 0.5

    def at_rotations(rotations: FloatArray, f: int) -> Any:
        points = (k[None] @ rotations.astype(np.float32)).reshape(-1, 3)
        columns = np.ascontiguousarray(volumes[:, f * classes : (f + 1) * classes])
        return Interpolation(step.grid, points).gather(columns).reshape(len(rotations), voxels, classes)

    def one_fold(f: int) -> ShellSums:
        total = ShellSums.zero(n_optics, n_groups, n_shells)
        for ids in blocks(step, np.flatnonzero(step.particles.fold == f), 1):
            turned = at_rotations(step.poses.rotations[results.rotation[ids]], f)
            reference = turned[np.arange(len(ids)), :, results.best_class[ids]]
            scale = step.model.scales[step.particles.group[ids]].astype(np.float32)[:, None]
            reference = np.where(empty[ids, None], 0, reference * scale)
            data = prepared.GE[ids] * phases(step.poses.shifts[results.shift[ids]], step.lattice.k, step.lattice.n)
            weight = prepared.H[ids]
            residual = data.copy()
            residual[:, :voxels] -= weight[:, :voxels] * reference
            part = ShellSums.zero(n_optics, n_groups, n_shells)
            power = (residual.real**2 + residual.imag**2).astype(np.float64)
            cross = (data[:, :voxels].real * reference.real + data[:, :voxels].imag * reference.imag) / np.maximum(scale, 1e-6)
            energy = weight[:, :voxels] * (reference.real**2 + reference.imag**2) / np.maximum(scale, 1e-6) ** 2
            for row, i in enumerate(ids):
                o, g = step.particles.optics[i], step.particles.group[i]
                part.residual[o] += np.bincount(all_shells, power[row], n_shells)
                part.weight[o] += np.bincount(all_shells, weight[row], n_shells)
                part.cross[g] += np.bincount(shell, cross[row], n_shells)
                part.power[g] += np.bincount(shell, energy[row], n_shells)
            offsets, offset_weight = _offset_power(step, ids, results, empty)
            spectra = (part.residual, part.weight, part.cross, part.power)
            total = total + ShellSums(*spectra, offsets, offset_weight)
        return total

    total = ShellSums.zero(n_optics, n_groups, n_shells)
    for part in _map(one_fold, range(folds), threads):
        total = total + part
    return total


def _offset_power(step: EStep, ids: IntArray, results: ParticleResults, empty: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Squared total offsets (px²) of the best poses of particles that are not empty, and their number."""
    there = ids[~empty[ids]]
    total = step.offsets_px[there] + step.poses.shifts[results.shift[there]]
    return float((total**2).sum()), float(len(there))
