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
    """Pixel centres of HEALPix in nested order, RELION's order of directions (Górski et al. 2005, equations 4-9 and their figure 4).

    Parameters
    ----------
    order : int
        Resolution; 12·4^order directions.

    Returns
    -------
    ndarray, shape (12·4^order, 2)
        rot (azimuth, -180 to 180) and tilt (polar angle) in degrees.
    """
    n = 2**order
    face, within = np.divmod(np.arange(12 * n * n), n * n)
    # the bits of a pixel's number within its face alternate between the two axes of the face
    column = sum((within >> 2 * bit & 1) << bit for bit in range(order)) + np.zeros_like(within)
    row = sum((within >> 2 * bit + 1 & 1) << bit for bit in range(order)) + np.zeros_like(within)
    ring = (face // 4 + 2) * n - column - row - 1  # 1 … 4n - 1 from pole to pole
    polar = np.minimum(np.minimum(ring, 4 * n - ring), n)  # pixels on a quarter of the ring
    cap = 1 - polar**2 / (3 * n**2)
    z = np.where(ring < n, cap, np.where(ring > 3 * n, -cap, (2 * n - ring) * 2 / (3 * n)))
    odd = np.where(polar == n, (ring - n) & 1, 0)  # every second ring of the belt begins half a pixel earlier
    place = ((2 * (face % 4) + np.where(face // 4 == 1, 0, 1)) * polar + column - row + 1 + odd) // 2
    rot = (place - (odd + 1) / 2) * 90 / polar
    rot = (rot + 180) % 360 - 180
    return np.stack([np.where(rot == -180, 180.0, rot), np.degrees(np.arccos(z))], axis=1)


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
