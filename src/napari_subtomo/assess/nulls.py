"""Null particles: places without particles in the same tomograms, extracted as the particles were."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.assess.places import null_places, region, shares
from napari_subtomo.assess.source import Classification, Extraction, find_extractions
from napari_subtomo.errors import InputError, SubtomoError
from napari_subtomo.extract import run as extract
from napari_subtomo.geometry.orientations import matrix_to_euler, random_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import input_paths, resolve_inputs, user_path
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.options.assess import AssessOptions
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]

FOLDER, PLACES = "Nulls", "places.star"
LEAST, USUAL = 50, 300


@dataclass(frozen=True, eq=False)
class Nulls:
    """Extracted null places.

    Attributes
    ----------
    sets : tuple of ParticleSet
        One for each extraction that the particles come from.
    separation : float or None
        Least distance between two of them that was kept, Å; None where they were given.
    """

    sets: tuple[ParticleSet, ...]
    separation: float | None

    def __len__(self) -> int:
        """Number of places."""
        return sum(len(one) for one in self.sets)


def find_nulls(options: AssessOptions, found: Classification, folder: JobFolder, reporter: Reporter) -> Nulls:
    """The null particles that the user gave, or new ones.

    Raises
    ------
    InputError
        No tomograms, no record of the extraction, or hardly any room between the particles.
    """
    if options.nulls is not None:
        given = read_particles(user_path(options.nulls, folder.project))
        if len(given) < LEAST:
            raise InputError(f"Expected at least {LEAST} null particles in {given.path}, found {len(given)}; extract more.")
        return Nulls((given,), None)
    extractions = find_extractions(found.particles, found.project)
    tomograms = found.tomograms
    if tomograms is None:
        raise InputError(
            "Expected the tomograms of the classified particles, found none, so there is nothing to cut places without particles from; "
            "classify with --tomograms or an optimisation set, or give extracted places with --nulls."
        )
    reporter.stage("choosing places without particles")
    taken = taken_places(found, extractions, _given(options.avoid, folder), tomograms, reporter)
    wanted = options.null_count if options.null_count > 0 else max(len(found.particles), USUAL)
    counts = shares(wanted, [len(e.rows) for e in extractions])
    distance = options.distance if options.distance >= 0 else found.options.mask_diameter
    sets, nearest = [], []
    for i, (extraction, count) in enumerate(zip(extractions, counts.tolist(), strict=True)):
        rng = np.random.default_rng([options.seed, 41, i])
        stem = "null" if len(extractions) == 1 else f"null{i + 1}_"
        places, separation = _choose(found.particles, extraction, tomograms, taken, distance, count, rng, stem, reporter)
        if places is None:
            continue
        nearest.append(separation)
        where = FOLDER if len(extractions) == 1 else f"{FOLDER}/{i + 1}"
        sets.append((places, JobFolder(folder.project, folder.file(where)), extraction.options))
    total = sum(len(places) for places, _, _ in sets)
    if total < LEAST:
        raise InputError(
            f"Expected room for at least {LEAST} places {distance:g} Å away from all particles, found room for {total}; "
            "use a smaller --distance, but not one at which particles reach into the mask."
        )
    if total < wanted:
        reporter.warn(f"There is room for {total} of {wanted} null places only: rates below about {1 / (1 + total):.1g} cannot be told.")
    extracted = tuple(_extract(*one, tomograms, found, options, reporter) for one in sets)
    return Nulls(extracted, min(nearest))


def remove_images(folder: JobFolder) -> None:
    """Remove the extracted null images; the table of places and scores stays."""
    shutil.rmtree(folder.file(FOLDER), ignore_errors=True)


def _given(paths: Iterable[Path], folder: JobFolder) -> list[ParticleSet]:
    return [read_particles(user_path(path, folder.project)) for path in paths]


def taken_places(
    found: Classification, extractions: Sequence[Extraction], avoid: Sequence[ParticleSet], tomograms: TomogramSet, reporter: Reporter
) -> dict[str, FloatArray]:
    """Places of all particles that are known, by tomogram, Å: classified, refined, extracted but discarded, picked, and to be avoided."""
    sets = [found.particles, found.data, *avoid]
    for extraction in extractions:
        for path in (extraction.folder / "particles.star", extraction.folder / "dropped.star"):
            if path.is_file():
                sets.append(read_particles(path))
        try:
            sets.append(resolve_inputs(extraction.options, extraction.project)[0])
        except SubtomoError as error:
            reporter.message(f"Picks that were never extracted are not avoided: {error}")
    everything: dict[str, list[FloatArray]] = {}
    for one in sets:
        names = np.asarray(one.tomo_names, dtype=object)
        known = np.array([name in tomograms for name in names], dtype=bool)
        if not known.any():
            continue
        positions = one.select(known).positions(tomograms)
        for name in dict.fromkeys(names[known]):
            everything.setdefault(name, []).append(positions[names[known] == name])
    # a particle is in several of these files: each place once
    return {name: np.unique(np.round(np.concatenate(parts), 2), axis=0) for name, parts in everything.items()}


def _choose(
    particles: ParticleSet,
    extraction: Extraction,
    tomograms: TomogramSet,
    taken: dict[str, FloatArray],
    distance: float,
    count: int,
    rng: np.random.Generator,
    stem: str,
    reporter: Reporter,
) -> tuple[ParticleSet | None, float]:
    """Null places for the particles of an extraction, and the least distance between two of a tomogram."""
    names = np.asarray(particles.tomo_names, dtype=object)[extraction.rows]
    positions = particles.select(extraction.rows).positions(tomograms)
    used = list(dict.fromkeys(names))
    placed: list[FloatArray] = []
    like: list[npt.NDArray[np.int64]] = []
    nearest = np.inf
    for name, wanted in zip(used, shares(count, [(names == name).sum() for name in used]).tolist(), strict=True):
        frame = tomograms[name].frame
        edge = (extraction.options.written_size / 2 + 1) * extraction.options.binning * frame.pixel_size
        # a box from tilt images may reach out of the tomogram above and below
        margin = [edge, edge, 0.0 if extraction.options.source == "tilts" else edge]
        here = names == name
        where = region(np.asarray(frame.size_xyz) * frame.pixel_size, margin, positions[here], distance)
        places, separation = null_places(where, taken.get(name, np.zeros((0, 3))), distance, wanted, rng)
        if len(places) < wanted:
            reporter.message(f"{name} has room for {len(places)} of {wanted} null places.")
        if len(places) > 1:
            nearest = min(nearest, separation)
        placed.append(places)
        like.append(rng.choice(extraction.rows[here], len(places)))
        reporter.check()
    if not sum(map(len, placed)):
        return None, np.inf
    return null_set(particles.select(np.concatenate(like)), np.concatenate(placed), rng, stem), nearest


def null_set(like: ParticleSet, positions: FloatArray, rng: np.random.Generator, stem: str = "null") -> ParticleSet:
    """Particles at these places in random orientations, in the tomograms, optics groups, frames and half sets of others.

    Parameters
    ----------
    like : ParticleSet
        One for each place.
    positions : ndarray, shape (m, 3)
        Å from the centre of the tomogram.
    rng : numpy Generator
    stem : str
        They are called ``<tomogram>/<stem>1`` and so on.
    """
    n = len(like)
    numbers: dict[str, int] = {}
    names = []
    for tomogram in like.tomo_names:
        numbers[tomogram] = numbers.get(tomogram, 0) + 1
        names.append(f"{tomogram}/{stem}{numbers[tomogram]}")
    angles = matrix_to_euler(random_matrices(n, rng))
    columns: dict[str, Any] = {relion.TOMO_NAME: like.tomo_names, relion.TOMO_PARTICLE_NAME: names}
    columns |= dict(zip(relion.CENTRED, positions.T, strict=True))
    columns |= dict(zip(relion.ANGLES, angles.T, strict=True))
    # a prior of a particle is about its pose: that of a place without one is as random as its pose
    columns |= {label: angles[:, i] for i, label in enumerate(relion.ANGLE_PRIORS) if like.has(label)}
    columns |= {label: np.zeros(n) for label in relion.ORIGINS}
    for label in (*relion.SUBTOMOGRAM_ANGLES, relion.RANDOM_SUBSET, relion.GROUP_NAME):
        if like.has(label):
            columns[label] = like.texts(label)
    columns[relion.OPTICS_GROUP] = like.optics_groups
    optics = like.optics
    return ParticleSet.create(columns, None if optics is None else optics.columns, are_2d_stacks=False)


def _extract(
    places: ParticleSet,
    folder: JobFolder,
    how: ExtractOptions,
    tomograms: TomogramSet,
    found: Classification,
    options: AssessOptions,
    reporter: Reporter,
) -> ParticleSet:
    """Extract null places with the options of an extraction; files of an unfinished run are kept."""
    path = folder.file(PLACES)
    write_particles(path, places)
    if how.source == "tilts" and input_paths(how, found.project)[2] is not None:
        reporter.warn("Places without particles have no trajectories: they are extracted without, and may be blurred a little more.")
    own = {"optimisation_set": None, "trajectories": None, "particles": path, "tomograms": tomograms.path}
    fresh = {"reset_offsets": False, "recenter": False, "fold_offsets": True, "threads": options.threads}
    result = extract(how.model_copy(update=own | fresh), folder, reporter)
    return read_particles(result.outputs["particles"])
