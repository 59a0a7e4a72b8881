"""Classes that are judged at the best poses: what becomes of the posteriors, and what classes have in common."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers import em_world as world

from napari_subtomo.em import engine, expectation, seeding
from napari_subtomo.em.convergence import reason
from napari_subtomo.em.engine import initial_state, iterate, one_iteration
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.posteriors import Poses, given_sums, with_classes
from napari_subtomo.em.seeding import classes_at_poses, judged_at_poses
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


def test_larger_sets_are_judged_now_and_then_and_keep_it_in_between(sample):
    """From the same beginning, in the first iteration with all classes; RELION's way never judges at best poses."""
    count = len(sample.labels)
    setups = [world.setup(sample, **OPTIONS, iterations=7, classes_at_poses=most) for most in (0, count - 1, count)]
    never, seldom, always = (at(setup, 3)[0] for setup in setups)
    np.testing.assert_array_equal(seldom.maps, always.maps)
    assert not np.array_equal(never.maps, always.maps)
    assert not len(never.judgement) and always.judgement.shape == (count, 2) and always.judged == 3
    assert classes_at_poses(setups[0], never, Silent())[1] is None
    after, held = classes_at_poses(setups[1], seldom, Silent())
    np.testing.assert_array_equal(held, seldom.judgement)
    assert after.judged == 3
    for setup, state, iteration in ((setups[2], always, 4), (setups[1], replace(seldom, iteration=6), 7)):
        assert classes_at_poses(setup, state, Silent())[0].judged == iteration
    assert world.setup(sample, preset="relion", classes=2).options.classes_at_poses == 0


# --- classes that have settled ------------------------------------------------------------------------------------------------


def judged_in(setup, monkeypatch):
    """Iterations that judged classes at best poses, the states after all of them, and what was said."""
    asked, said, real = [], [], seeding._judged
    monkeypatch.setattr(seeding, "_judged", lambda s, t, *rest: asked.append(t.iteration + 1) or real(s, t, *rest))
    reporter = Silent()
    monkeypatch.setattr(reporter, "message", said.append)
    states = [state for state, _ in iterate(setup, initial_state(setup), reporter)]
    return asked, states, [line for line in said if "judged at best poses" in line]


def test_settled_classes_are_judged_in_every_fifth_iteration_and_the_last(sample, monkeypatch):
    setup = world.setup(sample, **OPTIONS, iterations=17, stop_when_converged=False)
    asked, states, said = judged_in(setup, monkeypatch)
    settled = [state.iteration for state in states if state.settled]
    first = settled[0]
    assert first in asked and first <= 9
    assert [i for i in asked if i > first] == [i for i in (first + 5, first + 10) if i < 17] + [17]
    assert len(said) == 17 - first - len([i for i in asked if i > first])
    for before, after in pairwise(states[first - 1 :]):  # they keep what was judged
        if after.iteration not in asked:
            np.testing.assert_array_equal(after.judgement, before.judgement)
            sure = (before.judgement.max(1) > 0.99) & (after.labels <= 2)
            np.testing.assert_array_equal(after.labels[sure], before.judgement[sure].argmax(1) + 1)
    true = sample.labels > 0
    assert all(rand_index(state.labels[true], sample.labels[true]) == 1 for state in states[first - 1 : 16])


def test_classes_that_change_are_judged_in_each_iteration(sample, monkeypatch):
    setup = world.setup(sample, **OPTIONS, iterations=8, stop_when_converged=False)
    monkeypatch.setattr(seeding, "SETTLED", -1.0)  # any change, and none, is one
    asked, states, said = judged_in(setup, monkeypatch)
    assert asked == list(range(setup.first_of_classes + 1, 9)) and not said
    assert not any(state.settled for state in states)


@pytest.mark.parametrize("known", [0, 5])
def test_finer_shells_ask_for_a_judgement_where_it_goes_by_them(sample, known):
    setup = world.setup(sample, **OPTIONS, iterations=9, stop_when_converged=False)
    state, _ = at(setup, 5)
    same, finer = (one_iteration(setup, replace(state, settled=True, class_shell=known, last_shell=s), Silent())[0] for s in (7, 4))
    assert (same.last_shell, finer.last_shell) == (7, 5)
    assert same.settled and finer.settled == (known > 0)


def test_a_job_stops_after_a_judgement_alone(sample, monkeypatch):
    setup = world.setup(sample, **OPTIONS, iterations=40)
    asked, states, _ = judged_in(setup, monkeypatch)
    last = states[-1]
    assert last.iteration < 40 and last.judged == last.iteration == asked[-1]
    assert reason(setup, last) and not reason(setup, replace(last, judged=last.iteration - 1))
    before = replace(states[-2], settled=True, judged=states[-2].iteration)
    assert [judged_at_poses(setup, replace(before, quiet=quiet)) for quiet in (0, 1, 2, 3)] == [False, False, True, True]


def test_a_judgement_while_classes_are_uncertain_settles_nothing(sample):
    setup = world.setup(sample, **OPTIONS, iterations=9, initial_uncertainty=4.0)
    state, _ = at(setup, 4)
    hot, cold = (classes_at_poses(each, replace(state, settled=False), Silent())[0] for each in (setup, setup_with(setup, 1.0)))
    np.testing.assert_array_equal(hot.judgement.argmax(1), cold.judgement.argmax(1))
    assert cold.settled and not hot.settled


def setup_with(setup, factor):
    return replace(setup, options=setup.options.model_copy(update={"initial_uncertainty": factor}))


def test_too_few_particles_are_not_judged(sample):
    setup = world.setup(sample, **OPTIONS, iterations=6)
    state, _ = at(setup, 3)
    few = replace(state, labels=np.where(np.arange(len(state.labels)) < 3, 1, 3))
    after, given = classes_at_poses(setup, few, Silent())
    assert given is None and len(state.judgement) and not len(after.judgement)  # nor is a former judgement relied on


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
