"""What the dock of classes reads at once, beside the window: the classifications of a project and one iteration of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_subtomo.data.result import JobResult
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.jobs.runner import run_job
from napari_subtomo.options.base import JobOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.choosing import next_job
from napari_subtomo.viewer.columns import colour_columns
from napari_subtomo.viewer.gallery import Gallery, SliceCache, Slices, grey_limits, read_gallery
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.sources import class_folders, iterations, project_of, source_of


@dataclass(frozen=True, eq=False)
class Shelf:
    """Classifications of a project, and one of them opened.

    Attributes
    ----------
    project : Project
    folders : tuple of Path
        Job folders with classes, newest first; an opened one of another place is there too.
    iterations : tuple of int
        Of the opened one.
    gallery : Gallery or None
        None if the project has no classification.
    slices : mapping of int to (Slices or None)
        Class number -> central slices.
    limits : tuple of float
        Grey limits from the maps.
    next_job : str
        The job that saving would make, e.g. "Select/job007".
    """

    project: Project
    folders: tuple[Path, ...] = ()
    iterations: tuple[int, ...] = ()
    gallery: Gallery | None = None
    slices: Mapping[int, Slices | None] = field(default_factory=dict)
    limits: tuple[float, float] = (0.0, 1.0)
    next_job: str = ""


def read_shelf(project: Project, folder: Path | None, iteration: int | None, cache: SliceCache, reporter: Reporter) -> Shelf:
    """Read a classification of the project.

    Parameters
    ----------
    project : Project
    folder : Path, optional
        Without it the newest classification.
    iteration : int, optional
        Without it, or where the folder has no such iteration, the last one.
    cache : SliceCache
        Keeps slices of maps between calls.
    reporter : Reporter

    Raises
    ------
    SubtomoError
        A file of the iteration cannot be read.
    """
    folders = class_folders(project)
    chosen = folder if folder is not None else next(iter(folders), None)
    saves = next_job(project, "Select")
    if chosen is None:
        return Shelf(project, next_job=saves)
    if chosen.resolve() not in {one.resolve() for one in folders}:
        folders.append(chosen)
    numbers = tuple(iterations(chosen, "model"))
    gallery = read_gallery(chosen, iteration if iteration in numbers else None, project)
    reporter.stage(f"Reading the classes of {gallery.title}", len(gallery.entries), "maps")
    slices: dict[int, Slices | None] = {}
    for entry in gallery.entries:
        slices[entry.number] = cache.read(entry)
        reporter.advance()
    limits = grey_limits(list(slices.values()), [entry.fraction for entry in gallery.entries])
    return Shelf(project, tuple(folders), numbers, gallery, slices, limits, saves)


def place_of(path: Path) -> tuple[Project, Path, int | None]:
    """Project, job folder and iteration of a file of a classification (model, optimiser or data)."""
    for what in ("model", "optimiser", "data"):
        for number, found in iterations(path.parent, what).items():
            if found.name == path.name:
                return project_of(path), path.parent, number
    return project_of(path), path.parent, None


def load_iteration(gallery: Gallery) -> Session:
    """The particles of an iteration, to be shown on their tomograms. Errors as in `load_session`."""
    return _looked_through(load_session(gallery.data, gallery.project))


def run_and_load(name: str, options: JobOptions, project: Project, reporter: Reporter) -> tuple[JobFolder, JobResult, Session]:
    """Run a job that leaves particles, and read them. Errors as in `run_job` and `load_session`."""
    folder, result = run_job(name, options, project=project, reporter=reporter)
    return folder, result, _looked_through(load_session(folder.path, project, source_of(folder.path, project)[1]))


def _looked_through(session: Session) -> Session:
    """The session, after what looks at every cell of its particles was done here rather than in the window's thread."""
    colour_columns(session.table)  # remembered
    return session
