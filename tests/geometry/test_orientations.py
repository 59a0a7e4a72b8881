"""RELION's Euler angles: the vectors of the convention page, and properties."""

import numpy as np
import pytest

from napari_subtomo.geometry.orientations import (
    angular_distance,
    euler_to_matrix,
    matrix_to_euler,
    random_matrices,
    relion_distance,
    rotation_vectors_to_matrices,
)
from napari_subtomo.geometry.so3 import ball, healpix_directions, healpix_orientations, healpix_step, shifts


def relion_formula(rot, tilt, psi):
    """`Euler_angles2matrix` written out: A = Rz'(psi) Ry'(tilt) Rz'(rot) with RELION's signs."""
    a, b, g = np.radians([rot, tilt, psi])
    ca, cb, cg, sa, sb, sg = np.cos(a), np.cos(b), np.cos(g), np.sin(a), np.sin(b), np.sin(g)
    return np.array(
        [
            [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
            [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
            [sb * ca, sb * sa, cb],
        ]
    )


def test_angles_0_90_0():
    np.testing.assert_allclose(euler_to_matrix([0, 90, 0]), [[0, 0, -1], [0, 1, 0], [1, 0, 0]], atol=1e-12)


def test_angles_23_57_minus_110():
    expected = [[0.195698, -0.937776, 0.286842], [0.604746, -0.114858, -0.788093], [0.772000, 0.327695, 0.544639]]
    np.testing.assert_allclose(euler_to_matrix([23, 57, -110]), expected, atol=1e-6)
    np.testing.assert_allclose(matrix_to_euler(expected), [23, 57, -110], atol=1e-3)


def test_matrix_is_relions_formula_for_random_angles():
    for angles in np.random.default_rng(0).uniform(-180, 180, (20, 3)):
        np.testing.assert_allclose(euler_to_matrix(angles), relion_formula(*angles), atol=1e-12)


def test_particle_z_axis():
    for rot, tilt, psi in np.random.default_rng(1).uniform(-180, 180, (10, 3)):
        t, p = np.radians([tilt, psi])
        expected = [-np.cos(p) * np.sin(t), np.sin(p) * np.sin(t), np.cos(t)]
        np.testing.assert_allclose(euler_to_matrix([rot, tilt, psi])[:, 2], expected, atol=1e-12)


@pytest.mark.parametrize("tilt", [0.0, 180.0])
def test_gimbal_lock_keeps_the_matrix(tilt):
    matrix = euler_to_matrix([30, tilt, 40])
    np.testing.assert_allclose(euler_to_matrix(matrix_to_euler(matrix)), matrix, atol=1e-7)


def test_no_particles():
    assert matrix_to_euler(np.zeros((0, 3, 3))).shape == (0, 3)


def test_distances():
    a = random_matrices(5, np.random.default_rng(2))
    turn = rotation_vectors_to_matrices([0, 0, 12.0])
    np.testing.assert_allclose(angular_distance(a, a @ turn), 12, atol=1e-6)
    np.testing.assert_allclose(relion_distance(a, a @ turn), 2 / 3 * 12, atol=1e-6)  # two axes move by 12 degrees, one stays
    half_turn = rotation_vectors_to_matrices([0, 0, 180.0])
    np.testing.assert_allclose(relion_distance(a, a @ half_turn, np.stack([np.eye(3), half_turn])), 0, atol=1e-5)


def test_grids():
    assert healpix_directions(4).shape == (3072, 2) and healpix_step(4) == 3.75
    assert len(shifts(2, 5)) == 81 and shifts(1, 0).shape == (1, 3)
    assert healpix_orientations(1).shape == (576, 3, 3)
    points = ball(5, 15)
    assert np.abs(points[0]).max() == 0 and np.linalg.norm(points, axis=1).max() <= 15 + 1e-9
    assert len(points) == pytest.approx(4 / 3 * np.pi * 15**3 / 5**3, rel=0.2)  # one point per step³


def test_healpix_pixels_have_equal_area():
    """Directions are uniform: their mean is zero and the second moments are those of the sphere."""
    rot, tilt = np.radians(healpix_directions(3)).T
    v = np.stack([np.cos(rot) * np.sin(tilt), np.sin(rot) * np.sin(tilt), np.cos(tilt)])
    np.testing.assert_allclose(v.mean(1), 0, atol=1e-12)
    np.testing.assert_allclose(v @ v.T / v.shape[1], np.eye(3) / 3, atol=2e-3)


def test_healpix_order_2_is_relions_list_of_directions(golden):
    """Golden sampling file: order 2, row by row."""
    lines = (golden / "Class3D_3d" / "run_it004_sampling.star").read_text().split("data_sampling_directions")[1].splitlines()
    theirs = np.array([[float(x) for x in line.split()] for line in lines if line.strip() and line.strip()[0] not in "_l#d"])
    np.testing.assert_allclose(healpix_directions(2), theirs, atol=1e-5)
