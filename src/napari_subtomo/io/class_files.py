"""The files of one iteration of a classification, found from any of them; of RELION or of this package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, FileMissingError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import StarBlock, StarFile, read_star

_MODEL = re.compile(r"(_half[12])?_model\.star$")
_DATA = re.compile(r"_data\.star$")


@dataclass(frozen=True)
class ClassFiles:
    """Files of one iteration.

    Attributes
    ----------
    given : Path
        The file that the user named.
    data : Path
        Particles with class numbers; may be missing.
    model : Path or None
        None where a particle file stands alone.
    tomograms, trajectories : Path or None
        As the optimiser or the optimisation set of the iteration names them.
    """

    given: Path
    data: Path
    model: Path | None = None
    tomograms: Path | None = None
    trajectories: Path | None = None


@dataclass(frozen=True, eq=False)
class ClassTable:
    """Classes and particles of one iteration.

    Attributes
    ----------
    files : ClassFiles
    particles : ParticleSet
    classes : StarBlock or None
        `model_classes`, one row a class; None without a model.
    numbers : tuple of int
        All class numbers that exist, ascending: rows of the model and numbers in the particle file.
    empty_class : int
        Number of the class without density that takes false picks; 0 where there is none.
    """

    files: ClassFiles
    particles: ParticleSet
    classes: StarBlock | None
    numbers: tuple[int, ...]
    empty_class: int = 0

    @property
    def class_numbers(self) -> npt.NDArray[np.int64]:
        """Class of each particle, shape (n,); 0 for none."""
        return self.particles.class_numbers

    @property
    def hard(self) -> Mapping[int, int]:
        """Particles whose best class it is."""
        found = self.class_numbers
        return {number: int((found == number).sum()) for number in self.numbers}

    @property
    def soft(self) -> Mapping[int, float]:
        """Fraction of the particles by posterior weight (`rlnClassDistribution`); empty without a model."""
        if self.classes is None or not self.classes.has(relion.CLASS_DISTRIBUTION):
            return {}
        return {i: float(value) for i, value in enumerate(self.classes.floats(relion.CLASS_DISTRIBUTION), 1)}


def find_class_files(path: Path, project: Project) -> ClassFiles:
    """The files of the iteration that an optimiser, model or data STAR belongs to.

    A file that is not where a cell says, but stands beside the given one, is taken from there: job folders get copied.

    Raises
    ------
    FileMissingError, FileFormatError
        No such file, or none of the three kinds.
    """
    if path.is_dir():
        raise FileMissingError(
            f"Expected an optimiser, model or data STAR file, found the folder {path}; name a file such as run_it025_optimiser.star."
        )
    star = read_star(path)
    if relion.OPTIMISER_GENERAL in star:
        return _from_optimiser(path, star[relion.OPTIMISER_GENERAL], project)
    if relion.MODEL_CLASSES in star:
        return _with_set(ClassFiles(path, _sibling(path, _MODEL, "_data.star"), path), project)
    if any(block.has(relion.CLASS_NUMBER) for block in star):
        model = _sibling(path, _DATA, "_model.star")
        return _with_set(ClassFiles(path, path, model if model != path and model.is_file() else None), project)
    raise FileFormatError(
        f"Expected an optimiser, model or data STAR file (data_{relion.OPTIMISER_GENERAL}, data_{relion.MODEL_CLASSES} or a column "
        f"_{relion.CLASS_NUMBER}) in {path}, found {', '.join(f'data_{b.name}' for b in star)}."
    )


def _from_optimiser(path: Path, block: StarBlock, project: Project) -> ClassFiles:
    def file(label: str) -> Path | None:
        text = block.text(label, "")
        return None if text in relion.NOT_AVAILABLE else _resolved(text, path, project)

    data = file(relion.EXPERIMENTAL_DATA_STAR_FILE)
    if data is None:
        raise FileFormatError(f"Expected the particles (_{relion.EXPERIMENTAL_DATA_STAR_FILE}) in {block.where}, found none.")
    return ClassFiles(path, data, file(relion.MODEL_STAR_FILE), file(relion.TOMO_TOMOGRAMS_FILE), file(relion.TOMO_TRAJECTORIES_FILE))


def _with_set(files: ClassFiles, project: Project) -> ClassFiles:
    """Tomograms and trajectories from the optimiser or the optimisation set beside the data file."""
    for ending, table in (("_optimiser.star", relion.OPTIMISER_GENERAL), ("_optimisation_set.star", "")):
        beside = _sibling(files.data, _DATA, ending)
        if beside == files.data or not beside.is_file():
            continue
        star: StarFile = read_star(beside)
        block = star.get(table) or star.first
        cells = [block.text(label, "") for label in (relion.TOMO_TOMOGRAMS_FILE, relion.TOMO_TRAJECTORIES_FILE)]
        tomograms, trajectories = (None if c in relion.NOT_AVAILABLE else _resolved(c, beside, project) for c in cells)
        if tomograms is not None:
            return ClassFiles(files.given, files.data, files.model, tomograms, trajectories)
    return files


def _sibling(path: Path, pattern: re.Pattern[str], ending: str) -> Path:
    return path.with_name(pattern.sub(ending, path.name))


def _resolved(text: str, beside: Path, project: Project) -> Path:
    """The file of a cell; the one of that name beside `beside` where the cell leads nowhere."""
    path = project.resolve(text)
    near = beside.absolute().parent / path.name
    return near if not path.exists() and near.exists() else path


def map_path(cell: str, model: Path, project: Project) -> Path | None:
    """File of a class map; None for an image in a stack (2D classes)."""
    return None if "@" in cell else _resolved(cell, model, project)


def read_classes(path: Path, project: Project) -> ClassTable:
    """Particles and classes of an iteration.

    Raises
    ------
    FileMissingError
        Particles or model are missing; the sentence names all files of the iteration that are.
    FileFormatError
        No class numbers.
    """
    files = find_class_files(path, project)
    missing = missing_files(files, project)
    if files.data in missing or (files.model is not None and files.model in missing):
        names = ", ".join(project.name(p) for p in missing)
        remedy = (
            "give the particles alone with --data" if files.data not in missing else "name the project folder that holds them (--project)"
        )
        raise FileMissingError(
            f"Expected the files of the iteration of {files.given.name}, found these missing: {names}; put them back, or {remedy}."
        )
    particles = read_particles(files.data)
    if not particles.has(relion.CLASS_NUMBER):
        raise FileFormatError(f"Expected class numbers (_{relion.CLASS_NUMBER}) in {files.data}, found none; take a later iteration.")
    model = read_star(files.model) if files.model is not None else None
    classes = model[relion.MODEL_CLASSES] if model is not None else None
    numbers = set(range(1, len(classes) + 1)) if classes is not None else set()
    numbers |= {int(number) for number in np.unique(particles.class_numbers) if number > 0}
    general = model.get(relion.MODEL_GENERAL) if model is not None else None
    has_empty = general is not None and general.has(relion.EMPTY_CLASS) and bool(general.ints(relion.EMPTY_CLASS)[0])
    return ClassTable(files, particles, classes, tuple(sorted(numbers)), len(classes) if has_empty and classes is not None else 0)


def missing_files(files: ClassFiles, project: Project) -> list[Path]:
    """Files of the iteration that are not there: particles, model, class maps, tomogram set."""
    wanted = [files.data, *([files.model] if files.model is not None else [])]
    if files.model is not None and files.model.is_file():
        block = read_star(files.model).get(relion.MODEL_CLASSES)
        cells = block.texts(relion.REFERENCE_IMAGE) if block is not None and block.has(relion.REFERENCE_IMAGE) else ()
        wanted += [found for cell in cells if (found := map_path(cell, files.model, project)) is not None]
    if files.tomograms is not None:
        wanted.append(files.tomograms)
    return [path for path in dict.fromkeys(wanted) if not path.is_file()]
