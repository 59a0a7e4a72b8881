"""The job: sets in; one set with its tomograms, its trajectories, and lists of duplicates and of new names out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.result import JobResult
from napari_subtomo.duplicates import greedy_keep, score_values
from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import user_path, write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.star import StarBlock, StarFile, write_star
from napari_subtomo.io.tomograms import TomogramSet, read_tomograms, write_tomograms
from napari_subtomo.io.trajectories import write_trajectories
from napari_subtomo.join import optics, tomograms
from napari_subtomo.join.columns import check_images, particle_tables, stacked, without_images
from napari_subtomo.join.names import SET, joined_trajectories, list_of_changes, unique_names
from napari_subtomo.join.sources import Source, at_home, read_source
from napari_subtomo.options.join import JoinOptions
from napari_subtomo.progress import Reporter

DUPLICATE_OF = "subtomoDuplicateOf"
DISTANCE = "subtomoDistanceAngst"


@dataclass(frozen=True, eq=False)
class Joined:
    """One set made of several.

    Attributes
    ----------
    particles : ParticleSet
    tomograms : TomogramSet or None
    sets : ndarray of int, shape (n,)
        Which set each particle came from, from 0.
    warnings, messages : tuple of str
        What was lost and what was changed.
    """

    particles: ParticleSet
    tomograms: TomogramSet | None
    sets: npt.NDArray[np.int64]
    warnings: tuple[str, ...]
    messages: tuple[str, ...]


def joined(sources: Sequence[Source], folder: JobFolder) -> Joined:
    """Particles and tomograms of several sets in one, rows set by set, each particle with the name it had.

    Optics groups that are equal become one; columns are treated as `columns` says.

    Raises
    ------
    InputError
        Sets that contradict each other or cannot stand in one file.
    """
    check_images(sources)
    tomograms.check_same(sources)
    sources, messages = tomograms.apart(sources)
    whole, lost = tomograms.merged(sources, folder)
    warnings = [_left_out(label, [sources[i] for i in owners], "tomograms") for label, owners in lost.items()]
    _check_homes(sources, whole)
    sets = [_modern(source, whole, sources) for source in sources]
    if whole is not None or any(particles.optics is not None for particles in sets):
        sets = [optics.completed(particles, whole) for particles in sets]
    star: list[StarBlock] = []
    if sets[0].has(relion.IMAGE_NAME):
        star.append(StarBlock.list(relion.GENERAL, {relion.ARE_2D_STACKS: sets[0].is_2d_stacks}))
    groups = [particles.optics for particles in sets]
    tables = [block for block in groups if block is not None]
    if len(tables) == len(sets):
        table, numbers, lost, renamed = optics.merged(tables)
        sets = [p.with_columns({relion.OPTICS_GROUP: [n[g] for g in p.optics_groups]}) for p, n in zip(sets, numbers, strict=True)]
        warnings += [_left_out(label, [sources[i] for i in owners], "optics groups") for label, owners in lost.items()]
        messages += renamed
        star.append(table)
        warnings += _unlike(table)
    sets = [particles.with_columns({relion.TOMO_PARTICLE_NAME: particles.names}) for particles in sets]
    rows, lost = particle_tables(sets)
    warnings += [_left_out(label, [sources[i] for i in owners], "particles") for label, owners in lost.items()]
    star.append(replace(stacked(rows), name=relion.PARTICLES))
    if all(particles.class_numbers.any() for particles in sets):
        messages.append("Class numbers are those that each set came with: class 1 of one is not class 1 of another.")
    path = folder.file("particles.star")
    number = np.repeat(np.arange(len(sets)), [particles.n for particles in sets])
    return Joined(ParticleSet(StarFile(tuple(star), path), path), whole, number, tuple(warnings), tuple(messages))


def run(options: JoinOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Join sets.

    Parameters
    ----------
    options : JoinOptions
    folder : JobFolder
        Gets particles.star, optimisation_set.star and, where there are any, tomograms.star, motion.star, duplicates.star,
        particles_removed.star and names.star; tilt_series/ for tomograms of another project.
    reporter : Reporter

    Returns
    -------
    JobResult
        Outputs by these names; numbers "particles", "input" (a list), "duplicates", "removed", "renamed", "optics_groups", "tomograms".

    Raises
    ------
    InputError
        Sets that are missing, empty, contradict each other or cannot stand in one file.
    """
    sources = _read(options, folder, reporter)
    result = joined(sources, folder)
    for text in result.warnings:
        reporter.warn(text)
    for text in result.messages:
        reporter.message(text)
    reporter.stage("duplicates", len(result.particles), "particles")
    keep, winner = _duplicates(options, result, reporter)
    reporter.advance(len(result.particles))
    stay = keep if options.remove_duplicates else np.ones_like(keep)
    parts = [stay[result.sets == i] for i in range(len(sources))]
    names = unique_names([source.particles for source in sources], parts)
    result = replace(result, particles=result.particles.with_columns({relion.TOMO_PARTICLE_NAME: [name for of in names.of for name in of]}))
    kept = result.particles.select(stay)
    motion = joined_trajectories(sources, names, parts, result.tomograms, folder.file("motion.star"))

    outputs: dict[str, Path] = {name: folder.file(f"{name}.star") for name in ("particles", "optimisation_set")}
    write_particles(outputs["particles"], kept)
    if result.tomograms is not None:
        outputs["tomograms"] = folder.file("tomograms.star")
        write_tomograms(outputs["tomograms"], result.tomograms)
    if motion is not None:
        outputs["trajectories"] = folder.file("motion.star")
        write_trajectories(outputs["trajectories"], motion)
    if not keep.all():
        outputs["duplicates"] = folder.file("duplicates.star")
        write_star(outputs["duplicates"], [_duplicate_table(result, keep, winner)])
        if options.remove_duplicates:
            outputs["particles_removed"] = folder.file("particles_removed.star")
            write_particles(outputs["particles_removed"], result.particles.select(~keep))
    if names.changed:
        outputs["names"] = folder.file("names.star")
        write_star(outputs["names"], [list_of_changes(sources, names)])
    cells = {role: folder.name(outputs[role]) for role in ("particles", "tomograms", "trajectories") if role in outputs}
    write_optimisation_set(outputs["optimisation_set"], **cells)
    groups = result.particles.optics
    numbers: dict[str, Any] = {
        "particles": kept.n,
        "input": [source.particles.n for source in sources],
        "duplicates": int((~keep).sum()),
        "removed": len(result.particles) - kept.n,
        "renamed": len(names.changed),
        "optics_groups": 0 if groups is None else len(groups),
        "tomograms": 0 if result.tomograms is None else len(result.tomograms),
    }
    return JobResult(outputs, _summary(options, sources, numbers), numbers)


