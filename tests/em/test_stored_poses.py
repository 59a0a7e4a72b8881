"""At stored poses one pass of products gives what the search over a grid of one pose gives."""

from dataclasses import fields, replace

import numpy as np
import pytest
from helpers import em_world as world
from helpers import strict_cupy

from napari_subtomo.em.accumulate import map_sums, shell_sums
from napari_subtomo.em.engine import _e_step, _last_map_shell, initial_state, iterate
from napari_subtomo.em.expectation import reference_volumes, search
from napari_subtomo.em.model import Particles
from napari_subtomo.em.poses import PoseGrid
from napari_subtomo.em.seeding import random_classes
from napari_subtomo.em.start import rand_index
from napari_subtomo.em.stored_poses import iterate_stored
from napari_subtomo.progress import Silent

FIXED = {"align": False, "classes": 2, "local_range": -1.0}


@pytest.fixture(scope="module")
def particles():
    return world.simulate(n=20, count=36, snr=1.0, species=2, empty=9, error=3.0, offset=0.0, seed=2, domain=2.0)


def hard_case(particles, shell=6, **options):
    """Two optics groups of different noise, scales, noise in the references, five folds, an empty class, references of either species."""
    setup = world.setup(particles, reference=np.stack(particles.maps), **(FIXED | options))
    state = initial_state(setup)
    count = len(particles.particles)
    noise = np.concatenate([state.noise, 1.7 * state.noise * np.linspace(1, 1.5, state.noise.shape[1])])
    setup = replace(setup, particles=Particles(np.arange(count) // 7 % 2, setup.particles.group, setup.particles.fold))
    rng = np.random.default_rng(3)
    maps = state.maps * (1 + 0.1 * rng.standard_normal(state.maps.shape).astype(np.float32))
    map_noise = np.abs(state.map_noise + np.array([[0.02], [0.05]]) * (np.abs(np.fft.rfftn(maps[0, 0])) ** 2).mean())
    scales = np.array([0.8, 1.2])[setup.tomograms]
    state = replace(state, noise=noise, maps=maps, map_noise=map_noise, scales=scales, last_shell=shell, temperature=1.5)
    return setup, state


def both(setup, state, allowed=None, cross_correlation=False):
    """Results, sums of the maps and sums per shell of the general path, and of the one pass."""
    step = _e_step(setup, state, PoseGrid.single(), allowed, cross_correlation)
    last = _last_map_shell(setup, state)
    volumes = reference_volumes(step)
    found, results = search(step, setup.prepared, 1, Silent(), volumes)
    sums = map_sums(step, setup.prepared, found, last, setup.mates, 1, Silent())
    general = results, sums, shell_sums(step, setup.prepared, results, 1, volumes)
    return general, iterate_stored(step, setup.prepared, last, setup.mates, 2, Silent())


def assert_same(general, one_pass):
    for parts in zip(general, one_pass, strict=True):
        for name in (f.name for f in fields(parts[0])):
            expected, found = (np.asarray(getattr(part, name)) for part in parts)
            assert found.dtype == expected.dtype, name
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5 * max(np.abs(expected).max(), 1e-9), err_msg=name)


@pytest.mark.parametrize(
    "options",
    [{}, {"empty_class": False}, {"folds": 1}, {"mask_particles": False}, {"symmetry": "C2"}, {"symmetry": "D2", "shell": 4}],
    ids=str,
)
def test_one_pass_is_the_search_over_one_pose(particles, options):
    assert_same(*both(*hard_case(particles, **options)))


def test_random_seeding_and_correlation_too(particles):
    setup, state = hard_case(particles)
    allowed = random_classes(len(particles.particles), 2, 1)
    assert_same(*both(setup, state, allowed))
    _, (results, _, _) = both(setup, state, allowed)
    assert not results.posterior[:, :2][~allowed].any()
    assert_same(*both(setup, state, cross_correlation=True))


def test_symmetry_at_low_shells_is_that_on_the_whole_grid(particles):
    setup, state = hard_case(particles, shell=3, symmetry="D2")
    step = _e_step(setup, state, PoseGrid.single(), None, False)
    assert step.grid.edge < step.grid.size
    few, every = (replace(step, grid=grid) for grid in (step.grid, setup.maximiser.grid))
    sums = [iterate_stored(part, setup.prepared, 6, setup.mates, 1, Silent())[1].numerator.sum((0, 1)) for part in (few, every)]
    maps = [part.grid.to_map(numerator) for part, numerator in zip((few, every), sums, strict=True)]
    np.testing.assert_allclose(*maps, atol=3e-3 * np.abs(maps[1]).max())  # turned sums leak beyond the nodes that are kept


def test_threads_change_no_bit_and_blocks_hardly_anything(particles, monkeypatch):
    setup, state = hard_case(particles)
    step = _e_step(setup, state, PoseGrid.single(), None, False)
    one, two = (iterate_stored(step, setup.prepared, 8, setup.mates, threads, Silent()) for threads in (1, 2))
    for a, b in zip(one, two, strict=True):
        for name in (f.name for f in fields(a)):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    monkeypatch.setattr("napari_subtomo.em.stored_poses.BLOCK_BYTES", 1)  # one particle at a time
    assert_same(one, iterate_stored(step, setup.prepared, 8, setup.mates, 1, Silent()))


def test_a_device_gives_the_same(particles):
    setup, state = hard_case(particles)
    step = _e_step(setup, state, PoseGrid.single(), None, False)
    here = iterate_stored(step, setup.prepared, 8, setup.mates, 1, Silent())
    with strict_cupy.installed():
        there = iterate_stored(replace(step, device="cuda:1"), setup.prepared, 8, setup.mates, 1, Silent())
    assert_same(here, there)


def test_species_are_told_apart_at_the_true_poses(particles):
    true = replace(particles, given_orientations=particles.orientations)
    setup = world.setup(true, align=False, classes=2, iterations=6, consensus_iterations=2, restarts=4)
    state, classes = list(iterate(setup, initial_state(setup), Silent()))[-1]
    assert rand_index(state.labels, particles.labels) == 1.0
    assert classes.sampling.n_rotations == 1
