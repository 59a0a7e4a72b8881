"""The count of tilts in each Fourier voxel."""

from __future__ import annotations

import numpy as np
import pytest

from napari_subtomo.geometry.projection import tilt_matrix
from napari_subtomo.numerics.wedge import angular_steps, lattice, make_wedge, multiplicity, sphere, tilt_axis

N = 32
TILTS = np.arange(-60, 61, 3.0)


def matrices(y_tilt: np.ndarray, x_tilt: float = 0.0, z_rot: float = 85.0) -> np.ndarray:
    return tilt_matrix(np.full(len(y_tilt), x_tilt), y_tilt, np.full(len(y_tilt), z_rot))


def coordinates(n: int = N) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """kx, ky, kz of the half layout, full arrays."""
    kz, ky, kx = (np.broadcast_to(k, (n, n, n // 2 + 1)) for k in lattice(n))
    return kx, ky, kz


def test_where_slabs_overlap_the_count_is_one_over_their_spacing():
    kx, _, kz = coordinates()
    m = make_wedge(N, matrices(TILTS)).multiplicity
    across = np.hypot(kx, kz)
    bulk = sphere(N) & (across > 4) & (across < 0.9 * N / 2) & (np.abs(kz) < np.tan(np.radians(50)) * kx)
    spacing = across[bulk] * np.radians(3)
    assert np.median(np.abs(m[bulk] * spacing - 1)) < 0.05
    assert np.abs(m[bulk] * spacing - 1).max() < 0.25


def test_a_side_of_closely_spaced_tilts_counts_more():
    """1 degree apart for positive tilts, 4 for negative ones: each side has the count of its own spacing."""
    kx, _, kz = coordinates()
    m = make_wedge(N, matrices(np.concatenate([np.arange(-56, 0, 4.0), np.arange(0, 57, 1.0)]))).multiplicity
    across = np.hypot(kx, kz)
    bulk = sphere(N) & (across > 5) & (across < 0.8 * N / 2) & (np.abs(kz) < np.tan(np.radians(45)) * kx)
    for side, spacing in ((1, 1.0), (-1, 4.0)):  # a positive tilt fills k_z > 0 where k_x > 0
        chosen = bulk & (side * kz > np.tan(np.radians(10)) * kx)
        assert np.median(m[chosen] * across[chosen] * np.radians(spacing)) == pytest.approx(1, abs=0.1)


def test_a_lone_tilt_counts_once_on_its_plane_and_not_beyond_one_voxel():
    m = make_wedge(N, matrices(np.array([0.0]))).multiplicity
    kx, ky, kz = coordinates()
    plane = (kz == 0) & (np.hypot(kx, ky) < 14) & (kx > 3)
    np.testing.assert_allclose(m[plane], 1, atol=0.1)
    assert not m[np.abs(kz) >= 1].any()


def test_the_missing_wedge_counts_nothing():
    kx, _, kz = coordinates()
    m = make_wedge(N, matrices(TILTS)).multiplicity
    limit = np.radians(60)
    assert not m[np.abs(kz) * np.cos(limit) - kx * np.sin(limit) >= 1].any()
    assert m[(np.abs(kz) < np.tan(limit) * kx) & sphere(N)].min() > 0.2


def test_the_wedge_turns_with_x_tilt_and_not_with_the_tilt_axis_of_the_images():
    upright = multiplicity(N, matrices(TILTS))
    np.testing.assert_allclose(multiplicity(N, matrices(TILTS, z_rot=-20.0)), upright, rtol=1e-5)
    turned = multiplicity(N, matrices(TILTS, x_tilt=90.0))  # now the stage tilts about -z of the tomogram: y and z change places
    np.testing.assert_allclose(turned[1:, 1:, 1:], np.swapaxes(upright, 0, 1)[1:, 1:, 1:], rtol=1e-3, atol=1e-4)


def test_a_tilt_of_the_other_sign_fills_the_mirrored_plane():
    kx, _, kz = coordinates()
    m = make_wedge(N, matrices(np.array([30.0]))).multiplicity
    beam = tilt_matrix(0, 30.0, 0)[2]
    np.testing.assert_allclose(beam, [-0.5, 0, np.cos(np.radians(30))], atol=1e-12)
    assert set(np.flatnonzero(m)) <= set(np.flatnonzero(np.abs(kx * beam[0] + kz * beam[2]) < 1))
    assert m[10, 0, 15] == 0 or np.abs(15 * beam[0] + 10 * beam[2]) < 1


def test_rows_in_any_order_count_the_same():
    order = np.random.default_rng(0).permutation(len(TILTS))
    np.testing.assert_allclose(
        make_wedge(N, matrices(TILTS)[order]).multiplicity, make_wedge(N, matrices(TILTS)).multiplicity, rtol=1e-4, atol=1e-5
    )


def test_steps_are_half_the_distance_of_the_neighbours():
    np.testing.assert_allclose(angular_steps(np.array([3.0, 0.0, 9.0])), [4.5, 3.0, 6.0])
    assert len(angular_steps(np.array([1.0]))) == 1


def test_the_axis_is_perpendicular_to_the_beams_also_of_a_single_tilt():
    np.testing.assert_allclose(tilt_axis(matrices(TILTS)[:, 2]), [0, 1, 0], atol=1e-9)
    np.testing.assert_allclose(tilt_axis(matrices(np.array([20.0]))[:, 2]), [0, 1, 0], atol=1e-9)


def test_the_mean_of_ones_is_one_wherever_a_tilt_reaches():
    wedge = make_wedge(N, matrices(TILTS))
    mean = wedge.mean(np.ones(len(wedge.index), np.float32))
    np.testing.assert_allclose(mean[wedge.multiplicity > 0], 1, atol=1e-5)
    assert not mean[~sphere(N)].any()


def test_the_mean_takes_each_tilt_from_its_own_plane():
    wedge = make_wedge(N, matrices(TILTS))
    mean = wedge.mean(TILTS[wedge.tilt].astype(np.float32))
    kx, _, kz = coordinates()
    inner = (wedge.multiplicity > 0) & (kx > 8) & (np.abs(kz) < kx)
    expected = np.degrees(np.arctan2(kz, kx))  # plane of a tilt: kz = kx tan(tilt)
    assert np.abs(mean - expected)[inner].max() < 3


@pytest.mark.parametrize("n", [16, 30])
def test_pairs_know_their_place_in_the_image(n):
    rotation = matrices(TILTS)
    wedge = make_wedge(n, rotation)
    kx, ky, kz = coordinates(n)
    k = np.stack([kx.ravel(), ky.ravel(), kz.ravel()], axis=1)[wedge.index]
    seen = np.einsum("sij,sj->si", rotation[wedge.tilt], k)
    np.testing.assert_allclose(np.stack([wedge.kx, wedge.ky], axis=1), seen[:, :2], atol=1e-4)
    assert np.abs(seen[:, 2]).max() < 1