def _read(options: JoinOptions, folder: JobFolder, reporter: Reporter) -> list[Source]:
    """The sets, ready to stand in the project of the job."""
    home = folder.project
    reporter.stage("read sets", len(options.sets), "sets")
    shared = None
    if options.tomograms is not None:
        path = user_path(options.tomograms, home)
        shared = read_tomograms(path, home if path.is_relative_to(home.root) else None)
    sources = []
    for path in options.sets:
        reporter.check()
        source = read_source(path, home, shared)
        if not options.keep_images:
            source = replace(source, particles=without_images(source.particles))
        source = at_home(source, home)
        sources.append(tomograms.copied_series(source, folder, source.tomograms.names if source.tomograms is not None else ()))
        reporter.advance()
    return sources


def _check_homes(sources: Sequence[Source], whole: TomogramSet | None) -> None:
    """Every particle must lie in a tomogram, if any tomograms are known."""
    for source in sources:
        missing = [name for name in source.names if whole is not None and name not in whole]
        if missing:
            raise InputError(
                f"Expected the tomogram {missing[0]} of {source.particles.path} in the tomogram sets, found none; "
                "give --tomograms, or the optimisation set of these particles."
            )


def _modern(source: Source, whole: TomogramSet | None, sources: Sequence[Source]) -> ParticleSet:
    """The particles in the columns that all sets can have: centred coordinates and origins in Å where sets differ."""
    particles = source.particles
    if len({other.particles.dialect for other in sources}) > 1 and particles.dialect != "relion5":
        particles = particles.with_coordinates(particles.coordinates(whole))
    offset = any(other.particles.has(*labels) for other in sources for labels in (relion.ORIGINS, relion.ORIGINS_PX))
    if offset and not particles.has(*relion.ORIGINS):
        particles = particles.with_poses(origins=particles.origins)
    return particles


