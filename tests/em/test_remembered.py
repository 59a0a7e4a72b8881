"""Particles that are kept in real space: the same, read once, and no more of them than there is room for."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import em_world as world

from napari_subtomo.em.engine import initial_state, one_iteration
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.memory import FULL, KEPT_SHARE, needs, remembered
from napari_subtomo.em.remembered import Remembered, Remembering, bytes_of, point_spread
from napari_subtomo.em.turning import resample
from napari_subtomo.geometry.orientations import random_matrices
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

N = 16


class Counted:
    """Reads particles and says how often each was read."""

    def __init__(self, particles):
        self.particles, self.reads = particles, []

    def __call__(self, i):
        self.reads.append(i)
        return self.particles[i]


@pytest.fixture(scope="module")
def particles():
    return world.simulate(n=N, count=6, snr=0.5, species=1, seed=3).particles


def test_what_is_kept_is_read_once_and_the_rest_each_time(particles):
    source = Counted(particles)
    load = Remembering(source, 4.5 * bytes_of(N))
    for _ in range(3):
        for i in range(6):
            assert np.array_equal(load(i).data, particles[i].data)
    assert [source.reads.count(i) for i in range(6)] == [1, 1, 1, 1, 3, 3]
    assert sum(isinstance(load(i), Remembered) for i in range(6)) == 4


def test_kept_particles_turn_into_the_same_numbers(particles):
    load, frame = Remembering(particles.__getitem__, 1e9), random_matrices(1, np.random.default_rng(1))[0]
    k, grid, offset = Lattice.of(N, 5).k, PaddedGrid(N).up_to(5), np.array([0.5, -1.0, 0.2])
    for i in range(6):
        for a, b in zip(resample(particles[i], grid, k, frame, offset), resample(load(i), grid, k, frame, offset), strict=True):
            assert np.array_equal(a, b)
        inside = np.s_[:, :, : N // 2]  # on the plane of Nyquist a real map knows only the mean of mates
        np.testing.assert_allclose(load(i).weights[inside], particles[i].weights[inside], atol=1e-5 * particles[i].weights.max())
        assert np.array_equal(point_spread(load(i)), point_spread(particles[i])) and load(i).multiplicity is None


def test_an_iteration_is_the_same_with_and_without():
    made = world.simulate(n=N, count=30, snr=1.0, species=2, empty=4, error=3.0, offset=0.5, seed=5)
    setup = world.setup(made, classes=2, folds=2, iterations=6, restarts=2)
    source = Counted(made.particles)
    found = []
    for room in (0.0, 7.5 * bytes_of(N), 1e9):
        source.reads.clear()
        each = replace(setup, load=Remembering(source, room))
        state = initial_state(each)
        while state.iteration < 6:
            state, _ = one_iteration(each, state, Silent())
        found.append((state, len(source.reads)))
    assert all(np.array_equal(found[0][0].maps, state.maps) for state, _ in found[1:])
    assert found[0][1] > found[1][1] > found[2][1] and found[2][1] <= len(made.particles)


def test_room_is_a_small_share_of_what_is_free_and_only_where_particles_are_turned_again():
    given = {"reference": "none.mrc", "mask_diameter": 100.0, "classes": 2}
    room = remembered(ClassifyOptions(**given), 100, 32, 1e12, False)
    assert room == 100 * bytes_of(32)
    assert remembered(ClassifyOptions(**given), 10**4, 64, 1e9, False) == KEPT_SHARE * 1e9
    assert remembered(ClassifyOptions(**given), 100, 32, None, False) == 0
    assert remembered(ClassifyOptions(**given), 100, 32, 1e12, True) == 0
    for other in (
        {"classes": 1},
        {"align": False},
        {"preread": "no"},
        {"start": "random"},
        {"classes_at_poses": 0},
        {"classes_at_poses": 99},
    ):
        assert remembered(ClassifyOptions(**(given | other)), 100, 32, 1e12, False) == 0
    more = needs(ClassifyOptions(**given), 100, 32, 5.0, room=room).peak - needs(ClassifyOptions(**given), 100, 32, 5.0).peak
    assert more == pytest.approx(FULL * 100 * bytes_of(32))  # empty places are not turned
