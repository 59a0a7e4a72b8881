"""Classes that are judged at the best poses: what becomes of the posteriors, and what classes have in common."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import em_world as world

from napari_subtomo.em import engine, expectation
from napari_subtomo.em.engine import initial_state, one_iteration
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.posteriors import Poses, given_sums, with_classes
from napari_subtomo.em.seeding import classes_at_poses
from napari_subtomo.em.start import Common, cluster, rand_index
from napari_subtomo.progress import Silent

OPTIONS = {
    "classes": 2,
    "consensus_iterations": 2,
    "folds": 3,
    "restarts": 4,
    "offset_range": 1.0,
    "fixed_sampling": True,
    "empty_class": True,
}


@pytest.fixture(scope="module")
def sample():
    return world.simulate(n=16, count=30, snr=1.0, species=2, empty=8, error=6.0, seed=7, domain=2.0)


def at(setup, iterations):
    """The state after so many iterations, and what the last one said."""
    state, classes = initial_state(setup), None
    for _ in range(iterations):
        state, classes = one_iteration(setup, state, Silent())
    return state, classes


# --- posteriors ---------------------------------------------------------------------------------------------------------------


def test_sums_over_poses_are_shared_as_given_and_keep_their_sum():
    running = np.log(np.array([[3.0, 1.0], [2.0, 2.0], [5.0, 1.0]]))
    sums = given_sums(np.array([[0.1, 0.3], [np.nan, np.nan], [0.0, 0.0]]), running)
    np.testing.assert_allclose(np.exp(sums), [[1.0, 3.0], [2.0, 2.0], [5.0, 1.0]])  # nothing given: as they were


def test_poses_of_a_class_keep_their_ratios_and_the_best_comes_first():
    poses = Poses(
        np.array([0, 3, 5]),
        np.arange(5, dtype=np.int32),
        np.array([0, 0, 1, 0, 1], np.int32),
        np.arange(5, dtype=np.int32),
        np.log([4.0, 2.0, 1.0, 3.0, 1.0]).astype(np.float32),
    )
    running = np.log(np.array([[6.0, 1.0], [3.0, 1.0]]))
    found, sums = with_classes(np.array([[1 / 7, 6 / 7], [0.0, 1.0]]), poses, running)
    np.testing.assert_allclose(np.exp(sums), [[1.0, 6.0], [0.0, 4.0]], atol=1e-12)
    assert found.start.tolist() == [0, 3, 4]  # the pose of a class that cannot be is gone
    assert found.shift.tolist() == [2, 0, 1, 4]
    np.testing.assert_allclose(np.exp(found.score), [6.0, 4 / 6, 2 / 6, 4.0], rtol=1e-6)


def test_a_class_without_a_pose_near_the_best_takes_nothing():
    poses = Poses(np.array([0, 1]), np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.float32))
    running = np.array([[0.0, -40.0]])
    for given, expected in (([[0.25, 0.75]], [1.0, 0.0]), ([[0.0, 1.0]], [1.0, np.exp(-40.0)])):
        found, sums = with_classes(np.array(given), poses, running)
        np.testing.assert_allclose(np.exp(sums[0]), expected, atol=1e-12, rtol=1e-3)
        assert len(found.score) == 1


@pytest.mark.parametrize("changed", [{}, {"align": False}], ids=["search", "stored"])
def test_an_iteration_takes_the_classes_judged_at_poses_and_keeps_its_empty_class(sample, monkeypatch, changed):
    setup = world.setup(sample, **OPTIONS, iterations=6, **changed)
    state, _ = at(setup, 4)
    _, judged = classes_at_poses(setup, state, Silent())
    told = np.isfinite(judged[:, 0])
    assert told.sum() >= 28 and (told == (state.labels <= 2)).all()
    _, own = one_iteration(replace(setup, options=setup.options.model_copy(update={"classes_at_poses": 0})), state, Silent())
    other = np.where(told[:, None], judged[:, ::-1], np.nan)  # classes changed over: whatever is given is taken
    monkeypatch.setattr(engine, "classes_at_poses", lambda _, state, *rest: (state, other))
    monkeypatch.setattr(expectation, "SPAN", 60.0)  # a class without a pose near the best takes nothing: here both have one
    new, _ = one_iteration(setup, state, Silent())
    sure = told & (judged.max(1) > 0.99) & (own.class_numbers <= 2)
    assert sure.sum() >= 10
    np.testing.assert_array_equal(new.labels[sure], other[sure].argmax(1) + 1)
    np.testing.assert_array_equal(new.labels > 2, own.class_numbers > 2)


def test_larger_sets_are_judged_by_the_search_in_between(sample):
    """From the same beginning, in the first iteration with all classes; RELION's way never judges at best poses."""
    count = len(sample.labels)
    setups = [world.setup(sample, **OPTIONS, iterations=6, classes_at_poses=most) for most in (0, count - 1, count)]
    never, seldom, always = (at(setup, 3)[0] for setup in setups)
    np.testing.assert_array_equal(seldom.maps, always.maps)
    assert not np.array_equal(never.maps, always.maps)
    assert [classes_at_poses(setup, always, Silent())[1] is None for setup in setups] == [True, True, False]
    last = replace(always, iteration=5)
    assert [classes_at_poses(setup, last, Silent())[1] is None for setup in setups] == [True, False, False]
    assert world.setup(sample, preset="relion", classes=2).options.classes_at_poses == 0


