"""The files of a simulated project, as RELION 5 writes them; paths are relative to the project folder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_subtomo.data.tomogram import TiltSeries
from napari_subtomo.geometry.orientations import matrix_to_euler
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.options.simulate import SimulateOptions
from napari_subtomo.simulate.scene import FloatArray, Scene

OPTICS_NAME = "optics1"
TRUE_CLASS, TRUE_NAME = "trueClass", "trueName"  # our own columns of truth.star; class 0 is a false pick


def image_name(tomogram: str, tilt: int) -> str:
    """Path of a tilt image."""
    return f"images/{tomogram}_{tilt:02d}.mrc"


def tomogram_name(tomogram: str) -> str:
    """Path of a tomogram."""
    return f"tomograms/{tomogram}.mrc"


def series_name(tomogram: str) -> str:
    """Path of a tilt series' STAR file."""
    return f"tilt_series/{tomogram}.star"


def write_tilt_series(project: Project, series: TiltSeries) -> None:
    """`tilt_series/<name>.star`: one block, named as the tomogram, a row for each tilt image."""
    n = len(series)
    columns = {
        relion.MICROGRAPH_NAME: [image_name(series.name, t) for t in range(n)],
        relion.NOMINAL_STAGE_TILT_ANGLE: series.y_tilt,
        relion.NOMINAL_TILT_AXIS_ANGLE: series.z_rot,
        relion.MICROGRAPH_PRE_EXPOSURE: series.dose,
        relion.TOMO_X_TILT: series.x_tilt,
        relion.TOMO_Y_TILT: series.y_tilt,
        relion.TOMO_Z_ROT: series.z_rot,
        relion.TOMO_X_SHIFT: series.x_shift,
        relion.TOMO_Y_SHIFT: series.y_shift,
        relion.DEFOCUS_U: series.defocus_u,
        relion.DEFOCUS_V: series.defocus_v,
        relion.DEFOCUS_ANGLE: series.defocus_angle,
        relion.CTF_SCALE_FACTOR: series.scale,
    }
    write_star(project.resolve(series_name(series.name)), [StarBlock.loop(series.name, columns)])


def write_tables(project: Project, options: SimulateOptions, names: Sequence[str], scenes: Sequence[Scene]) -> None:
    """`tomograms.star`, `truth.star`, `particles.star` and, last of all, `optimisation_set.star`."""
    write_star(project.resolve("tomograms.star"), [StarBlock.loop(relion.GLOBAL, _tomogram_columns(options, names))])
    particle_names = [f"{name}/{i + 1}" for name, scene in zip(names, scenes, strict=True) for i in range(len(scene.kinds))]
    tomogram_names = [text.rpartition("/")[0] for text in particle_names]
    truth = {
        relion.TOMO_NAME: tomogram_names,
        TRUE_CLASS: np.concatenate([scene.classes for scene in scenes]),
        TRUE_NAME: [text for scene in scenes for text in scene.names],
        **_pose_columns(np.concatenate([s.positions for s in scenes]), np.concatenate([s.matrices for s in scenes])),
        relion.TOMO_PARTICLE_NAME: particle_names,
    }
    write_star(project.resolve("truth.star"), [StarBlock.loop(relion.PARTICLES, truth)])
    n = len(particle_names)
    picks = {
        relion.TOMO_NAME: tomogram_names,
        relion.TOMO_PARTICLE_NAME: particle_names,
        **_pose_columns(np.concatenate([s.picked_positions for s in scenes]), np.concatenate([s.picked_matrices for s in scenes])),
        **{label: np.zeros(n) for label in relion.ORIGINS},
        relion.OPTICS_GROUP: np.ones(n, dtype=int),
        relion.RANDOM_SUBSET: np.concatenate([1 + np.arange(len(scene.kinds)) % 2 for scene in scenes]),
    }
    optics = {
        relion.OPTICS_GROUP: [1],
        relion.OPTICS_GROUP_NAME: [OPTICS_NAME],
        relion.VOLTAGE: [options.voltage],
        relion.SPHERICAL_ABERRATION: [options.cs],
        relion.AMPLITUDE_CONTRAST: [options.amplitude_contrast],
        relion.TILT_SERIES_PIXEL_SIZE: [options.pixel_size],
    }
    blocks = [
        StarBlock.list(relion.GENERAL, {relion.ARE_2D_STACKS: 0}),
        StarBlock.loop(relion.OPTICS, optics),
        StarBlock.loop(relion.PARTICLES, picks),
    ]
    write_star(project.resolve("particles.star"), blocks)
    write_optimisation_set(project.resolve("optimisation_set.star"), particles="particles.star", tomograms="tomograms.star")


def _tomogram_columns(options: SimulateOptions, names: Sequence[str]) -> dict[str, list[Any]]:
    n = len(names)
    size = options.size_xyz
    return {
        relion.TOMO_NAME: list(names),
        relion.VOLTAGE: [options.voltage] * n,
        relion.SPHERICAL_ABERRATION: [options.cs] * n,
        relion.AMPLITUDE_CONTRAST: [options.amplitude_contrast] * n,
        relion.MICROGRAPH_ORIGINAL_PIXEL_SIZE: [options.pixel_size] * n,
        relion.TOMO_HAND: [float(options.hand)] * n,
        relion.OPTICS_GROUP_NAME: [OPTICS_NAME] * n,
        relion.TILT_SERIES_PIXEL_SIZE: [options.pixel_size] * n,
        relion.TOMO_IMPORT_FRACTIONAL_DOSE: [options.dose] * n,
        relion.TOMO_TILT_SERIES_STAR_FILE: [series_name(name) for name in names],
        relion.TOMO_BINNING: [options.binning] * n,
        relion.TOMO_SIZE_X: [size[0]] * n,
        relion.TOMO_SIZE_Y: [size[1]] * n,
        relion.TOMO_SIZE_Z: [size[2]] * n,
        relion.TOMO_RECONSTRUCTED: [tomogram_name(name) for name in names],
    }


def _pose_columns(positions: FloatArray, matrices: FloatArray) -> dict[str, FloatArray]:
    angles = matrix_to_euler(matrices)
    columns = {label: positions[:, axis] for axis, label in enumerate(relion.CENTRED)}
    return columns | {label: angles[:, axis] for axis, label in enumerate(relion.ANGLES)}
