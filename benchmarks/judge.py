"""Figures of a classification and a selection against the truth of a simulated sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from napari_subtomo.em.start import rand_index
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.io import relion
from napari_subtomo.io.class3d import complete_iterations, iteration_file, map_file
from napari_subtomo.io.mrc import mrc_header, read_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.star import read_star
from napari_subtomo.jobs.record import read_record
from napari_subtomo.jobs.truth import Truth, pose_errors, read_truth
from napari_subtomo.numerics.fourier import resize_centred
from napari_subtomo.numerics.fsc import fsc, resolution_at
from napari_subtomo.numerics.masks import soft_sphere

FALSE = ("bead", "membrane", "empty")
MASK_DIAMETER, EDGE_PX = 380.0, 5.0
#: resolutions are at best that of the last shell; "nothing at all" is written as the box
THRESHOLDS = (0.5, 0.143)


def judge(project: Path, classified: Path, keep: Sequence[int], kept: Path | None) -> dict[str, Any]:
    """All figures of one seed as plain numbers; see docs/benchmarks.md for what they mean.

    Parameters
    ----------
    project : Path
        Simulated project with truth.star and densities/.
    classified : Path
        Folder of the classification.
    keep : sequence of int
        Classes kept.
    kept : Path or None
        particles.star in the end.
    """
    truth_of_all = read_truth(project / "truth.star")
    iteration = complete_iterations(classified)[-1]
    particles = read_particles(classified / iteration_file(iteration, "data"))
    truth = truth_of_all.of(particles)
    labels = particles.class_numbers
    true = truth.species > 0
    in_kept_class = np.isin(labels, keep)
    staying = set() if kept is None else set(read_particles(kept).names)
    stays = np.array([name in staying for name in particles.names])
    record = read_record(classified)
    number_of_classes = int(record.numbers["classes"])
    picks = read_particles(project / "particles.star")
    return {
        "particles": len(particles),
        "dropped": len(picks) - len(particles),
        "keep": [int(c) for c in keep],
        "signal": bool(record.numbers["signal"]),
        "rand_index": {
            "found": rand_index(truth.species, labels),
            "kept": rand_index(truth.species, np.where(in_kept_class, labels, -1)),
            "species": rand_index(truth.species[true], labels[true]),
        },
        "true": {"of": int((truth_of_all.species > 0).sum()), "kept": int((stays & true).sum())},
        "false": {"of": int((truth_of_all.species == 0).sum()), "rejected": int((~stays & ~true).sum())},
        "false_by_kind": {k: {"of": int((truth.kinds == k).sum()), "rejected": int((~stays & (truth.kinds == k)).sum())} for k in FALSE},
        "duplicates": int((in_kept_class & ~stays).sum()),
        "poses": poses(truth, particles, stays & true),
        "picks": poses(truth, picks_like(picks, particles), true),
        "noise_temperature": noise_temperature(classified / iteration_file(iteration, "model")),
        "classes": [
            one_class(project, classified, iteration, c, truth, labels, c in keep, record.numbers["resolutions"][c - 1])
            for c in range(1, number_of_classes + 1)
        ],
        "empty_class": dict(Counter(truth.kinds[labels > number_of_classes].tolist())),
    }


def picks_like(picks: ParticleSet, particles: ParticleSet) -> ParticleSet:
    """The rows of the picks that became particles, in the order of those."""
    row = {name: i for i, name in enumerate(picks.names)}
    return picks.select(np.array([row[name] for name in particles.names], dtype=np.int64))


def common_turn(given: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The turn that orientations share, in the frame of the map: the rotation, shape (3, 3), nearest to the mean of ``givenᵀ found``.

    Parameters
    ----------
    given, found : ndarray, shape (n, 3, 3)
    """
    turn: np.ndarray = Rotation.from_matrix(np.einsum("nji,njk->nik", given, found)).mean().as_matrix()
    return turn


def poses(truth: Truth, particles: ParticleSet, which: np.ndarray) -> dict[str, Any] | None:
    """Errors of the chosen particles' poses; None without any."""
    if not which.any():
        return None
    truth, particles = Truth(truth.particles.select(which)), particles.select(which)
    errors = pose_errors(truth, particles)
    distance = np.linalg.norm(errors.offsets, axis=1)
    common = common_turn(truth.particles.orientations, particles.orientations)
    return {
        "n": int(which.sum()),
        "degrees_median": float(np.median(errors.degrees)),
        "degrees_90": float(np.percentile(errors.degrees, 90)),
        "angstrom_median": float(np.median(distance)),
        "angstrom_90": float(np.percentile(distance, 90)),
        "mean_offset_tomogram": errors.offsets.mean(0).tolist(),
        "mean_offset_particle": errors.own_offsets.mean(0).tolist(),
        "common_degrees": float(angular_distance(np.eye(3), common)),
    }


def noise_temperature(model: Path) -> float:
    """The engine's noise temperature in a model file."""
    block = next(b for b in read_star(model).blocks if b.has(relion.NOISE_TEMPERATURE))
    return float(block.floats(relion.NOISE_TEMPERATURE)[0])


def one_class(
    project: Path, classified: Path, iteration: int, number: int, truth: Truth, labels: np.ndarray, is_kept: bool, resolution: float
) -> dict[str, Any]:
    """Members of a class, and its map against the density of the species that most of its members are."""
    members = Counter(truth.kinds[labels == number].tolist())
    species = [(count, kind) for kind, count in members.items() if kind not in FALSE]
    found: dict[str, Any] = {"number": number, "kept": is_kept, "members": dict(sorted(members.items())), "resolution": float(resolution)}
    if not species:
        return found
    name = max(species)[1]
    curve, voxel_size = against_density(classified / map_file(iteration, number), project / "densities" / f"{name}.mrc")
    n = 2 * (len(curve) - 1)
    worst = n * voxel_size
    at = {str(t): min(worst, resolution_at(curve, voxel_size, n, t)) for t in THRESHOLDS}
    return found | {"species": name, "fsc": [round(float(v), 3) for v in curve], "fsc_resolution": at}


def against_density(class_map: Path, density: Path) -> tuple[np.ndarray, float]:
    """FSC of a class map and a density where they stand, both inside the mask of the references; and the voxel in Å."""
    volume, voxel_size = read_mrc(class_map), mrc_header(class_map).voxel_size
    truth, n = read_mrc(density), volume.shape[0]
    if abs(mrc_header(density).voxel_size / voxel_size - 1) > 1e-3:
        raise SystemExit(f"{density} and {class_map} differ in voxel size")
    mask = soft_sphere(n, MASK_DIAMETER / 2 / voxel_size, EDGE_PX)
    return fsc(volume, resize_centred(truth, n), mask), voxel_size
