"""What must hold of an iteration whatever the data: probabilities, and what may not matter (grey scale, threads, the common frame)."""

from dataclasses import fields, replace

import numpy as np
import pytest
from helpers import em_world as world
from helpers.no_loops import without_loops

from napari_subtomo.em import engine, poses, sampling, work
from napari_subtomo.em.engine import initial_state, iterate
from napari_subtomo.em.poses import found_grid, global_grid, pose_grid
from napari_subtomo.em.state import State
from napari_subtomo.geometry.orientations import angular_distance, rotation_vectors_to_matrices
from napari_subtomo.numerics.rotate import rotate_volume
from napari_subtomo.progress import Silent

OPTIONS = {
    "classes": 2,
    "iterations": 5,
    "consensus_iterations": 2,
    "angular_step": 7.5,
    "local_range": 12.0,
    "offset_range": 1.0,
    "fixed_sampling": True,
    "restarts": 2,
    "folds": 3,
    "absolute_greyscale": False,
    "auto_mask": False,  # which voxels its surface takes in turns on the last digit: a test of its own
    "class_limit": 0.0,  # the shell that halves agree on does so too: a test of its own
}


@pytest.fixture(scope="module")
def mixed():
    """Two species and empty places in two tomograms, offsets known in part."""
    made = world.simulate(n=16, count=30, snr=0.5, species=2, empty=8, error=6.0, seed=7, domain=2.0)
    made.given_offsets = made.offsets + np.random.default_rng(3).normal(size=made.offsets.shape) * 0.5
    return made


def run(setup):
    """States and classes of all iterations."""
    return list(zip(*iterate(setup, initial_state(setup), Silent()), strict=True))


@pytest.fixture(scope="module")
def plain(mixed):
    return run(world.setup(mixed, **OPTIONS))


# --- probabilities ------------------------------------------------------------------------------------------------------------


EVERYWHERE = {"local_range": -1.0, "angular_step": 30.0}
RELION = {"start": "random", "shrink_to": "own", "folds": 1}
LIKE = {
    "local": {},
    "as RELION": RELION,
    "no empty class": {"empty_class": False},
    "all orientations": EVERYWHERE,
    "stored": {"align": False},
}


@pytest.mark.parametrize("changed", LIKE.values(), ids=LIKE)
def test_posteriors_are_probabilities_in_every_iteration(mixed, monkeypatch, changed):
    """Over the classes and the empty one, whichever way they were found."""
    seen = []

    def listening(setup, state, step, results, *rest):
        seen.append((step, results))
        return next_state(setup, state, step, results, *rest)

    next_state = engine._next_state
    monkeypatch.setattr(engine, "_next_state", listening)
    _, classes = run(world.setup(mixed, **OPTIONS | changed))
    assert [step.cross_correlation for step, _ in seen] == [True, False, False, False, False]
    for step, results in seen:
        assert results.posterior.min() >= 0
        np.testing.assert_allclose(results.posterior.sum(1), 1, atol=1e-12)
        assert changed.get("empty_class", True) or not results.posterior[:, -1].any()
        assert np.exp(step.model.log_fractions).sum() == pytest.approx(1)
        if step.cross_correlation:
            assert set(results.posterior.ravel()) == {0.0, 1.0}
    assert all(c.fractions.sum() == pytest.approx(1) and c.fractions.min() >= 0 for c in classes)


@pytest.mark.parametrize("changed", [{}, RELION, {"empty_class": False}])
def test_the_poses_that_make_maps_hold_the_posteriors_but_for_a_thousandth(mixed, monkeypatch, changed):
    seen = []

    def listening(*given):
        seen.append(search(*given))
        return seen[-1]

    search = work.search
    monkeypatch.setattr(work, "search", listening)
    run(world.setup(mixed, **OPTIONS | changed))
    assert len(seen) == OPTIONS["iterations"]
    for found, results in seen:
        real = results.posterior[:, :-1]
        for row in range(len(found)):
            poses = found.of(row)
            kept = np.bincount(poses.klass, poses.score, real.shape[1])
            assert poses.score.min() >= 0 and np.all(kept <= real[row] + 1e-5)
            assert kept.sum() >= 0.999 * real[row].sum() - 1e-5


# --- grey scale ---------------------------------------------------------------------------------------------------------------


def scaled(made, data, weights=1.0):
    """The same particles in another grey scale."""
    particles = [world.Particle(p.data * np.float32(data), p.weights * np.float32(weights), p.multiplicity) for p in made.particles]
    return replace(made, particles=particles)


SCALES = [(2.0, 1.0), (10.0, 1.0), (1e-6, 1.0), (1e6, 1.0), (2.0, 2.0), (10.0, 10.0), (1.0, 0.1)]


