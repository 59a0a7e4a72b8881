"""A search of all orientations finds them, keeps its evidence honest, and goes on from its files as if it had not been stopped."""

from dataclasses import fields, replace

import numpy as np
import pytest
from helpers import em_world as world
from helpers import strict_cupy

from napari_subtomo.em import global_search
from napari_subtomo.em.engine import _e_step, initial_state, iterate, one_iteration
from napari_subtomo.em.expectation import search
from napari_subtomo.em.frames import next_frames
from napari_subtomo.em.global_search import distinct, screen, search_everywhere
from napari_subtomo.em.poses import coarse_limits, found_grid, global_grid, orientations_of, steps_for
from napari_subtomo.em.prepare import prepare
from napari_subtomo.em.sampling import coarse_pass, iteration_poses
from napari_subtomo.em.solvent import particle_radius
from napari_subtomo.em.state import State, read_state, write_state
from napari_subtomo.geometry.orientations import angular_distance, random_matrices, rotation_vectors_to_matrices
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.progress import Silent

OPTIONS = {"local_range": -1.0, "angular_step": 15.0, "offset_range": 1.5, "classes": 1, "folds": 3}


@pytest.fixture(scope="module")
def particles():
    """Nothing is known of the orientations; three of the places are empty."""
    found = world.simulate(n=16, count=12, snr=3.0, species=1, empty=3, seed=4, offset=0.7)
    return replace(found, given_orientations=np.repeat(np.eye(3)[None], 15, axis=0))


@pytest.fixture(scope="module")
def finished(particles):
    setup = world.setup(particles, **OPTIONS, iterations=4, global_iterations=2)
    first = initial_state(setup)
    made = list(iterate(setup, first, Silent()))
    return setup, [first, *(state for state, _ in made)], made[-1][1]


@pytest.mark.parametrize(("symmetry", "order"), [("C1", 1), ("C5", 5), ("D2", 4), ("O", 24), ("I1", 60)])
def test_symmetry_leaves_one_of_its_orientations_each(symmetry, order):
    mates = symmetry_matrices(symmetry)
    grid = global_grid(15.0, 1.0, 0.0, np.random.default_rng(1), mates)
    assert len(grid.rotations) == pytest.approx(orientations_of(15.0) / order, rel=0.1 if order > 5 else 0.02)
    assert np.exp(grid.rotation_log_prior).sum() == pytest.approx(1)
    for some in random_matrices(20, np.random.default_rng(2)):
        distance = angular_distance((some @ mates)[:, None], grid.rotations[None])
        assert distance.min() < 0.85 * 15.0


def test_coarse_passes_take_few_shells_and_long_steps():
    assert coarse_limits(8, 48, 19.0, 15.0, 1.0) == (8, 2.0)
    assert coarse_limits(20, 48, 19.0, 15.0, 1.0) == (11, 1.0)
    assert coarse_limits(5, 48, 19.0, 15.0, 1.0) == (5, 2.0)
    assert coarse_limits(12, 48, 19.0, 60.0, 8.0) == (3, 8.0)


def test_candidates_lie_apart_and_symmetric_ones_are_one():
    mates = symmetry_matrices("C2")
    turns = rotation_vectors_to_matrices([[0, 0, 0], [0, 0, 10], [0, 0, 185], [40, 0, 0], [0, 70, 0]])
    log = np.array([5.0, 4, 3, 2, -np.inf])
    assert distinct(turns, log, 20.0, mates, 8).tolist() == [0, 3]
    assert distinct(turns, log, 20.0, mates[:1], 8).tolist() == [0, 2, 3]
    assert distinct(turns, log, 20.0, mates[:1], 2).tolist() == [0, 2]
    assert distinct(turns, np.full(5, -np.inf), 20.0, mates, 8).tolist() == [0]


def test_orientations_are_found_and_empty_places_stay_empty(particles, finished):
    _, states, classes = finished
    there = particles.labels > 0
    error = angular_distance(states[-1].orientations, particles.orientations)[there]
    assert np.median(error) < 6 and (error < 20).all()
    assert np.median(np.linalg.norm(states[-1].offsets - particles.offsets, axis=1)[there]) < 0.5
    assert set(states[-1].labels[there]) == {1} and set(states[-1].labels[~there]) == {2}
    assert classes.log_evidence[there].min() > 0 > classes.log_evidence[~there].max()


def test_the_local_search_is_about_what_was_found(finished):
    _, states, classes = finished
    assert [len(s.frames) for s in states] == [0, 0, 15, 15, 15]
    np.testing.assert_array_equal(states[2].frames, states[2].orientations)
    assert 0 < classes.sampling.local_range <= 4 * 15.0 and classes.sampling.n_rotations < 400
    found = angular_distance(states[3].orientations, states[2].orientations)
    assert found.max() <= classes.sampling.local_range + 15.0


def test_particles_are_turned_again_when_the_shell_needs_a_finer_step_and_only_then(finished):
    setup, states, _ = finished
    before, last = states[3], states[4]
    asked = setup.options.angular_step
    found = {}
    for shell in range(3, 11):
        after = next_frames(setup, before, replace(last, last_shell=shell), asked)
        needed, _ = steps_for(shell, setup.lattice.n, particle_radius(setup, last), asked, setup.options.offset_step)
        again = needed < before.frame_step
        assert after.frame_step == pytest.approx(min(needed, before.frame_step))
        np.testing.assert_array_equal(after.frames, last.orientations if again else before.frames)
        np.testing.assert_array_equal(after.centres, last.offsets if again else before.centres)
        found[shell] = again
    assert not found[3] and found[10]


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_run_resumed_from_its_file_is_the_uninterrupted_run(particles, finished, tmp_path, stop):
    _, states, _ = finished
    write_state(tmp_path / "state.npz", states[stop])
    fresh = world.setup(particles, **OPTIONS, iterations=4, global_iterations=2, threads=1)
    resumed, _ = list(iterate(fresh, read_state(tmp_path / "state.npz"), Silent()))[-1]
    for name in (f.name for f in fields(State)):
        np.testing.assert_array_equal(getattr(states[-1], name), getattr(resumed, name), err_msg=name)


