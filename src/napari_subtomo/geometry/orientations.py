"""RELION's Euler angles and distances between orientations.

Matrices act on xyz columns and map the reference into the particle's frame: `x_particle = A x_reference`.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

FloatArray = npt.NDArray[np.float64]


def euler_to_matrix(angles: npt.ArrayLike) -> FloatArray:
    """RELION's A(rot, tilt, psi), the inverse of the intrinsic ZYZ rotation (`Euler_angles2matrix`).

    Parameters
    ----------
    angles : array_like, shape (..., 3)
        rot, tilt, psi in degrees.

    Returns
    -------
    ndarray, shape (..., 3, 3)
    """
    angles = np.asarray(angles, dtype=np.float64)
    flat = angles.reshape(-1, 3)
    matrices: FloatArray = Rotation.from_euler("ZYZ", flat, degrees=True).inv().as_matrix()
    return matrices.reshape(*angles.shape[:-1], 3, 3)


def matrix_to_euler(matrices: npt.ArrayLike) -> FloatArray:
    """rot, tilt, psi in degrees of matrices A; tilt in [0, 180].

    At tilt 0 or 180 only rot ± psi is defined and all of it is put into one angle: compare matrices, not angles.

    Parameters
    ----------
    matrices : array_like, shape (..., 3, 3)

    Returns
    -------
    ndarray, shape (..., 3)
    """
    matrices = np.asarray(matrices, dtype=np.float64)
    flat = matrices.reshape(-1, 3, 3)
    if len(flat) == 0:
        return np.zeros((*matrices.shape[:-2], 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # gimbal lock: any of the equal triplets will do
        angles: FloatArray = Rotation.from_matrix(flat).inv().as_euler("ZYZ", degrees=True)
    return angles.reshape(*matrices.shape[:-2], 3)


def angular_distance(a: npt.ArrayLike, b: npt.ArrayLike) -> FloatArray:
    """Angle in degrees (...) of the rotation between matrices (..., 3, 3)."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    difference = np.swapaxes(a, -1, -2) @ b
    shape = difference.shape[:-2]
    magnitude: FloatArray = Rotation.from_matrix(difference.reshape(-1, 3, 3)).magnitude()
    return np.degrees(magnitude).reshape(shape)


def relion_distance(a: npt.ArrayLike, b: npt.ArrayLike, symmetry: npt.ArrayLike | None = None) -> FloatArray:
    """RELION's distance in degrees: mean angle between corresponding axes (`calculateAngularDistance`), least over symmetry mates.

    Parameters
    ----------
    a, b : array_like, shape (..., 3, 3)
        Orientations A that map reference to particle.
    symmetry : array_like, shape (m, 3, 3), optional
        Rotations of the reference onto itself, the identity included.

    Returns
    -------
    ndarray, shape (...)
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    mates = np.eye(3)[None] if symmetry is None else np.asarray(symmetry, dtype=np.float64)
    best: FloatArray | None = None
    for mate in mates:
        cosines = np.clip(np.einsum("...ij,...ij->...j", a, b @ mate), -1, 1)  # columns: the reference's axes in the particle
        distance = np.degrees(np.arccos(cosines)).mean(axis=-1)
        best = distance if best is None else np.minimum(best, distance)
    assert best is not None
    return np.asarray(best)


def random_matrices(n: int, rng: np.random.Generator) -> FloatArray:
    """`n` uniformly distributed rotations, shape (n, 3, 3)."""
    q = rng.standard_normal((n, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    matrices: FloatArray = Rotation.from_quat(q).as_matrix()
    return matrices


def rotation_vectors_to_matrices(vectors_deg: npt.ArrayLike) -> FloatArray:
    """Rotations (..., 3, 3) about axes (..., 3) xyz by their length in degrees."""
    vectors = np.radians(np.asarray(vectors_deg, dtype=np.float64))
    matrices: FloatArray = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix()
    return matrices.reshape(*vectors.shape[:-1], 3, 3)
