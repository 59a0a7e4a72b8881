"""The files of a classification's iterations: `run_itNNN_{data,model,optimiser,sampling,optimisation_set}.star` and class maps.

Columns and units are those of RELION 5 (conventions, sections 5.12-5.15); the optimiser is written last, so that an iteration whose
optimiser is there is whole.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo import __version__
from napari_subtomo.data.classes import Classes
from napari_subtomo.io import relion as r
from napari_subtomo.io.class3d_model import coarse_order, directions, model_blocks
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.relion_optimiser import OPTIMISER_SETTINGS
from napari_subtomo.io.star import VERSION_COMMENT, StarBlock, read_star, write_star
from napari_subtomo.options.classify import ClassifyOptions

ROOT = "run"


def iteration_file(iteration: int, name: str) -> str:
    """File name of an iteration: `name` is data, model, optimiser, sampling, optimisation_set."""
    return f"{ROOT}_it{iteration:03d}_{name}.star"


def map_file(iteration: int, class_number: int) -> str:
    """File name of a class map; classes count from 1."""
    return f"{ROOT}_it{iteration:03d}_class{class_number:03d}.mrc"


def complete_iterations(folder: Path) -> list[int]:
    """Iterations of a folder whose optimiser, the last file of each, is there; ascending."""
    pattern = re.compile(rf"{ROOT}_it(\d+)_optimiser\.star$")
    return sorted(int(m[1]) for path in folder.glob(f"{ROOT}_it*_optimiser.star") if (m := pattern.match(path.name)))


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed run was writing when it died: temporary files of iterations."""
    for path in folder.glob(f".{ROOT}_it*.tmp"):
        path.unlink(missing_ok=True)


def write_iteration(
    folder: JobFolder,
    classes: Classes,
    particles: ParticleSet,
    tomograms: Path | None,
    trajectories: Path | None,
    options: ClassifyOptions,
) -> None:
    """Write all files of an iteration, each whole or not at all.

    Parameters
    ----------
    folder : JobFolder
    classes : Classes
    particles : ParticleSet
        The input; all its columns are kept.
    tomograms, trajectories : Path or None
        Named in the optimisation set.
    options : ClassifyOptions
    """
    it = classes.iteration
    for number, volume in enumerate(classes.maps, start=1):
        write_mrc(folder.file(map_file(it, number)), volume, classes.pixel_size)
    write_particles(folder.file(iteration_file(it, "data")), _data(classes, particles))
    names = [folder.name(map_file(it, number)) for number in range(1, classes.n_classes + 1)]
    write_star(folder.file(iteration_file(it, "model")), model_blocks(classes, names, options))
    if it > 0:
        write_star(folder.file(iteration_file(it, "sampling")), _sampling(classes))
    inputs = {r.TOMO_TOMOGRAMS_FILE: tomograms, r.TOMO_TRAJECTORIES_FILE: trajectories}
    cells = {r.TOMO_PARTICLES_FILE: folder.name(iteration_file(it, "data"))}
    cells |= {label: "" if path is None else folder.link(path) for label, path in inputs.items()}
    write_star(folder.file(iteration_file(it, "optimisation_set")), [StarBlock.list("", cells)])
    write_star(folder.file(iteration_file(it, "optimiser")), [_optimiser(classes, folder, tomograms, trajectories, options)])


def _data(classes: Classes, particles: ParticleSet) -> ParticleSet:
    """Particles with the poses and figures of an iteration."""
    groups = {name: number for number, name in enumerate(classes.group_names, start=1)}
    columns: dict[str, Any] = {
        r.GROUP_NUMBER: np.array([groups[name] for name in particles.tomo_names], dtype=np.int64),
        r.CLASS_NUMBER: classes.class_numbers,
        r.NORM_CORRECTION: np.ones(len(particles)),
        r.LOG_LIKELI_CONTRIBUTION: classes.log_likelihoods,
        r.MAX_VALUE_PROB_DISTRIBUTION: classes.pmax,
        r.NR_OF_SIGNIFICANT_SAMPLES: classes.n_significant,
        r.LOG_EVIDENCE: classes.log_evidence,
    }
    if classes.scales is not None:
        columns[r.PARTICLE_SCALE] = classes.scales
    posed = particles.with_poses(angles=classes.angles, origins=classes.origins) if classes.sampling.align else particles
    return posed.with_columns(columns)


