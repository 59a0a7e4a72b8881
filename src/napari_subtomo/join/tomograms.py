"""Tomogram sets merged by name; what two of them say about one tomogram must be the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.star import StarBlock, StarFile, read_star, write_star
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.join.optics import MICROSCOPE, free_name, same_text
from napari_subtomo.join.sources import Source, absolute_paths

SERIES = "tilt_series"
NEEDED = (*MICROSCOPE, relion.TOMO_HAND, relion.TOMO_TILT_SERIES_STAR_FILE)
"""Columns that RELION cannot do without, and that no value stands for."""


def copied_series(source: Source, folder: JobFolder, names: Sequence[str]) -> Source:
    """The set with tilt-series files that can be read from the project of the job.

    Files inside the tilt-series tables of another project are relative to that project: the tables are copied into the job's folder
    with absolute paths. Sets of the same project come back as they are.
    """
    tomograms = source.tomograms
    if tomograms is None or tomograms.project.root == folder.project.root or not tomograms.table.has(relion.TOMO_TILT_SERIES_STAR_FILE):
        return source
    for name in names:
        path = tomograms[name].tilt_series_path
        if path is not None:
            star = read_star(path)
            star = replace(star, blocks=tuple(absolute_paths(block, tomograms.project) for block in star))
            target = folder.file(SERIES) / f"{name}.star"
            write_star(target, star)
            tomograms = tomograms.with_values(name, {relion.TOMO_TILT_SERIES_STAR_FILE: folder.name(target)})
    return replace(source, tomograms=tomograms)


def check_same(sources: Sequence[Source]) -> None:
    """Refuse sets that contradict each other about a tomogram.

    Cells that only one set has, or that are `N/A` in the other, are no contradiction; nor are two tilt-series files with equal tables.

    Raises
    ------
    InputError
        Names the tomogram, the column, both values and their files.
    """
    known: dict[str, list[tuple[Source, dict[str, str]]]] = {}
    for source in sources:
        if source.tomograms is None:
            continue
        for name, cells in _rows(source.tomograms.table).items():
            for other, others in known.get(name, []):
                label = next((x for x in cells if x in others and not _agree(name, x, cells[x], others[x], source, other)), None)
                if label is not None:
                    assert other.tomograms is not None
                    raise InputError(
                        f"Expected the same tomogram {name} in both sets, found _{label} {others[label]} in {other.tomograms.path} and "
                        f"{cells[label]} in {source.tomograms.path}; give one --tomograms for all sets, or rename the tomogram if it is "
                        "another one."
                    )
            known.setdefault(name, []).append((source, cells))


def _rows(table: StarBlock) -> dict[str, dict[str, str]]:
    """Cells of each tomogram by name."""
    names = table.texts(relion.TOMO_NAME)
    return {name: {label: texts[i] for label, texts in table.columns.items()} for i, name in enumerate(names)}


def _agree(name: str, label: str, a: str, b: str, one: Source, other: Source) -> bool:
    if a in relion.NOT_AVAILABLE or b in relion.NOT_AVAILABLE or same_text(a, b):
        return True
    if label != relion.TOMO_TILT_SERIES_STAR_FILE:
        return False
    assert one.tomograms is not None and other.tomograms is not None
    paths = [source.project.resolve(text) for source, text in ((one.tomograms, a), (other.tomograms, b))]
    return all(path.is_file() for path in paths) and _series(paths[0], name) == _series(paths[1], name)


def _series(path: Path, name: str) -> dict[str, tuple[str, ...]]:
    return dict(read_star(path)[name].columns)


def apart(sources: Sequence[Source]) -> tuple[list[Source], list[str]]:
    """The sets with different names for optics groups of different microscopes, in tomograms and particles alike, and sentences.

    Groups are compared by what tomogram sets say of them: voltage, spherical aberration, amplitude contrast and pixel size.
    """
    known: dict[str, tuple[str, ...]] = {}
    seen: set[str] = set()
    result, sentences = [], []
    for source in sources:
        new: dict[str, str] = {}
        if source.tomograms is not None and source.tomograms.table.has(relion.OPTICS_GROUP_NAME):
            for name, cells in _rows(source.tomograms.table).items():
                group = cells[relion.OPTICS_GROUP_NAME]
                values = tuple(cells.get(label, "") for label in MICROSCOPE)
                if name in seen or group in new:
                    continue
                if group in known and not all(same_text(a, b) for a, b in zip(known[group], values, strict=True)):
                    new[group] = free_name(group, known.keys())
                    label = next(x for x, a, b in zip(MICROSCOPE, known[group], values, strict=True) if not same_text(a, b))
                    sentences.append(
                        f"The optics group {group} of {source.tomograms.path} is called {new[group]}: its _{label} is another."
                    )
                known.setdefault(new.get(group, group), values)
            source = _renamed(source, new, seen)
            assert source.tomograms is not None
            seen.update(source.tomograms.names)
        result.append(source)
    return result, sentences


def _renamed(source: Source, new: Mapping[str, str], seen: set[str]) -> Source:
    """The set with other names of optics groups; tomograms that an earlier set has keep theirs."""
    if not new:
        return source
    tomograms, particles = source.tomograms, source.particles
    assert tomograms is not None
    groups = zip(tomograms.names, tomograms.table.texts(relion.OPTICS_GROUP_NAME), strict=True)
    tomograms = tomograms.with_columns({relion.OPTICS_GROUP_NAME: [g if name in seen else new.get(g, g) for name, g in groups]})
    if particles.optics is not None and particles.optics.has(relion.OPTICS_GROUP_NAME):
        names = particles.optics.texts(relion.OPTICS_GROUP_NAME)
        particles = particles.with_optics({relion.OPTICS_GROUP_NAME: [new.get(name, name) for name in names]})
    return replace(source, tomograms=tomograms, particles=particles)


def merged(sources: Sequence[Source], folder: JobFolder) -> tuple[TomogramSet | None, dict[str, list[int]]]:
    """One tomogram set of several, each tomogram once, in the order of the sets; None where no set has one.

    Parameters
    ----------
    sources : sequence of Source
        Without contradictions (`check_same`).
    folder : JobFolder

    Returns
    -------
    tomograms : TomogramSet or None
    left_out : dict of str to list of int
        Columns that some tomograms lack, to the numbers (from 0) of the sets that have them.

    Raises
    ------
    InputError
        A column that RELION needs is missing in one set.
    """
    sets = [source.tomograms for source in sources if source.tomograms is not None]
    if not sets:
        return None, {}
    rows: dict[str, dict[str, str]] = {}
    for tomograms in sets:
        for name, cells in _rows(tomograms.table).items():
            known = rows.setdefault(name, {})
            known.update({label: text for label, text in cells.items() if known.get(label, "") in _UNKNOWN})
    meaning = _meaning([tomograms.table for tomograms in sets])
    columns: dict[str, list[str]] = {}
    left_out: dict[str, list[int]] = {}
    for label in dict.fromkeys(label for tomograms in sets for label in tomograms.table.labels):
        lacking = next((name for name, cells in rows.items() if label not in cells), None)
        owners = [i for i, tomograms in enumerate(sets) if tomograms.table.has(label)]
        if lacking is not None and label in NEEDED:
            raise InputError(
                f"Expected the column _{label} for all tomograms, found it in {sets[owners[0]].path} and not for {lacking}; "
                "add it, or give one --tomograms for all sets."
            )
        if lacking is not None and label not in meaning:
            left_out[label] = owners
        else:
            columns[label] = [cells[label] if label in cells else meaning[label] for cells in rows.values()]
    inside = {block.name: block for tomograms in sets for block in tomograms.star if block.name in rows}  # series in the same file
    star = StarFile((StarBlock.loop(sets[0].table.name, columns), *inside.values()))
    return TomogramSet(star, folder.project, folder.file("tomograms.star")), left_out


_SIZES = (relion.TOMO_SIZE_X, relion.TOMO_SIZE_Y, relion.TOMO_SIZE_Z)
_UNKNOWN = relion.NOT_AVAILABLE | {"-999"}


def _meaning(tables: Sequence[StarBlock]) -> dict[str, str]:
    """What stands for a missing column: RELION's marks for sizes and files that are not known, its default for the slope.

    A binning that is not known is 0, as in a column that RELION itself adds for some rows only.
    """
    meaning = {**dict.fromkeys(_SIZES, "-999"), relion.TOMO_DEFOCUS_SLOPE: "1.000000", relion.TOMO_BINNING: "0.000000"}
    for table in tables:
        for label, texts in table.columns.items():
            if label not in meaning and not all(_number(text) for text in texts):
                meaning[label] = "N/A"
    return meaning


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text in relion.NOT_AVAILABLE
    return True
