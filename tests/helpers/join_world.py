"""Sets in job folders of a project, to be joined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from helpers.extract_world import Listener
from napari_subtomo.data.result import JobResult
from napari_subtomo.geometry.orientations import matrix_to_euler, random_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.join import run
from napari_subtomo.options.join import JoinOptions

OPTICS = {
    relion.OPTICS_GROUP: [1],
    relion.OPTICS_GROUP_NAME: ["optics1"],
    relion.VOLTAGE: ["300.000000"],
    relion.SPHERICAL_ABERRATION: ["2.700000"],
    relion.AMPLITUDE_CONTRAST: ["0.100000"],
    relion.TILT_SERIES_PIXEL_SIZE: ["5.000000"],
}
EXTRACTED = {
    relion.IMAGE_PIXEL_SIZE: ["10.0"],
    relion.IMAGE_SIZE: [32],
    relion.SUBTOMOGRAM_BINNING: ["2.0"],
    relion.IMAGE_DIMENSIONALITY: [3],
}


class Lab:
    """Sets in job folders of a project."""

    def __init__(self, root: Path) -> None:
        self.root, self.listener = root, Listener()
        self.rng = np.random.default_rng(7)

    def tomograms(self, job: str, names: Sequence[str], **columns: Any) -> Path:
        """tomograms.star of a job, with tilt series of five tilts; a list gives a column, None leaves it out."""
        n = len(names)
        for name in names:
            table = {relion.TOMO_Y_TILT: np.arange(-20.0, 21, 10), relion.MICROGRAPH_NAME: [f"frames/{name}_{i}.mrc" for i in range(5)]}
            write_star(self.root / job / f"tilt_series/{name}.star", [StarBlock.loop(name, table)])
        table = {
            relion.TOMO_NAME: names,
            relion.TOMO_TILT_SERIES_STAR_FILE: [f"{job}/tilt_series/{name}.star" for name in names],
            relion.VOLTAGE: ["300.000000"] * n,
            relion.SPHERICAL_ABERRATION: ["2.700000"] * n,
            relion.AMPLITUDE_CONTRAST: ["0.100000"] * n,
            relion.TILT_SERIES_PIXEL_SIZE: ["5.000000"] * n,
            relion.TOMO_HAND: ["-1.000000"] * n,
            relion.OPTICS_GROUP_NAME: ["optics1"] * n,
            **{
                label: [size] * n
                for label, size in zip((relion.TOMO_SIZE_X, relion.TOMO_SIZE_Y, relion.TOMO_SIZE_Z), (400, 380, 200), strict=True)
            },
        }
        table = {label: values for label, values in (table | columns).items() if values is not None}
        write_star(self.root / job / "tomograms.star", [StarBlock.loop(relion.GLOBAL, table)])
        return self.root / job / "tomograms.star"

    def particles(
        self, names: Sequence[str], images: str | None = "Extract/jobX", optics: dict | None = None, **columns: Any
    ) -> ParticleSet:
        """Particles at random with every pose column; `columns` by label, None leaves one out."""
        n = len(names)
        table: dict[str, Any] = {relion.TOMO_NAME: list(names)}
        for labels, values in (
            (relion.CENTRED, self.rng.uniform(-900, 900, (n, 3))),
            (relion.ORIGINS, self.rng.uniform(-20, 20, (n, 3))),
            (relion.ANGLES, matrix_to_euler(random_matrices(n, self.rng))),
            (relion.SUBTOMOGRAM_ANGLES, matrix_to_euler(random_matrices(n, self.rng))),
        ):
            table |= dict(zip(labels, values.T, strict=True))
        table |= {relion.RANDOM_SUBSET: [1 + i % 2 for i in range(n)], relion.OPTICS_GROUP: [1] * n}
        if images is not None:
            table |= {
                relion.IMAGE_NAME: [f"{images}/{i}_data.mrc" for i in range(n)],
                relion.CTF_IMAGE: [f"{images}/{i}_weights.mrc" for i in range(n)],
            }
        table = {label: values for label, values in (table | columns).items() if values is not None}
        made = optics if optics is not None else (OPTICS | (EXTRACTED if images is not None else {}))
        return ParticleSet.create(table, made or None, are_2d_stacks=False if images is not None else None)

    def write(self, job: str, particles: ParticleSet, tomograms: Path | None, trajectories: str | None = None) -> Path:
        """The files of a job; its optimisation set."""
        write_particles(self.root / job / "particles.star", particles)
        cell = None if tomograms is None else tomograms.relative_to(self.root).as_posix()
        path = self.root / job / "optimisation_set.star"
        write_optimisation_set(path, particles=f"{job}/particles.star", tomograms=cell, trajectories=trajectories)
        return path

    def join(self, *sets: Path, job: str = "JoinStar/job009", **options: Any) -> JobResult:
        folder = JobFolder(Project(self.root), self.root / job)
        folder.path.mkdir(parents=True, exist_ok=True)
        return run(JoinOptions(sets=sets, **options), folder, self.listener)
