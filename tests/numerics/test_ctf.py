"""The CTF has RELION's sign and its zeros where theory puts them; dose damps as published."""

from __future__ import annotations

import numpy as np
import pytest

from napari_subtomo.numerics.ctf import critical_dose, ctf, dose_weight, electron_wavelength


@pytest.mark.parametrize(("voltage", "wavelength"), [(300, 0.0196875), (200, 0.0250793), (100, 0.0370144)])
def test_wavelength_is_the_relativistic_one(voltage: float, wavelength: float) -> None:
    assert electron_wavelength(voltage) == pytest.approx(wavelength, rel=2e-5)


def test_at_zero_frequency_only_amplitude_contrast_is_left() -> None:
    assert ctf(0.0, 0.0, 300, 2.7, 0.07, 30000, 30000, 0) == pytest.approx(0.07)


def test_underfocus_is_positive_at_low_frequency_and_overfocus_negative() -> None:
    k = np.linspace(0.005, 0.03, 20)  # below the first zero
    assert (ctf(k, 0.0, 300, 2.7, 0.1, 30000, 30000, 0) > 0).all()
    assert (ctf(k[10:], 0.0, 300, 2.7, 0.1, -30000, -30000, 0) < 0).all()


def test_zeros_without_aberration_and_amplitude_contrast_are_at_the_roots_of_n_over_defocus() -> None:
    n = np.arange(1, 6)
    k = np.sqrt(n / (0.0196875 * 25000.0))
    assert np.abs(ctf(k, 0.0, 300, 0.0, 0.0, 25000, 25000, 0)).max() < 1e-3
    assert ctf(np.sqrt(0.5) * k[0], 0.0, 300, 0.0, 0.0, 25000, 25000, 0) == pytest.approx(1)
    assert ctf(np.sqrt(1.5) * k[0], 0.0, 300, 0.0, 0.0, 25000, 25000, 0) == pytest.approx(-1)


def test_first_zero_with_aberration_solves_the_phase_equation() -> None:
    wavelength, cs, defocus, amplitude = electron_wavelength(300), 2.7e7, 15000.0, 0.1
    # phase = pi:  (π/2) Cs λ³ x² − π λ Δf x + π − asin(amplitude) = 0  with x = k²
    roots = np.roots([0.5 * np.pi * cs * wavelength**3, -np.pi * wavelength * defocus, np.pi - np.arcsin(amplitude)])
    k = np.sqrt(roots.min())
    assert ctf(k, 0.0, 300, 2.7, amplitude, defocus, defocus, 0) == pytest.approx(0, abs=1e-9)
    assert 1 / k == pytest.approx(17.4, abs=0.1)


def test_spherical_aberration_works_against_underfocus() -> None:
    k = 0.2
    with_cs = ctf(k, 0.0, 300, 2.7, 0.0, 10000, 10000, 0)
    shifted = ctf(k, 0.0, 300, 0.0, 0.0, 10000 - 0.5 * 2.7e7 * electron_wavelength(300) ** 2 * k**2, 0.0, 0)
    assert with_cs == pytest.approx(shifted)


@pytest.mark.parametrize("angle", [0.0, 30.0, 120.0])
def test_the_angle_of_astigmatism_points_along_the_axis_of_defocus_u(angle: float) -> None:
    k = 0.04
    along = k * np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    across = np.array([-along[1], along[0]])
    u, v = 32000.0, 28000.0
    assert ctf(*along, 300, 2.7, 0.1, u, v, angle) == pytest.approx(ctf(k, 0.0, 300, 2.7, 0.1, u, u, 0))
    assert ctf(*across, 300, 2.7, 0.1, u, v, angle) == pytest.approx(ctf(k, 0.0, 300, 2.7, 0.1, v, v, 0))


def test_a_phase_plate_of_ninety_degrees_gives_full_contrast_at_zero_frequency() -> None:
    assert ctf(0.0, 0.0, 300, 2.7, 0.0, 5000, 5000, 0, 90) == pytest.approx(1)


def test_defocus_may_differ_from_particle_to_particle() -> None:
    k = np.linspace(0.01, 0.05, 7)
    defocus = np.array([[20000.0], [30000.0]])
    both = ctf(k, np.zeros(7), 300, 2.7, 0.1, defocus, defocus, 0)
    assert both.shape == (2, 7)
    np.testing.assert_allclose(both[1], ctf(k, np.zeros(7), 300, 2.7, 0.1, 30000, 30000, 0))


def test_dose_damps_as_grant_and_grigorieff_measured() -> None:
    assert critical_dose(0.1) == pytest.approx(0.245 * 10**1.665 + 2.81)
    assert dose_weight(0.1, 2 * critical_dose(0.1)) == pytest.approx(np.exp(-1))
    assert dose_weight(np.array([0.0, 0.05]), 0.0).tolist() == [1, 1]
    assert dose_weight(0.0, 120.0) == pytest.approx(1)
    falling = dose_weight(np.array([0.01, 0.02, 0.05, 0.1, 0.3]), 60.0)
    assert (np.diff(falling) < 0).all()
