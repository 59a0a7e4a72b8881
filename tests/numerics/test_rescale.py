"""Maps on another grid."""

from __future__ import annotations

import numpy as np
import pytest

from napari_subtomo.numerics.fourier import fourier_crop, lowpass, resize_centred
from napari_subtomo.numerics.rescale import rescale, same_pixel_size

BLOBS = ((0.0, 0.0, 0.0, 1.0), (30.0, 5.0, -12.0, 1.5), (-18.0, 25.0, 9.0, 0.7))
WIDTH = 9.0  # Å: smooth enough for pixels of 5 Å


def density(shape: tuple[int, int, int], pixel: float) -> np.ndarray:
    """Gaussians at fixed places in Å (x, y, z) from the centre n // 2."""
    axes = [(np.arange(n) - n // 2) * pixel for n in shape]
    out = np.zeros(shape)
    for x, y, z, height in BLOBS:
        lines = [np.exp(-((axis - c) ** 2) / (2 * WIDTH**2)) for axis, c in zip(axes, (z, y, x), strict=True)]
        out += height * lines[0][:, None, None] * lines[1][None, :, None] * lines[2][None, None, :]
    return out


@pytest.mark.parametrize("new_n", [30, 31, 48, 55])
@pytest.mark.parametrize("n", [40, 41])
@pytest.mark.parametrize("new_pixel", [3.0, 4.2, 4.9975, 5.37])
def test_a_density_is_that_of_the_new_grid_whatever_the_ratio_and_the_boxes(n: int, new_n: int, new_pixel: float) -> None:
    found = rescale(density((n,) * 3, 5.0), new_pixel / 5.0, new_n)
    expected = density((new_n,) * 3, new_pixel)
    reach = np.abs(np.arange(new_n) - new_n // 2) * new_pixel < 5.0 * (n // 2 - 1)
    inside = reach[:, None, None] & reach[None, :, None] & reach[None, None, :]
    assert np.abs(found - expected)[inside].max() < 2e-3  # what the Gaussians have beyond the Nyquist frequency and the edge
    assert not found[~(np.abs(np.arange(new_n) - new_n // 2) * new_pixel <= 5.0 * (n // 2 + 0.5))].any()


def test_axes_may_differ() -> None:
    found = rescale(density((40, 36, 44), 5.0), 0.8, (50, 45, 55))
    assert found.shape == (50, 45, 55) and found.dtype == np.float32
    assert np.abs(found - density((50, 45, 55), 4.0))[10:40, 10:35, 10:45].max() < 2e-3


@pytest.mark.parametrize(("n", "new_n"), [(24, 15), (25, 15), (15, 24), (15, 25), (24, 16), (16, 24)])
def test_with_one_extent_it_is_cutting_or_padding_the_transform(n: int, new_n: int) -> None:
    noise = np.random.default_rng(1).standard_normal((n,) * 3)
    smooth = lowpass(noise, 1.0, 2.6 * max(n, new_n) / new_n)  # the Nyquist frequency has no unique continuation
    np.testing.assert_allclose(rescale(smooth, n / new_n, new_n), fourier_crop(smooth, new_n), atol=1e-5)


@pytest.mark.parametrize("new_n", [20, 24, 25, 31])
def test_a_ratio_of_one_cuts_or_pads(new_n: int) -> None:
    noise = np.random.default_rng(1).standard_normal((24, 24, 24)).astype(np.float32)
    np.testing.assert_allclose(rescale(noise, 1.0, new_n), resize_centred(noise, new_n), atol=1e-5)


def test_frequencies_that_the_new_grid_cannot_hold_are_gone() -> None:
    wave = np.cos(2 * np.pi * 9 * (np.arange(32) - 16) / 32)[:, None, None] * np.ones((32, 32, 32))
    assert np.abs(rescale(wave, 2.0, 16)).max() < 1e-5
    assert np.abs(rescale(wave, 1.7, 18)[2:-2]).max() > 0.9


@pytest.mark.parametrize(("a", "b", "same"), [(1.0, 1.00003, True), (1.244, 1.244531, True), (8.1, 8.1, True), (1.35, 1.36, False)])
def test_pixel_sizes_are_the_same_up_to_four_digits(a: float, b: float, same: bool) -> None:
    assert same_pixel_size(a, b) is same_pixel_size(b, a) is same
