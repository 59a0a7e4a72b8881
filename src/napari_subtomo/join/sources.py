"""The sets that are to be joined, as they were read, with paths that hold in the project of the joined set."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import resolve_inputs, set_beside, user_path
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.project import Project, find_project
from napari_subtomo.io.star import StarBlock, read_star
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.io.trajectories import Trajectories, read_trajectories
from napari_subtomo.options.base import InputOptions

_STAMP = re.compile(r"^(\d+@)?(.*)$")


@dataclass(frozen=True, eq=False)
class Source:
    """One of the sets.

    Attributes
    ----------
    path : Path
        The file that the user named.
    particles : ParticleSet
    tomograms : TomogramSet or None
    trajectories : Trajectories or None
    project : Project
        What paths in its files are relative to.
    """

    path: Path
    particles: ParticleSet
    tomograms: TomogramSet | None
    trajectories: Trajectories | None
    project: Project

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tomograms that particles lie in, each once."""
        return tuple(dict.fromkeys(self.particles.tomo_names))


def read_source(path: Path, home: Project, tomograms: TomogramSet | None = None) -> Source:
    """Read a set.

    Parameters
    ----------
    path : Path
        An optimisation set or a particle file, as the user named it.
    home : Project
        The project of the joined set; a file outside of it belongs to a project of its own.
    tomograms : TomogramSet, optional
        Taken in place of those that the set names, which then need not be there.

    Raises
    ------
    InputError
        No such files, no particles in them, or particles of RELION 3.1, which do not name tomograms.
    """
    path = user_path(path, home)
    project = home if path.is_relative_to(home.root) else find_project(path)
    is_set = any(block.has(relion.TOMO_PARTICLES_FILE) for block in read_star(path))
    given = {"optimisation_set": path} if is_set else {"particles": path}
    if tomograms is not None and tomograms.path is not None:
        given["tomograms"] = tomograms.path
    particles, own, trajectories = resolve_inputs(InputOptions(**given), project)
    beside = None if is_set or trajectories is not None else set_beside(path)
    if beside is not None and beside.trajectories is not None and project.resolve(beside.trajectories).is_file():
        trajectories = project.resolve(beside.trajectories)
    if particles.n == 0:
        raise InputError(f"Expected particles in {particles.path}, found none; leave the set out.")
    if particles.dialect == "relion31":
        raise InputError(
            f"Expected particles that name their tomograms (_{relion.TOMO_NAME}) in {particles.path}, found those of RELION 3.1; "
            "bring them into the columns of RELION 5 first."
        )
    moved = None if trajectories is None else read_trajectories(trajectories)
    return Source(path, particles, own if tomograms is None else tomograms, moved, project)


def at_home(source: Source, home: Project) -> Source:
    """The set with paths that hold in the project `home`: absolute ones where it comes from another project.

    Tilt-series files are left as they are; `tomograms.copied_series` makes those of another project readable from here.
    """
    if source.project.root == home.root:
        return source
    particles = source.particles
    star = particles.star.replace(absolute_paths(particles.table, source.project))
    tomograms = source.tomograms
    if tomograms is not None:
        tomograms = replace(tomograms, star=tomograms.star.replace(absolute_paths(tomograms.table, tomograms.project)))
    return replace(source, particles=replace(particles, star=star), tomograms=tomograms)


def absolute_paths(block: StarBlock, project: Project) -> StarBlock:
    """The table with absolute paths: in all columns that RELION keeps paths in, and in others whose first file is there."""
    for label, texts in block.columns.items():
        named = [text for text in texts if text not in relion.NOT_AVAILABLE]
        if named and (label in relion.PATH_LABELS or ("/" in named[0] and project.resolve(named[0]).is_file())):
            block = block.with_column(label, [_absolute(text, project) for text in texts])
    return block


def _absolute(text: str, project: Project) -> str:
    if text in relion.NOT_AVAILABLE:
        return text
    match = _STAMP.match(text)
    assert match is not None
    return f"{match[1] or ''}{project.resolve(match[2]).as_posix()}"
