"""Functions that shifts are made of."""

from __future__ import annotations

import numpy as np
import pytest

from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.shifts import TOLERANCE, phases, shift_basis
from napari_subtomo.geometry import so3

N, SHELL = 32, 9


def grid(step: float, jitter: bool = True) -> np.ndarray:
    shifts = so3.shifts(step, 2.0)
    return shifts + (np.random.default_rng(1).uniform(-0.25, 0.25, 3) * step if jitter else 0)


@pytest.fixture(scope="module")
def lattice() -> Lattice:
    return Lattice.of(N, 12)


@pytest.fixture
def energy() -> np.ndarray:
    return 3.0 * np.exp(-np.arange(SHELL + 1) / 3.0)  # nats a voxel: 500 in all


def test_phases_are_those_of_the_exponential(lattice: Lattice) -> None:
    shifts = grid(0.5)
    wanted = np.exp(2j * np.pi / N * (shifts @ lattice.k.T.astype(np.float64)))
    np.testing.assert_allclose(phases(shifts, lattice.k, N), wanted, atol=2e-6)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, TOLERANCE])
def test_every_shift_is_left_with_less_than_the_tolerance(lattice: Lattice, energy: np.ndarray, tolerance: float) -> None:
    shifts, voxels = grid(0.5), lattice.prefix(SHELL)
    basis = shift_basis(shifts, lattice, SHELL, energy, tolerance)
    assert basis.mixing.shape == (len(shifts), len(basis.functions))
    assert len(basis.functions) < len(shifts) / 2
    wanted = np.exp(2j * np.pi / N * (shifts @ lattice.k[:voxels].T.astype(np.float64)))
    left = (np.abs(wanted - basis.mixing @ basis.functions) ** 2 @ energy[lattice.shell[:voxels]]).max()
    assert left <= 1.05 * tolerance
    assert left == pytest.approx(basis.residual, rel=0.05)
    assert left > 0.1 * tolerance  # the fewest functions


def test_log_likelihoods_stay_within_a_few_hundredths_of_a_nat_under_noise(lattice: Lattice, energy: np.ndarray) -> None:
    rng, voxels, shifts = np.random.default_rng(2), lattice.prefix(SHELL), grid(0.5)
    reference = np.sqrt(energy[lattice.shell[:voxels]]) * np.exp(2j * np.pi * rng.random((5, voxels)))  # weights of one
    noise = (rng.normal(size=(20, voxels)) + 1j * rng.normal(size=(20, voxels))) / np.sqrt(2)
    data = (reference[0] + noise).astype(np.complex64)
    basis = shift_basis(shifts, lattice, SHELL, energy)
    exact = (
        2 * np.einsum("mv,tv,cv->mtc", data, np.exp(2j * np.pi / N * (shifts @ lattice.k[:voxels].T)), reference.conj(), optimize=True).real
    )
    products = 2 * np.einsum("mv,sv,cv->msc", data, basis.functions, reference.conj(), optimize=True).real
    error = basis.mix(products) - exact
    assert np.sqrt((error**2).mean()) < np.sqrt(2 * TOLERANCE) < np.abs(exact).std() / 1000
    assert np.abs(error).max() < 0.06


def test_few_or_far_shifts_are_taken_as_they_are(lattice: Lattice, energy: np.ndarray) -> None:
    for shifts in (grid(2.0, jitter=False)[:7], so3.shifts(2.0, 8.0)):
        basis = shift_basis(shifts, lattice, SHELL, energy)
        assert basis.mixing is None and basis.residual == 0
        products = np.ones((2, len(shifts), 3), np.float32)
        assert basis.mix(products) is products
        np.testing.assert_array_equal(basis.functions, phases(shifts, lattice.k[: lattice.prefix(SHELL)], N))


def test_references_of_nothing_need_one_function(lattice: Lattice) -> None:
    assert len(shift_basis(grid(0.5), lattice, SHELL, np.zeros(SHELL + 1)).functions) == 1
