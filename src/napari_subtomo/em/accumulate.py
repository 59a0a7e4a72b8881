"""From posteriors to sums that add: numerators and denominators of the maps, residuals, scales, noise temperature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.back_rotation import GridSums, finished, fold_groups, insert
from napari_subtomo.em.basis import phases
from napari_subtomo.em.expectation import EStep, blocks, reference_volumes
from napari_subtomo.em.pose_sums import PoseSums, Shifted, fold_sums, marked
from napari_subtomo.em.posteriors import LEAST, Poses
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.statistics import ParticleResults, ShellSums, Sums
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import device_context, free_bytes, namespace, release_memory, to_device, to_host
from napari_subtomo.numerics.rotate import Interpolation, sample
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SUMS_BYTES = 512 * 2**20  # data and weights summed by fold, class and rotation that are held at once


def map_sums(step: EStep, prepared: Prepared, poses: Poses, last_shell: int, mates: FloatArray, threads: int, reporter: Reporter) -> Sums:
    """Numerators and denominators of all maps, in raw units (never whitened: a whitened sum on a grid leaks high shells into low ones).

    Parameters
    ----------
    step : EStep
    prepared : Prepared
    poses : Poses
        With posteriors.
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
    with device_context(step.device):
        return _map_sums(step, prepared, poses, last_shell, mates, threads if step.device == "cpu" else 1, reporter)


