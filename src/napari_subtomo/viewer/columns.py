"""Colours from a column of the particles: one colour a value, or a scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_subtomo.io import relion
from napari_subtomo.viewer import palette
from napari_subtomo.viewer.memo import remembered
from napari_subtomo.viewer.table import ParticleTable

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

#: A column of numbers with more different values than this is coloured by a scale; one of texts is not offered.
MOST_CATEGORIES = 14
#: Columns that say where a particle is and how it lies: seldom what one wants to see in colour.
WHERE = (*relion.CENTRED, *relion.ORIGINS, *relion.ANGLES, *relion.SUBTOMOGRAM_ANGLES)
#: Percentiles of the values at the ends of a scale, so that single outliers do not take all of it.
SCALE_ENDS = (2.0, 50.0, 98.0)


@dataclass(frozen=True, eq=False)
class ColourKey:
    """One line of a legend: the particles (mask over the table) that a colour stands for."""

    label: str
    colour: str
    mask: BoolArray


@dataclass(frozen=True, eq=False)
class ParticleColours:
    """Colours of all particles of a table, shape (n, 4), and what they mean."""

    values: FloatArray
    keys: tuple[ColourKey, ...]


def particle_colours(table: ParticleTable, kept: BoolArray, column: str) -> ParticleColours:
    """Colours of all particles by a column.

    Class numbers keep one colour each for ever. Other columns with few values get one colour a value, numbers with many (or broken)
    values a scale; a missing column leaves all white.

    Parameters
    ----------
    table : ParticleTable
    kept : ndarray of bool, shape (n,)
        Classes and scales are those of the kept particles.
    column : str
    """
    if column == relion.CLASS_NUMBER and table.classes[kept & table.alive].any():
        return _by_class(table, kept)
    if column not in table.columns or column == relion.CLASS_NUMBER:
        everything = ColourKey("particles", palette.UNCLASSIFIED, np.ones(len(table), dtype=bool))
        return ParticleColours(np.tile(palette.rgba(palette.UNCLASSIFIED), (len(table), 1)), (everything,) if len(table) else ())
    values = table.numbers(column)
    if values is not None and not _is_category(values):
        return _by_scale(values, kept & table.alive)
    return _by_value(*table.values(column), numbers=values is not None)


def colour_columns(table: ParticleTable) -> list[str]:
    """Columns that are worth colouring by: the class first, then numbers that differ, texts with few values, and where a particle is.

    The first call looks at every cell of a file, half a second for 100,000 particles; later ones remember.
    """
    return list(remembered(table.columns, "worth colouring by", lambda: _colour_columns(table)))


def _colour_columns(table: ParticleTable) -> list[str]:
    chosen = [relion.CLASS_NUMBER]
    texts: list[str] = []
    where: list[str] = []
    for label, cells in table.columns.items():
        if label in chosen or label in relion.PATH_LABELS or label == relion.VISIBLE_FRAMES:
            continue
        distinct = set(cells)
        if len(distinct) < 2:
            continue
        if label in WHERE:
            where.append(label)
        elif table.numbers(label) is not None:
            chosen.append(label)
        elif len(distinct) <= MOST_CATEGORIES:
            texts.append(label)
    return chosen + texts + where


def _is_category(values: FloatArray) -> bool:
    """Few different integers: groups, halves, flags."""
    finite = values[np.isfinite(values)]
    return bool(np.all(finite == np.round(finite))) and len(np.unique(finite)) <= MOST_CATEGORIES


def _by_class(table: ParticleTable, kept: BoolArray) -> ParticleColours:
    keys = []
    for number in np.flatnonzero(np.bincount(np.maximum(table.classes[kept & table.alive], 0))).tolist():
        label = f"class {number}" if number > 0 else "no class"
        mask = table.classes == number if number > 0 else table.classes <= 0
        keys.append(ColourKey(label, palette.to_hex(palette.class_colours([number])[0]), mask))
    return ParticleColours(palette.class_colours(table.classes), tuple(keys))


def _by_scale(values: FloatArray, living: BoolArray) -> ParticleColours:
    seen = values[living & np.isfinite(values)]
    ends = np.percentile(seen, SCALE_ENDS) if seen.size else np.zeros(3)
    low, high = float(ends[0]), float(ends[-1])
    levels = np.asarray([level for place, level in enumerate(ends) if f"{level:.3g}" not in {f"{other:.3g}" for other in ends[:place]}])
    nearest = np.abs(values[:, None] - levels[None]).argmin(axis=1)
    shades = palette.continuous_colours(levels, low, high)
    keys = tuple(
        ColourKey(f"about {level:.3g}", palette.to_hex(shade), (nearest == rank) & np.isfinite(values))
        for rank, (level, shade) in enumerate(zip(levels, shades, strict=True))
    )
    return ParticleColours(palette.continuous_colours(values, low, high), keys)


def _by_value(texts: tuple[str, ...], ranks: npt.NDArray[np.int64], numbers: bool) -> ParticleColours:
    """One colour a text, in the order of the texts, or of their values where they are `numbers`."""
    order = sorted(range(len(texts)), key=(lambda i: float(texts[i] or "-inf")) if numbers else (lambda i: texts[i]))
    shades = np.empty((len(texts), 4))
    shades[order] = palette.category_colours(len(texts))
    keys: list[ColourKey] = []
    for place in order:
        if not texts[place]:
            shades[place] = palette.rgba(palette.UNCLASSIFIED)
        if len(keys) < 2 * MOST_CATEGORIES:
            keys.append(ColourKey(texts[place] or "none", palette.to_hex(shades[place]), ranks == place))
    return ParticleColours(shades[ranks], tuple(keys))
