"""Points on spheres and RELION's split of their orientations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_subtomo.errors import GeometryError
from napari_subtomo.geometry.orientations import euler_to_matrix, matrix_to_euler
from napari_subtomo.geometry.shapes import (
    SPLIT_ANGLES,
    fibonacci_directions,
    frames_along,
    in_plane_generator,
    sphere_lattice,
    sphere_point_count,
    split_frames,
)


@pytest.mark.parametrize(("radius", "count"), [(300, 323), (400, 574), (500, 898), (600, 1293)])
def test_a_spacing_of_60_gives_relions_number_of_points(radius: float, count: int) -> None:
    assert sphere_point_count(radius, 60) == count
    positions, frames = sphere_lattice([0, 0, 0], radius, 60, np.random.default_rng(0))
    assert positions.shape == (count, 3)
    assert frames.shape == (count, 3, 3)


def test_the_lattice_is_relions_formula_point_by_point() -> None:
    n, golden = 323, (1 + np.sqrt(5)) / 2
    i = np.arange(n)
    theta = np.arccos(1 - 2 * (i + 0.36) / (n - 1 + 0.72))
    phi = 2 * np.pi * i / golden
    expected = np.stack([np.cos(phi) * np.sin(theta), np.sin(phi) * np.sin(theta), np.cos(theta)], axis=-1)
    np.testing.assert_allclose(fibonacci_directions(n), expected, atol=1e-12)


def test_the_four_nearest_neighbours_lie_one_spacing_apart_on_average() -> None:
    positions, _ = sphere_lattice([10, 20, 30], 400, 60, np.random.default_rng(0))
    nearest = cKDTree(positions).query(positions, k=5)[0][:, 1:]
    assert nearest.mean() == pytest.approx(60, rel=0.02)
    assert nearest.min() > 0.8 * 60


def test_points_lie_on_the_sphere_and_z_points_outwards() -> None:
    centre = np.array([100.0, -200.0, 50.0])
    positions, frames = sphere_lattice(centre, 300, 60, np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.norm(positions - centre, axis=1), 300, atol=1e-9)
    np.testing.assert_allclose(frames[:, :, 2], (positions - centre) / 300, atol=1e-12)


def test_frames_are_right_handed_rotations_for_every_direction() -> None:
    normals = np.concatenate([fibonacci_directions(200), np.eye(3), -np.eye(3), [[1, 1, 1], [-2, -2, -2]]])
    frames = frames_along(normals, np.linspace(0, 360, len(normals)))
    np.testing.assert_allclose(frames @ np.swapaxes(frames, 1, 2), np.broadcast_to(np.eye(3), frames.shape), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(frames), 1, atol=1e-12)


def test_the_in_plane_angle_turns_the_frame_about_its_own_z() -> None:
    one, other = frames_along([[1, 2, 3]], [0]), frames_along([[1, 2, 3]], [90])
    np.testing.assert_allclose(other[0][:, 0], one[0][:, 1], atol=1e-12)
    np.testing.assert_allclose(other[0][:, 2], one[0][:, 2], atol=1e-12)


def test_the_in_plane_angles_fill_the_circle() -> None:
    _, frames = sphere_lattice([0, 0, 0], 600, 30, np.random.default_rng(2))
    flat = frames_along(frames[:, :, 2], np.zeros(len(frames)))
    angles = np.arctan2(np.sum(frames[:, :, 0] * flat[:, :, 1], axis=1), np.sum(frames[:, :, 0] * flat[:, :, 0], axis=1))
    assert abs(np.exp(1j * angles).mean()) < 0.05


def test_the_in_plane_angle_depends_on_seed_name_and_index_alone() -> None:
    def draws(seed: int, name: str, n: int) -> np.ndarray:
        return in_plane_generator(seed, name).uniform(0, 360, n)

    np.testing.assert_array_equal(draws(1, "TS_01", 50)[:20], draws(1, "TS_01", 20))
    assert not np.allclose(draws(1, "TS_01", 20), draws(2, "TS_01", 20))
    assert not np.allclose(draws(1, "TS_01", 20), draws(1, "TS_02", 20))
    assert not np.allclose(draws(1, "01", 20), draws(1, "1", 20))


def test_the_split_orientation_is_the_picked_one_again() -> None:
    _, frames = sphere_lattice([0, 0, 0], 300, 60, np.random.default_rng(3))
    stored = matrix_to_euler(split_frames(frames))
    np.testing.assert_allclose(euler_to_matrix(stored) @ euler_to_matrix(SPLIT_ANGLES), frames, atol=1e-9)


def test_a_spacing_too_large_for_the_sphere_gives_no_points() -> None:
    positions, frames = sphere_lattice([0, 0, 0], 10, 100, np.random.default_rng(0))
    assert positions.shape == (0, 3)
    assert frames.shape == (0, 3, 3)


@pytest.mark.parametrize(("radius", "spacing"), [(0, 60), (-5, 60), (300, 0), (300, float("nan")), (float("inf"), 60)])
def test_impossible_lengths_are_refused(radius: float, spacing: float) -> None:
    with pytest.raises(GeometryError, match="positive sphere"):
        sphere_point_count(radius, spacing)
