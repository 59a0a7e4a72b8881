"""Choosing classes: the choice, what it keeps on the tomogram, and the `select` job that saves it. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.io.class_files import read_classes
from napari_subtomo.io.job_folders import job_folders
from napari_subtomo.io.pipeline import Pipeline
from napari_subtomo.io.project import Project
from napari_subtomo.jobs.commandline import command_words, shown
from napari_subtomo.jobs.record import dump_options
from napari_subtomo.jobs.registry import get_job
from napari_subtomo.options.base import JobOptions
from napari_subtomo.options.select import SelectOptions
from napari_subtomo.select.auto import Proposal, proposals_of
from napari_subtomo.viewer.columns import colour_columns
from napari_subtomo.viewer.gallery import Gallery
from napari_subtomo.viewer.session import Session

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """Chosen classes by number, and the one that a range begins at (the last that was clicked)."""

    numbers: frozenset[int] = frozenset()
    anchor: int | None = None

    def toggled(self, number: int) -> Choice:
        """With one class more, or less."""
        return Choice(self.numbers ^ {number}, number)

    def ranged(self, order: Sequence[int], number: int) -> Choice:
        """All classes between the last clicked one and `number`, in the order shown, become what the last clicked one is."""
        if self.anchor not in order or number not in order:
            return self.toggled(number)
        first, last = sorted((order.index(self.anchor), order.index(number)))
        between = frozenset(order[first : last + 1])
        return Choice(self.numbers | between if self.anchor in self.numbers else self.numbers - between, self.anchor)

    def all_or_none(self, order: Sequence[int]) -> Choice:
        """All classes, or none if all are chosen."""
        return Choice(frozenset() if self.numbers >= set(order) else frozenset(order), self.anchor)

    def within(self, gallery: Gallery) -> Choice:
        """Without the classes that a gallery does not have."""
        return replace(self, numbers=self.numbers & {entry.number for entry in gallery.entries})


def chosen_count(gallery: Gallery, choice: Choice) -> int:
    """Particles in the chosen classes."""
    return sum(entry.count or 0 for entry in gallery.entries if entry.number in choice.numbers)


def total_sentence(gallery: Gallery, choice: Choice) -> str:
    """ "96 of 228 particles in 2 classes" """
    n = len(choice.numbers)
    return f"{chosen_count(gallery, choice)} of {gallery.n_particles} particles in {n} class{'' if n == 1 else 'es'}"


def proposals(gallery: Gallery) -> tuple[Proposal, ...]:
    """Which classes `select --auto` would keep, and why. Errors as in `io.class_files.read_classes`."""
    return proposals_of(read_classes(gallery.optimiser or gallery.model, gallery.project), gallery.project)


def select_options(gallery: Gallery, choice: Choice) -> SelectOptions:
    """The options of the job that saves the choice, as a command line would give them.

    Raises
    ------
    InputError
        No class is chosen, or no particle is in those that are.
    """
    if not choice.numbers:
        raise InputError("Expected at least one chosen class, found none; click the classes to keep.")
    if gallery.particles is None:
        raise InputError(f"Expected the particles of the iteration, found no {gallery.data.name}; put the file back beside its model.")
    if not chosen_count(gallery, choice):
        raise InputError(f"Expected particles in the chosen classes of {gallery.title}, found none; choose a class with particles.")
    keep = tuple(sorted(choice.numbers))
    if gallery.optimiser is not None:
        return SelectOptions(optimiser=gallery.optimiser, keep=keep)
    return SelectOptions(model=gallery.model, keep=keep)


def command_line(job: str, options: JobOptions, project: Project) -> str:
    """The line for a shell that runs a job from any folder."""
    spec = get_job(job)
    words = command_words(job, spec.model, dump_options(options, project.name, given_only=True), spec.positionals)
    return shown([*words, "--project", str(project.root)])


def next_job(project: Project, kind: str) -> str:
    """The job that the next run of a kind would get, e.g. "Select/job007"; another program may be faster."""
    taken = {number for number, _ in job_folders(project)}
    number = max(taken, default=0) + 1
    if project.has_pipeline:
        number = Pipeline.read(project.root).counter
        while number in taken:
            number += 1
    return f"{kind}/job{number:03d}"


def is_shown(gallery: Gallery, session: Session) -> bool:
    """Whether the particles shown are those of the iteration."""
    return bool(session.sets) and _same_file(session.sets[0].path, gallery.data)


def same_classes(gallery: Gallery, session: Session) -> bool:
    """Whether all particles shown have the classes that the iteration gives them: it itself, or a selection made from it."""
    if is_shown(gallery, session):
        return True
    if gallery.particles is None or not session.sets:
        return False
    classes = gallery.class_of
    return all(
        classes.get(name) == number
        for particles in session.sets
        for name, number in zip(particles.names, particles.class_numbers.tolist(), strict=True)
    )


def kept_by(gallery: Gallery, choice: Choice, session: Session) -> BoolArray:
    """Mask (n,) over the session's table of the particles in the chosen classes; without a choice all but those of the empty class.

    Particles added by hand have no class and stay.
    """
    classes = session.table.classes
    by_hand = session.table.source < 0
    if choice.numbers:
        return np.isin(classes, sorted(choice.numbers)) | by_hand
    kept: BoolArray = (classes != gallery.empty_class) | by_hand if gallery.empty_class else np.ones(len(classes), dtype=bool)
    return kept


def carried(new: Session, old: Session | None) -> Session:
    """A session of other particles that leaves the user where he is: tomogram, colours, rejected particles, diameter."""
    if old is None or old.project != new.project:
        return new
    shown_name = old.shown if old.shown in new.names else new.shown
    colour_by = old.colour_by if old.colour_by in colour_columns(new.table) else new.colour_by
    diameter = old.diameter if len(old.table) else new.diameter
    return replace(new, shown=shown_name, colour_by=colour_by, rejected=old.rejected, diameter=diameter)


def _same_file(a: Path | None, b: Path) -> bool:
    return a is not None and a.resolve() == b.resolve()
