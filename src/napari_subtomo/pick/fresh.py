"""New particles from points and spheres, with the columns that RELION's picker writes (and names and zero origins)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.geometry.orientations import matrix_to_euler
from napari_subtomo.geometry.shapes import SPLIT_ANGLES, in_plane_generator, sphere_lattice, split_frames
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.pick.sources import Picks, Spheres

FloatArray = npt.NDArray[np.float64]


def default_names(tomo_names: Sequence[str]) -> list[str]:
    """RELION's default particle names `<tomogram>/<number>`, numbers from 1 in each tomogram, written out so that they stay."""
    counts: dict[str, int] = {}
    names = []
    for tomogram in tomo_names:
        counts[tomogram] = counts.get(tomogram, 0) + 1
        names.append(f"{tomogram}/{counts[tomogram]}")
    return names


def centred_columns(positions: npt.ArrayLike) -> dict[str, Any]:
    """Columns of centred coordinates of positions (n, 3) xyz in Å."""
    return dict(zip(relion.CENTRED, np.asarray(positions, dtype=np.float64).reshape(-1, 3).T, strict=True))


def orientation_columns(frames: npt.ArrayLike) -> dict[str, Any]:
    """Columns of picked orientations O, shape (n, 3, 3): the frame O·Ry(90°), angles 0/90/0 and their priors.

    The product of frame and angles is O again; refinement starts in the middle of the tilt range.
    """
    eulers = matrix_to_euler(split_frames(np.asarray(frames, dtype=np.float64).reshape(-1, 3, 3)))
    n = len(eulers)
    columns: dict[str, Any] = dict(zip(relion.SUBTOMOGRAM_ANGLES, eulers.T, strict=True))
    columns |= {label: np.full(n, angle) for label, angle in zip(relion.ANGLES, SPLIT_ANGLES, strict=True)}
    return columns | {relion.ANGLE_TILT_PRIOR: np.full(n, SPLIT_ANGLES[1]), relion.ANGLE_PSI_PRIOR: np.full(n, SPLIT_ANGLES[2])}


def make_particles(tomo_names: Sequence[str], positions: npt.ArrayLike, columns: Mapping[str, Any]) -> ParticleSet:
    """A particle set of picks: tomogram, centred coordinates, `columns`, zero origins (which duplicate removal asks for) and names."""
    zero = np.zeros(len(tomo_names))
    return ParticleSet.create(
        {relion.TOMO_NAME: list(tomo_names)}
        | centred_columns(positions)
        | dict(columns)
        | dict.fromkeys(relion.ORIGINS, zero)
        | {relion.TOMO_PARTICLE_NAME: default_names(tomo_names)}
    )


def points_to_particles(picks: Picks) -> ParticleSet:
    """Particles at points, in the order of the points, without orientations."""
    return make_particles(picks.tomo_names, picks.positions, {})


def lattice_points(spheres: Spheres, spacing: float, seed: int) -> tuple[Picks, FloatArray, list[int]]:
    """Points on all spheres.

    The in-plane angle of a point depends on the seed, its tomogram's name and its number in the tomogram alone.

    Parameters
    ----------
    spheres : Spheres
    spacing : float
        Å.
    seed : int

    Returns
    -------
    picks : Picks
        Sphere by sphere, in the order of `spheres`.
    frames : ndarray, shape (n, 3, 3)
        Orientations with the outward normal as z.
    counts : list of int
        Points of each sphere.
    """
    generators = {name: in_plane_generator(seed, name) for name in dict.fromkeys(spheres.tomo_names)}
    names: list[str] = []
    positions, frames, counts = [np.zeros((0, 3))], [np.zeros((0, 3, 3))], []
    for name, centre, radius in zip(spheres.tomo_names, spheres.positions, spheres.radii, strict=True):
        points, axes = sphere_lattice(centre, float(radius), spacing, generators[name])
        names += [name] * len(points)
        positions.append(points)
        frames.append(axes)
        counts.append(len(points))
    return Picks(tuple(names), np.concatenate(positions)), np.concatenate(frames), counts


def spheres_to_particles(spheres: Spheres, spacing: float, seed: int = 1) -> ParticleSet:
    """Particles on spheres; parameters as in `lattice_points`."""
    picks, frames, _ = lattice_points(spheres, spacing, seed)
    return make_particles(picks.tomo_names, picks.positions, orientation_columns(frames))
