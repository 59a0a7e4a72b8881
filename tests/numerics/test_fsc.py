"""Shell correlation, resolution and the correction for masks."""

from __future__ import annotations

import numpy as np
import pytest

from napari_subtomo.errors import GeometryError
from napari_subtomo.numerics.fourier import centred_fft, centred_ifft, shells
from napari_subtomo.numerics.fsc import corrected_fsc, fsc, randomise_phases, resolution_at, shell_frequencies
from napari_subtomo.numerics.masks import soft_sphere


def noise(seed: int, n: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, n, n))


@pytest.mark.parametrize("n", [24, 25])
def test_a_map_agrees_with_itself_whatever_its_scale(n: int) -> None:
    a = noise(1, n)
    curve = fsc(a, 3 * a)
    assert curve.shape == (n // 2 + 1,)
    assert np.allclose(curve, 1)
    assert np.allclose(fsc(a, -a), -1)


def test_independent_noise_does_not_correlate() -> None:
    voxels = np.bincount(shells(32).ravel())[:17]
    curves = np.array([fsc(noise(2 * i, 32), noise(2 * i + 1, 32)) for i in range(10)])
    # Friedel mates are no second look, but each voxel has two parts: as many degrees of freedom as voxels.
    scaled = curves[:, 1:] * np.sqrt(voxels[1:])
    assert 0.8 < scaled.std() < 1.2
    assert abs(scaled.mean()) < 0.3


def test_equal_signal_and_noise_give_one_half() -> None:
    curves = [fsc(noise(i, 32) + noise(100 + i, 32), noise(i, 32) + noise(200 + i, 32)) for i in range(8)]
    assert np.allclose(np.mean(curves, axis=0)[6:], 0.5, atol=0.04)


def test_shells_without_power_hold_zero() -> None:
    a = noise(3)
    low = centred_ifft(np.where(shells(24) <= 5, centred_fft(a), 0)).real
    curve = fsc(low, low)
    assert np.allclose(curve[:6], 1)
    assert np.all(curve[7:] == 0)


def test_a_mask_takes_out_what_lies_outside() -> None:
    mask = soft_sphere(24, 6, 3)
    inside = noise(4)
    outside = [noise(5 + i) * (soft_sphere(24, 6, 4) == 0) for i in range(2)]
    a, b = inside * mask + 3 * outside[0], inside * mask + 3 * outside[1]
    assert fsc(a, b)[4:].max() < 0.5
    assert fsc(a, b, soft_sphere(24, 9, 0) * (mask > 0)).min() > 0.999


def test_shapes_must_agree() -> None:
    with pytest.raises(GeometryError, match="cubes of one size"):
        fsc(noise(1, 8), noise(1, 10))
    with pytest.raises(GeometryError, match="cubes of one size"):
        fsc(np.zeros((8, 8, 6)), np.zeros((8, 8, 6)))
    with pytest.raises(GeometryError, match="cubes of one size"):
        fsc(noise(1, 8), noise(1, 8), np.ones((10, 10, 10)))


def test_resolution_is_interpolated_between_shells() -> None:
    # The curve crosses 0.5 half-way between shells 2 and 3 of a box of 100 Å.
    assert resolution_at([1, 1, 0.75, 0.25, 0], 5.0, 20, 0.5) == pytest.approx(100 / 2.5)
    assert resolution_at([1, 1, 0.75, 0.25, 0], 5.0, 20, 0.75) == pytest.approx(100 / 2)


def test_the_first_crossing_counts() -> None:
    assert resolution_at([1, 0.9, 0.1, 0.9, 0.9], 1.0, 8, 0.5) == pytest.approx(8 / 1.5)


def test_ends_of_the_curve() -> None:
    assert resolution_at([1, 1, 1, 1, 1], 2.0, 8) == pytest.approx(4.0)  # Nyquist
    assert resolution_at([1, 0.1, 0.9, 0.9, 0.9], 2.0, 8) == float("inf")
    assert resolution_at([0, 0.5, 0.5], 2.0, 4) == pytest.approx(4.0)  # shell 0 is not looked at


def test_frequencies_are_multiples_of_one_over_the_box() -> None:
    assert np.allclose(shell_frequencies(10, 2.0), np.arange(6) / 20)


def test_random_phases_keep_amplitudes_and_low_shells() -> None:
    a = noise(6)
    b = randomise_phases(a, 5, np.random.default_rng(0))
    assert np.allclose(np.abs(centred_fft(a)), np.abs(centred_fft(b)), atol=1e-6)
    curve = fsc(a, b)
    assert np.allclose(curve[:5], 1)
    assert np.abs(curve[5:]).max() < 0.3


def test_the_correction_takes_out_what_a_tight_mask_adds() -> None:
    n = 32
    mask = soft_sphere(n, 4, 1)
    common = centred_ifft(np.where(shells(n) <= 5, centred_fft(noise(7, n)), 0)).real * 2
    halves = [common + 0.02 * noise(8 + i, n) for i in range(2)]
    rng = np.random.default_rng(1)
    corrected, masked, randomised = corrected_fsc(*halves, mask, rng)
    assert np.allclose(corrected[:6], masked[:6])
    beyond = slice(8, None)
    assert masked[beyond].mean() > 0.2  # the mask smears the strong low shells over the others
    assert abs(corrected[beyond].mean()) < 0.1
    assert randomised.shape == masked.shape == (17,)
