"""No particle is compared with references that were made with it: its fold, and at fixed poses the particle itself, are left out."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import em_world as world

from napari_subtomo.em import inside
from napari_subtomo.em import start as begin
from napari_subtomo.em.engine import initial_state
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.maximisation import Maximiser
from napari_subtomo.em.seeding import clustered_references
from napari_subtomo.em.start import Common, cluster, leave_one_out, rand_index
from napari_subtomo.em.statistics import Sums
from napari_subtomo.numerics.fourier import centred_fft, full_to_half
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Silent

N, FOLDS = 16, 3


@pytest.fixture
def maximiser():
    return Maximiser(PaddedGrid(N), soft_sphere(N, 6, 2), 5, 8)


def sums(classes):
    """Sums of some random density by fold and class, with weights."""
    rng = np.random.default_rng(3)
    grid = PaddedGrid(N)
    shape = FOLDS, classes, *grid.shape
    maps = rng.normal(size=(FOLDS, classes, N, N, N)).astype(np.float32)
    denominator = rng.uniform(1, 2, shape).astype(np.float32)
    numerator = np.stack([[grid.transform(m) for m in fold] for fold in maps]) * denominator
    return Sums(numerator.astype(np.complex64), denominator)


NOISE = np.full(8, 50.0)


def test_a_consensus_for_a_fold_is_made_without_it(maximiser):
    before = sums(1)
    numerator = before.numerator.copy()
    numerator[0] *= -3
    one = maximiser.references(before, NOISE, 1.0, "consensus")
    other = maximiser.references(replace(before, numerator=numerator), NOISE, 1.0, "consensus")
    np.testing.assert_allclose(one[0], other[0], atol=1e-5 * np.abs(one).max())
    assert np.abs(one[1] - other[1]).max() > 0.1 * np.abs(one[1]).max()


def test_references_of_classes_for_a_fold_are_made_without_it(maximiser):
    """Classes change places within fold 0: the consensus is the same, so only the other folds may notice."""
    before = sums(2)
    numerator, denominator = before.numerator.copy(), before.denominator.copy()
    numerator[0], denominator[0] = numerator[0, ::-1].copy(), denominator[0, ::-1].copy()
    one = maximiser.references(before, NOISE, 1.0, "consensus")
    other = maximiser.references(Sums(numerator, denominator), NOISE, 1.0, "consensus")
    np.testing.assert_allclose(one[0], other[0], atol=1e-5 * np.abs(one).max())
    assert np.abs(one[1] - other[1]).max() > 0.05 * np.abs(one[1]).max()


def test_the_first_references_of_a_fold_are_made_without_it():
    made = world.simulate(n=N, count=20, snr=2.0, species=2, seed=3, domain=2.0)
    setup = world.setup(made, classes=2, restarts=1, class_limit=0.0, align=False, folds=2, empty_class=False)
    state = initial_state(setup)
    references = clustered_references(setup, state, Silent())[0].maps
    louder = setup.prepared.G.copy()
    louder[setup.particles.fold == 0] *= 1.1  # classes stay nearly what they are
    prepared = replace(setup.prepared, G=louder, GE=louder)
    changed = clustered_references(replace(setup, prepared=prepared), state, Silent())[0].maps
    ratio = [np.linalg.norm(changed[f] - references[f]) / np.linalg.norm(references[f]) for f in (0, 1)]
    assert ratio[0] < 0.3 * ratio[1] and ratio[1] > 0.05


def test_a_particle_alone_in_its_class_finds_nothing_of_itself_there():
    """Two classes of unlike particles, one of them alone in the second: without its own share that class is the average and no more.

    With its share, the class would be its own picture and win by about its whole power.
    """
    rng = np.random.default_rng(5)
    n, particles = 12, 12
    lattice = Lattice.of(n, 4)
    index, voxels = lattice.half_layout_index(), len(lattice)
    volumes = rng.normal(size=(particles, n, n, n)).astype(np.float32)
    g = np.stack([full_to_half(centred_fft(v)).ravel()[index] for v in volumes]).astype(np.complex64)
    h = np.ones((particles, voxels), np.float32)
    sigma2 = n**3 / 200  # little noise: the regulariser hardly holds back a class of one
    start = np.zeros((particles, 2))
    start[0, 1] = 1
    start[1:, 0] = 1
    temperature = 500.0  # keeps posteriors away from 0 and 1
    after = leave_one_out(g, h, lattice, np.full((particles, voxels), sigma2), temperature, start, 1.0, rounds=1)
    power = float((np.abs(g[0, 1:]) ** 2).sum() / sigma2 / temperature)
    odds = np.log(after[0, 1] / after[0, 0]) - np.log((1 / 12 + 1e-9) / (11 / 12 + 1e-9))
    assert abs(odds) < 0.3 * power  # the average it is compared with holds a twelfth of it


def test_any_number_of_threads_gives_the_same_bits(monkeypatch):
    rng = np.random.default_rng(7)
    lattice = Lattice.of(12, 4)
    shape = 20, len(lattice)
    g = (1 + rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    h, noise, start = np.ones(shape, np.float32), np.full(shape, 2.0), np.eye(2)[np.arange(20) % 2]
    monkeypatch.setattr(inside, "CACHE_BYTES", 60 * len(lattice) * 3)  # seven blocks
    one, three = (leave_one_out(g, h, lattice, noise, 20.0, start, 1.0, rounds=3, threads=threads) for threads in (1, 3))
    np.testing.assert_array_equal(one, three)
    assert np.abs(one - start).max() > 0.1


def test_heat_divides_what_the_data_say():
    rng = np.random.default_rng(8)
    lattice = Lattice.of(12, 4)
    g = (1 + rng.normal(size=(20, len(lattice))) + 1j * rng.normal(size=(20, len(lattice)))).astype(np.complex64)
    h, noise, start = np.ones(g.shape, np.float32), np.full(g.shape, 2.0), np.eye(2)[np.arange(20) % 2]
    cold, hot = (leave_one_out(g, h, lattice, noise, 2.0, start, 1.0, rounds=1, heat=heat) for heat in (1.0, 4.0))
    odds = [np.log(each[:, 0] / each[:, 1]) for each in (cold, hot)]  # of two classes of one size
    np.testing.assert_allclose(odds[1], odds[0] / 4, rtol=1e-4, atol=1e-4)
    assert np.abs(odds[0]).max() > 1


def test_starts_begin_hot_and_end_at_the_temperature_of_the_data(monkeypatch):
    rng = np.random.default_rng(9)
    lattice = Lattice.of(12, 4)
    g = (rng.normal(size=(20, len(lattice))) + 1j * rng.normal(size=(20, len(lattice)))).astype(np.complex64)
    g[::2] += 3
    calls, whole = [], begin.leave_one_out

    def listening(*arguments, heat=1.0, **more):
        result = whole(*arguments, heat=heat, **more)
        calls.append((heat, arguments[5].copy(), result))
        return result

    monkeypatch.setattr(begin, "leave_one_out", listening)
    ones, noise = np.ones(g.shape, np.float32), np.full(g.shape, 2.0)
    gamma, agreement = cluster(g, ones, lattice, noise, 1.0, 2, 1.0, restarts=2, seed=1, threads=1, reporter=Silent())
    assert [heat for heat, _, _ in calls] == [2.0, 1.0, 2.0, 1.0]
    np.testing.assert_array_equal(calls[1][1], calls[0][2])  # what is cold goes on from what is hot
    assert np.abs(calls[0][1] - calls[0][2]).max() > 0.5
    assert agreement == 1 and rand_index(gamma.argmax(1), np.arange(20) % 2) == 1


def test_a_particle_is_left_out_of_what_classes_have_in_common_too():
    """As if all sums were made anew without it, at a common regularisation: else small classes, which are mostly the average, would win.

    What is left is of second order in the share of a particle: less than a tenth of what the share itself would do to the odds.
    """
    rng = np.random.default_rng(6)
    n, particles = 12, 20
    lattice = Lattice.of(n, 4)
    voxels = len(lattice)
    shape = particles, voxels
    g = (1 + 2 * (rng.normal(size=shape) + 1j * rng.normal(size=shape))).astype(np.complex64)
    h = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    noise, temperature = np.full(shape, 8.0), 20.0
    start = np.eye(2)[(np.arange(particles) < 4).astype(int)]
    after = leave_one_out(g, h, lattice, noise, temperature, start, 1.0, rounds=1)
    odds = np.log(after[:, 1] / after[:, 0]) - np.log((0.2 + 1e-9) / (0.8 + 1e-9))
    sums = [(start[:, c] @ g, start[:, c] @ h) for c in range(2)]
    common = Common.of(sums, np.ones(2), noise.mean(0), lattice, 1.0)
    strength, seen = common.rho / common.share, lattice.shell > 0

    def expected(p: int, left: float) -> float:
        mean = (common.mean * strength - left * g[p]) / (strength - left * h[p])
        score = []
        for c, (num, den) in enumerate(sums):
            reference = (num - start[p, c] * g[p] + common.rho * mean) / (den - start[p, c] * h[p] + common.rho)
            score.append(((2 * (g[p] * reference.conj()).real - h[p] * np.abs(reference) ** 2) / (8.0 * temperature))[seen].sum())
        return float(score[1] - score[0])

    exact, with_share = (np.array([expected(p, left) for p in range(particles)]) for left in (1.0, 0.0))
    assert np.abs(odds - exact).max() < 0.1 * np.abs(with_share - exact).mean()
