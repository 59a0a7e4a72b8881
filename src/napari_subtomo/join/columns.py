"""Tables of several files under one set of columns.

RELION's join (`combineMetaDataTables`) leaves out every column that one of the files lacks. That is kept for columns whose absence
says nothing; where RELION itself reads a missing column as a value, that value is filled in, or particles would move or turn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.star import StarBlock
from napari_subtomo.join.sources import Source

MEANING: dict[str, str] = {
    **dict.fromkeys((*relion.ORIGINS, *relion.ANGLES, *relion.SUBTOMOGRAM_ANGLES, *relion.ORIGIN_PRIORS), "0.000000"),
    **dict.fromkeys(relion.ANGLE_PRIORS, "999.000000"),  # RELION's mark for a prior that is not set
    relion.CLASS_NUMBER: "0",
}
"""What a particle without the column has, by RELION's own reading."""

IMAGES = (relion.IMAGE_NAME, relion.CTF_IMAGE, relion.VISIBLE_FRAMES)
_NUMBERED_ANEW = (relion.GROUP_NUMBER, relion.ROW_ID)  # RELION counts groups at every reading; row ids are those of one file


def same_columns(
    tables: Sequence[StarBlock], meaning: Mapping[str, str | Callable[[int], Sequence[str]]]
) -> tuple[list[StarBlock], dict[str, list[int]]]:
    """Tables with one set of columns, in the order of the first table and then of the others.

    Parameters
    ----------
    tables : sequence of StarBlock
    meaning : mapping
        Label to the text that stands for a missing column, or to a function of the table's number that gives its texts.

    Returns
    -------
    tables : list of StarBlock
    left_out : dict of str to list of int
        Columns that not all tables have, to the numbers (from 0) of those that have them.
    """
    labels = dict.fromkeys(label for table in tables for label in table.labels)
    left_out: dict[str, list[int]] = {}
    filled: list[dict[str, Any]] = [{} for _ in tables]
    for label in labels:
        owners = [i for i, table in enumerate(tables) if table.has(label)]
        if len(owners) < len(tables) and label not in meaning:
            left_out[label] = owners
            continue
        for i, table in enumerate(tables):
            if table.has(label):
                filled[i][label] = table.texts(label)
            else:
                value = meaning[label]
                filled[i][label] = (value,) * len(table) if isinstance(value, str) else value(i)
    return [StarBlock.loop(table.name, columns) for table, columns in zip(tables, filled, strict=True)], left_out


def stacked(tables: Sequence[StarBlock]) -> StarBlock:
    """Tables of the same columns, one below the other."""
    first = tables[0]
    return StarBlock.loop(first.name, {label: [text for table in tables for text in table.texts(label)] for label in first.labels})


def particle_tables(sets: Sequence[ParticleSet]) -> tuple[list[StarBlock], dict[str, list[int]]]:
    """Tables of particles under one set of columns; as `same_columns`."""
    tables = [particles.table.without(*_NUMBERED_ANEW) for particles in sets]
    meaning: dict[str, str | Callable[[int], Sequence[str]]] = dict(MEANING)
    meaning[relion.GROUP_NAME] = lambda i: sets[i].tomo_names  # a particle without a group is in that of its tomogram
    return same_columns(tables, meaning)


def without_images(particles: ParticleSet) -> ParticleSet:
    """The set as if it had never been extracted."""
    from dataclasses import replace

    gone = (relion.IMAGE_PIXEL_SIZE, relion.IMAGE_SIZE, relion.IMAGE_DIMENSIONALITY, relion.SUBTOMOGRAM_BINNING)
    star = particles.star.without(relion.GENERAL)
    if particles.optics is not None:
        star = star.replace(particles.optics.without(*gone, relion.CTF_PREMULTIPLIED, relion.CTF_CORRECTED))
    return replace(particles, star=star).without_columns(*IMAGES)


def check_images(sources: Sequence[Source]) -> None:
    """Refuse sets whose images cannot stand in one file.

    Raises
    ------
    InputError
        Images in some sets and not in others, or 2D stacks and volumes.
    """
    advice = "extract them alike, or join them without their images (--no-keep-images) and extract the joined set"
    for label, what in ((relion.IMAGE_NAME, "extracted images"), (relion.CTF_IMAGE, "weights beside the images")):
        have = [source.particles.has(label) for source in sources]
        if any(have) and not all(have):
            without, with_ = sources[have.index(False)].path, sources[have.index(True)].path
            raise InputError(f"Expected {what} in all sets or in none, found them in {with_} and not in {without}; {advice}.")
    stacks = [source.particles.is_2d_stacks for source in sources]
    if any(stacks) and not all(stacks) and sources[0].particles.has(relion.IMAGE_NAME):
        flat, solid = sources[stacks.index(True)].path, sources[stacks.index(False)].path
        raise InputError(f"Expected 2D stacks or volumes in all sets, found stacks in {flat} and volumes in {solid}; {advice}.")
    frames = [source.particles.has(relion.VISIBLE_FRAMES) for source in sources]
    if all(stacks) and any(frames) and not all(frames):
        raise InputError(
            f"Expected _{relion.VISIBLE_FRAMES} for all 2D stacks, found none in {sources[frames.index(False)].path}; {advice}."
        )
