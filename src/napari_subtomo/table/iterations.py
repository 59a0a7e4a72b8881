"""How columns develop over the iterations of a run: files `<root>_itNNN_<kind>.star`, of RELION or of this package."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from napari_subtomo.errors import FileMissingError, InputError
from napari_subtomo.io import relion
from napari_subtomo.io.star import StarBlock, StarFile, read_star
from napari_subtomo.table.grid import Grid, names_given

_FILE = re.compile(r"^(?P<root>.+)_it(?P<number>\d{3,})_(?P<kind>[A-Za-z0-9_]+)\.star$")
KINDS = ("model", "half1_model", "optimiser", "sampling")
MAX_ROWS = 512
Reader = Callable[[Path], StarFile | None]
ITERATION = "iteration"

SUMMARY: tuple[tuple[str, str], ...] = (
    (relion.MODEL_GENERAL, relion.CURRENT_RESOLUTION),
    (relion.MODEL_GENERAL, relion.AVERAGE_PMAX),
    (relion.OPTIMISER_GENERAL, relion.CHANGES_OPTIMAL_CLASSES),
    (relion.OPTIMISER_GENERAL, relion.CHANGES_OPTIMAL_ORIENTATIONS),
    (relion.OPTIMISER_GENERAL, relion.CHANGES_OPTIMAL_OFFSETS),
    (relion.MODEL_CLASSES, relion.CLASS_DISTRIBUTION),
    (relion.MODEL_CLASSES, relion.ESTIMATED_RESOLUTION),
)
"""What is shown where no column is asked for."""


@dataclass(frozen=True)
class Series:
    """One column over iterations.

    Attributes
    ----------
    label : str
    iterations : tuple of int
    values : tuple of tuple of str
        Per iteration the column's texts, one a row of its table; empty where the file or column is missing.
    """

    label: str
    iterations: tuple[int, ...]
    values: tuple[tuple[str, ...], ...]

    @property
    def width(self) -> int:
        """Largest number of rows."""
        return max((len(texts) for texts in self.values), default=0)


@dataclass(frozen=True)
class Run:
    """The files of a run.

    Attributes
    ----------
    folder : Path
    root : str
        What stands before `_itNNN`.
    iterations : tuple of int
        Ascending.
    kind : str
        Kind of the file that was given: "model", "optimiser", ...
    """

    folder: Path
    root: str
    iterations: tuple[int, ...]
    kind: str

    def path(self, iteration: int, kind: str) -> Path:
        """A file of one iteration."""
        return self.folder / f"{self.root}_it{iteration:03d}_{kind}.star"


def file_of_run(path: Path) -> Path:
    """The file itself, or for a job folder the model (or other kind) of its last iteration."""
    if not path.is_dir():
        return path
    found = [
        (int(match["number"]), -KINDS.index(match["kind"]), file)
        for file in path.iterdir()
        if (match := _FILE.match(file.name)) and match["kind"] in KINDS
    ]
    if not found:
        raise InputError(f"Expected files of iterations such as run_it004_model.star in the folder {path}, found none; name another.")
    return max(found)[2]


def find_run(file: Path) -> Run:
    """The run that a file belongs to.

    Raises
    ------
    FileMissingError, InputError
        No such file, or a name that belongs to no iteration.
    """
    match = _FILE.match(file.name)
    if match is None:
        raise InputError(
            f"Expected a file of one iteration such as run_it004_model.star, found {file.name}; leave out --iterations or give one."
        )
    if not file.is_file():
        raise FileMissingError(f"Expected the STAR file {file}, found nothing there; check the path.")
    numbers = set()
    for other in file.parent.iterdir():
        found = _FILE.match(other.name)
        if found and found["root"] == match["root"]:
            numbers.add(int(found["number"]))
    return Run(file.parent, match["root"], tuple(sorted(numbers)), match["kind"])


def collect(file: Path, table: str | None, columns: Sequence[str]) -> tuple[Series, ...]:
    """Columns over all iterations of the run of `file`.

    A column is looked for in the given kind of file first, then in model, optimiser and sampling files of the run.

    Parameters
    ----------
    file : Path
        Any file of one iteration.
    table : str, optional
        Table of the columns; without it the first table that has the column.
    columns : sequence of str
        Labels; none: `SUMMARY`, as far as the run has it.

    Raises
    ------
    InputError
        No file of the run has the column, or its table is too long to show over iterations.
    """
    run = find_run(file)
    read = _cached_reader()
    given = read_star(file)
    table, columns = names_given(given, table, columns)
    if table is not None and table not in given:  # a column of another kind of file
        columns, table = (table.removeprefix("_"), *columns), None
    kinds = tuple(dict.fromkeys((run.kind, *KINDS)))
    if not columns and table is not None:
        columns = tuple(label for label, texts in given[table].columns.items() if _numeric(texts))
    if not columns:
        summary = [_series(run, kinds, name, label, read) for name, label in SUMMARY]
        return tuple(series for series in summary if series.width)
    found = []
    for label in columns:
        series = _series(run, kinds, table, label, read)
        if not series.width:
            where = f"data_{table.removeprefix('data_')}" if table else "any table"
            raise InputError(f"Expected the column {label} in {where} of the run {run.folder / run.root}, found it in no iteration.")
        if series.width > MAX_ROWS:
            raise InputError(
                f"Expected at most {MAX_ROWS} rows to show {label} over iterations, found {series.width}; "
                "leave out --iterations to see one file."
            )
        found.append(series)
    return tuple(found)


def _cached_reader() -> Reader:
    """Reads each file once; None for a missing one."""

    @cache
    def read(path: Path) -> StarFile | None:
        return read_star(path) if path.is_file() else None

    return read


def _numeric(texts: Sequence[str]) -> bool:
    try:
        return bool([float(text) for text in texts])
    except ValueError:
        return False


def _series(run: Run, kinds: Sequence[str], table: str | None, label: str, read: Reader) -> Series:
    """One column; from the first kind of file that has it in the latest iteration, or in any."""
    for kind in kinds:
        values = [_texts(read(run.path(number, kind)), table, label) for number in run.iterations]
        if any(values):
            return Series(label, run.iterations, tuple(values))
    return Series(label, run.iterations, ())


def _texts(star: StarFile | None, table: str | None, label: str) -> tuple[str, ...]:
    if star is None:
        return ()
    blocks: list[StarBlock] = [b for b in ([star.get(table)] if table else star) if b is not None]
    return next((block.texts(label) for block in blocks if block.has(label)), ())


def iteration_grid(series: Sequence[Series], title: str = "") -> Grid:
    """One row an iteration; a column with several rows a file becomes `label:1`, `label:2`, ... (its 1-based rows, e.g. classes)."""
    if not series:
        raise InputError("Expected resolutions, changes or class sizes in the run, found none; name the columns to show.")
    labels, columns = [ITERATION], [tuple(str(n) for n in series[0].iterations)]
    for one in series:
        for row in range(one.width):
            labels.append(one.label if one.width == 1 else f"{one.label}:{row + 1}")
            columns.append(tuple(texts[row] if row < len(texts) else "" for texts in one.values))
    return Grid(tuple(labels), tuple(zip(*columns, strict=True)), title)
