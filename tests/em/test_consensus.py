"""References drawn to the consensus are those of the written formula: computed anew, voxel by voxel on whole cubes, without our grids.

With numerators N and denominators D, sums over all folds but the one that is compared, per voxel and with means over shells:

    τ² = ⟨D |N/D|²⟩ / ⟨D⟩,   Ā = N / (D + σ²/4τ²)         of all classes together
    A_c = (N_c + ρ Ā) / (D_c + ρ),   ρ = σ² / (0.3 T ⟨|Ā|²⟩)

where the power in ρ is that of the consensus of all folds: one number a shell.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from napari_subtomo.em.maximisation import Maximiser
from napari_subtomo.em.statistics import Sums
from napari_subtomo.numerics.padded_grid import PaddedGrid

N, LAST, SHELLS, FOLDS, CLASSES = 12, 5, 7, 3, 2
NOISE = np.array([3.0, 2.0, 1.5, 1.0, 0.8, 0.7, 0.6])
LINE = np.fft.fftfreq(N) * N
RADIUS = np.sqrt(LINE[:, None, None] ** 2 + LINE[None, :, None] ** 2 + LINE[None, None, :] ** 2)
SHELL = np.floor(RADIUS + 0.5).astype(int)
NODES = PaddedGrid(N, 1, exact=True)


@pytest.fixture(scope="module")
def whole():
    """Numerators and denominators on whole cubes, folds × classes: of real maps, with weights that differ from voxel to voxel."""
    rng = np.random.default_rng(4)
    shape = (FOLDS, CLASSES, N, N, N)
    signal = np.fft.fftn(rng.standard_normal(shape) / (1 + RADIUS), axes=(2, 3, 4))
    weights = np.abs(np.fft.fftn(rng.standard_normal(shape), axes=(2, 3, 4))) / 40 + rng.uniform(0.2, 2, (FOLDS, CLASSES, 1, 1, 1))
    return weights * signal, weights


def sums_of(whole):
    """As the engine holds them: the half with k_x >= 0."""
    numerator, denominator = (part[..., : N // 2 + 1] for part in whole)
    return Sums(numerator.astype(np.complex64), denominator.astype(np.float32))


def per_voxel(spectrum):
    return spectrum[np.minimum(SHELL, len(spectrum) - 1)]


def mean(values):
    return np.array([values[s == SHELL].mean() for s in range(SHELLS)])


def consensus(numerator, denominator):
    power = mean(denominator * np.abs(numerator / denominator) ** 2) / mean(denominator)
    return numerator / (denominator + per_voxel(NOISE / (4 * power)))


def direct(whole, fold, c, regularisation):
    """The reference of a class for a fold: its transform on the whole cube."""
    numerator, denominator = whole
    left = [f for f in range(FOLDS) if f != fold]
    strength = NOISE / (0.3 * regularisation * mean(np.abs(consensus(numerator.sum((0, 1)), denominator.sum((0, 1)))) ** 2))
    towards = consensus(numerator[left].sum((0, 1)), denominator[left].sum((0, 1)))
    rho = per_voxel(strength)
    found = (numerator[left, c].sum(0) + rho * towards) / (denominator[left, c].sum(0) + rho)
    return np.where(SHELL <= LAST, found, 0)


def references(sums, regularisation, mask=None):
    maximiser = Maximiser(NODES, np.ones((N,) * 3, np.float32) if mask is None else mask, LAST, SHELLS)
    found = maximiser.references(sums, NOISE, regularisation, "consensus")
    return SimpleNamespace(maps=found, map_noise=maximiser.map_noise(found))


def as_cube(volume):
    return np.fft.fftn(np.fft.ifftshift(volume.astype(np.float64)))


@pytest.mark.parametrize("regularisation", [0.3, 1.0, 4.0])
def test_references_are_those_of_the_formula(whole, regularisation):
    found = references(sums_of(whole), regularisation).maps
    for f in range(FOLDS):
        for c in range(CLASSES):
            expected = direct(whole, f, c, regularisation)
            np.testing.assert_allclose(as_cube(found[f, c]), expected, atol=2e-5 * np.abs(expected).max())


def test_a_large_t_leaves_a_class_its_own_data_and_a_small_one_the_consensus(whole):
    numerator, denominator = (part[1:] for part in whole)  # fold 0 is left out
    own, common = numerator[:, 1].sum(0) / denominator[:, 1].sum(0), consensus(numerator.sum((0, 1)), denominator.sum((0, 1)))
    for regularisation, expected in ((1e7, own), (1e-7, common)):
        found = as_cube(references(sums_of(whole), regularisation).maps[0, 1])
        np.testing.assert_allclose(found[SHELL <= LAST], expected[SHELL <= LAST], atol=2e-5 * np.abs(expected).max())


def test_where_a_class_has_no_data_its_reference_is_the_consensus(whole):
    numerator, denominator = (part.copy() for part in whole)
    numerator[:, 0], denominator[:, 0] = 0, 0
    found = as_cube(references(sums_of((numerator, denominator)), 1.0).maps[2, 0])
    common = consensus(numerator[:2].sum((0, 1)), denominator[:2].sum((0, 1)))
    np.testing.assert_allclose(found[SHELL <= LAST], common[SHELL <= LAST], atol=2e-5 * np.abs(common).max())


def test_twice_the_data_with_twice_the_noise_are_the_same_references(whole):
    """σ² against the weights: nothing else decides how much a class is drawn."""
    sums = sums_of(whole)
    maximiser = Maximiser(NODES, np.ones((N,) * 3, np.float32), LAST, SHELLS)
    one = maximiser.references(sums, NOISE, 1.0, "consensus")
    other = maximiser.references(Sums(2 * sums.numerator, 2 * sums.denominator), 2 * NOISE, 1.0, "consensus")
    np.testing.assert_allclose(other, one, atol=1e-5 * np.abs(one).max())


def test_variance_of_leave_out_maps_is_the_jackknife(whole):
    found = references(sums_of(whole), 1.0).map_noise
    for c in range(CLASSES):
        each = np.stack([direct(whole, f, c, 1.0) for f in range(FOLDS)])
        spread = np.abs(each - each.mean(0)) ** 2
        np.testing.assert_allclose(found[c][: LAST + 1], (FOLDS - 1) / FOLDS * mean(spread.sum(0))[: LAST + 1], rtol=1e-3)
