"""Expected errors: what a turn or a shift costs, and where the cost crosses RELION's threshold."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import em_world as world
from scipy.ndimage import map_coordinates

from napari_subtomo.em import accuracy
from napari_subtomo.em.accuracy import ANGLES, SHIFTS, THRESHOLD, UNKNOWN, crossing, expected_errors
from napari_subtomo.em.engine import _e_step, initial_state
from napari_subtomo.em.expectation import search
from napari_subtomo.em.poses import ASIDE, PoseGrid, pose_grid
from napari_subtomo.geometry.orientations import rotation_vectors_to_matrices
from napari_subtomo.progress import Silent


def searched(setup, **changes):
    """An E-step of the first iteration and what it found; `changes` to its model."""
    step = _e_step(setup, initial_state(setup), pose_grid(7.5, 15.0, 1.0, 1.0, np.random.default_rng(0)), None, False)
    step = replace(step, model=replace(step.model, **changes))
    return step, search(step, setup.prepared, 1, Silent())[1]


@pytest.fixture(scope="module")
def setup():
    made = world.simulate(n=20, count=24, snr=0.5, species=2, seed=4)
    return world.setup(made, reference=np.stack(made.maps), classes=2, noise_temperature=1.0)


@pytest.fixture(scope="module")
def found(setup):
    step, results = searched(setup)
    return expected_errors(step, setup.prepared, results, 1)


def test_all_is_known_of_classes_with_particles(found):
    assert ((found.rotations > 0.05) & (found.rotations < 30)).all() and ((found.offsets > 0.02) & (found.offsets < 10)).all()
    np.testing.assert_allclose(found.orientability.sum(1), 1)
    assert (found.orientability[:, 0] == 0).all()


def test_more_noise_makes_larger_errors(setup, found):
    step, results = searched(setup)
    noisier = replace(step, model=replace(step.model, noise=step.model.noise * 4))
    more = expected_errors(noisier, setup.prepared, results, 1)
    # the cost of a small shift is its square: twice the noise amplitude, twice the shift; a turn's cost grows a little faster or slower
    np.testing.assert_allclose(more.offsets / found.offsets, 2, rtol=0.15)
    assert (more.rotations > 1.5 * found.rotations).all()
    hotter = replace(step, model=replace(step.model, temperature=4.0))
    np.testing.assert_allclose(expected_errors(hotter, setup.prepared, results, 1).rotations, more.rotations)


def test_a_finer_comparison_makes_smaller_errors(setup, found):
    step, results = searched(setup)
    finer = expected_errors(replace(step, last_shell=step.last_shell + 3), setup.prepared, results, 1)
    assert (finer.rotations < found.rotations).all() and (finer.offsets < found.offsets).all()


def test_costs_are_those_of_a_turned_and_a_shifted_map(setup):
    """Against plain scipy: one pose, full weights, the sum over the half sphere at the crossing is the threshold."""
    step, _ = searched(setup)
    k = setup.lattice.k[: step.voxels].astype(float)
    n = setup.lattice.n
    volume = step.model.maps[:, 1].mean(0).astype(float)
    line = np.sinc((np.arange(n) - n // 2) / (2 * n)) ** 2
    padded = np.zeros((2 * n,) * 3)
    padded[n // 2 : n // 2 + n, n // 2 : n // 2 + n, n // 2 : n // 2 + n] = volume / (line[:, None, None] * line[:, None] * line)
    transform = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(padded)))

    def at(points):
        x, y, z = points.T * 2 + n
        return map_coordinates(transform.real, [z, y, x], order=1) + 1j * map_coordinates(transform.imag, [z, y, x], order=1)

    off = k @ ASIDE.T  # off the nodes, where the division by the envelope is right
    references = accuracy.turned_references(step)
    turned, shifted = accuracy.turned_losses(references, 1), accuracy.shifted_losses(step, references, 1)
    angle, shift = 9, 8
    for axis in range(3):
        turn = rotation_vectors_to_matrices(np.eye(3)[axis] * ANGLES[angle])
        wanted = np.abs(at(off @ turn) - at(off)) ** 2
        np.testing.assert_allclose(turned[axis, angle].sum(), wanted.sum(), rtol=1e-3)
        wanted = np.abs(at(off) * (np.exp(2j * np.pi / n * k[:, axis] * SHIFTS[shift]) - 1)) ** 2
        np.testing.assert_allclose(shifted[axis, shift].sum(), wanted.sum(), rtol=1e-3)


def test_weights_are_those_of_the_particle_turned_into_the_frame_of_the_reference(setup):
    """A particle's weights W(k) at the best rotation R stand at Rᵀk of the reference."""
    step, results = searched(setup)
    turns = step.poses.rotations[results.rotation[:4]]
    ids = np.arange(4)
    found = accuracy._weights(step, setup.prepared, ids, turns)
    still = accuracy._weights(step, setup.prepared, ids, np.repeat(np.eye(3)[None], 4, axis=0))
    np.testing.assert_allclose(still, setup.prepared.H[:4, : step.voxels] * step.whitening(ids), rtol=1e-5)
    k = setup.lattice.k[: step.voxels]
    for i, turn in enumerate(turns):
        where = int(np.argmin(np.abs(np.linalg.norm(k, axis=1) - 3)))
        source = np.argmin(np.linalg.norm(setup.lattice.k - k[where] @ turn.T, axis=1))
        mate = np.argmin(np.linalg.norm(setup.lattice.k + k[where] @ turn.T, axis=1))
        distance = [np.linalg.norm(setup.lattice.k[s] * sign - k[where] @ turn.T) for s, sign in ((source, 1), (mate, -1))]
        nearest = (source, mate)[int(np.argmin(distance))]
        assert found[i, where] == pytest.approx(setup.prepared.H[i, nearest] * step.whitening(ids)[i, where], rel=1e-5)


def test_weights_are_the_same_with_arrays(setup, monkeypatch):
    """Where rounding does not decide which of two voxels is nearer; those where the sphere ends are among them."""
    step, results = searched(setup)
    ids, turns = np.arange(24), step.poses.rotations[results.rotation]
    compiled = accuracy._weights(step, setup.prepared, ids, turns)
    monkeypatch.setattr(accuracy, "loops", lambda: None)
    arrays = accuracy._weights(step, setup.prepared, ids, turns)
    assert np.mean(np.isclose(compiled, arrays, rtol=1e-5)) > 0.999
    np.testing.assert_allclose(compiled.sum(1), arrays.sum(1), rtol=1e-4)


def test_crossings_follow_the_power_law_between_steps():
    ladder = np.array([0.1, 1.0, 10.0])
    square = THRESHOLD * (ladder[None] / np.array([0.03, 0.1, 2.0, 7.0, 60.0])[:, None]) ** 2
    np.testing.assert_allclose(crossing(ladder, square), [0.03, 0.1, 2.0, 7.0, 10.0], rtol=1e-9)


def test_classes_without_particles_have_no_errors(setup):
    step, results = searched(setup)
    results.posterior[:] = [1.0, 0.0, 0.0]
    found = expected_errors(step, setup.prepared, results, 1)
    assert found.rotations[0] < UNKNOWN and found.rotations[1] == found.offsets[1] == UNKNOWN and not found.orientability[1].any()


def test_without_alignment_or_by_correlation_nothing_is_estimated(setup):
    step, results = searched(setup)
    for other in (replace(step, cross_correlation=True), replace(step, poses=PoseGrid.single())):
        assert (expected_errors(other, setup.prepared, results, 1).rotations == UNKNOWN).all()
