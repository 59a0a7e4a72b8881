"""A position lands in a tilt image where RELION's projection matrix puts it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_subtomo.geometry.frames import Frame
from napari_subtomo.geometry.projection import defocus_offset, project, tilt_matrices, tilt_matrix


def series(x_tilt: Any = 0.0, y_tilt: Any = 0.0, z_rot: Any = 0.0, x_shift: Any = 0.0, y_shift: Any = 0.0) -> Any:
    values = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=float)) for v in (x_tilt, y_tilt, z_rot, x_shift, y_shift)))
    return SimpleNamespace(**dict(zip(("x_tilt", "y_tilt", "z_rot", "x_shift", "y_shift"), values, strict=True)))


def test_tilt_matrix_turns_about_x_first_then_y_then_z() -> None:
    np.testing.assert_allclose(
        tilt_matrix(3.0, -41.0, 85.0), Rotation.from_euler("xyz", [3.0, -41.0, 85.0], degrees=True).as_matrix(), atol=1e-12
    )


def test_tilt_matrices_come_one_for_each_image() -> None:
    angles = np.random.default_rng(5).uniform(-60, 60, (7, 3))
    found = tilt_matrices(series(*angles.T))
    np.testing.assert_allclose(found, Rotation.from_euler("xyz", angles, degrees=True).as_matrix(), atol=1e-12)


def test_the_centre_of_an_even_tomogram_lands_on_the_centre_pixel_of_an_odd_image() -> None:
    frame = Frame((400, 300, 100), 2.5)
    found = project(np.zeros((1, 3)), series(2.0, [-60, 0, 35], 85.0), frame, (511, 385))
    np.testing.assert_allclose(found[:, 0], np.tile([255, 192, 0], (3, 1)), atol=1e-10)


def test_image_shifts_are_angstroms_and_move_the_image_of_the_particle_the_same_way() -> None:
    frame = Frame((400, 300, 100), 2.5)
    found = project(np.zeros((1, 3)), series(0, 20.0, 30.0, 12.5, -5.0), frame, (512, 384))
    np.testing.assert_allclose(found[0, 0], [256 + 5, 192 - 2, 0], atol=1e-10)


def test_whole_formula_on_a_hand_worked_point() -> None:
    # YTilt 30 alone: x' = x cos + z sin, depth = -x sin + z cos; then ZRot 90 turns (x', y) into (-y, x')
    frame = Frame((400, 300, 100), 10.0)
    x, y, z = 40.0, -30.0, 20.0
    found = project([[10 * x, 10 * y, 10 * z]], series(0, 30.0, 90.0), frame, (400, 300))[0, 0]
    cosine, sine = np.sqrt(0.75), 0.5
    np.testing.assert_allclose(found, [200 - y, 150 + x * cosine + z * sine, -x * sine + z * cosine], atol=1e-9)


def test_x_tilt_acts_before_the_stage_tilt() -> None:
    frame = Frame((200, 200, 200), 1.0)
    found = project([[0.0, 10.0, 0.0]], series(90.0, 90.0, 0.0), frame, (200, 200))[0, 0]
    np.testing.assert_allclose(found, [110, 100, 0], atol=1e-9)  # Rx: y -> z; Ry: z -> x


def test_odd_tomograms_are_half_a_pixel_off_as_in_relion() -> None:
    found = project(np.zeros((1, 3)), series(), Frame((401, 300, 101), 1.0), (400, 400))[0, 0]
    np.testing.assert_allclose(found, [200.5, 200, 0])


def test_formula_of_unbinned_pixels_holds_for_any_series() -> None:
    rng = np.random.default_rng(8)
    frame, p = Frame((412, 308, 96), 3.7, 4.2), 3.7
    one = series(*rng.uniform(-60, 60, (3, 5)), *rng.uniform(-40, 40, (2, 5)))
    points = rng.uniform(-200, 200, (6, 3))
    found = project(points, one, frame, (333, 500))
    for t in range(5):
        rotation = Rotation.from_euler("xyz", [one.x_tilt[t], one.y_tilt[t], one.z_rot[t]], degrees=True).as_matrix()
        for n in range(6):
            u = points[n] / p + np.array([206, 154, 48])
            q = np.array([one.x_shift[t] / p + 166, one.y_shift[t] / p + 250, 0]) + rotation @ (u - [206, 154, 48])
            np.testing.assert_allclose(found[t, n], q, atol=1e-9)


@pytest.mark.parametrize("hand", [-1.0, 1.0])
def test_depth_changes_the_defocus_by_the_hand(hand: float) -> None:
    frame = Frame((400, 400, 100), 10.0)
    depth = project([[1000.0, 0.0, 0.0], [0.0, 0.0, 100.0]], series(0, 30.0, 85.0), frame, (400, 400))[0, :, 2]
    np.testing.assert_allclose(depth, [-50, 10 * np.sqrt(0.75)], atol=1e-9)  # pixels
    np.testing.assert_allclose(defocus_offset(depth, 10.0, hand), hand * np.array([-500, 100 * np.sqrt(0.75)]), atol=1e-8)
    np.testing.assert_allclose(defocus_offset(depth, 10.0, hand, slope=0.5), hand * np.array([-250, 50 * np.sqrt(0.75)]), atol=1e-8)
