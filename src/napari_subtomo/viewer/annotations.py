"""Kept particles as a picking job: particles.star, optimisation_set.star, and annotations as RELION's picker has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.job_folders import allocate, finish, job_folders
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.particles import write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.viewer.saving import Saved, kept_particles
from napari_subtomo.viewer.session import Session

FOLDER = "Picks"


def next_folder(session: Session) -> Path:
    """The picking job that saving would make: the number after the highest of the project."""
    project = Project(session.project)
    number = max((number for number, _ in job_folders(project)), default=0) + 1
    return project.root / FOLDER / f"job{number:03d}"


def save_annotations(session: Session, folder: Path, overwrite: bool = False) -> Saved:
    """Write the kept particles of all tomograms into a folder.

    Parameters
    ----------
    session : Session
    folder : Path
        A new or empty folder.
    overwrite : bool
        Replace what was saved there before.

    Returns
    -------
    Saved

    Raises
    ------
    InputError
        The folder is taken.
    """
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"Expected a new or empty folder for the particles, found files in {folder}; choose another one.")
    particles, saved = kept_particles(session)
    project = Project(session.project)
    job = JobFolder(project, folder) if folder.is_dir() else allocate(project, FOLDER, folder, command="napari-subtomo: saved in napari")
    write_particles(job.file("particles.star"), particles)
    tomograms = None if session.tomograms_path is None else project.name(session.tomograms_path)
    write_optimisation_set(job.file("optimisation_set.star"), particles=job.name("particles.star"), tomograms=tomograms)
    (folder / "annotations").mkdir(exist_ok=True)
    living = session.table.alive & session.kept
    for tomogram in session.tomograms:
        here = session.table.tomograms == tomogram.name
        if here.any():
            frame = tomogram.frame
            write_annotation(folder, tomogram.name, frame.unbinned(session.table.positions[here & living]) / frame.binning)
    inputs = [] if tomograms is None else [tomograms]
    finish(job, "Succeeded", inputs, [job.name("particles.star"), job.name("optimisation_set.star")])
    job.file("RELION_JOB_EXIT_SUCCESS").touch()
    return replace(saved, path=job.file("particles.star"))


def write_annotation(folder: Path, tomogram: str, voxels_xyz: np.ndarray) -> Path:
    """Write `annotations/<tomogram>_particles.star`: points (n, 3) in voxels of the tomogram's file, xyz; no points are legal."""
    path = folder / "annotations" / f"{tomogram}_particles.star"
    columns: dict[str, Any] = {relion.TOMO_NAME: [tomogram] * len(voxels_xyz)}
    columns |= {label: voxels_xyz[:, axis] for axis, label in enumerate(relion.COORDINATES)}
    write_star(path, [StarBlock.loop(FOLDER.lower(), columns)])
    return path
