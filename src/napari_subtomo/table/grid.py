"""A small table of texts, and how one is taken from a STAR file and printed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.io.star import StarBlock, StarFile


@dataclass(frozen=True)
class Grid:
    """Rows of text under labels.

    Attributes
    ----------
    labels : tuple of str
    rows : tuple of tuple of str
        Values as they stand in the file; empty where a file has none.
    title : str
        What it shows, for the head of a picture.
    """

    labels: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""

    def column(self, label: str) -> tuple[str, ...]:
        """The texts under a label."""
        at = self.labels.index(label)
        return tuple(row[at] for row in self.rows)

    def numbers(self, label: str) -> npt.NDArray[np.float64]:
        """The values under a label as numbers, shape (n,); empty texts become NaN.

        Raises
        ------
        InputError
            A text is no number.
        """
        texts = self.column(label)
        try:
            return np.array([float(text) if text else np.nan for text in texts])
        except ValueError:
            bad = next(text for text in texts if text and not _is_number(text))
            raise InputError(f"Expected numbers in the column {label} to draw it, found {bad!r}; choose a numeric column.") from None

    def as_text(self) -> str:
        """Aligned columns: numbers to the right, texts to the left, two spaces between."""
        lines = [self.labels, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.labels))]
        right = [all(_is_number(text) for text in self.column(label) if text) for label in self.labels]
        cells = [[t.rjust(w) if r else t.ljust(w) for t, w, r in zip(line, widths, right, strict=True)] for line in lines]
        return "\n".join("  ".join(line).rstrip() for line in cells) + "\n"

    def as_csv(self) -> str:
        """Comma-separated values with a line of labels."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.labels)
        writer.writerows(self.rows)
        return out.getvalue()

    def as_json(self) -> str:
        """A list of objects, one a row; values are texts as in the file, so that a tomogram called 01 keeps its name."""
        return json.dumps([dict(zip(self.labels, row, strict=True)) for row in self.rows], indent=1, ensure_ascii=False) + "\n"

    def formatted(self, form: str) -> str:
        """Text in the form "text", "csv" or "json"."""
        return {"text": self.as_text, "csv": self.as_csv, "json": self.as_json}[form]()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def overview(star: StarFile) -> Grid:
    """The tables of a file with their kinds, numbers of rows and columns."""
    rows = tuple((f"data_{b.name}", b.kind, str(len(b)), " ".join(b.labels)) for b in star)
    return Grid(("table", "kind", "rows", "columns"), rows, str(star.path))


def names_given(star: StarFile, table: str | None, columns: Sequence[str]) -> tuple[str | None, tuple[str, ...]]:
    """Table and columns as meant: the first word may be a column where no table has that name."""
    columns = tuple(c.removeprefix("_") for c in columns)
    if table is not None and table not in star:
        label = table.removeprefix("_")
        if any(block.has(label) for block in star):
            return None, (label, *columns)
    return table, columns


def choose_block(star: StarFile, table: str | None, columns: Sequence[str]) -> StarBlock:
    """The table that is asked for: by name, else the only one, else the first with all `columns`.

    Raises
    ------
    InputError
        No such table, or none with the columns.
    """
    if table is not None:
        return star[table]
    if len(star.blocks) == 1:
        return star.first
    for block in star:
        if block.has(*columns):
            return block
    found = "; ".join(f"data_{b.name}: {', '.join(b.labels)}" for b in star.blocks[:4])
    raise InputError(f"Expected a table with the columns {', '.join(columns)} in {star.path}, found {found}.")


def file_grid(star: StarFile, table: str | None = None, columns: Sequence[str] = ()) -> Grid:
    """Columns of one table; without table and columns an overview of a file with several tables.

    Parameters
    ----------
    star : StarFile
    table : str, optional
        With or without `data_`.
    columns : sequence of str
        Labels with or without underscore, in the order wanted; none: all.

    Raises
    ------
    InputError
        Unknown table or column.
    """
    table, columns = names_given(star, table, columns)
    if table is None and not columns and len(star.blocks) != 1:
        return overview(star)
    block = choose_block(star, table, columns)
    labels = tuple(columns) or block.labels
    texts = [block.texts(label) for label in labels]
    title = f"{star.path.name if star.path else ''} data_{block.name}".strip()
    if block.kind == "list":
        return Grid(("label", "value"), tuple((label, text[0]) for label, text in zip(labels, texts, strict=True)), title)
    return Grid(labels, tuple(zip(*texts, strict=True)), title)
