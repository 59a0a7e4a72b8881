"""Poses on shapes: points spread over a sphere with their outward normals, and RELION's way of storing such orientations.

The lattice and the number of points are those of RELION 5's picker (its `morphosamplers` 0.0.13), so the same sphere and spacing
give the same points there and here; only the in-plane angle is random, and here it is seeded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from napari_subtomo.errors import GeometryError

FloatArray = npt.NDArray[np.float64]

GOLDEN_RATIO = (1 + 5**0.5) / 2
LATTICE_OFFSET = 0.36  # best mean distance between neighbours
SPACING_SLOPE, SPACING_OFFSET = 0.07726122, 0.02657319  # fit of (radius / spacing)² over the number of points

SPLIT_ANGLES = (0.0, 90.0, 0.0)
"""rot, tilt, psi of a particle whose frame was turned by `split_frames`: the middle of the tilt range, away from its poles."""


def in_plane_generator(seed: int, name: str) -> np.random.Generator:
    """Random numbers of one tomogram: the i-th draw depends on the seed, the tomogram's name and i alone."""
    return np.random.default_rng(np.random.SeedSequence([seed, *name.encode("utf-8")]))


def sphere_point_count(radius: float, spacing: float) -> int:
    """Number of points that RELION's picker puts on a sphere; 0 where the spacing is too large for one.

    Parameters
    ----------
    radius, spacing : float
        In the same unit. A radius of 300 Å and a spacing of 60 Å give 323.

    Raises
    ------
    GeometryError
        If either is not a positive number.
    """
    for what, value in (("radius", radius), ("spacing", spacing)):
        if not (np.isfinite(value) and value > 0):
            raise GeometryError(f"Expected a positive sphere {what} in Å, found {value}.")
    return max(0, int(1 / ((spacing / radius) ** 2 * SPACING_SLOPE) - SPACING_OFFSET / SPACING_SLOPE))


def fibonacci_directions(n: int) -> FloatArray:
    """Unit vectors (n, 3) xyz of an offset Fibonacci lattice, from the +z pole to the -z pole."""
    i = np.arange(n)
    azimuth = 2 * np.pi * i / GOLDEN_RATIO
    z = 1 - 2 * (i + LATTICE_OFFSET) / (n - 1 + 2 * LATTICE_OFFSET)
    r = np.sqrt(np.clip(1 - z * z, 0, None))
    return np.stack([r * np.cos(azimuth), r * np.sin(azimuth), z], axis=-1)


def frames_along(normals: npt.ArrayLike, in_plane: npt.ArrayLike) -> FloatArray:
    """Right-handed frames with given z axes.

    Parameters
    ----------
    normals : array_like, shape (n, 3)
        z axes, xyz; any length but zero.
    in_plane : array_like, shape (n,)
        Turn about the own z axis in degrees.

    Returns
    -------
    ndarray, shape (n, 3, 3)
        Columns are the frame's x, y and z axes, xyz.
    """
    z = np.asarray(normals, dtype=np.float64).reshape(-1, 3)
    z = z / np.linalg.norm(z, axis=-1, keepdims=True)
    helper = np.where(np.abs(z[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])  # never parallel to z
    x = np.cross(helper, z)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    frames = np.stack([x, np.cross(z, x), z], axis=-1)
    turns: FloatArray = Rotation.from_euler("z", np.asarray(in_plane, dtype=np.float64).reshape(-1, 1), degrees=True).as_matrix()
    return np.asarray(frames @ turns)


def sphere_lattice(centre: npt.ArrayLike, radius: float, spacing: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Points on a sphere with the outward normal as particle z.

    Parameters
    ----------
    centre : array_like, shape (3,)
        xyz in Å from the tomogram's centre.
    radius, spacing : float
        Å.
    rng : numpy.random.Generator
        Gives each point its in-plane angle, uniform in [0, 360) degrees, one draw a point in lattice order.

    Returns
    -------
    positions : ndarray, shape (n, 3)
        xyz, Å; n from `sphere_point_count`.
    frames : ndarray, shape (n, 3, 3)
        Orientations O that map the reference into the tomogram, `x_tomo = O x_ref`.
    """
    n = sphere_point_count(radius, spacing)
    if n == 0:
        return np.zeros((0, 3)), np.zeros((0, 3, 3))
    directions = fibonacci_directions(n)
    return np.asarray(centre, dtype=np.float64) + radius * directions, frames_along(directions, rng.uniform(0, 360, n))


def split_frames(frames: npt.ArrayLike) -> FloatArray:
    """RELION's subtomogram frame for a picked orientation: S = O·Ry(90°), so that S·A(0, 90, 0) = O.

    Refined angles then stay near tilt 90°, where a Gaussian prior on the tilt is well defined.

    Parameters
    ----------
    frames : array_like, shape (..., 3, 3)
        Orientations O, `x_tomo = O x_ref`.

    Returns
    -------
    ndarray, shape (..., 3, 3)
    """
    ry90 = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    return np.asarray(np.asarray(frames, dtype=np.float64) @ ry90)
