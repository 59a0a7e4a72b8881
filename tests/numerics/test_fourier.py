"""Centred transforms, half layouts, cropping, padded sampling and insertion."""

import numpy as np
import pytest

from napari_subtomo.geometry.orientations import random_matrices
from napari_subtomo.numerics.fourier import (
    centred_fft,
    centred_ifft,
    fourier_crop,
    full_to_half,
    half_to_full,
    lowpass,
    phase_ramp,
    radial_mean,
    resize_centred,
    shells,
)
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.numerics.rotate import Interpolation, rotate_volume


def blobs(points, n, sigma=1.6):
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return sum(np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 2 / sigma**2) for a, b, c in points).astype(np.float32)


@pytest.mark.parametrize("n", [11, 12])
def test_half_layout_round_trip(n):
    volume = np.random.default_rng(0).standard_normal((n, n, n))
    full = centred_fft(volume)
    np.testing.assert_allclose(half_to_full(full_to_half(full)), full, atol=1e-10)
    np.testing.assert_allclose(full_to_half(full), np.fft.rfftn(np.fft.ifftshift(volume)), atol=1e-10)


@pytest.mark.parametrize("n", [15, 16])
def test_phase_ramp_moves_by_its_shift_in_xyz(n):
    volume = np.zeros((n, n, n))
    volume[n // 2, n // 2, n // 2] = 1
    moved = centred_ifft(centred_fft(volume) * phase_ramp((n, n, n), (3, -2, 1))).real
    assert np.unravel_index(moved.argmax(), moved.shape) == (n // 2 + 1, n // 2 - 2, n // 2 + 3)


@pytest.mark.parametrize(("n", "m"), [(32, 16), (33, 16), (32, 17), (24, 32)])
def test_fourier_crop_keeps_the_centre_and_the_grey_values(n, m):
    points = np.array([[2.0, -1.0, 0.5]])
    coarse = fourier_crop(blobs(points * n / 32, n, 3.5 * n / 32), m)
    expected = blobs(points * m / 32, m, 3.5 * m / 32)
    np.testing.assert_allclose(coarse, expected, atol=0.02)


def test_resize_there_and_back():
    a = np.random.default_rng(1).standard_normal((5, 6, 7))
    np.testing.assert_array_equal(resize_centred(resize_centred(a, (9, 9, 9)), a.shape), a)


def test_lowpass_removes_what_is_beyond_and_keeps_what_is_within():
    noise = np.random.default_rng(2).standard_normal((32, 32, 32))
    power = radial_mean(np.abs(centred_fft(lowpass(noise, 10.0, 40.0))) ** 2)
    full = radial_mean(np.abs(centred_fft(noise)) ** 2)
    np.testing.assert_allclose(power[:6], full[:6], rtol=1e-9)
    assert power[11:].max() < 1e-9 * full.max()


def test_shells_are_rounded_radii():
    s = shells(8)
    assert s[4, 4, 4] == 0 and s[4, 4, 5] == 1 and s[4, 5, 5] == 1 and s[5, 5, 5] == 2


@pytest.mark.parametrize("n", [31, 32])
def test_a_rotated_and_shifted_map_is_the_map_of_the_rotated_and_shifted_blobs(n):
    rng = np.random.default_rng(3)
    points = rng.normal(size=(6, 3)) * 3.5
    matrix, shift = random_matrices(1, rng)[0], np.array([1.3, -0.7, 0.4])
    rotated = rotate_volume(blobs(points, n), matrix, shift)
    expected = blobs(points @ matrix.T + shift, n)
    assert np.corrcoef(rotated.ravel(), expected.ravel())[0, 1] > 0.999
    assert np.corrcoef(rotated.ravel(), blobs(points @ matrix + shift, n).ravel())[0, 1] < 0.9


def test_padded_insertion_has_the_scale_of_the_lattice():
    """One sample of value 1 at every lattice voxel of the half sphere: sums per node are those per voxel, 1."""
    n = 16
    grid = PaddedGrid(n)
    axis = np.arange(-6, 7)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    k = np.stack([x.ravel(), y.ravel(), z.ravel()], 1)
    half = (k[:, 0] > 0) | ((k[:, 0] == 0) & ((k[:, 1] > 0) | ((k[:, 1] == 0) & (k[:, 2] > 0))))
    rng = np.random.default_rng(4)
    total = np.zeros(grid.shape, np.float32)
    for matrix in random_matrices(30, rng):
        points = (k[half] @ matrix).astype(np.float32)
        values = np.ones((len(points), 1), np.float32)
        total += grid.symmetrise(Interpolation(grid, points).scatter(values).reshape(grid.shape))
    inner = (grid.radius > 2) & (grid.radius < 5)
    assert (total / 30)[inner].mean() == pytest.approx(1, rel=0.02)


def test_gather_is_the_transpose_of_scatter():
    grid = PaddedGrid(8)
    rng = np.random.default_rng(5)
    points = rng.uniform(-3, 3, (40, 3)).astype(np.float32)
    interpolation = Interpolation(grid, points)
    volume = rng.standard_normal((grid.nodes, 2)).astype(np.float32)
    values = rng.standard_normal((40, 2)).astype(np.float32)
    left, right = (interpolation.gather(volume) * values).sum(), (volume * interpolation.scatter(values)).sum() / 8
    assert left == pytest.approx(right, rel=1e-4)
