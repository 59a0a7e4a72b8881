"""Worlds of known particles as projects on disk, for tests of the whole classification job."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np

from helpers.em_world import PIXEL, World, simulate
from napari_subtomo.data.result import JobResult
from napari_subtomo.em.classify import run
from napari_subtomo.geometry.orientations import matrix_to_euler
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Reporter, Silent

PAGE = Path(__file__).resolve().parents[2] / "docs" / "external-reconstruction.md"

OPTIONS = {
    "classes": 2,
    "iterations": 4,
    "consensus_iterations": 2,
    "local_range": 12.0,
    "angular_step": 7.5,
    "offset_range": 1.0,
    "offset_step": 1.0,
    "fixed_sampling": True,
    "restarts": 2,
    "absolute_greyscale": True,
    "device": "cpu",
}


def partly_known() -> World:
    """Two species with known offsets in part, and empty places.

    Orientations are off by more than a grid of 7.5° can leave in so small a box. Of seeds 2 to 11, two have particles in the wrong class.
    """
    made = simulate(n=16, count=24, empty=6, snr=1.0, species=2, error=8.0, seed=3, domain=2.0)
    made.given_offsets = made.offsets + np.random.default_rng(3).normal(size=made.offsets.shape) * 0.5
    return made


def volumes(particle, form: str) -> tuple[np.ndarray, np.ndarray]:
    """Data and weights of a particle as RELION 5 stores them, or volume and 3D CTF as RELION 3.1 does."""
    n = particle.data.shape[0]
    if form == "relion5":
        return particle.data, np.concatenate([particle.weights, particle.multiplicity])
    contrast = np.sqrt(particle.weights)
    transform = np.fft.rfftn(np.fft.ifftshift(particle.data.astype(float)))
    raw = np.where(contrast > 0, transform / np.where(contrast > 0, contrast, 1), 0)
    return np.fft.fftshift(np.fft.irfftn(raw, s=(n, n, n), axes=(0, 1, 2))), contrast


def write_project(root: Path, world: World, form: str = "relion5", order=None, tomograms=("TS_1", "TS_2")) -> Path:
    """A project with particles, volumes and a reference; returns particles.star. `order`: rows of the file."""
    count = len(world.particles)
    order = np.arange(count) if order is None else np.asarray(order)
    rng = np.random.default_rng(9)
    coordinates = rng.uniform(-900, 900, (count, 3))
    for i, particle in enumerate(world.particles):
        data, weights = volumes(particle, form)
        write_mrc(root / f"Extract/{i + 1}_data.mrc", data, PIXEL)
        write_mrc(root / f"Extract/{i + 1}_weights.mrc", weights, PIXEL)
    columns = {
        relion.TOMO_NAME: [tomograms[t] for t in world.tomogram[order]],
        **dict(zip(relion.CENTRED, coordinates[order].T, strict=True)),
        **dict(zip(relion.ANGLES, matrix_to_euler(world.given_orientations[order]).T, strict=True)),
        **dict(zip(relion.ORIGINS, -world.given_offsets[order].T * PIXEL, strict=True)),
        relion.OPTICS_GROUP: [1] * count,
        relion.IMAGE_NAME: [f"Extract/{i + 1}_data.mrc" for i in order],
        relion.CTF_IMAGE: [f"Extract/{i + 1}_weights.mrc" for i in order],
    }
    optics = {
        relion.OPTICS_GROUP: [1],
        relion.OPTICS_GROUP_NAME: ["optics1"],
        relion.VOLTAGE: [300.0],
        relion.SPHERICAL_ABERRATION: [2.7],
        relion.AMPLITUDE_CONTRAST: [0.1],
        relion.IMAGE_PIXEL_SIZE: [PIXEL],
        relion.IMAGE_SIZE: [world.n],
        relion.IMAGE_DIMENSIONALITY: [3],
        relion.CTF_PREMULTIPLIED: [int(form == "relion5")],
    }
    path = root / "particles.star"
    write_particles(path, ParticleSet.create(columns, optics, are_2d_stacks=False))
    write_mrc(root / "reference.mrc", np.mean(world.maps, axis=0), PIXEL)
    return path


def options_for(root: Path, world: World, **changed) -> ClassifyOptions:
    """Options of a quick classification of a project made by `write_project`."""
    given = {
        "particles": root / "particles.star",
        "reference": root / "reference.mrc",
        "mask_diameter": 0.8 * world.n * PIXEL,
        "initial_lowpass": world.n * PIXEL / 5,
        "mask_particles": False,  # the particles of these worlds reach over a sphere of 0.8 of their small boxes
    }
    return ClassifyOptions(**{**given, **OPTIONS, **changed})


def job_folder(root: Path, name: str = "Class3D/job001") -> JobFolder:
    """A job folder of the project."""
    (root / name).mkdir(parents=True, exist_ok=True)
    return JobFolder(Project(root), root / name)


def classify(
    root: Path, world: World, name: str = "Class3D/job001", reporter: Reporter | None = None, **changed
) -> tuple[JobFolder, JobResult]:
    """Classify a project made by `write_project`."""
    folder = job_folder(root, name)
    return folder, run(options_for(root, world, **changed), folder, reporter or Silent())


def program(folder: Path, text: str) -> str:
    """A Python program of this text as a command line."""
    path = folder / "program.py"
    path.write_text(text)
    return shlex.join([sys.executable, str(path)])


def dividing_program(folder: Path) -> str:
    """The program of the documentation for external reconstruction, which divides and does nothing else."""
    match = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    return program(folder, match[1])
