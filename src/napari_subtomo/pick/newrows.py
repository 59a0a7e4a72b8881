"""Cells of new picks in a set that has more columns than a pick knows of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.star import format_value
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.pick.sources import Picks

_NUMBER = re.compile(r"(\d+)$")
_NONE = "None"
_ZERO = "0.000000"
_KNOWN = {
    **dict.fromkeys((*relion.ORIGINS, *relion.ANGLES, *relion.SUBTOMOGRAM_ANGLES, *relion.ANGLE_PRIORS), _ZERO),
    relion.CLASS_NUMBER: "0",
    relion.NORM_CORRECTION: "1.000000",
    relion.LOG_LIKELI_CONTRIBUTION: _ZERO,
    relion.MAX_VALUE_PROB_DISTRIBUTION: _ZERO,
    relion.NR_OF_SIGNIFICANT_SAMPLES: "0",
    relion.IMAGE_NAME: _NONE,
    relion.CTF_IMAGE: _NONE,
}
_LIKE_NEIGHBOURS = (relion.GROUP_NAME, relion.GROUP_NUMBER, relion.VISIBLE_FRAMES)


def new_rows(
    base: ParticleSet, ids: Sequence[str], picks: Picks, tomograms: TomogramSet, columns: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Cells of new particles for every column of `base`.

    What a pick knows is written; names and row ids continue the highest number; half sets go to the smaller half; the optics group
    is that of the tomogram's name for it; that failing, and for intensity groups and visible frames, it is that of another particle
    of the tomogram; images are `None` until the next extraction; angles and origins are 0; any other column is 0 if it holds numbers
    and `None` if it holds text.

    Parameters
    ----------
    base : ParticleSet
        Centred coordinates in Å.
    ids : sequence of str
        Row ids of `base`.
    picks : Picks
    tomograms : TomogramSet
    columns : mapping of label to sequence of str
        What else is known, one text a new particle.
    """
    n, tomo_names, points = len(picks), picks.tomo_names, picks.positions
    cells: dict[str, list[str]] = {}
    for label, texts in base.table.columns.items():
        if label in columns:
            cells[label] = list(columns[label])
        elif label == relion.TOMO_NAME:
            cells[label] = list(tomo_names)
        elif label in relion.CENTRED:
            cells[label] = [format_value(value) for value in points[:, relion.CENTRED.index(label)]]
        elif label == relion.TOMO_PARTICLE_NAME:
            cells[label] = _next_names(base, tomo_names)
        elif label == relion.ROW_ID:
            cells[label] = _next_ids(ids, n)
        elif label == relion.RANDOM_SUBSET:
            cells[label] = _halves(texts, n)
        elif label == relion.OPTICS_GROUP:
            cells[label] = _optics_groups(base, texts, tomo_names, tomograms)
        elif label in _LIKE_NEIGHBOURS:
            cells[label] = _like_neighbours(base, texts, tomo_names)
        else:
            cells[label] = [_KNOWN.get(label) or _blank(texts)] * n
    return cells


def _next_names(base: ParticleSet, tomo_names: Sequence[str]) -> list[str]:
    """`<tomogram>/<number>`, numbers after the highest of the tomogram."""
    last: dict[str, int] = {}
    for tomogram, name in zip(base.tomo_names, base.texts(relion.TOMO_PARTICLE_NAME), strict=True):
        match = _NUMBER.search(name)
        last[tomogram] = max(last.get(tomogram, 0), int(match.group()) if match else 0)
    names = []
    for tomogram in tomo_names:
        last[tomogram] = last.get(tomogram, 0) + 1
        names.append(f"{tomogram}/{last[tomogram]}")
    return names


def _next_ids(ids: Sequence[str], n: int) -> list[str]:
    highest = max((int(text) for text in ids if text.isdecimal()), default=0)
    return [str(highest + i) for i in range(1, n + 1)]


def _halves(texts: Sequence[str], n: int) -> list[str]:
    """Each new particle goes to the half that is smaller by then, half 1 of equals."""
    counts = {"1": texts.count("1"), "2": texts.count("2")}
    halves = []
    for _ in range(n):
        half = "2" if counts["2"] < counts["1"] else "1"
        counts[half] += 1
        halves.append(half)
    return halves


def _like_neighbours(base: ParticleSet, texts: Sequence[str], tomo_names: Sequence[str]) -> list[str]:
    """The cell of the first particle of the same tomogram, else of the first of all."""
    first: dict[str, str] = {}
    for tomogram, text in zip(base.tomo_names, texts, strict=True):
        first.setdefault(tomogram, text)
    return [first.get(tomogram, texts[0] if texts else "1") for tomogram in tomo_names]


def _optics_groups(base: ParticleSet, texts: Sequence[str], tomo_names: Sequence[str], tomograms: TomogramSet) -> list[str]:
    """The group with the name that the tomogram gives, else that of a neighbour."""
    groups = _like_neighbours(base, texts, tomo_names)
    if base.optics is None or not base.optics.has(relion.OPTICS_GROUP, relion.OPTICS_GROUP_NAME):
        return groups
    numbers = dict(zip(base.optics.texts(relion.OPTICS_GROUP_NAME), base.optics.texts(relion.OPTICS_GROUP), strict=True))
    return [numbers.get(tomograms[name].optics_group, group) for name, group in zip(tomo_names, groups, strict=True)]


def _blank(texts: Sequence[str]) -> str:
    try:
        numbers = [float(text) for text in texts[:100]]
    except ValueError:
        return _NONE
    return "0" if all("." not in text and "e" not in text.lower() for text in texts[:100]) and numbers else _ZERO
