"""A small project of two tomograms with a classification and a selection, written file by file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.star import StarBlock, write_star

SIZE, PIXEL, BINNING = (96, 80, 64), 5.0, 2.0
PER_TOMOGRAM = 6


@dataclass(frozen=True)
class SmallProject:
    """Paths of the project; particles 0-5 lie in TS_01, 6-11 in TS_02; classes 1, 2, 3 in turn; classes 1 and 3 were kept."""

    root: Path
    tomograms: Path
    picks: Path
    data: Path
    kept: Path
    rejected: Path


def particle_columns() -> dict[str, object]:
    rng = np.random.default_rng(5)
    n = 2 * PER_TOMOGRAM
    half = np.asarray(SIZE) * PIXEL / 2
    positions = rng.uniform(-0.8, 0.8, (n, 3)) * half
    angles, frames = rng.uniform(-90, 90, (n, 3)), rng.uniform(-90, 90, (n, 3))
    names = ["TS_01"] * PER_TOMOGRAM + ["TS_02"] * PER_TOMOGRAM
    columns: dict[str, object] = {
        r.TOMO_NAME: names,
        r.TOMO_PARTICLE_NAME: [f"{name}/{i % PER_TOMOGRAM + 1}" for i, name in enumerate(names)],
    }
    columns |= dict(zip(r.CENTRED, positions.T, strict=True))
    columns |= dict(zip(r.ORIGINS, rng.uniform(-8, 8, (3, n)), strict=True))
    columns |= dict(zip(r.ANGLES, angles.T, strict=True))
    columns |= dict(zip(r.SUBTOMOGRAM_ANGLES, frames.T, strict=True))
    columns |= {r.OPTICS_GROUP: [1] * n, r.RANDOM_SUBSET: [1, 2] * (n // 2), r.CLASS_NUMBER: [1, 2, 3] * (n // 3)}
    columns |= {r.MAX_VALUE_PROB_DISTRIBUTION: rng.uniform(0.3, 1, n), r.IMAGE_NAME: [f"Extract/job001/{i}_data.mrc" for i in range(n)]}
    return columns


OPTICS = {
    r.OPTICS_GROUP: [1],
    r.OPTICS_GROUP_NAME: ["optics1"],
    r.TILT_SERIES_PIXEL_SIZE: [PIXEL],
    r.SUBTOMOGRAM_BINNING: [1.0],
    r.IMAGE_PIXEL_SIZE: [PIXEL],
    r.IMAGE_SIZE: [24],
}


def write_tomograms(root: Path, names: tuple[str, ...] = ("TS_01", "TS_02")) -> Path:
    rng = np.random.default_rng(1)
    shape = tuple(int(n / BINNING) for n in (SIZE[2], SIZE[1], SIZE[0]))
    (root / "tomograms").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        write_mrc(root / "tomograms" / f"{name}.mrc", rng.normal(number, 1, shape).astype(np.float32), PIXEL * BINNING)
    n = len(names)
    columns = {
        r.TOMO_NAME: names,
        r.OPTICS_GROUP_NAME: ["optics1"] * n,
        r.TILT_SERIES_PIXEL_SIZE: [PIXEL] * n,
        r.TOMO_BINNING: [BINNING] * n,
        r.TOMO_SIZE_X: [SIZE[0]] * n,
        r.TOMO_SIZE_Y: [SIZE[1]] * n,
        r.TOMO_SIZE_Z: [SIZE[2]] * n,
        r.TOMO_RECONSTRUCTED: [f"tomograms/{name}.mrc" for name in names],
    }
    write_star(root / "tomograms.star", [StarBlock.loop(r.GLOBAL, columns)])
    return root / "tomograms.star"


def write_iteration(folder: Path, name: str, number: int, particles: ParticleSet, empty: int = 0, maps: bool = True) -> Path:
    """An iteration of a classification with three classes; `name` is the folder's name in the project."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"run_it{number:03d}"
    general = {r.CURRENT_RESOLUTION: 30.0 - number, r.PIXEL_SIZE: PIXEL, r.NR_CLASSES: 3}
    general |= {r.EMPTY_CLASS: empty} if empty else {}
    classes = {
        r.REFERENCE_IMAGE: [f"{name}/{stem}_class{c:03d}.mrc" for c in (1, 2, 3)],
        r.CLASS_DISTRIBUTION: [0.5, 0.3, 0.2],
        r.ESTIMATED_RESOLUTION: [25.0, 28.0, 999.0],
    }
    write_star(folder / f"{stem}_model.star", [StarBlock.list(r.MODEL_GENERAL, general), StarBlock.loop(r.MODEL_CLASSES, classes)])
    write_particles(folder / f"{stem}_data.star", particles)
    optimiser = {
        r.EXPERIMENTAL_DATA_STAR_FILE: f"{name}/{stem}_data.star",
        r.MODEL_STAR_FILE: f"{name}/{stem}_model.star",
        r.CURRENT_ITERATION: number,
        r.PARTICLE_DIAMETER: 90.0,
        r.CHANGES_OPTIMAL_CLASSES: 0.25,
        r.CHANGES_OPTIMAL_ORIENTATIONS: 2.0,
        r.CHANGES_OPTIMAL_OFFSETS: 1.5,
    }
    write_star(folder / f"{stem}_optimiser.star", [StarBlock.list(r.OPTIMISER_GENERAL, optimiser)])
    if maps:
        grid = np.indices((24, 24, 24)) - 12
        for c in (1, 2, 3):
            blob = np.exp(-(grid**2).sum(axis=0) / (2.0 * (2 + c) ** 2)) if c != empty else np.zeros((24, 24, 24))
            write_mrc(folder / f"{stem}_class{c:03d}.mrc", blob.astype(np.float32), PIXEL)
    return folder / f"{stem}_data.star"


def write_project(root: Path) -> SmallProject:
    """Two tomograms, their particles, three iterations of a classification and a selection."""
    tomograms = write_tomograms(root)
    particles = ParticleSet.create(particle_columns(), OPTICS, are_2d_stacks=False)
    picks = root / "particles.star"
    write_particles(picks, particles.without_columns(r.CLASS_NUMBER, r.MAX_VALUE_PROB_DISTRIBUTION))
    for number in (0, 1, 2):
        data = write_iteration(root / "Class3D" / "job004", "Class3D/job004", number, particles)
    folder = root / "Select" / "job005"
    folder.mkdir(parents=True)
    keep = np.isin(particles.class_numbers, (1, 3))
    write_particles(folder / "particles.star", particles.select(keep))
    write_particles(folder / "particles_rejected.star", particles.select(~keep))
    return SmallProject(root, tomograms, picks, data, folder / "particles.star", folder / "particles_rejected.star")
