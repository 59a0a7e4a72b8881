"""What the cells of a sweep came to: read from their job folders, compared, written as text and STAR."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.start import rand_index
from napari_subtomo.io import relion as r
from napari_subtomo.io.class3d import complete_iterations, iteration_file
from napari_subtomo.io.class_files import read_classes
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import StarBlock, read_star

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

UNKNOWN = 999.0  # Å, as RELION writes a resolution that is not known
FINISHED = "finished"


@dataclass(frozen=True)
class Cell:
    """One job of a sweep.

    Attributes
    ----------
    classes : int
        K, the empty class not counted.
    regularisation : float
        T.
    folder : Path or None
        None before its turn.
    status : str
        "waiting", "running", "finished", "failed" or "cancelled".
    """

    classes: int
    regularisation: float
    folder: Path | None = None
    status: str = "waiting"

    @property
    def name(self) -> str:
        """ "K = 3, T = 0.5" """
        return f"K = {self.classes}, T = {self.regularisation:g}"

    def place(self, project: Project) -> str:
        """The folder as a cell of a STAR file; "None" before its turn."""
        return "None" if self.folder is None else project.name(self.folder)


@dataclass(frozen=True)
class Outcome:
    """What the last iteration of a cell says; real classes first, the empty one (where there is one) last.

    Attributes
    ----------
    iteration : int
    fractions, resolutions, stability : ndarray, shape (K,)
        Share by weight; Å, 999 where unknown; NaN where it was not measured.
    counts : ndarray, shape (K,)
    empty : int
        Number of the empty class, 0 without one.
    log_likelihood : float
        Mean over the particles of the log-likelihood against "nothing there", nats; by maps without their own fold.
    labels : ndarray, shape (n,)
        Class of each particle in the order of the input.
    """

    iteration: int
    fractions: FloatArray
    resolutions: FloatArray
    stability: FloatArray
    counts: IntArray
    empty: int
    log_likelihood: float
    labels: IntArray = field(repr=False)

    @property
    def real(self) -> npt.NDArray[np.bool_]:
        """Classes that are not the empty one, shape (K,)."""
        real: npt.NDArray[np.bool_] = np.arange(1, len(self.fractions) + 1) != self.empty
        return real


def read_outcome(folder: Path, project: Project) -> Outcome:
    """The last whole iteration of a classification.

    Raises
    ------
    FileMissingError, FileFormatError
        Files of the iteration are missing or damaged.
    """
    iteration = max(complete_iterations(folder), default=0)
    table = read_classes(folder / iteration_file(iteration, "optimiser"), project)
    assert table.files.model is not None and table.classes is not None
    general = read_star(table.files.model)[r.MODEL_GENERAL]
    rows, labels = table.classes, table.class_numbers
    return Outcome(
        iteration,
        rows.floats(r.CLASS_DISTRIBUTION),
        rows.floats(r.ESTIMATED_RESOLUTION),
        rows.floats(r.STABILITY) if rows.has(r.STABILITY) else np.full(len(rows), np.nan),
        np.bincount(labels, minlength=len(rows) + 1)[1 : len(rows) + 1].astype(np.int64),
        table.empty_class,
        float(general.floats(r.LOG_LIKELIHOOD)[0]) / max(len(labels), 1),
        labels,
    )


def agreements(outcomes: Sequence[Outcome | None]) -> FloatArray:
    """Adjusted Rand index between the labels of every two cells, shape (n, n); NaN where a cell has none."""
    n = len(outcomes)
    table = np.full((n, n), np.nan)
    for i, a in enumerate(outcomes):
        for j, b in enumerate(outcomes):
            if a is not None and b is not None and len(a.labels) == len(b.labels):
                table[i, j] = rand_index(a.labels, b.labels) if i != j else 1.0
    return table


def others(table: FloatArray) -> FloatArray:
    """Mean agreement of each cell with all others, shape (n,); NaN where there is no other."""
    apart = np.where(np.eye(len(table), dtype=bool), np.nan, table)
    known = np.isfinite(apart)
    return np.where(known.any(1), np.nansum(apart, 1) / np.maximum(known.sum(1), 1), np.nan)


def _figures(outcome: Outcome | None) -> dict[str, float]:
    """Figures of a cell by column."""
    labels = (r.LARGEST_SHARE, r.SMALLEST_SHARE, r.EMPTY_SHARE, r.ESTIMATED_RESOLUTION, r.STABILITY, r.MEAN_LOG_LIKELIHOOD)
    if outcome is None:
        return dict.fromkeys(labels, np.nan)
    real = outcome.fractions[outcome.real]
    resolutions = outcome.resolutions[outcome.real & (outcome.counts > 0)]
    stability = outcome.stability[outcome.real]
    values = (
        real.max(),
        real.min(),
        outcome.fractions[~outcome.real].sum(),
        resolutions.min() if len(resolutions) else UNKNOWN,
        np.nanmean(stability) if np.isfinite(stability).any() else np.nan,
        outcome.log_likelihood,
    )
    return dict(zip(labels, map(float, values), strict=True))


def blocks(cells: Sequence[Cell], outcomes: Sequence[Outcome | None], project: Project) -> list[StarBlock]:
    """Three tables: cells, their classes, agreement between cells. Cells and classes count from 1."""
    table = agreements(outcomes)
    figures = [_figures(outcome) for outcome in outcomes]
    rows = {
        r.CELL: range(1, len(cells) + 1),
        r.CELL_CLASSES: [cell.classes for cell in cells],
        r.TAU2_FUDGE_FACTOR: [cell.regularisation for cell in cells],
        r.CELL_FOLDER: [cell.place(project) for cell in cells],
        r.CELL_STATUS: [cell.status for cell in cells],
        r.CURRENT_ITERATION: [0 if outcome is None else outcome.iteration for outcome in outcomes],
        **{label: [row[label] for row in figures] for label in figures[0]},
        r.MEAN_AGREEMENT: others(table),
    }
    of_class: dict[str, list[float]] = {
        label: []
        for label in (r.CELL, r.CLASS_NUMBER, r.CLASS_DISTRIBUTION, r.CLASS_PARTICLES, r.ESTIMATED_RESOLUTION, r.STABILITY, r.EMPTY_CLASS)
    }
    pairs: dict[str, list[float]] = {label: [] for label in (*r.CELL_PAIR, r.RAND_INDEX)}
    for i, outcome in enumerate(outcomes):
        if outcome is None:
            continue
        columns = zip(outcome.fractions, outcome.counts, outcome.resolutions, outcome.stability, ~outcome.real, strict=True)
        for number, values in enumerate(columns, 1):
            for label, value in zip(of_class, (i + 1, number, *values), strict=True):
                of_class[label].append(int(value) if isinstance(value, (int, np.integer, np.bool_)) else float(value))
        for j in range(i + 1, len(cells)):
            if np.isfinite(table[i, j]):
                for label, value in zip(pairs, (i + 1, j + 1, float(table[i, j])), strict=True):
                    pairs[label].append(value)
    return [StarBlock.loop(r.SWEEP_CELLS, rows), StarBlock.loop(r.SWEEP_CLASSES, of_class), StarBlock.loop(r.SWEEP_AGREEMENT, pairs)]


def lines(cells: Sequence[Cell], outcomes: Sequence[Outcome | None], project: Project) -> list[str]:
    """The comparison as text, a line a cell."""
    known = others(agreements(outcomes))
    head = ("cell", "K", "T", "job", "class sizes (%)", "empty (%)", "best (Å)", "stability", "log-lik.", "agreement")
    rows: list[tuple[str, ...]] = [head]
    for i, (cell, outcome) in enumerate(zip(cells, outcomes, strict=True)):
        start = (str(i + 1), str(cell.classes), f"{cell.regularisation:g}", cell.place(project))
        if outcome is None:
            rows.append((*start, cell.status, *[""] * 5))
            continue
        f = _figures(outcome)
        sizes = " ".join(f"{100 * share:.0f}" for share in outcome.fractions[outcome.real])
        best = f[r.ESTIMATED_RESOLUTION]
        last = (
            f"{100 * f[r.EMPTY_SHARE]:.0f}" if outcome.empty else "",
            f"{best:.1f}" if best < UNKNOWN else "",
            _number(f[r.STABILITY], 2),
            _number(f[r.MEAN_LOG_LIKELIHOOD], 1),
            _number(known[i], 2),
        )
        done = "" if cell.status == FINISHED else f" ({cell.status} after iteration {outcome.iteration})"
        rows.append((*start, sizes + done, *last))
    widths = [max(len(row[c]) for row in rows) for c in range(len(head))]
    left = {3, 4}
    return [
        "  ".join(t.ljust(w) if c in left else t.rjust(w) for c, (t, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else ""
