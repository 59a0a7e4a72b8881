"""The job: kept particles, rejected particles, maps of the chosen classes, counts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_subtomo.data.result import JobResult
from napari_subtomo.data.selection import Selection
from napari_subtomo.duplicates import remove_duplicates
from napari_subtomo.errors import InputError, OptionError
from napari_subtomo.io import relion
from napari_subtomo.io.atomic import atomic_path, write_text
from napari_subtomo.io.class_files import ClassTable, map_path, missing_files, read_classes
from napari_subtomo.io.optimisation import user_path, write_optimisation_set
from napari_subtomo.io.particles import write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.io.tomograms import read_tomograms
from napari_subtomo.options.select import SelectOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.select.auto import Proposal, proposals_of

MAPS = "class_averages"


def choose(table: ClassTable, keep: tuple[int, ...]) -> Selection:
    """The particles of some classes.

    Raises
    ------
    OptionError
        A class that does not exist.
    InputError
        No particle is in any of them.
    """
    source = table.files.given.name
    unknown = [number for number in keep if number not in table.numbers]
    counts = ", ".join(f"{number} ({count} particles)" for number, count in table.hard.items())
    if unknown:
        raise OptionError(f"Expected classes of {source}, which has {counts or 'no classes'}, found class {unknown[0]}; correct --keep.")
    selection = Selection.of_classes(table.class_numbers, keep, table.particles.names)
    if not selection.n_kept:
        raise InputError(f"Expected particles in class {' or '.join(map(str, keep))} of {source}, found none; its classes are {counts}.")
    return selection


def trusted(table: ClassTable, chosen: Selection, options: SelectOptions) -> Selection:
    """The chosen particles whose false-discovery rates are small enough.

    Raises
    ------
    InputError
        The particles were not assessed, or none is left.
    """
    particles = table.particles
    for label, level in ((relion.FALSE_DISCOVERY_RATE, options.max_fdr), (relion.MIRROR_RATE, options.max_mirror_fdr)):
        if level is None:
            continue
        if not particles.has(label):
            raise InputError(
                f"Expected false-discovery rates (_{label}) in {table.files.data}, found none; run assess on the classification and select "
                "from the optimiser that it writes."
            )
        chosen = chosen.and_only(particles.floats(label) <= level)
        if not chosen.n_kept:
            raise InputError(f"Expected particles with a rate (_{label}) of at most {level:g} in the chosen classes, found none; raise it.")
    return chosen


def run(options: SelectOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Write `particles.star`, `particles_rejected.star`, `class_averages.star` with its maps, and `optimisation_set.star`.

    Rows keep their order, columns and text. With a minimum distance the duplicates among the kept go to `particles_removed.star`.
    Classes that are chosen here (`auto`) have their reasons in `selection.txt`, and RELION's `backup_selection.star` has them as ticks.
    """
    project = folder.project
    table = read_classes(user_path(options.source, project), project)
    particles, files = table.particles, table.files
    proposals = proposals_of(table, project) if options.auto else ()
    chosen = choose(table, _proposed(proposals) if options.auto else options.keep)
    by_class = trusted(table, chosen, options)
    for one in proposals:
        reporter.message(one.reason)
    for number in by_class.classes:
        if not table.hard[number]:
            reporter.warn(f"Class {number} has no particles of its own; its map is kept all the same.")
    for path in missing_files(files, project):
        reporter.warn(f"{project.name(path)} is missing; the selection goes on without it.")
    if files.model is None:
        reporter.warn(f"There is no model file beside {files.data.name}: no class maps and no class distribution.")
    selection, duplicates = by_class, np.zeros(particles.n, dtype=bool)
    if options.min_distance is not None:
        duplicates = _duplicates(table, by_class, options, project)
        selection = by_class.and_only(~duplicates)
    maps = _chosen_maps(table, by_class.classes, project)
    reporter.stage("write", len(maps) + 1, "files")
    outputs = {name: folder.file(f"{name}.star") for name in ("particles", "particles_rejected", "optimisation_set")}
    write_particles(outputs["particles"], particles.select(selection.keep))
    write_particles(outputs["particles_rejected"], particles.select(by_class.rejected))
    if options.min_distance is not None:
        outputs["particles_removed"] = folder.file("particles_removed.star")
        write_particles(outputs["particles_removed"], particles.select(duplicates))
    if proposals:
        outputs |= {"reasons": folder.file("selection.txt"), "backup_selection": folder.file("backup_selection.star")}
        write_text(outputs["reasons"], "".join(f"{one.reason}\n" for one in proposals))
        write_star(outputs["backup_selection"], [StarBlock.loop("", {relion.SELECTED: [int(one.keep) for one in proposals]})])
    write_optimisation_set(
        outputs["optimisation_set"],
        particles=folder.name("particles.star"),
        tomograms=folder.link(files.tomograms) if files.tomograms is not None else None,
        trajectories=folder.link(files.trajectories) if files.trajectories is not None else None,
    )
    reporter.advance()
    if table.classes is not None:
        outputs[MAPS] = folder.file(f"{MAPS}.star")
        _write_maps(outputs[MAPS], table.classes, by_class.classes, maps, folder, reporter)
    numbers = {
        "particles": selection.n_kept,
        "rejected": by_class.n_rejected,
        "input": particles.n,
        "classes": list(by_class.classes),
        "hard": {str(number): count for number, count in table.hard.items()},
        "soft": {str(number): share for number, share in table.soft.items()},
    }
    if proposals:
        numbers["reasons"] = [one.reason for one in proposals]
    if options.min_distance is not None:
        numbers["duplicates"] = int(duplicates.sum())
    return JobResult(outputs, _summary(table, by_class, selection, int(duplicates.sum()), options), numbers)


