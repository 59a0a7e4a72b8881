"""The text of STAR files: tokens, tables, layout (RELION's dialect; `star.py` is what others use).

The dialect, as RELION's reader has it: one row a line; a quote opens a value only at its start and closes it only before white space;
`#` starts a comment only at the start of a value; no multi-line values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from napari_subtomo.errors import FileFormatError, InputError

_TOKEN = re.compile(r"""[ \t]*(?:"((?:[^"]|"(?![ \t]|$))*)"(?=[ \t]|$)|'((?:[^']|'(?![ \t]|$))*)'(?=[ \t]|$)|(\#.*)|(["'].*)|([^ \t]+))""")
_UNUSUAL = re.compile(r"[\x0b\x0c\x1c-\x1f]")  # what str.split() takes for white space and STAR does not
_NUMBER_START = frozenset("0123456789-+.")
_KEYWORDS = ("_", "data_", "loop_", "\ufeff")
_NOT_FINITE = frozenset({"inf", "nan"})


@dataclass
class Table:
    """One table while it is read."""

    name: str
    comments: list[str]
    kind: Literal["list", "loop"] = "list"
    labels: list[str] = field(default_factory=list)
    columns: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def tokens(line: str, where: str) -> list[str]:
    """Values of one line.

    Raises
    ------
    FileFormatError
        A quote that is opened and never closed.
    """
    values = []
    for match in _TOKEN.finditer(line):
        double, single, comment, broken, plain = match.groups()
        if comment is not None:
            break
        if broken is not None:
            raise FileFormatError(f"Expected a closing quote in {where}, found {broken!r}; close or remove the quote.")
        values.append(plain if plain is not None else double if double is not None else single)
    return values


def parse(text: str, source: str) -> tuple[list[Table], list[str]]:
    """Tables and the comment lines after the last one.

    Raises
    ------
    FileFormatError
        One sentence that names the file and the line.
    """
    plain = text.isascii() and _UNUSUAL.search(text) is None
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    tables: list[Table] = []
    seen: set[str] = set()
    pending: list[str] = []  # comments and blank lines since the last value
    at = 0
    while at < len(lines):
        line = lines[at].strip(" \t")
        at += 1
        if not line or line[0] == "#":
            pending.append(lines[at - 1] if line else "")
        elif line.startswith("data_"):
            name = line[5:].split(" #")[0].strip(" \t")
            if name in seen:
                raise FileFormatError(f"Expected each table once in {source}, found data_{name} again in line {at}; rename or remove one.")
            seen.add(name)
            tables.append(Table(name, _trim(pending)))
            pending = []
        elif not tables:
            raise FileFormatError(f"Expected a STAR file with a data_ line, found {line[:40]!r} in line {at} of {source}.")
        elif line == "loop_" or line.startswith(("loop_ ", "loop_\t")):
            table = tables[-1]
            if table.labels:
                raise FileFormatError(f"Expected one table in data_{table.name} of {source}, found a second loop_ in line {at}.")
            table.notes += _trim(pending)
            table.kind = "loop"
            at, pending = _parse_loop(lines, at, table, source, plain)
        elif line[0] == "_" and tables[-1].kind == "list":
            table = tables[-1]
            table.notes += _trim(pending)
            pending = []
            _parse_entry(line, table, f"line {at} of {source}")
        else:
            raise FileFormatError(f"Expected a label, loop_ or data_ in line {at} of {source}, found {line[:40]!r}.")
    if not tables:
        raise FileFormatError(f"Expected a STAR file with a data_ line, found none in {source}.")
    return tables, _trim(pending)


def _trim(lines: list[str]) -> list[str]:
    """Without blank lines at both ends."""
    kept = [i for i, line in enumerate(lines) if line]
    return lines[kept[0] : kept[-1] + 1] if kept else []


def _add_label(label: str, table: Table, where: str) -> None:
    if label in table.labels:
        raise FileFormatError(f"Expected each label once in data_{table.name}, found _{label} again in {where}; remove one.")
    table.labels.append(label)


def _parse_entry(line: str, table: Table, where: str) -> None:
    """One `_label value` line of a list; a missing value is an empty text."""
    values = tokens(line, where)
    if len(values) > 2:
        raise FileFormatError(f"Expected one value for {values[0]} in {where}, found {len(values) - 1}; quote a value with spaces.")
    _add_label(values[0][1:], table, where)
    table.columns.append((values[1] if len(values) > 1 else "",))


def _parse_loop(lines: list[str], at: int, table: Table, source: str, plain: bool) -> tuple[int, list[str]]:
    """Labels and rows from line `at` on; returns the first line after them and comments that belong to what follows."""
    rows: list[list[str]] = []
    pending: list[str] = []
    width = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if plain and '"' not in line and "'" not in line and "#" not in line:
            values = line.split()
        else:
            line = line.strip(" \t")
            values = [] if not line or line[0] == "#" else tokens(line, f"line {at} of {source}")
        if not values:
            pending.append(line if line.strip(" \t") else "")
            continue
        first = line.lstrip(" \t")
        if first.startswith("data_") and (pending or width < 2 or len(values) != width):
            at -= 1
            break
        if not rows and first[0] == "_" and len(values) == 1:
            table.notes += _trim(pending)
            _add_label(values[0][1:], table, f"line {at} of {source}")
            width += 1
        else:
            if len(values) != width:
                raise FileFormatError(
                    f"Expected {width} values in row {len(rows) + 1} of data_{table.name} (line {at} of {source}), found {len(values)}; "
                    f"{_column_hint(table, len(values))}."
                )
            if pending:
                table.notes += _trim(pending)
            rows.append(values)
        if pending:
            pending = []
    table.columns = [tuple(c) for c in zip(*rows, strict=True)] if rows else [()] * width
    return at, pending


def _column_hint(table: Table, found: int) -> str:
    if found < len(table.labels):
        return f"the row ends before column _{table.labels[found]}, so the file may be cut off"
    return "quote values with spaces"


def quote(value: str, *, leading: bool = False) -> str:
    """A value as it stands in a file: quoted where white space, a comment or a keyword would be misread.

    Parameters
    ----------
    value : str
    leading : bool
        Whether it is the first on its line, where `_`, `data_` and `loop_` have a meaning.

    Raises
    ------
    InputError
        The value holds a line break, or both kinds of quote before white space.
    """
    keyword = leading and value.startswith(_KEYWORDS)
    if value and value[0] not in "\"'#" and not keyword and not (" " in value or "\t" in value or "\n" in value or "\r" in value):
        return value
    if "\n" in value or "\r" in value:
        raise InputError(f"Expected text of one line for a STAR file, found a line break in {value!r}.")
    for mark in '"', "'":
        if re.search(mark + r"[ \t]", value) is None:
            return f"{mark}{value}{mark}"
    raise InputError(f"Expected at most one kind of quote before a space, found both in {value!r}, which a STAR file cannot hold.")


def _cell(value: str) -> str:
    """RELION prints numbers at least 12 wide and texts at least 10."""
    return value.rjust(12 if value[0] in _NUMBER_START or value in _NOT_FINITE else 10)


def format_table(
    name: str,
    kind: str,
    columns: Mapping[str, Sequence[str]],
    comments: Sequence[str],
    notes: Sequence[str],
    first: bool,
) -> str:
    """A table as RELION lays it out, with the blank lines around it."""
    return "".join(f"{line}\n" for line in _lines(name, kind, columns, comments, notes, first))


def _lines(
    name: str, kind: str, columns: Mapping[str, Sequence[str]], comments: Sequence[str], notes: Sequence[str], first: bool
) -> Iterator[str]:
    if not (first and comments and not comments[0].startswith("# version")):  # a program's own first lines stand at the very top
        yield ""
    yield from comments
    if comments:
        yield ""
    yield f"data_{name}"
    yield ""
    if notes:
        yield from notes
        yield ""
    if kind == "loop":
        yield "loop_ "
        for number, label in enumerate(columns, start=1):
            yield f"_{label} #{number} "
        yield from _rows(list(columns.values()))
    else:
        width = max([10, *(len(label) + 1 for label in columns)]) + 12
        for label, (value,) in columns.items():
            text = quote(value)
            yield f"_{label}".ljust(width) + (_cell(text) if text[0] in _NUMBER_START or text in _NOT_FINITE else text)
    yield " "


def _rows(columns: list[Sequence[str]]) -> Iterator[str]:
    """Lines of a loop; a column is quoted and padded as a whole, which is fast."""
    padded = []
    for position, column in enumerate(columns):
        leading = position == 0
        padded.append([_cell(quote(value, leading=leading)) for value in column])
    for row in zip(*padded, strict=True):
        yield " ".join(row) + " "
