"""Optics groups of several sets: equal ones become one, all get new numbers, and no two have the same name."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.star import StarBlock
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.join.columns import same_columns

MICROSCOPE = (relion.VOLTAGE, relion.SPHERICAL_ABERRATION, relion.AMPLITUDE_CONTRAST, relion.TILT_SERIES_PIXEL_SIZE)
"""What tomograms and optics groups both say."""
PRECISION = 1e-5
"""Numbers that differ by no more than this part are the same, written with other digits."""


def same_text(a: str, b: str) -> bool:
    """Whether two cells say the same: as text or as numbers."""
    if a == b:
        return True
    try:
        x, y = float(a), float(b)
    except ValueError:
        return False
    return abs(x - y) <= PRECISION * max(abs(x), abs(y))


def free_name(name: str, taken: Collection[str]) -> str:
    """`name`, or `name_2`, `name_3`, ..., the first that is not taken."""
    if name not in taken:
        return name
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def completed(particles: ParticleSet, tomograms: TomogramSet | None) -> ParticleSet:
    """The set with an optics table that says what is known of its tomograms; as it is where nothing is.

    Groups that no particle is in are left out.
    """
    if particles.optics is None:
        if tomograms is None:
            return particles
        of = {name: tomograms[name].optics_group for name in dict.fromkeys(particles.tomo_names)}
        names = list(dict.fromkeys(of.values()))
        particles = particles.with_columns({relion.OPTICS_GROUP: [names.index(of[name]) + 1 for name in particles.tomo_names]})
        particles = particles.with_optics({relion.OPTICS_GROUP: list(range(1, len(names) + 1)), relion.OPTICS_GROUP_NAME: names})
    if not particles.has(relion.OPTICS_GROUP):
        particles = particles.with_columns({relion.OPTICS_GROUP: [1] * particles.n})
    block = particles.optics
    assert block is not None
    if not block.has(relion.OPTICS_GROUP):
        block = block.with_column(relion.OPTICS_GROUP, range(1, len(block) + 1))
    first: dict[int, str] = {}
    for number, tomogram in zip(particles.optics_groups.tolist(), particles.tomo_names, strict=True):
        first.setdefault(number, tomogram)
    block = block.rows([i for i, number in enumerate(block.ints(relion.OPTICS_GROUP).tolist()) if number in first])
    members = [tomograms[first[number]] for number in block.ints(relion.OPTICS_GROUP).tolist()] if tomograms is not None else []
    names = [tomogram.optics_group for tomogram in members] or [f"opticsGroup{n}" for n in block.ints(relion.OPTICS_GROUP)]
    if not block.has(relion.OPTICS_GROUP_NAME):
        block = block.with_column(relion.OPTICS_GROUP_NAME, names)
    for label in MICROSCOPE:
        values = [tomogram.extra.get(label, "") for tomogram in members]
        if not block.has(label) and values and not any(value in relion.NOT_AVAILABLE for value in values):
            block = block.with_column(label, values)
    return replace(particles, star=particles.star.replace(block))


def merged(tables: Sequence[StarBlock]) -> tuple[StarBlock, list[dict[int, int]], dict[str, list[int]], list[str]]:
    """One optics table of several.

    Parameters
    ----------
    tables : sequence of StarBlock
        Each with numbers and names.

    Returns
    -------
    table : StarBlock
    numbers : list of dict
        For each input table, old number to new number.
    left_out : dict of str to list of int
        Columns that not all tables have, as `columns.same_columns`.
    renamed : list of str
        Sentences about groups that had a name in common and nothing else.
    """
    alike, left_out = same_columns(tables, {relion.CTF_PREMULTIPLIED: "0", relion.CTF_CORRECTED: "0"})
    labels = [label for label in alike[0].labels if label != relion.OPTICS_GROUP]
    rows: list[dict[str, Any]] = []
    originals: list[dict[str, str]] = []
    numbers: list[dict[int, int]] = []
    renamed: list[str] = []
    for table in alike:
        new: dict[int, int] = {}
        for i, number in enumerate(table.ints(relion.OPTICS_GROUP).tolist()):
            cells = {label: table.texts(label)[i] for label in labels}
            found = next((k for k, known in enumerate(originals) if all(same_text(known[label], cells[label]) for label in labels)), None)
            if found is None:
                found = len(rows)
                name = free_name(cells[relion.OPTICS_GROUP_NAME], [row[relion.OPTICS_GROUP_NAME] for row in rows])
                if name != cells[relion.OPTICS_GROUP_NAME]:
                    renamed.append(_difference(cells, originals, name))
                rows.append({relion.OPTICS_GROUP: found + 1, **cells, relion.OPTICS_GROUP_NAME: name})
                originals.append(cells)
            new[number] = found + 1
        numbers.append(new)
    order = alike[0].labels
    return StarBlock.loop(relion.OPTICS, {label: [row[label] for row in rows] for label in order}), numbers, left_out, renamed


def _difference(cells: dict[str, str], known: Sequence[dict[str, str]], name: str) -> str:
    """Why a group could not keep its name."""
    old = cells[relion.OPTICS_GROUP_NAME]
    other = next(group for group in known if group[relion.OPTICS_GROUP_NAME] == old)
    label = next(label for label in cells if not same_text(cells[label], other[label]))
    return f"The optics group {old} of a later set is called {name}: its _{label} is {cells[label]}, not {other[label]}."
