"""The files of a classification's iterations: `run_itNNN_{data,model,optimiser,sampling,optimisation_set}.star` and class maps.

Columns and units are those of RELION 5 (conventions, sections 5.12-5.15); the optimiser is written last, so that an iteration whose
optimiser is there is whole.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo import __version__
from napari_subtomo.data.classes import Classes
from napari_subtomo.geometry.so3 import healpix_directions, healpix_step
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.star import VERSION_COMMENT, StarBlock, write_star
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
    write_star(folder.file(iteration_file(it, "model")), _model(classes, folder, options))
    if it > 0:
        write_star(folder.file(iteration_file(it, "sampling")), _sampling(classes))
    names = {"tomograms": tomograms, "trajectories": trajectories}
    write_optimisation_set(
        folder.file(iteration_file(it, "optimisation_set")),
        particles=folder.name(iteration_file(it, "data")),
        **{role: None if path is None else folder.project.name(path) for role, path in names.items()},
    )
    write_star(folder.file(iteration_file(it, "optimiser")), [_optimiser(classes, folder, tomograms, trajectories, options)])


def _data(classes: Classes, particles: ParticleSet) -> ParticleSet:
    """Particles with the poses and figures of an iteration."""
    groups = {name: number for number, name in enumerate(classes.group_names, start=1)}
    columns: dict[str, Any] = {
        r.GROUP_NUMBER: np.array([groups.get(name, 1) for name in particles.groups], dtype=np.int64),
        r.CLASS_NUMBER: classes.class_numbers,
        r.NORM_CORRECTION: np.ones(len(particles)),
        r.LOG_LIKELI_CONTRIBUTION: classes.log_likelihoods,
        r.MAX_VALUE_PROB_DISTRIBUTION: classes.pmax,
        r.NR_OF_SIGNIFICANT_SAMPLES: classes.n_significant,
        r.LOG_EVIDENCE: classes.log_evidence,
    }
    posed = particles.with_poses(angles=classes.angles, origins=classes.origins) if classes.sampling.align else particles
    return posed.with_columns(columns)


def _model(classes: Classes, folder: JobFolder, options: ClassifyOptions) -> list[StarBlock]:
    """The model: general values, classes, spectra, groups, noise.

    RELION's transforms carry 1/n³ and its powers are per real or imaginary part: powers here are divided by 2 n⁶. Its noise is that of
    the images; ours is per unit weight (`σ²` of the data premultiplied by the CTF, divided by Σ CTF²).
    """
    n = classes.maps.shape[1]
    scale = 0.5 / float(n) ** 6
    sigma = options.local_range / 3 if options.local_range > 0 else 0.0
    general = {
        r.REFERENCE_DIMENSIONALITY: 3,
        r.DATA_DIMENSIONALITY: 3,
        r.ORIGINAL_IMAGE_SIZE: n,
        r.CURRENT_RESOLUTION: classes.current_resolution,
        r.CURRENT_IMAGE_SIZE: classes.current_size,
        r.PADDING_FACTOR: 2.0,
        r.IS_HELIX: 0,
        r.FOURIER_SPACE_INTERPOLATOR: 1,
        r.MIN_RADIUS_NN_INTERPOLATION: 10,
        r.PIXEL_SIZE: classes.pixel_size,
        r.NR_CLASSES: classes.n_classes,
        r.NR_BODIES: 1,
        r.NR_GROUPS: len(classes.group_names),
        r.NR_OPTICS_GROUPS: len(classes.noise),
        r.TAU2_FUDGE_FACTOR: options.regularisation,
        r.NORM_CORRECTION_AVERAGE: 1.0,
        r.SIGMA_OFFSETS_ANGST: classes.sigma_offset,
        r.ORIENTATIONAL_PRIOR_MODE: 1 if sigma > 0 else 0,
        r.SIGMA_PRIOR_ROT: sigma,
        r.SIGMA_PRIOR_TILT: sigma,
        r.SIGMA_PRIOR_PSI: sigma,
        r.LOG_LIKELIHOOD: classes.log_likelihood,
        r.AVERAGE_PMAX: classes.average_pmax,
        r.NOISE_TEMPERATURE: classes.temperature,
        r.EMPTY_CLASS: classes.n_classes if classes.has_empty else 0,
        r.PHASE: classes.phase,
        r.ITERATION_SECONDS: classes.seconds,
    }
    numbers = range(1, classes.n_classes + 1)
    shells = np.arange(n // 2 + 1)

    def full(spectrum: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """A spectrum up to Nyquist, zero where nothing was computed."""
        return np.pad(spectrum, (0, max(0, len(shells) - len(spectrum))))[: len(shells)]

    frequency = shells / (n * classes.pixel_size)
    angstrom = np.concatenate([[999.0], 1 / frequency[1:]])
    blocks = [
        StarBlock.list(r.MODEL_GENERAL, general),
        StarBlock.loop(
            r.MODEL_CLASSES,
            {
                r.REFERENCE_IMAGE: [folder.name(map_file(classes.iteration, c)) for c in numbers],
                r.CLASS_DISTRIBUTION: classes.fractions,
                r.ACCURACY_ROTATIONS: classes.accuracy_rotations,
                r.ACCURACY_TRANSLATIONS_ANGST: classes.accuracy_offsets,
                r.ESTIMATED_RESOLUTION: classes.resolutions,
                r.OVERALL_FOURIER_COMPLETENESS: classes.completeness,
            },
        ),
    ]
    for c in numbers:
        spectra = {
            r.SPECTRAL_INDEX: shells,
            r.RESOLUTION: frequency,
            r.ANGSTROM_RESOLUTION: angstrom,
            r.SSNR_MAP: full(classes.ssnr[c - 1]),
            r.GOLD_STANDARD_FSC: np.zeros(len(shells)),
            r.FOURIER_COMPLETENESS: full(classes.shell_completeness[c - 1]),
            r.REFERENCE_SIGMA2: full(classes.sigma2[c - 1]) * scale,
            r.REFERENCE_TAU2: full(classes.tau2[c - 1]) * scale,
            r.SPECTRAL_ORIENTABILITY: np.zeros(len(shells)),
        }
        blocks.append(StarBlock.loop(r.MODEL_CLASS.format(c), spectra))
    blocks.append(
        StarBlock.loop(
            r.MODEL_GROUPS,
            {
                r.GROUP_NUMBER: range(1, len(classes.group_names) + 1),
                r.GROUP_NAME: classes.group_names,
                r.GROUP_NR_PARTICLES: classes.group_counts,
                r.GROUP_SCALE_CORRECTION: classes.group_scales,
            },
        )
    )
    for group, noise in enumerate(classes.noise, start=1):
        spectrum = {r.SPECTRAL_INDEX: shells, r.RESOLUTION: frequency, r.SIGMA2_NOISE: full(noise) * scale}
        blocks.append(StarBlock.loop(r.MODEL_OPTICS_GROUP.format(group), spectrum))
    return blocks


def coarse_order(step: float) -> int:
    """HEALPix order of the coarse grid whose once oversampled step is at most `step` degrees (RELION's `--healpix_order`)."""
    if step <= 0:
        return 0
    fine = next(order for order in range(1, 12) if healpix_step(order) <= step * 1.05)
    return fine - 1


def _sampling(classes: Classes) -> list[StarBlock]:
    """RELION's sampling table, and the grid that was really used in columns of our own.

    RELION's steps are those of the coarse grid, twice the fine ones; its directions are listed up to order 3 (a local search makes its
    own, in a ball about each particle's orientation).
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
    directions = healpix_directions(min(order, 3))
    table = StarBlock.loop(r.SAMPLING_DIRECTIONS, {r.ANGLE_ROT: directions[:, 0], r.ANGLE_TILT: directions[:, 1]})
    return [StarBlock.list(r.SAMPLING_GENERAL, general), table]


def _optimiser(
    classes: Classes, folder: JobFolder, tomograms: Path | None, trajectories: Path | None, options: ClassifyOptions
) -> StarBlock:
    """RELION's settings, in its order; those that do not apply keep the value that says so."""
    it, project = classes.iteration, folder.project
    flag = {True: 1, False: 0}
    values: dict[str, Any] = dict(r.OPTIMISER_SETTINGS)
    values |= {
        r.OUTPUT_ROOT_NAME: folder.name(ROOT),
        r.MODEL_STAR_FILE: folder.name(iteration_file(it, "model")),
        r.EXPERIMENTAL_DATA_STAR_FILE: folder.name(iteration_file(it, "data")),
        r.TOMO_TOMOGRAMS_FILE: "" if tomograms is None else project.name(tomograms),
        r.TOMO_TRAJECTORIES_FILE: "" if trajectories is None else project.name(trajectories),
        r.ORIENT_SAMPLING_STAR_FILE: folder.name(iteration_file(it, "sampling")) if it else "",
        r.CURRENT_ITERATION: it,
        r.NUMBER_OF_ITERATIONS: classes.n_iterations,
        r.RANDOM_SEED: options.seed,
        r.PARTICLE_DIAMETER: options.mask_diameter,
        r.DO_ZERO_MASK: flag[options.mask_particles],
        r.SOLVENT_MASK_NAME: "None" if options.solvent_mask is None else project.name(options.solvent_mask.absolute()),
        r.HIGHRES_LIMIT_EXPECTATION: options.highres_limit,
        r.BEST_RESOLUTION_THUS_FAR: 1 / classes.current_resolution,
        r.DO_SKIP_ALIGN: flag[not options.align],
        r.OVERALL_ACCURACY_ROTATIONS: classes.accuracy_rotations.min(),
        r.OVERALL_ACCURACY_TRANSLATIONS_ANGST: classes.accuracy_offsets.min(),
        r.CHANGES_OPTIMAL_ORIENTATIONS: classes.change_orientations,
        r.CHANGES_OPTIMAL_OFFSETS: classes.change_offsets,
        r.CHANGES_OPTIMAL_CLASSES: classes.change_classes,
        r.DO_CORRECT_SCALE: 1,
        r.DO_CORRECT_CTF: flag[options.ctf_correction],
        r.DO_IGNORE_CTF_UNTIL_FIRST_PEAK: flag[options.ignore_ctf_until_first_peak],
    }
    given = options.model_dump(mode="json", exclude_defaults=True)
    words = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given.items()]
    notes = (f"# napari-subtomo classify; version {__version__}", f"# {' '.join(words)}", "", VERSION_COMMENT)
    block = StarBlock.list(r.OPTIMISER_GENERAL, values)
    return StarBlock(block.name, block.kind, block.columns, comments=notes)