def _sampling(classes: Classes) -> list[StarBlock]:
    """RELION's sampling table, and the grid that was really used in columns of our own.

    RELION's steps are those of the coarse grid, twice the fine ones.
    """
    s = classes.sampling
    order, original = coarse_order(s.angular_step), coarse_order(s.original_angular_step)
    general = {
        r.IS_3D_SAMPLING: 1,
        r.IS_3D_TRANSLATIONAL_SAMPLING: 1,
        r.HEALPIX_ORDER: order,
        r.SYMMETRY_GROUP: s.symmetry,
        r.TILT_ANGLE_LIMIT: -91.0,
        r.PSI_STEP: 2 * s.angular_step,
        r.OFFSET_RANGE: s.offset_range,
        r.OFFSET_STEP: 2 * s.offset_step,
        r.HELICAL_OFFSET_STEP: -1.0,
        r.SAMPLING_PERTURB_INSTANCE: s.perturbation,
        r.SAMPLING_PERTURB_FACTOR: 0.5,
        r.HEALPIX_ORDER_ORIGINAL: original,
        r.PSI_STEP_ORIGINAL: 2 * s.original_angular_step,
        r.OFFSET_RANGE_ORIGINAL: s.original_offset_range,
        r.OFFSET_STEP_ORIGINAL: 2 * s.original_offset_step,
        r.ANGULAR_STEP: s.angular_step,
        r.LOCAL_RANGE: s.local_range,
        r.FINE_OFFSET_STEP: s.offset_step,
        r.N_ROTATIONS: s.n_rotations,
        r.N_SHIFTS: s.n_shifts,
    }
    rot, tilt = directions(classes).T
    table = StarBlock.loop(r.SAMPLING_DIRECTIONS, {r.ANGLE_ROT: rot, r.ANGLE_TILT: tilt})
    return [StarBlock.list(r.SAMPLING_GENERAL, general), table]


def _optimiser(
    classes: Classes, folder: JobFolder, tomograms: Path | None, trajectories: Path | None, options: ClassifyOptions
) -> StarBlock:
    """RELION's settings, in its order; those that do not apply keep the value that says so."""
    it, project = classes.iteration, folder.project
    flag = {True: 1, False: 0}
    values: dict[str, Any] = dict(OPTIMISER_SETTINGS)
    values |= {
        r.OUTPUT_ROOT_NAME: folder.name(ROOT),
        r.MODEL_STAR_FILE: folder.name(iteration_file(it, "model")),
        r.EXPERIMENTAL_DATA_STAR_FILE: folder.name(iteration_file(it, "data")),
        r.TOMO_TOMOGRAMS_FILE: "" if tomograms is None else folder.link(tomograms),
        r.TOMO_TRAJECTORIES_FILE: "" if trajectories is None else folder.link(trajectories),
        r.ORIENT_SAMPLING_STAR_FILE: folder.name(iteration_file(it, "sampling")) if it else "",
        r.CURRENT_ITERATION: it,
        r.NUMBER_OF_ITERATIONS: classes.n_iterations,
        r.RANDOM_SEED: options.seed,
        r.PARTICLE_DIAMETER: options.mask_diameter,
        r.DO_ZERO_MASK: flag[options.mask_particles],
        r.SOLVENT_MASK_NAME: "None" if options.solvent_mask is None else project.name(options.solvent_mask.absolute()),
        r.HIGHRES_LIMIT_EXPECTATION: options.highres_limit,
        r.DO_EXTERNAL_RECONSTRUCT: flag[bool(options.external_reconstruct)],
        r.DO_BLUSH: flag[options.blush],
        r.DO_SKIP_ALIGN: flag[not options.align],
        r.OVERALL_ACCURACY_ROTATIONS: classes.accuracy_rotations.min(),
        r.OVERALL_ACCURACY_TRANSLATIONS_ANGST: classes.accuracy_offsets.min(),
        r.CHANGES_OPTIMAL_ORIENTATIONS: classes.change_orientations,
        r.CHANGES_OPTIMAL_OFFSETS: classes.change_offsets,
        r.CHANGES_OPTIMAL_CLASSES: classes.change_classes,
        r.HAS_CONVERGED: flag[bool(classes.converged)],
        r.DO_CORRECT_SCALE: 1,
        r.DO_CORRECT_CTF: flag[options.ctf_correction],
        r.DO_IGNORE_CTF_UNTIL_FIRST_PEAK: flag[options.ignore_ctf_until_first_peak],
    }
    values |= _thus_far(classes, folder)
    notes = (f"# napari-subtomo classify; version {__version__}", f"# {_command(options)}", "", VERSION_COMMENT)
    return replace(StarBlock.list(r.OPTIMISER_GENERAL, values), comments=notes)


def _thus_far(classes: Classes, folder: JobFolder) -> dict[str, float]:
    """Best resolution (1/Å) and smallest changes up to this iteration, from the optimiser of the one before."""
    best = 1 / classes.current_resolution
    if classes.iteration == 0:
        return {r.BEST_RESOLUTION_THUS_FAR: best}
    changes = {
        r.SMALLEST_CHANGES_ORIENTATIONS: classes.change_orientations,
        r.SMALLEST_CHANGES_OFFSETS: classes.change_offsets,
        r.SMALLEST_CHANGES_CLASSES: classes.change_classes,
    }
    former = folder.file(iteration_file(classes.iteration - 1, "optimiser"))
    if former.is_file():
        block = read_star(former)[r.OPTIMISER_GENERAL]
        best = max(best, *block.floats(r.BEST_RESOLUTION_THUS_FAR))
        changes = {label: min(value, *block.floats(label)) for label, value in changes.items()}
    # RELION keeps this one as an integer
    return {r.BEST_RESOLUTION_THUS_FAR: best, **changes, r.SMALLEST_CHANGES_CLASSES: int(changes[r.SMALLEST_CHANGES_CLASSES])}


def _command(options: ClassifyOptions) -> str:
    """The options that are not defaults, as on the command line."""
    words = []
    for name, value in options.model_dump(mode="json", exclude_defaults=True).items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words.append(f"--{flag} {shlex.quote(str(value))}")
    return " ".join(words)
