"""The project folder that paths are relative to, and job folders in it (made and ended by `job_folders.py`)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from napari_subtomo.errors import FileMissingError, SubtomoError
from napari_subtomo.io import relion
from napari_subtomo.io.pipeline import PIPELINE_FILE
from napari_subtomo.io.star import StarFile, read_star

_PROBES = 8  # paths that are tried of each column
_STAMP = re.compile(r"^\d+@")


def _absolute(path: str | Path) -> Path:
    """Absolute and without `..`, links left as they are: a link in a project belongs to the project."""
    return Path(os.path.abspath(path))


@dataclass(frozen=True)
class Project:
    """A project folder.

    Attributes
    ----------
    root : Path
        Absolute.
    """

    root: Path

    def __post_init__(self) -> None:
        """Make the root absolute."""
        object.__setattr__(self, "root", _absolute(self.root))

    def resolve(self, text: str | Path) -> Path:
        """The absolute path of a STAR cell; an image number before `@` is dropped."""
        return _absolute(self.root / _STAMP.sub("", str(text)))

    def name(self, path: str | Path) -> str:
        """What a STAR cell says for `path`: relative to the project inside of it, absolute outside, with forward slashes."""
        path = _absolute(path if Path(path).is_absolute() else self.root / path)
        for root, candidate in ((self.root, path), (self.root.resolve(), path.resolve())):
            if candidate.is_relative_to(root):
                return candidate.relative_to(root).as_posix()
        return path.as_posix()

    @property
    def has_pipeline(self) -> bool:
        """Whether RELION's pipeline file is here."""
        return (self.root / PIPELINE_FILE).is_file()


def find_project(star_path: str | Path | None, explicit: str | Path | None = None) -> Project:
    """The project folder of a STAR file.

    In this order: `explicit`; the folder above the file in which most of its paths resolve (the nearest one of equals); a folder
    above it with RELION's pipeline; the current folder.

    Parameters
    ----------
    star_path : str, Path or None
        Any STAR file of the project.
    explicit : str or Path, optional
        The folder that the user named.

    Raises
    ------
    FileMissingError
        `explicit` is no folder.
    """
    if explicit is not None:
        if not Path(explicit).is_dir():
            raise FileMissingError(f"Expected the project folder {explicit}, found no folder there; check --project.")
        return Project(Path(explicit))
    if star_path is None:
        return Project(Path.cwd())
    star_path = _absolute(star_path)
    try:
        texts = _probe_paths(read_star(star_path))
    except SubtomoError:
        texts = []
    above = list(star_path.parents)
    hits = [sum((folder / text).exists() for text in texts) for folder in above]
    if any(hits):
        return Project(above[hits.index(max(hits))])
    for folder in above:
        if (folder / PIPELINE_FILE).is_file():
            return Project(folder)
    return Project(Path.cwd())


def _probe_paths(star: StarFile) -> list[str]:
    """Some relative paths of a STAR file."""
    texts: list[str] = []
    for block in star:
        for label in block.columns:
            if label in relion.PATH_LABELS:
                values = [_STAMP.sub("", t) for t in dict.fromkeys(block.texts(label)[: 50 * _PROBES])]
                texts += [t for t in values if t not in relion.NOT_AVAILABLE and not Path(t).is_absolute()][:_PROBES]
    return texts


@dataclass(frozen=True)
class JobFolder:
    """A folder that one job writes to.

    Attributes
    ----------
    project : Project
    path : Path
        Absolute.
    registered : bool
        Whether RELION's pipeline lists the job.
    """

    project: Project
    path: Path
    registered: bool = False

    def __post_init__(self) -> None:
        """Make the path absolute."""
        object.__setattr__(self, "path", _absolute(self.path))

    def file(self, name: str) -> Path:
        """Absolute path of a file in the folder."""
        return self.path / name

    def name(self, name: str | Path = "") -> str:
        """What a STAR cell says for a file of the folder (`name` relative to it, or absolute)."""
        return self.project.name(self.path / name)

    def link(self, path: str | Path) -> str:
        """What a STAR cell in this folder says for another file: absolute if the folder lies outside the project."""
        cell = self.project.name(path)
        return cell if not Path(self.name()).is_absolute() else self.project.resolve(cell).as_posix()


def allocate_job(project: Project, kind: str, output: str | Path | None = None, *, command: str = "napari-subtomo") -> JobFolder:
    """Make the folder of a new job; see `job_folders.allocate`."""
    from napari_subtomo.io import job_folders

    return job_folders.allocate(project, kind, output, command=command)
