"""Grids of orientations: balls around the identity, and HEALPix × in-plane angle over all of SO(3)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_subtomo.geometry.orientations import euler_to_matrix

FloatArray = npt.NDArray[np.float64]


def ball(step: float, limit: float) -> FloatArray:
    """Body-centred cubic lattice of rotation vectors inside a ball.

    A body-centred lattice covers three dimensions with fewest points; `step` is the edge of its cube divided by 2^(1/3), so that the
    density is one point per step³, that of a cubic lattice of the same step.

    Parameters
    ----------
    step, limit : float
        Spacing and radius, degrees.

    Returns
    -------
    ndarray, shape (n, 3)
        Rotation vectors in degrees; the first is zero, then by length.
    """
    if limit <= 0:
        return np.zeros((1, 3))
    edge = step * 2 ** (1 / 3)
    axis = np.arange(-np.ceil(limit / edge) - 1, np.ceil(limit / edge) + 2) * edge
    cube = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    points = np.concatenate([cube, cube + edge / 2])
    length = np.linalg.norm(points, axis=1)
    points, length = points[length <= limit + 1e-9], length[length <= limit + 1e-9]
    ordered: FloatArray = points[np.lexsort((points[:, 2], points[:, 1], points[:, 0], np.round(length, 6)))]
    return ordered


def shifts(step: float, limit: float) -> FloatArray:
    """Cubic lattice of shifts inside a sphere (RELION's translational grid): range 5, step 2 gives 81.

    Parameters
    ----------
    step, limit : float
        Spacing and radius, pixels.

    Returns
    -------
    ndarray, shape (n, 3)
        Shifts xyz in pixels, by length, zero first.
    """
    if limit <= 0:
        return np.zeros((1, 3))
    axis = np.arange(-np.floor(limit / step + 1e-9), np.floor(limit / step + 1e-9) + 1) * step
    points = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    length = np.linalg.norm(points, axis=1)
    points, length = points[length <= limit + 1e-9], length[length <= limit + 1e-9]
    ordered: FloatArray = points[np.lexsort((points[:, 2], points[:, 1], points[:, 0], np.round(length, 6)))]
    return ordered


def healpix_directions(order: int) -> FloatArray:
    """Pixel centres of HEALPix in ring order (Górski et al. 2005, equations 4-9).

    Parameters
    ----------
    order : int
        Resolution; 12·4^order directions.

    Returns
    -------
    ndarray, shape (12·4^order, 2)
        rot (azimuth) and tilt (polar angle) in degrees.
    """
    n = 2**order
    rings = np.arange(1, 4 * n)
    rot, tilt = [], []
    for i in rings:
        if i < n:
            count, z, offset = 4 * i, 1 - i**2 / (3 * n**2), 0.5
        elif i <= 3 * n:
            count, z = 4 * n, 4 / 3 - 2 * i / (3 * n)
            offset = 0.5 if (i - n) % 2 == 0 else 0.0
        else:
            j = 4 * n - i
            count, z, offset = 4 * j, -(1 - j**2 / (3 * n**2)), 0.5
        rot.append((np.arange(count) + offset) * 360 / count)
        tilt.append(np.full(count, np.degrees(np.arccos(z))))
    return np.stack([np.concatenate(rot), np.concatenate(tilt)], axis=1)


def healpix_step(order: int) -> float:
    """Angular step in degrees of an order, as RELION labels it: 360 / (6·2^order)."""
    return 60.0 / float(2**order)


def healpix_orientations(order: int) -> FloatArray:
    """All orientations of an order: 12·4^order directions × 6·2^order in-plane angles.

    Returns
    -------
    ndarray, shape (72·8^order, 3, 3)
        Matrices A(rot, tilt, psi).
    """
    directions = healpix_directions(order)
    psi = np.arange(6 * 2**order) * healpix_step(order)
    angles = np.concatenate([np.repeat(directions, len(psi), axis=0), np.tile(psi, len(directions))[:, None]], axis=1)
    return euler_to_matrix(angles)