@pytest.mark.parametrize(("data", "weights"), SCALES)
def test_grey_scale_and_weights_have_no_unit(mixed, plain, data, weights):
    """Ten times the data is ten times the density and 100 times σ²; ten times data and weights is ten times σ², and no more.

    Powers of two change no digit; with others single precision rounds otherwise, which iterations hardly add to.
    """
    states, classes = run(world.setup(scaled(mixed, data, weights), **OPTIONS))
    exact = float(np.log2(data)).is_integer() and float(np.log2(weights)).is_integer()
    maps, sigma2 = data / weights, data**2 / weights
    for state, same, found, wanted in zip(states, plain[0], classes, plain[1], strict=True):
        np.testing.assert_array_equal(state.labels, same.labels)
        assert angular_distance(state.orientations, same.orientations).max() < 1e-3
        np.testing.assert_allclose(state.offsets, same.offsets, rtol=0, atol=0 if exact else 1e-4)
        np.testing.assert_allclose(found.maps / maps, wanted.maps, rtol=0, atol=(0 if exact else 1e-5) * np.abs(wanted.maps).max())
        np.testing.assert_allclose(state.noise / sigma2, same.noise, rtol=0 if exact else 1e-5)
        np.testing.assert_allclose(state.log_fractions, same.log_fractions, rtol=0, atol=0 if exact else 1e-4)
        np.testing.assert_allclose(found.log_evidence, wanted.log_evidence, rtol=0, atol=0 if exact else 1e-3)


@pytest.mark.parametrize(("scale", "most"), [(2.0, 0.0), (10.0, 0.05)])
def test_nor_has_the_mask_that_is_found(mixed, scale, most):
    """Voxels of its surface turn over where another last digit takes them across the threshold: some thousandths of a degree."""
    one, other = (run(world.setup(made, **OPTIONS | {"auto_mask": True}))[0][-1] for made in (mixed, scaled(mixed, scale)))
    assert one.solvent.size
    np.testing.assert_array_equal(one.labels, other.labels)
    assert angular_distance(one.orientations, other.orientations).max() <= most + 1e-5
    assert np.mean(one.solvent != other.solvent) <= most


@pytest.mark.parametrize("scale", [2.0, 10.0])
def test_a_reference_on_the_scale_of_the_data_grows_with_them(mixed, scale):
    options = OPTIONS | {"absolute_greyscale": True, "iterations": 3}
    reference = np.mean(mixed.maps, axis=0)
    one = run(world.setup(mixed, reference=reference, **options))
    other = run(world.setup(scaled(mixed, scale), reference=scale * reference, **options))
    for state, same in zip(other[0], one[0], strict=True):
        np.testing.assert_array_equal(state.labels, same.labels)
        np.testing.assert_allclose(state.maps / scale, same.maps, rtol=0, atol=(0 if scale == 2 else 1e-5) * np.abs(same.maps).max())


# --- threads ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_the_number_of_threads_does_not_change_a_bit(mixed, plain, threads):
    """Two are the default."""
    assert_same_bits(run(world.setup(mixed, **OPTIONS, threads=threads)), plain)


def test_the_number_of_threads_does_not_change_a_bit_without_compiled_loops(mixed, monkeypatch):
    without_loops(monkeypatch)
    assert_same_bits(*(run(world.setup(mixed, **OPTIONS, threads=threads)) for threads in (1, 3)))


def assert_same_bits(found, expected):
    """Of states and classes of all iterations."""
    states, classes = found
    for state, same in zip(states, expected[0], strict=True):
        for name in (f.name for f in fields(State)):
            np.testing.assert_array_equal(getattr(state, name), getattr(same, name), err_msg=name)
    for one, wanted in zip(classes, expected[1], strict=True):
        np.testing.assert_array_equal(one.maps, wanted.maps)
        np.testing.assert_array_equal(one.log_evidence, wanted.log_evidence)


# --- the common frame ---------------------------------------------------------------------------------------------------------


def ellipsoid(n, turn):
    """A soft mask longer along one axis of the reference than along the others."""
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    u, v, w = np.moveaxis(np.stack([x, y, z], -1) @ turn, -1, 0)  # the mask turned by `turn`
    return np.clip(4 - 4 * np.sqrt((u / 0.46) ** 2 + (v / 0.33) ** 2 + (w / 0.4) ** 2) / n, 0, 1).astype(np.float32)