def _map_sums(step: EStep, prepared: Prepared, poses: Poses, last_shell: int, mates: FloatArray, threads: int, reporter: Reporter) -> Sums:
    """`map_sums` within the context of the device."""
    folds, classes = step.model.maps.shape[:2]
    n_rotations, voxels = len(step.poses.rotations), step.lattice.prefix(last_shell)
    turns = to_device(step.phases(voxels), step.device)
    xp, shifted = namespace(turns), Shifted(step, prepared, turns, relative_weight(step).astype(np.float32))
    held = np.bincount(poses.particle, poses.score, len(poses)) > LEAST
    members = [np.flatnonzero((step.particles.fold == f) & held) for f in range(folds)]
    sums = GridSums.zero(step, xp)
    rows = sum(marked(poses, ids, n_rotations, classes).sum(0) for ids in members)
    room = SUMS_BYTES if step.device == "cpu" else max(SUMS_BYTES, free_bytes(step.device) // 4)
    groups = fold_groups(sums, threads)
    for used in _portions(np.asarray(rows), len(groups) * room // (12 * voxels)):
        reporter.stage("Maximisation", int(held.sum()), "particles")
        parts: list[PoseSums] = []
        for some in groups:
            parts = fold_sums(shifted, poses, members[some], used[0], used[-1], threads, reporter, parts)
            if step.device != "cpu":
                release_memory(step.device)
            insert(step, parts, used, sums, some, voxels, mates, threads, reporter)
        del parts
    return finished(step, sums, mates, threads)


def _portions(rows: IntArray, most: int) -> list[IntArray]:
    """Rotations that any particle adds to, in portions of about so many rows of sums; `rows` of each rotation, of all folds and classes."""
    used = np.flatnonzero(rows)
    if not len(used):
        return []
    portion = (np.cumsum(rows[used]) - 1) // max(most, int(rows.max()))
    return np.split(used, np.flatnonzero(np.diff(portion)) + 1)


def relative_weight(step: EStep) -> FloatArray:
    """Weight of each noise group against the mean noise, by shell; 1 where there is one group. Shape (n noise groups, S)."""
    noise = step.model.noise
    return mean_noise(noise, step.particles.noise_counts(len(noise)))[None] / noise


def mean_noise(noise: FloatArray, counts: npt.ArrayLike) -> FloatArray:
    """Harmonic mean of the spectra of noise groups (n noise groups, S), weighted by particle counts; shape (S,)."""
    share = np.asarray(counts, dtype=np.float64) / max(np.sum(counts), 1)
    mean: FloatArray = 1.0 / np.maximum((share[:, None] / noise).sum(0), 1e-300)
    return mean


def shell_sums(step: EStep, prepared: Prepared, results: ParticleResults, threads: int, volumes: Any = None) -> ShellSums:
    """Residuals, weights, scales and offsets at the best pose of every particle, over the shells of the comparison.

    Beyond them there is no reference, and what is left is the particles' own power whatever their poses.

    Parameters
    ----------
    step : EStep
    prepared : Prepared
    results : ParticleResults
    threads : int
    volumes : array, optional
        `reference_volumes(step)`, where they are made already.

    Returns
    -------
    ShellSums
        Spectra are zero beyond the last shell of the comparison.
    """
    with device_context(step.device):
        volumes = reference_volumes(step) if volumes is None else volumes
        return _shell_sums(step, prepared, results, threads if step.device == "cpu" else 1, volumes)


def _shell_sums(step: EStep, prepared: Prepared, results: ParticleResults, threads: int, volumes: Any) -> ShellSums:
    """`shell_sums` within the context of the device."""
    folds, classes = step.model.maps.shape[:2]
    xp, voxels = namespace(volumes), step.voxels
    n_shells, last = step.lattice.last_shell + 1, step.last_shell
    k = xp.asarray(step.lattice.k[:voxels])
    starts = np.searchsorted(step.lattice.shell, np.arange(last + 1))
    n_noise, n_groups = len(step.model.noise), len(step.model.scales)
    empty = results.posterior[:, -1] > 0.5

    def predicted(ids: IntArray, columns: Any) -> Any:
        """References of particles of a fold at their best poses, shape (m, V), from its classes' transforms, (nodes, K) or K arrays."""
        turns, best = step.poses.rotations[results.rotation[ids]].astype(np.float32), results.best_class[ids]
        if xp is np:
            return np.stack([sample(step.grid, [columns[c]], k @ turn)[0] for c, turn in zip(best, turns, strict=True)])
        found = Interpolation(step.grid, (k[None] @ xp.asarray(turns)).reshape(-1, 3)).gather(columns)
        return found.reshape(len(ids), voxels, classes)[xp.arange(len(ids)), :, xp.asarray(best)]

    def per_shell(values: Any) -> FloatArray:
        """Sums over the shells of the comparison, shape (m, S)."""
        sums = np.zeros((len(values), n_shells))
        if xp is np:
            sums[:, : last + 1] = np.add.reduceat(values, starts, axis=1, dtype=np.float64)
        else:
            total = xp.concatenate([xp.zeros((len(values), 1)), values.cumsum(axis=1, dtype=xp.float64)], axis=1)
            sums[:, : last + 1] = np.diff(to_host(total[:, xp.asarray(np.append(starts, voxels))]), axis=1)
        return sums

    def of_block(unit: tuple[Any, IntArray]) -> ShellSums:
        (columns, ids), total = unit, ShellSums.zero(n_noise, n_groups, n_shells)
        reference = predicted(ids, columns)
        scale = step.model.scales[step.particles.group[ids]]
        reference *= xp.asarray(np.where(empty[ids], 0, scale).astype(np.float32))[:, None]
        data = xp.asarray(prepared.GE[ids, :voxels]) * phases(step.poses.shifts[results.shift[ids]], k, step.lattice.n)
        weight = xp.asarray(prepared.H[ids, :voxels])
        weighted, scale = weight * reference, np.maximum(scale, 1e-6)[:, None]
        cross = per_shell(data.real * reference.real + data.imag * reference.imag) / scale
        energy = per_shell(weighted.real * reference.real + weighted.imag * reference.imag) / scale**2
        data -= weighted
        np.add.at(total.residual, step.particles.noise[ids], per_shell(data.real**2 + data.imag**2))
        np.add.at(total.weight, step.particles.noise[ids], per_shell(weight))
        np.add.at(total.cross, step.particles.group[ids], cross)
        np.add.at(total.power, step.particles.group[ids], energy)
        offsets, there = _offset_power(step, ids, results, empty)
        return replace(total, offsets=offsets, offset_weight=there)

    def of_fold(f: int) -> Iterator[tuple[Any, IntArray]]:
        own = volumes[:, f * classes : (f + 1) * classes]
        columns = np.ascontiguousarray(own.T) if xp is np else xp.ascontiguousarray(own)
        for ids in blocks(step, np.flatnonzero(step.particles.fold == f), 1):
            yield columns, ids

    total = ShellSums.zero(n_noise, n_groups, n_shells)
    # folds are few, and threads would wait for the last one
    for part in ordered_map(of_block, chain.from_iterable(map(of_fold, range(folds))), threads):
        total = total + part
    return total


def _offset_power(step: EStep, ids: IntArray, results: ParticleResults, empty: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Squared total offsets (px²) of the best poses of particles that are not empty, and their number."""
    there = ids[~empty[ids]]
    total = step.offsets_px[there] + step.poses.shifts[results.shift[there]]
    return float((total**2).sum()), float(len(there))
