"""A classification job as its files tell it: classes, fractions, resolutions and changes over the iterations. RELION's jobs too."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io import relion as r
from napari_subtomo.io.class_files import map_path
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import StarFile, read_star
from napari_subtomo.viewer.sources import iterations

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Resolutions that mean "not known" in RELION's files, Å.
NO_RESOLUTION = 990.0


@dataclass(frozen=True, eq=False)
class ClassJob:
    """What the files of a classification say; NaN where one is missing.

    Attributes
    ----------
    folder : Path
    title : str
    iterations : ndarray of int, shape (t,)
        Iterations with a model file, ascending.
    fractions, resolutions : ndarray, shape (t, K)
        Fraction and resolution (Å) of each class.
    current_resolution : ndarray, shape (t,)
        Å.
    change_classes, change_orientations, change_offsets : ndarray, shape (t,)
        Fraction, degrees, Å.
    counts : ndarray of int, shape (K,), or None
        Particles of each class in the last iteration.
    maps : tuple of (Path or None), length K
        Class maps of the last iteration.
    empty_class : int
        Number of the class that takes false picks; 0 without one.
    missing : tuple of str
        Files of the last iteration that are named and not there.
    """

    folder: Path
    title: str
    iterations: IntArray
    fractions: FloatArray
    resolutions: FloatArray
    current_resolution: FloatArray
    change_classes: FloatArray
    change_orientations: FloatArray
    change_offsets: FloatArray
    counts: IntArray | None
    maps: tuple[Path | None, ...]
    empty_class: int
    missing: tuple[str, ...]

    @property
    def n_classes(self) -> int:
        """Number of classes, an empty one included."""
        return int(self.fractions.shape[1])


def read_class_job(
    folder: Path, project: Project, *, read: Callable[[Path], StarFile] = read_star, numbers: Collection[int] | None = None
) -> ClassJob | None:
    """Read the iterations of a job folder; None if it has no model file.

    Missing data files, maps and optimisers are no error: they are listed in `missing`, and what the others say is shown.

    Parameters
    ----------
    folder : Path
    project : Project
    read : callable, optional
        Reads a STAR file; one that remembers what it read makes the next call short.
    numbers : collection of int, optional
        Iterations to read; all that have a model by default.
    """
    models = {number: path for number, path in iterations(folder, "model").items() if numbers is None or number in numbers}
    if not models:
        return None
    stars = {number: read(path) for number, path in models.items()}
    optimisers = {number: read(path) for number, path in iterations(folder, "optimiser").items() if number in models}
    last = max(models)
    n_classes = len(stars[last][r.MODEL_CLASSES])
    missing: list[str] = []
    data = folder / models[last].name.replace("_model.star", "_data.star")
    counts = None
    if data.is_file():
        counts = np.bincount(ParticleSet(read(data), data).class_numbers, minlength=n_classes + 1)[1 : n_classes + 1].astype(np.int64)
    else:
        missing.append(project.name(data))
    maps = _maps(stars[last], models[last], project, missing)

    def of_classes(label: str) -> FloatArray:
        table = np.full((len(stars), n_classes), np.nan)
        for row, star in zip(table, stars.values(), strict=True):
            block = star[r.MODEL_CLASSES]
            if block.has(label):
                row[: len(block)] = block.floats(label)[:n_classes]
        return table

    resolutions = of_classes(r.ESTIMATED_RESOLUTION)
    resolutions[resolutions > NO_RESOLUTION] = np.nan
    general = {number: star[r.MODEL_GENERAL] for number, star in stars.items()}
    empty = general[last].text(r.EMPTY_CLASS, "0")
    return ClassJob(
        folder=folder,
        title=f"{project.name(folder)}, iteration {last}",
        iterations=np.asarray(list(stars), dtype=np.int64),
        fractions=of_classes(r.CLASS_DISTRIBUTION),
        resolutions=resolutions,
        current_resolution=np.asarray([_number(block.text(r.CURRENT_RESOLUTION, "nan")) for block in general.values()]),
        change_classes=_changes(optimisers, stars, r.CHANGES_OPTIMAL_CLASSES),
        change_orientations=_changes(optimisers, stars, r.CHANGES_OPTIMAL_ORIENTATIONS),
        change_offsets=_changes(optimisers, stars, r.CHANGES_OPTIMAL_OFFSETS),
        counts=counts,
        maps=maps,
        empty_class=int(empty),
        missing=tuple(missing),
    )


def _maps(model: StarFile, path: Path, project: Project, missing: list[str]) -> tuple[Path | None, ...]:
    """Class maps by the cells of the model in `path`; None, and the cell among `missing`, where there is no file."""
    found: list[Path | None] = []
    for text in model[r.MODEL_CLASSES].texts(r.REFERENCE_IMAGE):
        place = map_path(text, path, project)
        there = place is not None and place.is_file()
        if not there:
            missing.append(text)
        found.append(place if there else None)
    return tuple(found)


def _changes(optimisers: dict[int, StarFile], models: dict[int, StarFile], label: str) -> FloatArray:
    """A number of the optimiser's list at each iteration; RELION writes 999 or a negative number before the first."""
    values = []
    for number in models:
        star = optimisers.get(number)
        block = star.get(r.OPTIMISER_GENERAL) if star is not None else None
        value = _number(block.text(label, "nan")) if block is not None else np.nan
        values.append(value if number > 0 and 0 <= value < 999 else np.nan)
    return np.asarray(values, dtype=np.float64)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return float("nan")
    return value if np.isfinite(value) else float("nan")


def find_class_job(folder: Path, project: Project) -> ClassJob | None:
    """The classification in `folder`, or None where its files cannot be read."""
    try:
        return read_class_job(folder, project)
    except SubtomoError:
        return None
