"""Options of `table`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from napari_subtomo.options.base import JobOptions, option


class TableOptions(JobOptions):
    """Print or plot columns of any STAR file, of one file or over all iterations of a run."""

    file: Path = option(..., "STAR file; with --iterations any file of one iteration, or the job folder.", title="STAR file", group="I/O")
    table: str | None = option(None, "Table, with or without data_; may be left out where the columns tell it.", title="Table", group="I/O")
    columns: tuple[str, ...] = option(
        (), "Columns, with or without leading underscore; none: all of the table.", title="Columns", group="I/O"
    )
    iterations: bool = option(
        False,
        "One row an iteration from all run_itNNN files of the run; without columns: resolution, changes, class sizes.",
        title="Over iterations",
        group="I/O",
    )
    format: Literal["text", "csv", "json"] = option(
        "text", "text: aligned columns; csv; json: list of rows, values as in the file.", title="Format"
    )
    plot: Path | None = option(None, "Draw the columns into this picture (.png, .pdf, .svg).", title="Plot", group="I/O")
    x: str | None = option(None, "Column for the horizontal axis; without it the row number or the iteration.", title="Horizontal axis")
    log: bool = option(False, "Logarithmic vertical axis.", title="Logarithmic")
