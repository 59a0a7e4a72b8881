"""The command: text of a table, and its picture if one is asked for."""

from __future__ import annotations

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import InputError
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.star import read_star
from napari_subtomo.options.table import TableOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.table.grid import Grid, choose_block, file_grid, names_given
from napari_subtomo.table.iterations import Series, collect, file_of_run, iteration_grid
from napari_subtomo.table.plot import plot_grid, plot_series


def render(options: TableOptions) -> str:
    """The table as text, CSV or JSON; writes the picture first if `options.plot` names one.

    Raises
    ------
    InputError
        Missing file, table or column, or columns that cannot be drawn.
    """
    grid = _iterations(options) if options.iterations else _one_file(options)
    return grid.formatted(options.format)


def run(options: TableOptions, folder: JobFolder | None, reporter: Reporter) -> JobResult:
    """Say the table line by line; `folder` is not used, the picture goes where `options.plot` says."""
    text = render(options)
    for line in text.splitlines():
        reporter.message(line)
    outputs = {} if options.plot is None else {"plot": options.plot.absolute()}
    return JobResult(outputs, numbers={"lines": len(text.splitlines())})


def _one_file(options: TableOptions) -> Grid:
    star = read_star(options.file)
    grid = file_grid(star, options.table, options.columns)
    if options.plot is None:
        return grid
    table, columns = names_given(star, options.table, options.columns)
    x = options.x.removeprefix("_") if options.x else None
    block = choose_block(star, table, (*columns, x) if x else columns)
    if block.kind == "list":
        raise InputError(f"Expected a table with rows to draw, found the list data_{block.name}; add --iterations to draw it over a run.")
    labels = columns or tuple(label for label in block.labels if _numeric(block.texts(label)))
    wanted = tuple(dict.fromkeys((*labels, x) if x else labels))
    plot_grid(options.plot, file_grid(star, block.name, wanted), x, options.log)
    return grid


def _iterations(options: TableOptions) -> Grid:
    options = options.model_copy(update={"file": file_of_run(options.file)})
    series = collect(options.file, options.table, options.columns)
    title = f"{options.file.parent.name}/{options.file.name.split('_it')[0]}"
    if options.plot is not None:
        x = None if options.x is None else _across(options, [one.label for one in series])
        plot_series(options.plot, [one for one in series if x is None or one.label != x.label], title, x, options.log)
    return iteration_grid(series, title)


def _across(options: TableOptions, labels: list[str]) -> Series:
    """The column of the horizontal axis, from the table of the others where that has it."""
    label = (options.x or "").removeprefix("_")
    star = read_star(options.file)
    if options.table is not None and options.table in star:
        table: str | None = options.table
    else:
        table = next((block.name for block in star if block.has(label, *labels)), None)
    return collect(options.file, table, (label,))[0]


def _numeric(texts: tuple[str, ...]) -> bool:
    try:
        return bool([float(text) for text in texts])
    except ValueError:
        return False
