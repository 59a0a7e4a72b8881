"""Lossless STAR tables: text in, the same text out.

Every value is kept as text, so `01` and `1e3` stay what they are; a file keeps its tables, their kind (list or loop), columns, rows
and comments. What is written looks like what RELION writes, and writing what was read from such a file again gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError
from napari_subtomo.io import startext
from napari_subtomo.io.atomic import write_text

Kind = Literal["list", "loop"]
VERSION_COMMENT = "# version 50001"


def format_value(value: Any) -> str:
    """Text of one value for a STAR cell: text as it is, numbers as RELION prints them.

    Floats get 6 decimals between 0.001 and 100 000 and 6 digits with an exponent elsewhere; truth values become 1 and 0.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, (bool, np.bool_)):
        return "1" if value else "0"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        number = float(value)
        small_or_large = 0 < abs(number) < 1e-3 or abs(number) > 1e5
        return f"{number:.6e}" if small_or_large and np.isfinite(number) else f"{number:.6f}"
    return str(value)


def _texts(values: Any) -> tuple[str, ...]:
    if isinstance(values, np.ndarray):
        values = values.tolist()
    return tuple(map(format_value, values))


@dataclass(frozen=True, eq=False)
class StarBlock:
    """One table: a list (one value a label) or a loop (rows).

    Attributes
    ----------
    name : str
        Without `data_`; may be empty.
    kind : "list" or "loop"
    columns : mapping of label (without underscore) to texts
        All of one length; length 1 in a list.
    comments : tuple of str
        Lines above the block, `#` included; empty strings are blank lines.
    notes : tuple of str
        Comment lines between the block's name and its values.
    source : str
        Name of the file it came from, for error sentences.
    """

    name: str
    kind: Kind
    columns: Mapping[str, tuple[str, ...]]
    comments: tuple[str, ...] = (VERSION_COMMENT,)
    notes: tuple[str, ...] = ()
    source: str = ""

    @classmethod
    def loop(cls, name: str, columns: Mapping[str, Any]) -> StarBlock:
        """A new loop block; numbers are formatted as RELION prints them."""
        block = cls(name, "loop", {label: _texts(values) for label, values in columns.items()})
        lengths = {label: len(values) for label, values in block.columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"Expected columns of one length in the table {name}, found {lengths}.")
        return block

    @classmethod
    def list(cls, name: str, values: Mapping[str, Any]) -> StarBlock:
        """A new list block, one value a label."""
        return cls(name, "list", {label: (format_value(value),) for label, value in values.items()})

    def __len__(self) -> int:
        """Number of rows; 1 for a list with any label."""
        return len(next(iter(self.columns.values()), ()))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in the order of the file."""
        return tuple(self.columns)

    def has(self, *labels: str) -> bool:
        """Whether all `labels` are there."""
        return all(label in self.columns for label in labels)

    @property
    def where(self) -> str:
        """The table and its file, for error sentences."""
        return f"table data_{self.name}" + (f" of {self.source}" if self.source else "")

    def texts(self, label: str) -> tuple[str, ...]:
        """All values of a column as text.

        Raises
        ------
        FileFormatError
            The column is missing.
        """
        try:
            return self.columns[label]
        except KeyError:
            known = ", ".join(self.columns) or "no columns"
            raise FileFormatError(f"Expected the column _{label} in {self.where}, found {known}.") from None

    def text(self, label: str, default: str | None = None) -> str:
        """The first value of a column (the value of a list); `default` when the column is missing or the table empty."""
        if default is not None and (label not in self.columns or not len(self)):
            return default
        values = self.texts(label)
        if not values:
            raise FileFormatError(f"Expected a row in {self.where}, found none.")
        return values[0]

    def floats(self, label: str, *, finite: bool = False) -> npt.NDArray[np.float64]:
        """A column as numbers, shape (n,).

        Parameters
        ----------
        label : str
        finite : bool
            Refuse NaN and infinite values.

        Raises
        ------
        FileFormatError
            Missing column, or a value that is no (finite) number; names file, row and column.
        """
        texts = self.texts(label)
        try:
            numbers = np.array(texts, dtype=np.str_).astype(np.float64) if texts else np.zeros(0)
        except ValueError:
            numbers = np.array([self._number(label, row, text) for row, text in enumerate(texts)])
        if finite and not np.isfinite(numbers).all():
            row = int(np.flatnonzero(~np.isfinite(numbers))[0])
            raise self.bad_cell(label, row, "a finite number")
        return numbers

    def ints(self, label: str) -> npt.NDArray[np.int64]:
        """A column as integers, shape (n,); `2.000` counts as 2. Errors as in `floats`."""
        numbers = self.floats(label, finite=True)
        rounded = np.rint(numbers)
        wrong = np.flatnonzero(rounded != numbers)
        if len(wrong):
            raise self.bad_cell(label, int(wrong[0]), "an integer")
        return rounded.astype(np.int64)

    def _number(self, label: str, row: int, text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise self.bad_cell(label, row, "a number") from None

    def bad_cell(self, label: str, row: int, expected: str) -> FileFormatError:
        """The error of a cell that is not what was `expected`; `row` counts from 0, the sentence from 1."""
        found = self.columns[label][row]
        return FileFormatError(f"Expected {expected} in row {row + 1}, column _{label} of {self.where}, found {found!r}; correct the cell.")

    def with_column(self, label: str, values: Any) -> StarBlock:
        """The table with one column set: in its place if it was there, else last. `values`: texts or numbers, one a row."""
        texts = _texts(values)
        if self.columns and len(texts) != len(self):
            raise InputError(f"Expected {len(self)} values for _{label} in {self.where}, found {len(texts)}.")
        return replace(self, columns={**self.columns, label: texts})

    def with_values(self, values: Mapping[str, Any]) -> StarBlock:
        """A list (or one-row loop) with single values set."""
        block = self
        for label, value in values.items():
            block = block.with_column(label, (format_value(value),))
        return block

    def without(self, *labels: str) -> StarBlock:
        """The table without these columns (missing ones are no error)."""
        return replace(self, columns={k: v for k, v in self.columns.items() if k not in labels})

    def rows(self, index: npt.ArrayLike) -> StarBlock:
        """The table with the chosen rows.

        Parameters
        ----------
        index : array_like
            Row numbers (any order) or a mask of the table's length.
        """
        chosen = np.asarray(index)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise InputError(f"Expected a mask of {len(self)} rows for {self.where}, found shape {chosen.shape}.")
            chosen = np.flatnonzero(chosen)
        picks = chosen.astype(np.int64).ravel().tolist()
        return replace(self, columns={k: tuple([v[i] for i in picks]) for k, v in self.columns.items()})

    def renamed(self, name: str) -> StarBlock:
        """The table under another name."""
        return replace(self, name=name)


@dataclass(frozen=True, eq=False)
class StarFile:
    """The tables of one file, in order.

    Attributes
    ----------
    blocks : tuple of StarBlock
    path : Path or None
        Where it was read.
    trailer : tuple of str
        Comment lines after the last table.
    """

    blocks: tuple[StarBlock, ...]
    path: Path | None = None
    trailer: tuple[str, ...] = field(default=())

    def __getitem__(self, name: str) -> StarBlock:
        """The table `name`, with or without `data_`."""
        block = self.get(name)
        if block is None:
            found = ", ".join(f"data_{b.name}" for b in self.blocks) or "no tables"
            raise FileFormatError(f"Expected the table data_{name.removeprefix('data_')} in {self.path or 'the STAR file'}, found {found}.")
        return block

    def __contains__(self, name: object) -> bool:
        """Whether there is a table `name`."""
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[StarBlock]:
        """The tables in order."""
        return iter(self.blocks)

    def get(self, name: str) -> StarBlock | None:
        """The table `name`, or None; a table whose own name begins with `data_` is found by its full name too."""
        for wanted in (name, name.removeprefix("data_")):
            for block in self.blocks:
                if block.name == wanted:
                    return block
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tables in order."""
        return tuple(block.name for block in self.blocks)

    @property
    def first(self) -> StarBlock:
        """The first table, whatever its name."""
        return self.blocks[0]

    def replace(self, block: StarBlock) -> StarFile:
        """The file with `block` in the place of the table of its name, or at the end."""
        if any(b.name == block.name for b in self.blocks):
            blocks = tuple(block if b.name == block.name else b for b in self.blocks)
        else:
            blocks = (*self.blocks, block)
        return replace(self, blocks=blocks)

    def without(self, name: str) -> StarFile:
        """The file without the table `name`."""
        return replace(self, blocks=tuple(b for b in self.blocks if b.name != name.removeprefix("data_")))


