"""Duplicates among the particles shown: which would go, and the options of the job that removes them. No Qt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.duplicates import remove_duplicates, remove_duplicates_as_relion
from napari_subtomo.errors import InputError, SubtomoError
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.project import Project
from napari_subtomo.options.duplicates import DuplicatesOptions
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.sources import source_of

BoolArray = npt.NDArray[np.bool_]

#: Columns that say how good a particle is, the first that a file has is offered first.
_GOOD = (relion.MAX_VALUE_PROB_DISTRIBUTION, relion.LOG_LIKELI_CONTRIBUTION)


@dataclass(frozen=True, eq=False)
class Preview:
    """What the job would do.

    Attributes
    ----------
    removed : ndarray of bool, shape (n,)
        Rows of the session's table that would go.
    total : int
        Particles of the selection.
    """

    removed: BoolArray
    total: int

    @property
    def sentence(self) -> str:
        """ "7 of 160 would be removed." """
        return f"{int(self.removed.sum())} of {self.total} would be removed."


def score_columns(session: Session) -> list[str]:
    """Columns of numbers that can decide which duplicate stays; those that are meant for it first."""
    if not session.sets:
        return []
    particles = session.sets[0]
    numeric = [
        label
        for label in particles.table.labels
        if label not in relion.PATH_LABELS and label != relion.TOMO_NAME and _is_number(particles.texts(label)[:1])
    ]
    return [*(label for label in _GOOD if label in numeric), *(label for label in numeric if label not in _GOOD)]


def duplicates_options(session: Session, distance: float, score: str | None, rule: str) -> DuplicatesOptions:
    """The options of `remove-duplicates` for the file that is shown.

    Raises
    ------
    InputError
        Nothing of a file is shown, only a part of it is kept (a classification: its choice is not saved yet), or particles were edited
        by hand and not saved.
    """
    if not session.sets or session.sets[0].path is None or not session.sets[0].n:
        raise InputError("Expected a saved selection on the tomogram, found no particles; save the selected classes, or open a selection.")
    path = Path(session.sets[0].path)
    if path.name.endswith("_data.star"):
        raise InputError(
            f"Expected a saved selection on the tomogram, found the classification {session.title}; save the selected classes first."
        )
    if session.edited:
        raise InputError(
            "Expected particles as their file has them, found some that were moved, added or deleted by hand; save them first."
        )
    values = {"min_distance": distance, "rule": rule} | ({"score": score} if score is not None and rule != "relion" else {})
    project = Project(session.project)
    beside = source_of(path, project)[1]
    whole = beside.optimisation_set if beside is not None else None
    if whole is not None and _names(whole, path, project):
        return DuplicatesOptions.model_validate({"optimisation_set": whole, **values})
    tomograms = session.tomogram_set.path if session.tomogram_set is not None else None
    return DuplicatesOptions.model_validate({"particles": path, **({"tomograms": tomograms} if tomograms is not None else {}), **values})


def preview(session: Session, options: DuplicatesOptions) -> Preview:
    """Which of the particles shown `remove-duplicates` would remove; nothing is written. Errors as in the job."""
    particles, tomograms = session.sets[0], session.tomogram_set
    if options.rule == "relion":
        selection = remove_duplicates_as_relion(particles, options.min_distance, tomograms=tomograms)
    else:
        selection = remove_duplicates(particles, options.min_distance, score=options.score, tomograms=tomograms)
    removed = np.zeros(len(session.table), dtype=bool)
    own = np.flatnonzero(session.table.source == 0)
    removed[own] = selection.rejected[session.table.row[own]]
    return Preview(removed, particles.n)


def _names(whole: Path, particles: Path, project: Project) -> bool:
    """Whether an optimisation set names these particles."""
    try:
        named = read_optimisation_set(whole).particles
    except SubtomoError:
        return False
    return named is not None and project.resolve(named).resolve() == particles.resolve()


def _is_number(cells: tuple[str, ...]) -> bool:
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        return False