def permuted(volume, turn):
    """A map turned by a matrix of 0 and ±1 about index n // 2."""
    n = volume.shape[0]
    axis = np.arange(n) - n // 2
    z, y, x = (a.ravel() for a in np.meshgrid(axis, axis, axis, indexing="ij"))
    u, v, w = np.rint(np.stack([x, y, z], 1) @ turn).astype(int).T
    return volume[(w + n // 2) % n, (v + n // 2) % n, (u + n // 2) % n].reshape(volume.shape)


def in_another_frame(made, turn, rotate, aside, monkeypatch, **options):
    """States and classes with reference, mask and input orientations turned; so is the grid of poses, which is no part of the law.

    `aside` is what turns the particles' frames away from their poses.
    """
    reference = rotate(np.asarray(np.mean(made.maps, axis=0), np.float32), turn)
    turned = replace(made, given_orientations=made.given_orientations @ turn.T)
    moved = (aside.T @ turn @ poses.ASIDE).T

    def about_frames(make):
        """A grid about poses R Qᵀ, not R: the pose dR is Q dR Qᵀ there, and with frames R Qᵀ T instead of R S the shift t is Tᵀ Q S t."""

        def grid(*rest):
            found = make(*rest)
            return replace(found, rotations=turn @ found.rotations @ turn.T, shifts=found.shifts @ moved)

        return grid

    def everywhere(*rest):
        """All orientations, in the frame of the box."""
        found = global_grid(*rest)
        return replace(found, rotations=found.rotations @ turn.T)

    with monkeypatch.context() as patch:
        patch.setattr(poses, "ASIDE", aside)
        patch.setattr(sampling, "pose_grid", about_frames(pose_grid))
        patch.setattr(sampling, "found_grid", about_frames(found_grid))
        patch.setattr(sampling, "global_grid", everywhere)
        setup = world.setup(turned, reference=reference, **OPTIONS | {"iterations": 4, "noise_temperature": 1.5} | options)
        mask = ellipsoid(made.n, turn)
        return run(replace(setup, references=setup.references * mask, maximiser=replace(setup.maximiser, mask=mask)))


def compared(made, turn, rotate, monkeypatch, aside=poses.ASIDE, **options):
    """Both runs side by side by iteration: share of equal labels, angles and offsets of particles apart, difference of the maps."""
    one = in_another_frame(made, np.eye(3), permuted, poses.ASIDE, monkeypatch, **options)
    other = in_another_frame(made, turn, rotate, aside, monkeypatch, **options)
    there = made.labels > 0  # poses of empty places mean nothing
    for state, same, found, wanted in zip(other[0], one[0], other[1], one[1], strict=True):
        maps = [np.linalg.norm(a - rotate(b, turn)) / np.linalg.norm(b) for a, b in zip(found.maps[:2], wanted.maps[:2], strict=True)]
        angles = angular_distance(state.orientations @ turn, same.orientations)[there]
        yield (state.labels == same.labels).mean(), angles, np.abs(state.offsets - same.offsets)[there].max(), max(maps)


@pytest.fixture(scope="module")
def framed():
    """Density that a box can hold in any orientation, sampled finely enough to be interpolated."""
    return world.simulate(n=24, count=27, snr=5.0, species=2, empty=6, error=6.0, seed=7, domain=2.0)


QUARTER = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]) @ np.diag([-1.0, -1, 1])
OBLIQUE = rotation_vectors_to_matrices(np.array([[25.0, 50.0, -40.0]]))[0]


@pytest.mark.parametrize("changed", [{}, EVERYWHERE | {"iterations": 3, "global_iterations": 1}], ids=["local", "all orientations"])
def test_quarter_turns_of_reference_mask_and_orientations_turn_the_result(framed, monkeypatch, changed):
    """In the same frames of the particles the lattice of the maps turns into itself: nothing but single precision rounds otherwise."""
    for labels, angles, offset, maps in compared(framed, QUARTER, permuted, monkeypatch, QUARTER @ poses.ASIDE, **changed):
        assert labels == 1 and angles.max() < 0.01 and offset < 1e-3 and maps < 1e-3


def test_any_common_rotation_turns_the_result_up_to_interpolation_at_fixed_poses(monkeypatch):
    """Data and weights of the particles, with the sharp edges of their wedges, are read between the nodes at other places: 4 % of a map.

    Poses that are kept are those of a refinement. Where they are wrong, so are the grey scales of particles, and some are in between.
    """
    refined = world.simulate(n=24, count=27, snr=5.0, species=2, empty=6, error=1.0, offset=0.2, seed=7, domain=2.0)
    for labels, _, _, maps in compared(refined, OBLIQUE, rotate_volume, monkeypatch, align=False):
        assert labels == 1 and maps < 0.05


def test_any_common_rotation_turns_the_result_up_to_interpolation_in_a_search(framed, monkeypatch):
    """Found: 0.33°, 0.025 px, 6 % of a map; a mask that is found has voxels, and so another surface in another frame.

    At this high temperature a particle may be as much of one class as of the other, and goes into the maps at many points of the grid.
    Where one point takes all, a particle between two of them goes to the one or the other.
    """
    soft = {"noise_temperature": 100.0, "absolute_greyscale": True}
    for labels, angles, offset, maps in compared(framed, OBLIQUE, rotate_volume, monkeypatch, **soft):
        assert labels >= 1 - 1 / len(framed.labels) and angles.max() < 0.5 and offset < 0.05 and maps < 0.08