def test_too_few_particles_are_not_judged(sample):
    setup = world.setup(sample, **OPTIONS, iterations=6)
    state, _ = at(setup, 3)
    assert classes_at_poses(setup, replace(state, labels=np.where(np.arange(len(state.labels)) < 3, 1, 3)), Silent())[1] is None


# --- what classes have in common ----------------------------------------------------------------------------------------------


def parts(counts, seed=1, noise=2.0):
    """Particles of two species that differ little, and of a third kind that is another thing altogether; at fixed poses, no wedge."""
    rng = np.random.default_rng(seed)
    lattice = Lattice.of(16, 6)
    voxels = len(lattice)

    def transform(power):
        return (rng.normal(size=voxels) + 1j * rng.normal(size=voxels)) * np.sqrt(power / 2)

    base = transform(1.0)
    kinds = [base + transform(0.1), base + transform(0.1), 4 * transform(1.0)]
    which = np.repeat(np.arange(3), counts)
    g = np.stack([kinds[k] + noise * transform(1.0) for k in which])
    h = np.ones(g.shape, np.float32)
    return g.astype(np.complex64), h, lattice, np.full(g.shape, noise**2, np.float32), which


def test_what_is_common_is_not_made_of_another_thing():
    g, h, lattice, noise, which = parts((30, 30, 15))
    sums = [(g[which == k].sum(0), h[which == k].sum(0)) for k in range(3)]
    precision = (h / noise).mean(0)
    plain = Common.of(sums, np.ones(3), noise.mean(0), lattice, 1.0)
    settled = Common.settled(sums, noise.mean(0), precision, lattice, 1.0, lambda values: values)
    alone = Common.of(sums[:2], np.ones(2), noise.mean(0), lattice, 1.0)
    off = [np.linalg.norm(each.mean - alone.mean) / np.linalg.norm(alone.mean) for each in (plain, settled)]
    assert off[0] > 0.4 and off[1] < 0.1


def test_classes_that_are_alike_count_alike():
    g, h, lattice, noise, which = parts((30, 20, 0))
    sums = [(g[which == k].sum(0), h[which == k].sum(0)) for k in range(2)]
    plain = Common.of(sums, np.ones(2), noise.mean(0), lattice, 1.0)
    apart = [(num + plain.rho * plain.mean) / (den + plain.rho) - plain.mean for num, den in sums]
    assert plain.weights(apart, (h / noise).mean(0)).min() > 0.8


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_two_species_are_found_beside_a_third_kind(seed):
    """With an average of all alike, they are one class in three of these four."""
    g, h, lattice, noise, which = parts((30, 20, 15), seed)
    labels = cluster(g, h, lattice, noise, 1.0, 3, 1.0, 6, 1, 1, Silent())[0].argmax(1)
    assert rand_index(which < 2, labels == labels[-1]) == 1
    assert rand_index(which[which < 2], labels[which < 2]) > 0.5
