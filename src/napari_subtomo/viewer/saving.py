"""Kept particles back to a particle set: every row and column that was not changed keeps its text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.annotations import write_annotations
from napari_subtomo.io.job_folders import allocate, finish, job_folders
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import write_star
from napari_subtomo.pick.fresh import make_particles, orientation_columns
from napari_subtomo.pick.job import ANNOTATIONS, as_relion5, particle_annotations
from napari_subtomo.pick.rejoin import join_particles, stable_ids
from napari_subtomo.pick.sources import Picks
from napari_subtomo.viewer.picking.files import annotations_of, tomograms_of
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.table import ADDED, ParticleTable

#: RELION's folder of picking jobs.
FOLDER = "Picks"


@dataclass(frozen=True)
class Saved:
    """What saving did.

    Attributes
    ----------
    path : Path
    particles, moved, added, removed : int
        Rows written; of them moved and added by hand; rows of the file that were deleted by hand.
    """

    path: Path
    particles: int
    moved: int = 0
    added: int = 0
    removed: int = 0

    @property
    def sentence(self) -> str:
        """One line for the user."""
        changes = [f"{count} {what}" for count, what in ((self.moved, "moved"), (self.added, "added"), (self.removed, "deleted")) if count]
        edited = f" ({', '.join(changes)})" if changes else ""
        stale = "; extract again before you average or classify them" if self.moved or self.added else ""
        return f"{self.particles} particle{'s' * (self.particles != 1)}{edited} saved to {self.path}{stale}."


def kept_particles(session: Session) -> tuple[ParticleSet, Saved]:
    """The kept particles of all tomograms as one set.

    Without edits these are rows of the file as they are. Of a moved particle the coordinates change; particles added by hand come last
    (`pick.newrows`); rows that were neither keep every cell.

    Returns
    -------
    ParticleSet, Saved
        The set, and how it differs from the file (`path` is empty).

    Raises
    ------
    InputError
        There is no tomogram set to place edited particles in.
    """
    table = session.table
    living = table.alive & session.kept
    own = np.flatnonzero(living & (table.source == 0))
    new = np.flatnonzero(living & (table.source == ADDED))
    if not session.sets:
        particles = _fresh(table, new)
        return particles, Saved(Path(), particles.n, added=particles.n)
    base = session.sets[0]
    if not _touched(session, base, own, new):
        rows = table.row[own]
        whole = np.array_equal(rows, np.arange(base.n))
        return base if whole else base.select(rows), Saved(Path(), len(rows))
    if session.tomogram_set is None:
        raise InputError("Expected the tomogram set of the edited particles, found none; open the project or its tomograms.star.")
    kept_rows = np.sort(table.row[(table.source == 0) & session.kept])  # deleted ones too: joining counts them
    base, ids = stable_ids(as_relion5(base.select(kept_rows), session.tomogram_set))
    id_of = dict(zip(kept_rows.tolist(), ids, strict=True))
    chosen = np.concatenate([own, new])
    picks = Picks(tuple(str(name) for name in table.tomograms[chosen]), table.positions[chosen])
    keys = [*(id_of[int(row)] for row in table.row[own]), *([""] * len(new))]
    columns = _orientation_columns(table.orientations[new])
    if columns:  # of the new ones: particles of the file have theirs, or none
        base = _with_orientations(base)
        columns = {label: np.concatenate([np.zeros(len(own)), values]) for label, values in columns.items()}
    joined = join_particles(base, picks, session.tomogram_set, keys, columns)
    return joined.particles, Saved(Path(), joined.particles.n, joined.moved, joined.added, joined.dropped)


def _touched(session: Session, base: ParticleSet, own: npt.NDArray[np.int64], new: npt.NDArray[np.int64]) -> bool:
    """Whether the kept particles are more than rows of the file as they are."""
    table = session.table
    deleted = ~table.alive & (table.source == 0) & session.kept
    if len(new) or deleted.any():
        return True
    if len(own) == 0:
        return False
    return not np.array_equal(base.positions(session.tomogram_set)[table.row[own]], table.positions[own])


def _fresh(table: ParticleTable, new: npt.NDArray[np.int64]) -> ParticleSet:
    """Particles of no file, with the columns that the `pick` job gives to points and to particles on spheres."""
    names = [str(name) for name in table.tomograms[new]]
    return make_particles(names, table.positions[new], _orientation_columns(table.orientations[new]))


def _orientation_columns(orientations: npt.NDArray[np.float64]) -> dict[str, Any]:
    """Columns of known orientations, 0 for unknown ones; none if all are unknown."""
    known = np.isfinite(orientations).all(axis=(1, 2))
    if not known.any():
        return {}
    columns: dict[str, Any] = {}
    for label, values in orientation_columns(orientations[known]).items():
        columns[label] = np.zeros(len(orientations))
        columns[label][known] = values
    return columns


def _with_orientations(base: ParticleSet) -> ParticleSet:
    """The set with all columns of an orientation: what lacks says no more than before, priors are the angles themselves."""
    zero = np.zeros(base.n)
    labels = (*relion.SUBTOMOGRAM_ANGLES, *relion.ANGLES)
    base = base.with_columns({label: zero for label in labels if not base.has(label)})
    priors = {relion.ANGLE_TILT_PRIOR: relion.ANGLES[1], relion.ANGLE_PSI_PRIOR: relion.ANGLES[2]}
    return base.with_columns({label: base.texts(angle) for label, angle in priors.items() if not base.has(label)})


def save_particles(session: Session, path: Path) -> Saved:
    """Write the kept particles of all tomograms to `path`; the file appears whole or not at all."""
    particles, saved = kept_particles(session)
    write_particles(path, particles)
    return replace(saved, path=Path(path))


def next_folder(session: Session) -> Path:
    """The picking job that saving would make: the number after the highest of the project."""
    project = Project(session.project)
    number = max((number for number, _ in job_folders(project)), default=0) + 1
    return project.root / FOLDER / f"job{number:03d}"


def save_annotations(session: Session, folder: Path, overwrite: bool = False) -> Saved:
    """Write the kept particles of all tomograms as a picking job.

    `particles.star`, `optimisation_set.star`, and in `annotations` for each tomogram the files of its particles and of its spheres
    that RELION's picker opens; a tomogram whose particles or spheres were all deleted gets an empty one. Beside a volume that no STAR
    file describes comes a `tomograms.star`, so that the picks can be opened again.

    Parameters
    ----------
    session : Session
    folder : Path
        A new or empty folder.
    overwrite : bool
        Replace what was saved there before.

    Raises
    ------
    InputError
        The folder is taken, or there are no tomograms.
    """
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"Expected a new or empty folder for the particles, found files in {folder}; choose another one.")
    tomograms = tomograms_of(session)
    particles, saved = kept_particles(session)
    tables = [session.table] if session.saved is None else [session.table, session.saved]
    former = dict.fromkeys(str(name) for table in tables for name in table.tomograms.tolist())
    annotations = particle_annotations(as_relion5(particles, tomograms), tomograms, list(former))
    had_spheres = [sphere.tomogram for sphere in session.saved_spheres]
    annotations += annotations_of(session.spheres, tomograms, had_spheres)
    project = Project(session.project)
    job = JobFolder(project, folder) if overwrite else allocate(project, FOLDER, folder, command="napari-subtomo (saved in napari)")
    for one in annotations:
        write_annotations(job.file(ANNOTATIONS), one)
    write_particles(job.file("particles.star"), particles)
    path = tomograms.path
    if path is None:
        path = job.file("tomograms.star")
        write_star(path, tomograms.star)
    name = project.name(path)
    write_optimisation_set(job.file("optimisation_set.star"), particles=job.name("particles.star"), tomograms=name)
    job.file("RELION_JOB_EXIT_SUCCESS").touch()
    finish(job, "Succeeded", [name], [job.name("particles.star"), job.name("optimisation_set.star")])
    return replace(saved, path=job.file("particles.star"))