def test_a_state_without_found_poses_is_read_and_searched_everywhere(particles, finished, tmp_path):
    setup, states, _ = finished
    old = {f.name: np.asarray(getattr(states[3], f.name)) for f in fields(State) if f.name not in ("frames", "centres", "frame_step")}
    np.savez(tmp_path / "state.npz", **old)
    state = read_state(tmp_path / "state.npz")
    assert len(state.frames) == 0 and state.iteration == 3
    after, classes = one_iteration(setup, state, Silent())
    assert classes.sampling.local_range == -1 and len(after.frames) == len(particles.particles)


def test_always_means_every_iteration(particles):
    setup = world.setup(particles, **OPTIONS, iterations=2, global_iterations=2)
    made = list(iterate(setup, initial_state(setup), Silent()))
    assert [classes.sampling.local_range for _, classes in made] == [-1, -1]


def test_found_poses_are_left_behind_when_all_orientations_are_asked_for_again(particles, finished):
    _, states, _ = finished
    again = world.setup(particles, **OPTIONS, iterations=4, global_iterations=4)
    one, _ = one_iteration(again, states[3], Silent())
    other, _ = one_iteration(again, replace(states[3], frames=states[0].frames, centres=states[0].centres, frame_step=0.0), Silent())
    np.testing.assert_array_equal(one.orientations, other.orientations)


def everywhere(setup, state):
    """What `search_everywhere` finds from a state."""
    step = _e_step(setup, state, iteration_poses(setup, state, state.iteration + 1, Silent()), None, False)
    return search_everywhere(setup, step, coarse_pass(setup, state, step), 5, Silent())


def test_evidence_is_that_of_a_search_over_everything_but_for_what_lies_between_the_candidates(particles):
    few = [0, 1, 2, 12]
    names = ("labels", "orientations", "offsets", "given_orientations", "given_offsets", "tomogram")
    some = replace(particles, particles=[particles.particles[i] for i in few], **{name: getattr(particles, name)[few] for name in names})
    setup = world.setup(some, **(OPTIONS | {"offset_range": 0.8, "offset_step": 0.8}), iterations=1)
    state = replace(initial_state(setup), last_shell=4, temperature=8.0, sigma_offset=0.5)
    found = everywhere(setup, state)
    grid = global_grid(15.0, 0.8, 0.8, np.random.default_rng(0))
    _, expected = search(_e_step(setup, state, grid, None, False), setup.prepared, 2, Silent())
    assert np.abs(found.results.log_evidence - expected.log_evidence)[:3].max() < 3.5  # normalised over a ball, it would be 9 more
    assert found.results.log_evidence[3] <= expected.log_evidence[3] + 0.5  # candidates are a part of everything
    np.testing.assert_allclose(found.results.posterior.sum(1), 1, atol=1e-6)


def test_the_best_candidate_is_the_particle_in_its_frame(particles):
    setup = world.setup(particles, **OPTIONS, iterations=1)
    found = everywhere(setup, replace(initial_state(setup), last_shell=4))
    again = prepare(setup.load, found.frames, found.centres, found.prepared.lattice, 1, Silent())
    np.testing.assert_allclose(found.prepared.H, again.H, atol=1e-4 * again.H.max())
    np.testing.assert_allclose(found.prepared.G, again.G, atol=1e-4 * np.abs(again.G).max())


def test_batches_of_particles_add_up(particles, monkeypatch):
    monkeypatch.setattr("napari_subtomo.em.basis.LEAST", 10**6)  # functions that stand for shifts depend on who is compared
    setup = world.setup(particles, **OPTIONS, iterations=1)
    state = replace(initial_state(setup), last_shell=4)
    whole = everywhere(setup, state)
    monkeypatch.setattr(global_search, "BATCH_BYTES", 1)
    parts = everywhere(setup, state)
    np.testing.assert_allclose(whole.results.posterior, parts.results.posterior, atol=1e-6)
    np.testing.assert_allclose(whole.sums.numerator, parts.sums.numerator, atol=1e-5 * np.abs(whole.sums.numerator).max())


def test_a_device_ranks_as_the_processor_does(particles):
    setup = world.setup(particles, **OPTIONS, iterations=1)
    state = replace(initial_state(setup), last_shell=4)
    step = coarse_pass(setup, state, _e_step(setup, state, iteration_poses(setup, state, 1, Silent()), None, False))
    here = screen(step, setup.prepared, setup.input_offsets, setup.mates, 1, Silent())
    with strict_cupy.installed():
        there = screen(replace(step, device="cuda:1"), setup.prepared, setup.input_offsets, setup.mates, 1, Silent())
    np.testing.assert_array_equal(here.particle, there.particle)
    np.testing.assert_allclose(here.frames, there.frames)


def test_a_grid_about_what_was_found_has_its_part_of_the_prior():
    grid = found_grid(5.0, 20.0, 1.0, 2.0, np.random.default_rng(1))
    ball = (np.radians(20.0) - np.sin(np.radians(20.0))) / np.pi  # share of all turns that are by at most 20 degrees
    assert np.exp(grid.rotation_log_prior).sum() == pytest.approx(ball, rel=0.1)
    assert not grid.whole_range