def _left_out(label: str, owners: Sequence[Source], what: str) -> str:
    """What a column is left out for."""
    more = " Half sets will be drawn anew." if label == relion.RANDOM_SUBSET else ""
    files = ", ".join(str(source.path) for source in owners)
    return f"The column _{label} of the {what} is left out: only {files} has it.{more}"


def _unlike(table: StarBlock) -> list[str]:
    """A warning where images of several boxes or pixel sizes come together."""
    if not table.has(relion.IMAGE_SIZE, relion.IMAGE_PIXEL_SIZE):
        return []
    boxes, pixels = table.floats(relion.IMAGE_SIZE), table.floats(relion.IMAGE_PIXEL_SIZE)
    grids = {(int(n), round(float(p), 4)) for n, p in zip(boxes, pixels, strict=True)}
    if len(grids) == 1:
        return []
    found = ", ".join(f"{box} px at {pixel:g} Å" for box, pixel in sorted(grids))
    return [f"The images of the sets differ ({found}): extract the joined set before it is averaged or classified here."]


def _duplicates(options: JoinOptions, result: Joined, reporter: Reporter) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Who stays, and who takes the place of the others; particles of one set are never duplicates of each other."""
    particles = result.particles
    if result.tomograms is None and particles.dialect != "relion5":
        reporter.warn("Duplicates are not looked for: coordinates are in pixels, and no tomograms tell where their centre is.")
        return np.ones(particles.n, dtype=bool), np.arange(particles.n)
    scores = None if options.score is None else score_values(particles, options.score)
    positions = particles.positions(result.tomograms)
    keep, winner = greedy_keep(positions, particles.tomo_names, options.min_distance, scores, result.sets.tolist())
    if not keep.all() and not options.remove_duplicates:
        reporter.warn(
            f"{int((~keep).sum())} particles lie {options.min_distance:g} Å or nearer to one of another set; they are listed in "
            "duplicates.star and left out with --remove-duplicates."
        )
    return keep, winner


def _duplicate_table(result: Joined, keep: npt.NDArray[np.bool_], winner: npt.NDArray[np.int64]) -> StarBlock:
    particles, rows = result.particles, np.flatnonzero(~keep)
    names, tomogram_names = particles.names, particles.tomo_names
    positions = particles.positions(result.tomograms)
    columns: Mapping[str, Any] = {
        relion.TOMO_NAME: [tomogram_names[row] for row in rows],
        relion.TOMO_PARTICLE_NAME: [names[row] for row in rows],
        SET: result.sets[rows] + 1,
        DUPLICATE_OF: [names[winner[row]] for row in rows],
        DISTANCE: np.linalg.norm(positions[rows] - positions[winner[rows]], axis=1),
    }
    return StarBlock.loop("duplicates", columns)


def _summary(options: JoinOptions, sources: Sequence[Source], numbers: Mapping[str, Any]) -> tuple[str, ...]:
    counts = " + ".join(str(count) for count in numbers["input"])
    fate = "removed" if options.remove_duplicates else "kept"
    lines = [
        f"{numbers['particles']} particles joined from {len(sources)} sets ({counts}).",
        f"{numbers['duplicates']} duplicates across sets within {options.min_distance:g} Å, {fate}.",
        f"{numbers['tomograms']} tomograms, {numbers['optics_groups']} optics groups; {numbers['renamed']} particles renamed.",
    ]
    return tuple(lines)
