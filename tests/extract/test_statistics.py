"""The statistics against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.extract_world import USUAL

from napari_subtomo.data.tomogram import TiltSeries, Tomogram
from napari_subtomo.errors import InputError
from napari_subtomo.extract.statistics import premultiplied, relion5_weights, smooth_power, whitened
from napari_subtomo.extract.transfer import MeanTransfer
from napari_subtomo.geometry.projection import tilt_matrices
from napari_subtomo.numerics.ctf import ctf, dose_weight
from napari_subtomo.numerics.wedge import make_wedge

N, VOXEL = 24, 8.0


def series(**changes: np.ndarray) -> TiltSeries:
    """Tilts with astigmatic defocus, dose and scale."""
    n, zero = len(USUAL), np.zeros(len(USUAL))
    names = ("x_tilt", "x_shift", "y_shift", "phase_shift", "bfactor")
    values = {**dict.fromkeys(names, zero), "y_tilt": USUAL, "z_rot": zero + 85, "defocus_angle": zero + 40}
    values |= {"defocus_u": np.linspace(28000, 30000, n), "defocus_v": np.linspace(26000, 29000, n)}
    values |= {"scale": np.cos(np.radians(USUAL)), "dose": np.abs(USUAL) * 2}
    return TiltSeries(name="T", **(values | changes))


TOMOGRAM = Tomogram("T", (200, 200, 100), VOXEL, 1.0, 300.0, 2.7, 0.1)


@pytest.fixture(scope="module")
def wedge():
    return make_wedge(N, tilt_matrices(series()))


def by_hand(wedge, tilts: TiltSeries, offset: np.ndarray, shape=lambda c: c) -> np.ndarray:
    """Mean transfer of each voxel in a plain loop over tilts; weights fall linearly over one Fourier pixel from each plane."""
    wrapped = np.fft.fftfreq(N, 1 / N)
    kz, ky, kx = np.meshgrid(wrapped, wrapped, np.arange(N // 2 + 1), indexing="ij")
    k = np.stack([kx, ky, kz], axis=-1)
    total, weight = np.zeros(kx.shape), np.zeros(kx.shape)
    for t, matrix in enumerate(tilt_matrices(tilts)):
        qx, qy, depth = np.moveaxis(k @ matrix.T, -1, 0)
        near = np.clip(1 - np.abs(depth), 0, None)
        near[near < 1e-5] = 0
        qx, qy = qx / (N * VOXEL), qy / (N * VOXEL)
        u, v = tilts.defocus_u[t] + offset[t], tilts.defocus_v[t] + offset[t]
        value = shape(ctf(qx, qy, 300.0, 2.7, 0.1, u, v, tilts.defocus_angle[t]))
        total += near * value * dose_weight(np.hypot(qx, qy), tilts.dose[t]) * tilts.scale[t]
        weight += near
    return np.where(wedge.multiplicity > 0, total / np.maximum(weight, 1e-12), 0)


@pytest.mark.parametrize(("kind", "shape"), [("none", lambda c: c), ("phase-flipped", np.abs)])
def test_the_transfer_function_is_the_mean_over_tilts_at_the_particles_own_depth(wedge, kind, shape):
    offset = np.linspace(-900, 700, len(USUAL))
    transfer = MeanTransfer(wedge, series(), TOMOGRAM, VOXEL, kind).at(offset)
    expected = by_hand(wedge, series(), offset, shape)
    used = wedge.multiplicity > 0
    np.testing.assert_allclose(transfer[used], expected[used], atol=2e-3)
    assert not np.allclose(transfer[used], by_hand(wedge, series(), 0 * offset, shape)[used], atol=2e-2)


def test_the_transfer_function_is_positive_at_low_frequency_and_changes_sign(wedge):
    transfer = MeanTransfer(wedge, series(), TOMOGRAM, VOXEL, "none").at(np.zeros(len(USUAL)))
    assert 0 < transfer[0, 0, 1] < 0.3
    assert transfer.min() < -0.1


def test_a_corrected_tomogram_has_no_ctf_left_but_the_damage_of_the_dose(wedge):
    transfer = MeanTransfer(wedge, series(dose=np.zeros(len(USUAL))), TOMOGRAM, VOXEL, "corrected").at(np.zeros(len(USUAL)))
    np.testing.assert_allclose(transfer[wedge.multiplicity > 0], 1, atol=1e-5)
    damped = MeanTransfer(wedge, series(), TOMOGRAM, VOXEL, "corrected").at(np.zeros(len(USUAL)))
    assert damped[0, 0, 2] > damped[0, 0, 9] > 0


def test_without_defocus_there_is_no_ctf_and_with_it_the_microscope_must_be_known(wedge):
    unknown = np.full(len(USUAL), np.nan)
    blind = series(defocus_u=unknown, defocus_v=unknown, dose=unknown, scale=np.ones(len(USUAL)))
    transfer = MeanTransfer(wedge, blind, TOMOGRAM, VOXEL, "none").at(np.zeros(len(USUAL)))
    np.testing.assert_allclose(transfer[wedge.multiplicity > 0], 1, atol=1e-5)
    with pytest.raises(InputError, match="Expected the voltage of the tomogram T beside its defocus"):
        MeanTransfer(wedge, series(), Tomogram("T", (200, 200, 100), VOXEL, 1.0, None, 2.7, 0.1), VOXEL, "none")


def test_data_and_weights_are_those_of_the_formula(wedge):
    crop = np.random.default_rng(1).standard_normal((N, N, N)).astype(np.float32)
    transfer = MeanTransfer(wedge, series(), TOMOGRAM, VOXEL, "none").at(np.zeros(len(USUAL)))
    data, weights, tilts = premultiplied(crop, wedge, transfer, N)
    spectrum = np.fft.rfftn(np.fft.ifftshift(crop))
    inner = wedge.multiplicity > 0
    inner[:, :, [0, -1]] = inner[N // 2] = inner[:, N // 2] = False  # planes where a real map needs both mates
    expected = wedge.filter * transfer * spectrum
    np.testing.assert_allclose(np.fft.rfftn(np.fft.ifftshift(data))[inner], expected[inner], rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(weights, wedge.multiplicity * transfer**2, rtol=1e-5)
    np.testing.assert_array_equal(relion5_weights(weights, tilts)[N:], wedge.multiplicity)
    assert data.dtype == weights.dtype == np.float32


@pytest.mark.parametrize("size", [N, 16])
def test_both_formats_hold_the_same_statistics(wedge, size):
    crop = np.random.default_rng(1).standard_normal((N, N, N)).astype(np.float32)
    transfer = MeanTransfer(wedge, series(), TOMOGRAM, VOXEL, "none").at(np.zeros(len(USUAL)))
    data, weights, _ = premultiplied(crop, wedge, transfer, size)
    volume, amplitude = whitened(crop, wedge, transfer, size)
    if size == N:
        np.testing.assert_allclose(amplitude**2, weights, atol=1e-4)
        product = np.fft.rfftn(np.fft.ifftshift(volume)) * amplitude
        again = np.fft.fftshift(np.fft.irfftn(product, s=(N,) * 3, axes=(0, 1, 2)))
        np.testing.assert_allclose(again, data, atol=1e-4)
    else:
        inside = (slice(1, size - 1),) * 2 + (slice(1, size // 2 - 1),)
        assert np.corrcoef((amplitude[inside] ** 2).ravel(), weights[inside].ravel())[0, 1] > 0.8
        assert volume.shape == data.shape == (size,) * 3


def test_cutting_smooths_the_noise_power_as_it_smooths_noise():
    """Power of the cut of coloured noise, against the formula."""
    rng = np.random.default_rng(4)
    wrapped = np.fft.fftfreq(N, 1 / N)
    kz, ky, kx = np.meshgrid(wrapped, wrapped, np.arange(N // 2 + 1), indexing="ij")
    power = np.exp(-((kx - 4) ** 2 + ky**2 + (np.abs(kz) - 3) ** 2) / 10)
    expected = smooth_power(power, 12)
    assert expected.min() >= 0 and expected.shape == (12, 12, 7)
    measured = np.zeros(expected.shape)
    for _ in range(400):
        noise = np.fft.irfftn(np.fft.rfftn(rng.standard_normal((N,) * 3)) * np.sqrt(power), s=(N,) * 3, axes=(0, 1, 2))
        measured += np.abs(np.fft.rfftn(noise[6:18, 6:18, 6:18])) ** 2 / 12**3 / 400
    strong = expected > 0.2 * expected.max()
    np.testing.assert_allclose(measured[strong], expected[strong], rtol=0.3)
    assert abs(measured[strong].mean() / expected[strong].mean() - 1) < 0.03
