"""Optimisation sets: one row of paths to particles, tomograms and trajectories."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_subtomo.errors import FileFormatError, InputError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import Project, find_project
from napari_subtomo.io.star import StarBlock, StarFile, read_star, write_star
from napari_subtomo.io.tomograms import TomogramSet, read_tomograms
from napari_subtomo.options.base import InputOptions


@dataclass(frozen=True, eq=False)
class OptimisationSet:
    """Paths of an optimisation set as they stand in the file; None where there is none.

    Attributes
    ----------
    particles, tomograms, trajectories, manifolds : str or None
    star : StarFile or None
        The file as text.
    path : Path or None
    """

    particles: str | None
    tomograms: str | None
    trajectories: str | None = None
    manifolds: str | None = None
    star: StarFile | None = None
    path: Path | None = None


def read_optimisation_set(path: str | Path) -> OptimisationSet:
    """Read an optimisation set: the first table of the file, a list (as RELION writes) or a loop of one row (as its picker writes).

    Raises
    ------
    FileMissingError, FileFormatError
        No such file, or no row of paths.
    """
    star = read_star(path)
    block = star.first

    def cell(label: str) -> str | None:
        text = block.text(label, "")
        return None if text in relion.NOT_AVAILABLE else text

    if len(block) != 1 or not (block.has(relion.TOMO_PARTICLES_FILE) or block.has(relion.TOMO_TOMOGRAMS_FILE)):
        raise FileFormatError(
            f"Expected an optimisation set (one row with _{relion.TOMO_PARTICLES_FILE} and _{relion.TOMO_TOMOGRAMS_FILE}) in {path}, "
            f"found {len(block)} rows of {', '.join(block.labels) or 'nothing'}."
        )
    return OptimisationSet(
        cell(relion.TOMO_PARTICLES_FILE),
        cell(relion.TOMO_TOMOGRAMS_FILE),
        cell(relion.TOMO_TRAJECTORIES_FILE),
        cell(relion.TOMO_MANIFOLDS_FILE),
        star,
        Path(path),
    )


def write_optimisation_set(
    path: str | Path, *, particles: str | None = None, tomograms: str | None = None, trajectories: str | None = None
) -> None:
    """Write an optimisation set as RELION does: an unnamed list.

    Parameters
    ----------
    path : str or Path
    particles, tomograms, trajectories : str, optional
        Cells as `Project.name` or `JobFolder.name` give them: relative to the project, absolute outside of it.
    """
    values = {
        relion.TOMO_PARTICLES_FILE: particles,
        relion.TOMO_TOMOGRAMS_FILE: tomograms,
        relion.TOMO_TRAJECTORIES_FILE: trajectories,
    }
    write_star(path, [StarBlock.list("", {label: value for label, value in values.items() if value})])


def resolve_inputs(
    options: InputOptions, project: Project | str | Path | None = None
) -> tuple[ParticleSet, TomogramSet | None, Path | None]:
    """The inputs that options name: an optimisation set, or single files that override its entries.

    Parameters
    ----------
    options : InputOptions
    project : Project, str or Path, optional
        What paths in STAR files are relative to; found from the first file that is named when missing. Paths in `options` themselves
        are relative to the current folder, or to the project where nothing is found there.

    Returns
    -------
    particles : ParticleSet
    tomograms : TomogramSet or None
        None where neither the options nor the set, nor the one beside the particles, names one.
    trajectories : Path or None

    Raises
    ------
    InputError
        No particles are named, or files are missing or wrong.
    """
    project = resolve_project(options, project)
    particles, tomograms, trajectories = input_paths(options, project)
    if particles is None:
        raise InputError("Expected particles, found none; give --particles or --optimisation-set.")
    if tomograms is None:
        return read_particles(particles), None, trajectories
    home = project if tomograms.is_relative_to(project.root) else None  # tomograms of another project know its files
    return read_particles(particles), read_tomograms(tomograms, home), trajectories


def resolve_project(options: InputOptions, explicit: Project | str | Path | None = None) -> Project:
    """The project of the options: `explicit`, else found from the first file that they name."""
    if isinstance(explicit, Project):
        return explicit
    named = (options.optimisation_set, options.particles, options.tomograms)
    return find_project(next((path for path in named if path is not None), None), explicit)


def input_paths(options: InputOptions, project: Project) -> tuple[Path | None, Path | None, Path | None]:
    """Absolute paths of particles, tomograms and trajectories that the options name; None where there is none.

    Tomograms that no option names are those of the optimisation set beside the particles, and then its trajectories too.
    """
    entries: tuple[str | None, str | None, str | None] = (None, None, None)
    if options.optimisation_set is not None:
        found = read_optimisation_set(user_path(options.optimisation_set, project))
        entries = (found.particles, found.tomograms, found.trajectories)

    def pick(own: Path | None, entry: str | None) -> Path | None:
        if own is not None:
            return user_path(own, project)
        return None if entry is None else project.resolve(entry)

    particles, tomograms, trajectories = (
        pick(own, entry) for own, entry in zip((options.particles, options.tomograms, options.trajectories), entries, strict=True)
    )
    beside = set_beside(particles) if tomograms is None and particles is not None else None
    if beside is not None and beside.tomograms is not None and project.resolve(beside.tomograms).is_file():
        tomograms = project.resolve(beside.tomograms)
        if trajectories is None and beside.trajectories is not None and project.resolve(beside.trajectories).is_file():
            trajectories = project.resolve(beside.trajectories)
    return particles, tomograms, trajectories


def set_beside(particles: Path) -> OptimisationSet | None:
    """The optimisation set in the folder of a particle file that names this file: what its job knew of tomograms and trajectories."""
    names = [particles.name.replace("_data.star", "_optimisation_set.star"), "optimisation_set.star"]
    for path in (particles.with_name(name) for name in names if name != particles.name):
        if path.is_file():
            found = read_optimisation_set(path)
            if found.particles is not None and Path(found.particles).name == particles.name:
                return found
    return None


def user_path(path: Path, project: Project) -> Path:
    """A path that the user named: relative to the current folder, or to the project where nothing is found there."""
    here = Path.cwd() / path
    return here if here.exists() or not project.resolve(path).exists() else project.resolve(path)
