"""The model file of an iteration: general values, classes with their spectra and directions, groups and noise, as RELION writes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_subtomo.data.classes import Classes
from napari_subtomo.geometry.orientations import matrix_to_euler
from napari_subtomo.geometry.so3 import healpix_directions, healpix_step
from napari_subtomo.io import relion as r
from napari_subtomo.io.star import StarBlock
from napari_subtomo.options.classify import ClassifyOptions

FloatArray = npt.NDArray[np.float64]
MOST_DIRECTIONS_ORDER = 3


def model_blocks(classes: Classes, map_names: Sequence[str], options: ClassifyOptions) -> list[StarBlock]:
    """The tables of a model file.

    RELION's transforms carry 1/n³ and its powers are per real or imaginary part: powers here are divided by 2 n⁶. Its noise is that of
    the images; ours is per unit weight (`σ²` of the data premultiplied by the CTF, divided by Σ CTF²). Spectra of tomograms are in tables
    that RELION up to 3.1 had for its groups and RELION 5 does not look for; its own tables hold those of optics groups always.

    Parameters
    ----------
    classes : Classes
    map_names : sequence of str
        Cells that name the class maps.
    options : ClassifyOptions
    """
    columns = {
        r.REFERENCE_IMAGE: list(map_names),
        r.CLASS_DISTRIBUTION: classes.fractions,
        r.ACCURACY_ROTATIONS: classes.accuracy_rotations,
        r.ACCURACY_TRANSLATIONS_ANGST: classes.accuracy_offsets,
        r.ESTIMATED_RESOLUTION: classes.resolutions,
        r.OVERALL_FOURIER_COMPLETENESS: classes.completeness,
    }
    groups = {
        r.GROUP_NUMBER: range(1, len(classes.group_names) + 1),
        r.GROUP_NAME: classes.group_names,
        r.GROUP_NR_PARTICLES: classes.group_counts,
        r.GROUP_SCALE_CORRECTION: classes.group_scales,
    }
    orientations = [
        StarBlock.loop(r.MODEL_PDF_ORIENT_CLASS.format(number), {r.ORIENTATION_DISTRIBUTION: shares})
        for number, shares in enumerate(orientation_distribution(classes), start=1)
    ]
    spectra, noise, by_tomogram = _spectra(classes)
    return [
        _general(classes, options),
        StarBlock.loop(r.MODEL_CLASSES, columns),
        *spectra,
        StarBlock.loop(r.MODEL_GROUPS, groups),
        *noise,
        *by_tomogram,
        *orientations,
    ]


def _general(classes: Classes, options: ClassifyOptions) -> StarBlock:
    sigma = options.local_range / 3 if options.local_range > 0 else 0.0
    tilt, psi = (min([s for s in (sigma, given) if s > 0], default=0.0) for given in (options.sigma_tilt, options.sigma_psi))
    values = {
        r.REFERENCE_DIMENSIONALITY: 3,
        r.DATA_DIMENSIONALITY: 3,
        r.ORIGINAL_IMAGE_SIZE: classes.maps.shape[1],
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
        r.ORIENTATIONAL_PRIOR_MODE: 1 if max(sigma, tilt, psi) > 0 else 0,
        r.SIGMA_PRIOR_ROT: sigma,
        r.SIGMA_PRIOR_TILT: tilt,
        r.SIGMA_PRIOR_PSI: psi,
        r.LOG_LIKELIHOOD: classes.log_likelihood,
        r.AVERAGE_PMAX: classes.average_pmax,
        r.NOISE_TEMPERATURE: classes.temperature,
        r.EMPTY_CLASS: classes.n_classes if classes.has_empty else 0,
        r.PHASE: classes.phase,
        r.ITERATION_SECONDS: classes.seconds,
    }
    return StarBlock.list(r.MODEL_GENERAL, values)


def _spectra(classes: Classes) -> tuple[list[StarBlock], list[StarBlock], list[StarBlock]]:
    """Spectra of the classes, of the noise of optics groups and of tomograms, up to Nyquist; zero where nothing was computed."""
    n = classes.maps.shape[1]
    scale = 0.5 / float(n) ** 6
    shells = np.arange(n // 2 + 1)
    frequency = shells / (n * classes.pixel_size)

    def full(spectrum: FloatArray) -> FloatArray:
        return np.pad(spectrum, (0, max(0, len(shells) - len(spectrum))))[: len(shells)]

    def of_class(c: int) -> StarBlock:
        spectra = {
            r.SPECTRAL_INDEX: shells,
            r.RESOLUTION: frequency,
            r.ANGSTROM_RESOLUTION: np.concatenate([[999.0], 1 / frequency[1:]]),
            r.SSNR_MAP: full(classes.ssnr[c]),
            r.GOLD_STANDARD_FSC: np.zeros(len(shells)),
            r.FOURIER_COMPLETENESS: full(classes.shell_completeness[c]),
            r.REFERENCE_SIGMA2: full(classes.sigma2[c]) * scale,
            r.REFERENCE_TAU2: full(classes.tau2[c]) * scale,
            r.SPECTRAL_ORIENTABILITY: full(classes.orientability[c]),
        }
        return StarBlock.loop(r.MODEL_CLASS.format(c + 1), spectra)

    def of_groups(name: str, spectra: FloatArray) -> list[StarBlock]:
        columns = [{r.SPECTRAL_INDEX: shells, r.RESOLUTION: frequency, r.SIGMA2_NOISE: full(noise) * scale} for noise in spectra]
        return [StarBlock.loop(name.format(number), of_one) for number, of_one in enumerate(columns, start=1)]

    by_tomogram = [] if classes.tomogram_noise is None else of_groups(r.MODEL_GROUP, classes.tomogram_noise)
    return [of_class(c) for c in range(classes.n_classes)], of_groups(r.MODEL_OPTICS_GROUP, classes.noise), by_tomogram


def coarse_order(step: float) -> int:
    """HEALPix order of the coarse grid whose once oversampled step is at most `step` degrees (RELION's `--healpix_order`)."""
    if step <= 0:
        return 0
    fine = next(order for order in range(1, 12) if healpix_step(order) <= step * 1.05)
    return fine - 1


def directions(classes: Classes) -> FloatArray:
    """Directions rot, tilt of the sampling table, shape (m, 2), degrees: the coarse grid in RELION's order, up to order 3.

    A local search makes its own grid, in a ball about each particle's orientation; finer directions than these would say nothing.
    """
    return healpix_directions(min(coarse_order(classes.sampling.angular_step), MOST_DIRECTIONS_ORDER))


def orientation_distribution(classes: Classes) -> FloatArray:
    """Share of all particles with each class and direction (`pdf_direction`), shape (K, m); a class's row sums to its fraction.

    Best poses stand for posteriors. Before the first comparison, and in a class without particles, every direction is as likely.
    """
    grid = directions(classes)
    share = np.repeat(classes.fractions[:, None] / len(grid), len(grid), axis=1)
    if classes.iteration == 0:
        return share

    def unit(angles: FloatArray) -> FloatArray:
        rot, tilt = np.radians(angles[:, :2]).T
        return np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], axis=1)

    nearest = cKDTree(unit(grid)).query(unit(matrix_to_euler(classes.angles)))[1]
    for c, count in enumerate(classes.counts):
        if count:
            found = np.bincount(nearest[classes.class_numbers == c + 1], minlength=len(grid))
            share[c] = found * (classes.fractions[c] / count)
    return share
