"""Whole iterations on small worlds with known truth."""

from dataclasses import fields, replace

import numpy as np
import pytest
from helpers import em_world as world

from napari_subtomo.em.engine import initial_state, iterate, one_iteration
from napari_subtomo.em.start import rand_index
from napari_subtomo.em.state import State, read_state, write_state
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.progress import Silent


def run(setup, state=None):
    """The last state and classes."""
    return list(iterate(setup, state or initial_state(setup), Silent()))[-1]


@pytest.fixture(scope="module")
def two_species():
    return world.simulate(n=24, count=48, snr=1.0, species=2, empty=12, error=9.0, seed=1, domain=2.0)


OPTIONS = {
    "classes": 2,
    "iterations": 7,
    "consensus_iterations": 3,
    "angular_step": 5.0,
    "offset_step": 0.7,
    "offset_range": 1.4,
    "fixed_sampling": True,
    "restarts": 4,
}


@pytest.fixture(scope="module")
def finished(two_species):
    setup = world.setup(two_species, **OPTIONS)
    return setup, *run(setup)


def test_two_species_and_empty_places_are_told_apart(two_species, finished):
    _, state, classes = finished
    assert rand_index(state.labels, two_species.labels) == 1.0
    assert set(state.labels[two_species.labels == 0]) == {3}
    assert classes.counts.tolist() == [24, 24, 12] and classes.fractions.sum() == pytest.approx(1)


def test_poses_move_towards_the_truth(two_species, finished):
    _, state, _ = finished
    there = two_species.labels > 0
    before = angular_distance(two_species.given_orientations, two_species.orientations)[there]
    after = angular_distance(state.orientations, two_species.orientations)[there]
    assert np.median(after) < 0.75 * np.median(before)
    distance = np.linalg.norm(state.offsets - two_species.offsets, axis=1)[there]
    assert np.median(distance) < 0.65 * np.median(np.linalg.norm(two_species.offsets, axis=1)[there])


def test_class_maps_are_the_species_and_the_empty_map_is_flat(two_species, finished):
    setup, state, classes = finished
    mask = setup.maximiser.mask
    found = np.array([[np.corrcoef((c * mask).ravel(), (m * mask).ravel())[0, 1] for m in two_species.maps] for c in classes.maps[:2]])
    label = [np.bincount(two_species.labels[state.labels == c + 1]).argmax() - 1 for c in range(2)]
    for c in range(2):
        assert found[c, label[c]] > 0.95 and found[c].argmax() == label[c]
    assert not classes.maps[2].any()


def test_log_evidence_separates_empty_places(two_species, finished):
    _, _, classes = finished
    empty = two_species.labels == 0
    assert classes.log_evidence[~empty].min() > 0 > classes.log_evidence[empty].max()


def test_threads_do_not_change_a_bit(two_species, finished):
    _, state, _ = finished
    other, _ = run(world.setup(two_species, **OPTIONS, threads=1))
    for name in (f.name for f in fields(State)):
        np.testing.assert_array_equal(getattr(state, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_run_resumed_from_its_file_is_the_uninterrupted_run(two_species, finished, tmp_path, stop):
    setup, state, _ = finished
    early = initial_state(setup)
    for _ in range(stop):
        early, _ = one_iteration(setup, early, Silent())
    write_state(tmp_path / "state.npz", early)
    resumed, _ = run(setup, read_state(tmp_path / "state.npz"))
    for name in (f.name for f in fields(State)):
        np.testing.assert_array_equal(getattr(state, name), getattr(resumed, name), err_msg=name)


def test_the_mirror_image_of_the_reference_loses(two_species):
    only = [i for i, label in enumerate(two_species.labels) if label == 1]
    ones = replace(
        two_species,
        particles=[two_species.particles[i] for i in only],
        **{
            name: getattr(two_species, name)[only]
            for name in ("labels", "orientations", "offsets", "given_orientations", "given_offsets", "tomogram")
        },
    )
    truth = two_species.maps[0]
    mirrored = np.roll(truth[:, :, ::-1], 1, axis=2)  # about index n // 2
    setup = world.setup(ones, reference=np.stack([truth, mirrored]), classes=2, iterations=1, angular_step=5.0, empty_class=False)
    state, _ = run(setup)
    assert (state.labels == 1).mean() >= 0.95


def test_no_alignment_is_alignment_with_one_pose(two_species):
    references = np.stack(two_species.maps)
    one = {"classes": 2, "iterations": 2, "local_range": 0.0, "offset_range": 0.0}
    aligned, a = run(world.setup(two_species, reference=references, align=True, **one))
    fixed, b = run(world.setup(two_species, reference=references, align=False, **one))
    np.testing.assert_array_equal(aligned.labels, fixed.labels)
    np.testing.assert_allclose(a.fractions, b.fractions, atol=1e-6)
    np.testing.assert_allclose(a.maps, b.maps, atol=1e-4 * np.abs(a.maps).max())
    np.testing.assert_array_equal(fixed.orientations, two_species.given_orientations)


def test_pure_noise_has_no_signal_and_goes_to_the_empty_class():
    noise = world.simulate(n=24, count=0, snr=0.5, species=2, empty=40, seed=5)
    state, _ = run(world.setup(noise, classes=2, iterations=4, consensus_iterations=2, angular_step=7.5))
    assert not state.signal
    assert (state.labels == 3).mean() > 0.9


def test_wedge_orientation_alone_makes_no_classes():
    found = []
    for seed in (6, 7, 8):  # of one sample in twenty, chance alone makes an index above 0.05
        one = world.simulate(n=24, count=80, snr=0.3, species=1, seed=seed, wedges=(0.0, 90.0))
        state, _ = run(
            world.setup(one, classes=2, iterations=5, consensus_iterations=3, empty_class=False, angular_step=5.0, fixed_sampling=True)
        )
        found.append(rand_index(state.labels, one.tomogram))
    assert abs(np.mean(found)) < 0.05


def test_grey_scale_of_the_data_changes_nothing(two_species, finished):
    _, state, _ = finished
    brighter = replace(two_species, particles=[world.Particle(p.data * 10, p.weights, p.multiplicity) for p in two_species.particles])
    other, _ = run(world.setup(brighter, reference=10 * np.mean(two_species.maps, axis=0), **OPTIONS))
    np.testing.assert_array_equal(state.labels, other.labels)
