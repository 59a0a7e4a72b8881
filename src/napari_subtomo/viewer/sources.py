"""What there is to look at in a folder: selections, classifications, particle sets, and the tomograms they belong to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from napari_subtomo.errors import FileMissingError, InputError, SubtomoError
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.project import Project, find_project
from napari_subtomo.io.relion import (
    EXPERIMENTAL_DATA_STAR_FILE,
    MODEL_CLASSES,
    NOT_AVAILABLE,
    OPTIMISER_GENERAL,
    PARTICLES,
    PATH_LABELS,
    TOMO_NAME,
)
from napari_subtomo.io.star import StarFile, read_star

Kind = Literal["selection", "classification", "particles"]
_RANK: dict[Kind, int] = {"selection": 0, "classification": 1, "particles": 2}
_ITERATION = re.compile(r"^(?P<root>.+)_it(?P<number>\d{3})_(?P<what>data|model|optimiser|sampling|optimisation_set)\.star$")
REJECTED_NAMES = ("particles_rejected.star", "rejected.star", "particles_removed.star", "removed.star")


@dataclass(frozen=True)
class Source:
    """One thing to show.

    Attributes
    ----------
    title : str
        Folder inside the project and, for a classification, the iteration.
    kind : "selection", "classification" or "particles"
    particles : Path
        STAR file whose particles are kept ones.
    rejected : Path or None
        STAR file of the particles that were turned down.
    optimisation_set : Path or None
    """

    title: str
    kind: Kind
    particles: Path
    rejected: Path | None = None
    optimisation_set: Path | None = None

    @property
    def folder(self) -> Path:
        """The job folder."""
        return self.particles.parent


def job_folders(root: Path) -> list[Path]:
    """Folders that can be jobs: `root` itself, its folders and theirs; newest job number first."""
    folders = [root]
    for child in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        folders.append(child)
        folders.extend(sorted(path for path in child.glob("job[0-9]*") if path.is_dir()))
    return sorted(folders, key=_age, reverse=True)


def _age(folder: Path) -> tuple[int, str]:
    """Later jobs have higher numbers; folders without a number come first, by name."""
    match = re.fullmatch(r"job(\d+)", folder.name)
    return (int(match.group(1)) if match else -1), str(folder)


def iterations(folder: Path, what: str = "data") -> dict[int, Path]:
    """Iteration -> its `run_itNNN_<what>.star` in a job folder, ascending."""
    found: dict[int, Path] = {}
    for path in folder.glob(f"*_it[0-9][0-9][0-9]_{what}.star"):
        match = _ITERATION.match(path.name)
        if match:
            found[int(match.group("number"))] = path
    return dict(sorted(found.items()))


def class_folders(project: Project) -> list[Path]:
    """Folders with a classification (models of iterations), newest first."""
    return [folder for folder in job_folders(project.root) if iterations(folder, "model")]


def source_in(folder: Path, project: Project) -> Source | None:
    """What one folder offers: its last iteration, or its particles.star; None if neither is there."""
    name = "." if folder.resolve() == project.root.resolve() else project.name(folder)
    steps = iterations(folder)
    whole = steps.keys() & iterations(folder, "optimiser").keys()  # the one that is being written has no optimiser yet
    if steps:
        number = max(whole or steps)
        path = steps[number]
        return Source(f"{name}, iteration {number}", "classification", path, None, _set_beside(path))
    for candidate in ("particles.star", "run_data.star"):
        path = folder / candidate
        if path.is_file():
            rejected = next((folder / other for other in REJECTED_NAMES if (folder / other).is_file()), None)
            chosen = rejected is not None or folder.parent.name == "Select" or folder.name == "Select"
            return Source(name if name != "." else candidate, "selection" if chosen else "particles", path, rejected, _set_beside(path))
    return None


def find_sources(project: Project) -> list[Source]:
    """All that a project offers: selections, then classifications, then particle sets; the newest of each first."""
    found = [source for folder in job_folders(project.root) if (source := source_in(folder, project)) is not None]
    return sorted(found, key=lambda source: _RANK[source.kind])  # stable: the order by age stays


def source_of(path: Path, project: Project | None = None) -> tuple[Project, Source | None]:
    """Project and source of a project folder, a job folder or a STAR file.

    Parameters
    ----------
    path : Path
        Folder; or particles, data, optimiser, model, optimisation-set or tomograms STAR file.
    project : Project, optional
        Given, it is not searched for.

    Returns
    -------
    tuple of Project and Source
        Source None for a project with tomograms alone.

    Raises
    ------
    FileMissingError
        The path, or a file that it names, is not there.
    InputError
        A folder or file with nothing to show in it.
    """
    path = path.resolve()
    if path.is_dir():
        return _folder_source(path, project)
    star = read_star(path)
    project = project or project_of(path)
    if star.get(PARTICLES) is not None or (len(star.blocks) == 1 and star.first.has(TOMO_NAME) and _looks_like_particles(star)):
        return project, _file_source(path, project)
    if star.get(OPTIMISER_GENERAL) is not None:
        return project, _file_source(_named(project, star[OPTIMISER_GENERAL].text(EXPERIMENTAL_DATA_STAR_FILE), path), project)
    if star.get(MODEL_CLASSES) is not None and _ITERATION.match(path.name):
        data = path.with_name(path.name.replace("_model.star", "_data.star"))
        return project, _file_source(_existing(data, path), project)
    if star.first.has(TOMO_NAME):
        return project, None
    try:
        named = read_optimisation_set(path).particles
    except SubtomoError:
        named = None
    if named is None:
        found = ", ".join(f"data_{name}" for name in star.names[:4])
        raise InputError(f"Expected particles, tomograms, an optimiser, a model or an optimisation set in {path}, found {found}.")
    source = _file_source(_named(project, named, path), project)
    return project, Source(source.title, source.kind, source.particles, source.rejected, path)


def project_of(path: Path) -> Project:
    """The project of a project folder, a job folder or a STAR file.

    A STAR file none of whose paths is there belongs to the nearest folder above it, and above its job folder, that has tomograms.
    """
    path = path.resolve()
    if path.is_dir():
        probe = next((found for found in sorted(path.glob("*.star")) if found.name != "tomograms.star"), None)
        is_job = re.fullmatch(r"job\d+", path.name) is not None or bool(iterations(path, "model"))
        return project_of(probe) if is_job and probe is not None else Project(path)
    project = find_project(path)
    if path.is_relative_to(project.root) and (project.has_pipeline or _resolves(read_star(path), project)):
        return project
    in_job = re.fullmatch(r"job\d+", path.parent.name) is not None
    for folder in path.parents[2 if in_job else 0 :]:
        if (folder / "tomograms.star").is_file() or any(folder.glob("*/job[0-9]*/tomograms.star")):
            return Project(folder)
    return Project(path.parent)


def _resolves(star: StarFile, project: Project) -> bool:
    """Whether a file that a STAR file names lies in the project."""
    for block in star:
        for label in PATH_LABELS & set(block.labels):
            texts = [text for text in dict.fromkeys(block.texts(label)[:50]) if text not in NOT_AVAILABLE and not Path(text).is_absolute()]
            if any(project.resolve(text).exists() for text in texts[:4]):
                return True
    return False


def _folder_source(folder: Path, project: Project | None) -> tuple[Project, Source | None]:
    project = project or project_of(folder)
    if folder.resolve() != project.root.resolve():
        source = source_in(folder, project)
        if source is None:
            raise InputError(f"Expected particles.star or run_itNNN_data.star in the job folder {folder}, found neither.")
        return project, source
    sources = find_sources(project)
    if not sources and not any((root / "tomograms.star").is_file() for root in job_folders(project.root)):
        raise InputError(f"Expected a project folder with tomograms.star or job folders, found neither in {folder}.")
    return project, sources[0] if sources else None


def _file_source(path: Path, project: Project) -> Source:
    match = _ITERATION.match(path.name)
    folder = path.parent
    name = project.name(folder) if folder.resolve() != project.root.resolve() else path.name
    if match:
        return Source(f"{name}, iteration {int(match.group('number'))}", "classification", path, None, _set_beside(path))
    whole = source_in(folder, project)
    if whole is not None and whole.particles.resolve() == path.resolve():
        return whole
    return Source(project.name(path), "particles", path, None, _set_beside(path))


def _set_beside(path: Path) -> Path | None:
    """The optimisation set that lies beside a particle file and belongs to it, if any."""
    match = _ITERATION.match(path.name)
    names = [f"{match.group('root')}_it{match.group('number')}_optimisation_set.star"] if match else []
    names += ["run_optimisation_set.star"] if path.name == "run_data.star" else []
    names += ["optimisation_set.star"] if not match else []
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def tomogram_files(project: Project, source: Source | None) -> list[Path]:
    """Files that can describe the tomograms: the one the source's optimisation set names, then those of the project, newest first."""
    found: list[Path] = []
    if source is not None and source.optimisation_set is not None:
        try:
            named = read_optimisation_set(source.optimisation_set).tomograms
        except SubtomoError:
            named = None
        if named and project.resolve(str(named)).is_file():
            found.append(project.resolve(str(named)))
    for folder in job_folders(project.root):
        path = folder / "tomograms.star"
        if path.is_file() and path.resolve() not in {other.resolve() for other in found}:
            found.append(path)
    return found


def _looks_like_particles(star: StarFile) -> bool:
    return len(set(star.first.texts(TOMO_NAME))) < len(star.first)


def _named(project: Project, text: str | Path, by: Path) -> Path:
    return _existing(project.resolve(str(text)), by)


def _existing(path: Path, by: Path) -> Path:
    if not path.is_file():
        raise FileMissingError(f"Expected the file {path}, which {by.name} names, found nothing there; copy it into the project.")
    return path
