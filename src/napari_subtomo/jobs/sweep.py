"""The job that classifies with several numbers of classes and values of T: one ordinary classification a cell, and a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import JobCancelled, JobError, SubtomoError
from napari_subtomo.io import relion as r
from napari_subtomo.io.atomic import write_text
from napari_subtomo.io.class3d import complete_iterations, iteration_file
from napari_subtomo.io.project import JobFolder, Project, allocate_job
from napari_subtomo.io.star import read_star, write_star
from napari_subtomo.jobs.opening import check_folder, finished_result
from napari_subtomo.jobs.record import dump_options
from napari_subtomo.jobs.registry import get_job
from napari_subtomo.jobs.reporter import ABORT_FILES
from napari_subtomo.jobs.runner import run_job
from napari_subtomo.jobs.sweep_picture import draw
from napari_subtomo.jobs.sweep_table import FINISHED, Cell, Outcome, blocks, lines, read_outcome
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.options.sweep import Swept
from napari_subtomo.progress import Reporter

JOB = "classify"
TABLE = "sweep.star"


class _Within:
    """A cell speaks through the reporter of the sweep; its iterations are events of its own folder alone."""

    def __init__(self, reporter: Reporter) -> None:
        self.stage, self.advance = reporter.stage, reporter.advance
        self.message, self.warn, self.check = reporter.message, reporter.warn, reporter.check

    def event(self, kind: str, **data: Any) -> None:
        """Ignore."""


def run(options: Swept, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Run what is not finished of every cell, and compare those that are.

    A cell that fails, or that is stopped by a file in its own folder, does not keep the others from running. The same line again, with
    `-o`, goes on with a sweep that was stopped or of which cells failed.

    Parameters
    ----------
    options : SweepOptions
    folder : JobFolder
        Gets `sweep.star` (cells, classes, agreement; written anew after each cell), `sweep.txt` and `sweep.png`.
    reporter : Reporter
        Gets an event "cell" after each.

    Returns
    -------
    JobResult
        Outputs "table", "text", "picture", and "optimiser_N" of each finished cell N; numbers "cells", "finished".

    Raises
    ------
    JobError
        A cell failed; the others are finished and compared.
    """
    asked = list(options.cells())
    cells = _planned(asked, folder)
    outcomes: list[Outcome | None] = [None] * len(cells)
    failures: list[str] = []
    for i, one in enumerate(asked):
        reporter.check()
        place = cells[i].folder or allocate_job(folder.project, str(get_job(JOB).folder)).path
        cells[i] = replace(cells[i], folder=place, status="running")
        _write(folder, cells, outcomes)
        reporter.message(f"--- Cell {i + 1} of {len(cells)}: {cells[i].name}, in {folder.project.name(place)}")
        status, sentence = _run_cell(one, place, folder.project, reporter)
        cells[i] = replace(cells[i], status=status)
        if sentence:
            failures += [f"{cells[i].name}: {sentence}"] if status == "failed" else []
            reporter.warn(f"Cell {i + 1} ({cells[i].name}) is {status}: {sentence}")
        outcomes[i] = _outcome(cells[i], folder.project, reporter)
        _write(folder, cells, outcomes)
        reporter.event("cell", cell=i + 1, classes=cells[i].classes, regularisation=cells[i].regularisation, status=status)
    return _compare(cells, outcomes, failures, folder, reporter)


def _planned(asked: Sequence[ClassifyOptions], folder: JobFolder) -> list[Cell]:
    """The cells, with the folders that an earlier run gave them."""
    path = folder.file(TABLE)
    names = read_star(path)[r.SWEEP_CELLS].texts(r.CELL_FOLDER) if path.is_file() else ("None",) * len(asked)
    places = [None if name in r.NOT_AVAILABLE else folder.project.resolve(name) for name in names]
    return [Cell(one.classes, one.regularisation, place) for one, place in zip(asked, places, strict=True)]


def _run_cell(options: ClassifyOptions, path: Path, project: Project, reporter: Reporter) -> tuple[str, str]:
    """Status of a cell after it was run, or found finished, and what went wrong in a sentence."""
    spec = get_job(JOB)
    resolved = dump_options(options, project.name)
    if finished_result(path, spec, resolved, project) is not None:
        reporter.message("Finished earlier, not done again.")
        return FINISHED, ""
    try:
        check_folder(path, spec, resolved)
        run_job(JOB, options, output=path, project=project, reporter=_Within(reporter))
    except JobCancelled as error:
        # a file in the folder of the cell stops that cell alone; whatever else stops it is meant for the whole sweep
        if not any((path / name).exists() for name in ABORT_FILES):
            raise
        reporter.check()
        return "cancelled", str(error)
    except SubtomoError as error:
        return "failed", str(error)
    except Exception as error:  # an error of the program in one cell; its traceback is in run.err of the cell
        return "failed", f"{type(error).__name__}: {error}."
    return FINISHED, ""


def _outcome(cell: Cell, project: Project, reporter: Reporter) -> Outcome | None:
    """What a cell came to, unfinished ones by their last iteration; None where there is none."""
    if cell.folder is None or not any(complete_iterations(cell.folder)):  # iteration 0 is the state before the first
        return None
    try:
        return read_outcome(cell.folder, project)
    except SubtomoError as error:
        reporter.warn(f"The cell {cell.name} is left out of the comparison: {error}")
        return None


def _write(folder: JobFolder, cells: Sequence[Cell], outcomes: Sequence[Outcome | None]) -> None:
    write_star(folder.file(TABLE), blocks(cells, outcomes, folder.project))


def _compare(
    cells: Sequence[Cell], outcomes: Sequence[Outcome | None], failures: Sequence[str], folder: JobFolder, reporter: Reporter
) -> JobResult:
    text = lines(cells, outcomes, folder.project)
    write_text(folder.file("sweep.txt"), "\n".join(text) + "\n")
    draw(folder.file("sweep.png"), cells, outcomes)
    if failures:
        for line in text:
            reporter.message(line)
        raise JobError(
            f"Expected every cell to finish, found {len(failures)} of {len(cells)} failed; the others are compared in {TABLE}, "
            f"and the same line with -o {folder.name()} tries those again. {failures[0]}"
        )
    outputs = {"table": folder.file(TABLE), "text": folder.file("sweep.txt"), "picture": folder.file("sweep.png")}
    done = [i for i, cell in enumerate(cells) if cell.status == FINISHED and outcomes[i] is not None]
    for i in done:
        place, outcome = cells[i].folder, outcomes[i]
        assert place is not None and outcome is not None
        outputs[f"optimiser_{i + 1}"] = place / iteration_file(outcome.iteration, "optimiser")
    closing = (f"{len(done)} of {len(cells)} cells finished:", *text)
    return JobResult(outputs, closing, {"cells": len(cells), "finished": len(done)})