def _proposed(proposals: Sequence[Proposal]) -> tuple[int, ...]:
    """Numbers of the classes that a proposal keeps.

    Raises
    ------
    InputError
        None: every reason is said.
    """
    kept = tuple(one.number for one in proposals if one.keep)
    if not kept:
        reasons = " ".join(one.reason for one in proposals)
        raise InputError(f"Expected a class that is worth keeping, found none; choose classes yourself with --keep. {reasons}")
    return kept


def _duplicates(
    table: ClassTable, chosen: Selection, options: SelectOptions, project: Project
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Mask over all particles of the duplicates among the chosen ones."""
    assert options.min_distance is not None
    path = table.files.tomograms
    tomograms = read_tomograms(path, project) if path is not None and path.is_file() else None
    rows = np.flatnonzero(chosen.keep)
    found = remove_duplicates(table.particles.select(rows), options.min_distance, score=options.score, tomograms=tomograms)
    mask = np.zeros(table.particles.n, dtype=bool)
    mask[rows[found.rejected]] = True
    return mask


def _chosen_maps(table: ClassTable, classes: tuple[int, ...], project: Project) -> dict[int, Path]:
    """Map files of the chosen classes that are there."""
    if table.classes is None or table.files.model is None or not table.classes.has(relion.REFERENCE_IMAGE):
        return {}
    cells = table.classes.texts(relion.REFERENCE_IMAGE)
    paths = {number: map_path(cells[number - 1], table.files.model, project) for number in classes if number <= len(cells)}
    return {number: path for number, path in paths.items() if path is not None and path.is_file()}


def _write_maps(
    path: Path, classes: StarBlock, chosen: tuple[int, ...], maps: dict[int, Path], folder: JobFolder, reporter: Reporter
) -> None:
    """Copy the maps and write their rows of the model with the class numbers they had."""
    numbers = [number for number in sorted(chosen) if number <= len(classes)]
    block = classes.rows(np.array(numbers, dtype=np.int64) - 1)
    if block.has(relion.REFERENCE_IMAGE):
        cells = list(block.texts(relion.REFERENCE_IMAGE))
        for i, number in enumerate(numbers):
            if number in maps:
                copy = folder.file(MAPS) / maps[number].name
                with atomic_path(copy) as temporary:
                    shutil.copyfile(maps[number], temporary)
                cells[i] = folder.name(copy)
                reporter.advance()
        block = block.with_column(relion.REFERENCE_IMAGE, cells)
    write_star(path, [replace(block.with_column(relion.CLASS_NUMBER, numbers), name="")])


def _summary(table: ClassTable, by_class: Selection, selection: Selection, duplicates: int, options: SelectOptions) -> tuple[str, ...]:
    """Counts of the selection, then of each class."""
    classes = f"class{'es' if len(by_class.classes) > 1 else ''} {', '.join(map(str, sorted(by_class.classes)))}"
    first = (
        f"{selection.n_kept} of {len(selection)} particles kept from {classes} of {table.files.given.name}; {by_class.n_rejected} rejected"
    )
    rates = {"background": options.max_fdr, "mirrored references": options.max_mirror_fdr}
    given = [f"{100 * level:g} % against {what}" for what, level in rates.items() if level is not None]
    if given:
        first += f", at a false-discovery rate of at most {' and '.join(given)}"
    if options.min_distance is not None:
        first += f", {duplicates} removed as duplicates within {options.min_distance:g} Å"
    lines = [f"{first}."]
    for number, count in table.hard.items():
        soft = f", {100 * table.soft[number]:.1f} % of the weight" if number in table.soft else ""
        name = f"class {number} (empty)" if number == table.empty_class else f"class {number}"
        lines.append(f"{name}: {count} particles{soft}{', kept' if number in by_class.classes else ''}")
    unassigned = int((table.class_numbers <= 0).sum())
    if unassigned:
        lines.append(f"no class: {unassigned} particles")
    return tuple(lines)
