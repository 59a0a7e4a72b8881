"""Functions that shifts and rotated references are made of."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp

from napari_subtomo.em.basis import TOLERANCE, _differences, _overlaps, leading, phases, reference_basis, shift_basis
from napari_subtomo.em.lattice import Lattice
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


@pytest.mark.parametrize("at_once", [7, 10**6])
def test_phases_are_those_of_the_exponential(lattice: Lattice, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_subtomo.em.basis.ANGLES", at_once * len(lattice.k))
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


def test_differences_of_shifts_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(4)
    grid = so3.shifts(0.4, 1.7) + rng.uniform(-0.1, 0.1, 3)
    line = np.stack([np.arange(30), np.zeros(30), np.zeros(30)], axis=1)
    for shifts in (grid, grid[:1], line, rng.uniform(-2, 2, (20, 3)), np.cumsum(rng.uniform(1.1e-6, 2e-6, (20, 3)), axis=0)):
        different, which = _differences(shifts)
        expected = np.sort(np.abs(shifts[:, None] - shifts[None]), axis=2)
        assert which.shape == (len(shifts), len(shifts))
        np.testing.assert_allclose(np.sort(different[which], axis=2), expected, atol=2e-6)
    assert len(_differences(grid)[0]) == len(np.unique(np.sort(np.abs(grid[:, None] - grid[None]).reshape(-1, 3).round(6), axis=1), axis=0))


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
    assert 0.1 * np.sqrt(2 * TOLERANCE) < np.sqrt((error**2).mean()) < np.sqrt(2 * TOLERANCE) < np.abs(exact).std() / 500
    wanted = logsumexp(exact, axis=(1, 2))
    found = logsumexp(basis.mix(products), axis=(1, 2))
    assert np.sqrt(((found - wanted) ** 2).mean()) < 0.025  # here a single pose holds nearly all: hardly anything averages out


def test_few_or_far_shifts_are_taken_as_they_are(lattice: Lattice, energy: np.ndarray) -> None:
    for shifts in (grid(2.0, jitter=False)[:7], so3.shifts(2.0, 8.0)):
        basis = shift_basis(shifts, lattice, SHELL, energy)
        assert basis.mixing is None and basis.residual == 0
        products = np.ones((2, len(shifts), 3), np.float32)
        assert basis.mix(products) is products
        np.testing.assert_array_equal(basis.functions, phases(shifts, lattice.k[: lattice.prefix(SHELL)], N))


def test_references_of_nothing_need_one_function(lattice: Lattice) -> None:
    assert len(shift_basis(grid(0.5), lattice, SHELL, np.zeros(SHELL + 1)).functions) == 1


@pytest.mark.parametrize("nats", [1.0, 1e4])
def test_a_thousand_shifts_follow_from_as_few_functions_as_by_all_eigenvectors(
    lattice: Lattice, energy: np.ndarray, monkeypatch: pytest.MonkeyPatch, nats: float
) -> None:
    overlaps = _overlaps(so3.shifts(0.5, 3.0), lattice, SHELL, nats * energy)
    assert len(overlaps) > 900
    mixing, residual = leading(overlaps, TOLERANCE)
    missed = np.eye(len(overlaps)) - mixing.astype(np.float64) @ mixing.T.astype(np.float64)
    left = np.einsum("ij,ij->i", missed @ overlaps, missed).max()
    # what was never looked at is counted in full
    assert 0.5 * TOLERANCE < left <= residual * (1 + 1e-6) and residual < TOLERANCE and 0.009 < (residual - left) / TOLERANCE < 0.011
    monkeypatch.setattr("napari_subtomo.em.basis.MANY", 10**6)
    assert 0 <= mixing.shape[1] - leading(overlaps, TOLERANCE)[0].shape[1] <= 1
    assert leading(0 * overlaps, TOLERANCE)[0].shape == (len(overlaps), 1)
    monkeypatch.undo()
    assert leading(0 * overlaps, TOLERANCE)[0].shape == (len(overlaps), 1)


def turned(lattice: Lattice, count: int) -> np.ndarray:
    """A few blobs at places on a short arc each: a reference turned by small angles, shape (count, V)."""
    rng = np.random.default_rng(3)
    points, voxels = rng.normal(size=(6, 3)) * 5, lattice.prefix(SHELL)
    angles = np.radians(np.linspace(-8, 8, count))
    c, s, zero, one = np.cos(angles), np.sin(angles), np.zeros(count), np.ones(count)
    matrices = np.moveaxis(np.array([[c, -s, zero], [s, c, zero], [zero, zero, one]]), 2, 0)
    places = np.einsum("nij,pj->npi", matrices, points)
    return np.exp(-2j * np.pi / N * (places @ lattice.k[:voxels].T.astype(float))).sum(1).astype(np.complex64)


def test_turned_references_follow_from_fewer_within_the_tolerance(lattice: Lattice, energy: np.ndarray) -> None:
    references = turned(lattice, 60)
    weight = (energy[lattice.shell[: references.shape[1]]] / 6).astype(np.float32)
    basis = reference_basis(references, weight, rows=1000)
    assert len(basis.functions) < 30
    again = basis.mix_last(basis.functions.T).T
    left = (np.abs(references - again) ** 2 @ weight).max()
    assert 0.05 * TOLERANCE < left < TOLERANCE
    assert left == pytest.approx(basis.residual, rel=0.01)


def test_references_stand_for_themselves_where_functions_do_not_pay(lattice: Lattice, energy: np.ndarray) -> None:
    references = turned(lattice, 60)
    weight = (energy[lattice.shell[: references.shape[1]]] / 6).astype(np.float32)
    for basis in (reference_basis(references, weight, rows=10), reference_basis(references, weight, 1000, tolerance=0)):
        assert basis.mixing is None and basis.functions is references
    noise = np.random.default_rng(4).normal(size=(40, 2 * references.shape[1])).astype(np.float32).view(np.complex64)
    assert reference_basis(noise, weight, rows=1000).mixing is None  # nothing in common: as many functions as references
