"""Whatever texts a table holds, writing and reading gives them back."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from napari_subtomo.io.star import StarBlock, format_star, parse_star


def _can_be_quoted(value: str) -> bool:
    """No line break, and not both kinds of quote before white space."""
    return not re.search(r"[\n\r]", value) and not (re.search(r'"[ \t]', value) and re.search(r"'[ \t]", value))


LABELS = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,12}", fullmatch=True)
NAMES = st.from_regex(r"([A-Za-z0-9_][A-Za-z0-9_. /-]{0,10}[A-Za-z0-9_])?", fullmatch=True)
ODD = st.sampled_from(
    [
        "",
        " ",
        "\t",
        "01",
        "1e3",
        "N/A",
        "TS 1",
        "data_",
        "data_x y",
        "loop_",
        "_a",
        "_a #1",
        "#",
        "# x",
        '"',
        "'",
        "''",
        '"a" b',
        "it's so",
        "\ufeff",
    ]
)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=12).filter(_can_be_quoted) | ODD.filter(_can_be_quoted)


@st.composite
def blocks(draw: st.DrawFn, name: str) -> StarBlock:
    """A list or a loop with arbitrary texts."""
    labels = draw(st.lists(LABELS, min_size=1, max_size=5, unique=True))
    if draw(st.booleans()):
        return StarBlock.list(name, {label: draw(TEXTS) for label in labels})
    rows = draw(st.integers(0, 5))
    return StarBlock.loop(name, {label: draw(st.lists(TEXTS, min_size=rows, max_size=rows)) for label in labels})


@st.composite
def files(draw: st.DrawFn) -> list[StarBlock]:
    """Tables with different names."""
    return [draw(blocks(name)) for name in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))]


@settings(max_examples=300, deadline=None)
@given(files())
def test_any_text_survives(tables: list[StarBlock]):
    text = format_star(tables)
    star = parse_star(text)
    assert star.names == tuple(t.name for t in tables)
    for before, after in zip(tables, star, strict=True):
        assert after.kind == before.kind
        assert dict(after.columns) == dict(before.columns)
        assert after.labels == before.labels
    assert format_star(star) == text


@settings(max_examples=200, deadline=None)
@given(files(), st.data())
def test_editing_a_cell_leaves_all_others(tables: list[StarBlock], data: st.DataObject):
    star = parse_star(format_star(tables))
    table = data.draw(st.sampled_from(star.blocks))
    if not len(table):
        return
    label = data.draw(st.sampled_from(table.labels))
    row = data.draw(st.integers(0, len(table) - 1))
    column = list(table.texts(label))
    column[row] = data.draw(TEXTS)
    again = parse_star(format_star(star.replace(table.with_column(label, column))))
    for before, after in zip(star, again, strict=True):
        expected = {**before.columns, label: tuple(column)} if before.name == table.name else dict(before.columns)
        assert dict(after.columns) == expected