def read_star(path: str | Path) -> StarFile:
    """Read a STAR file, all values as text.

    Raises
    ------
    FileMissingError
        There is no such file.
    FileFormatError
        Not a STAR file, truncated rows, duplicate tables or labels; names file, table and line.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileMissingError(f"Expected the STAR file {path}, found nothing there; check the path.") from None
    except OSError as error:
        raise FileMissingError(f"Cannot read the STAR file {path}: {error.strerror or error}.") from error
    return parse_star(data.decode("utf-8", "surrogateescape"), path)


def parse_star(text: str, path: Path | None = None) -> StarFile:
    """Tables of the text of a STAR file; `path` is for error sentences. Errors as in `read_star`."""
    source = str(path) if path else "the text"
    tables, trailer = startext.parse(text, source)
    blocks = tuple(
        StarBlock(t.name, t.kind, dict(zip(t.labels, t.columns, strict=True)), tuple(t.comments), tuple(t.notes), str(path or ""))
        for t in tables
    )
    return StarFile(blocks, path, tuple(trailer))


def format_star(star: StarFile | Sequence[StarBlock]) -> str:
    """The text of a STAR file as `write_star` writes it."""
    blocks, trailer = (star.blocks, star.trailer) if isinstance(star, StarFile) else (tuple(star), ())
    names = [b.name for b in blocks]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"Expected tables with different names, found data_{name} more than once.")
    parts = [startext.format_table(b.name, b.kind, b.columns, b.comments, b.notes, first=i == 0) for i, b in enumerate(blocks)]
    return "".join(parts) + "".join(f"{line}\n" for line in trailer)


def write_star(path: str | Path, star: StarFile | Sequence[StarBlock]) -> None:
    """Write tables as RELION lays them out; the file appears whole or not at all.

    Raises
    ------
    InputError
        A value that no STAR file can hold (a line break), or a folder that cannot be written.
    """
    write_text(path, format_star(star))
