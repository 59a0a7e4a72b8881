"""Particles turned into frames: many at once on a GPU are what they are one by one on the processor."""

import threading
import time

import numpy as np
import pytest
from helpers import em_world as world
from helpers import strict_cupy

from napari_subtomo.em import turning
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.prepare import prepare
from napari_subtomo.em.threads import ahead
from napari_subtomo.em.turning import resample, resample_many, turned
from napari_subtomo.geometry.orientations import random_matrices
from napari_subtomo.numerics.backend import namespace, to_device, to_host
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.numerics.rotate import Interpolation, sample
from napari_subtomo.progress import Silent

N, COUNT, GPU = 16, 7, "cuda:1"


@pytest.fixture(scope="module")
def made():
    """Particles, frames, offsets, and a mask."""
    rng = np.random.default_rng(4)
    particles = world.simulate(n=N, count=COUNT, snr=0.5, species=1, seed=3).particles
    return particles, random_matrices(COUNT, rng), rng.normal(size=(COUNT, 3)), soft_sphere(N, 5, 2).astype(np.float32)


@pytest.fixture
def gpu():
    with strict_cupy.installed():
        yield GPU


class Counted(Silent):
    """How many particles were reported."""

    def __init__(self):
        self.steps = 0

    def advance(self, steps=1):
        self.steps += steps


def one_by_one(made, grid, k, masked):
    particles, frames, offsets, mask = made
    every = [resample(p, grid, k, r, t, mask if masked else None) for p, r, t in zip(particles, frames, offsets, strict=True)]
    return [np.stack(values) for values in zip(*every, strict=True)]


@pytest.mark.parametrize("shell", [3, N // 2])
def test_points_used_once_are_sampled_as_by_the_matrix(shell):
    rng = np.random.default_rng(5)
    grid, k = PaddedGrid(N).up_to(shell), Lattice.of(N, shell).k
    points = (k @ random_matrices(1, rng)[0].T).astype(np.float32)
    volumes = [grid.transform(rng.normal(size=(N, N, N)).astype(np.float32)) for _ in range(3)]
    expected = Interpolation(grid, points).gather(np.stack([v.ravel() for v in volumes], axis=1))
    for a, b in zip(expected.T, sample(grid, volumes, points), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("shell", [3, N // 2])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("where", ["cpu", GPU])
def test_many_at_once_are_as_one_by_one(gpu, made, shell, masked, where):
    particles, frames, offsets, mask = made
    grid, k = PaddedGrid(N).up_to(shell), Lattice.of(N, shell).k
    expected = one_by_one(made, grid, k, masked)
    with turning.device_context(where):
        region = to_device(mask, where) if masked else None
        found = resample_many(particles, grid, to_device(k, where), frames, offsets, region)
    assert all((namespace(values) is np) == (where == "cpu") for values in found)
    assert masked or found[0] is found[1]
    for a, b in zip(expected, found, strict=True):
        assert to_host(b).dtype == a.dtype
        np.testing.assert_allclose(to_host(b), a, atol=1e-5 * np.abs(a).max())


@pytest.mark.parametrize(("most", "sizes"), [(99, [7]), (4, [7, 4, 3]), (2, [7, 4, 2, 2, 2, 1]), (0, [7, 4, 2, 1])])
def test_fewer_at_once_where_memory_is_short_and_none_where_there_is_none(gpu, made, monkeypatch, most, sizes):
    particles, frames, offsets, _ = made
    grid, k, real, tried = PaddedGrid(N), Lattice.of(N, N // 2).k, turning.resample_many, []
    expected, found, reporter = one_by_one(made, grid, k, False), {}, Counted()

    def scarce(some, *rest):
        tried.append(len(some))
        if len(some) > most:
            raise MemoryError
        return real(some, *rest)

    def put(rows, g, _, h):
        for row, data, weights in zip(range(rows.start, rows.stop), to_host(g), to_host(h), strict=True):
            found[row] = data, weights

    monkeypatch.setattr(turning, "resample_many", scarce)
    turned(particles.__getitem__, frames, offsets, grid, k, put, GPU, 2, reporter)
    assert tried == sizes  # halved where it was too large; what is left of seven is smaller
    assert sorted(found) == list(range(COUNT)) and reporter.steps == COUNT
    for row, (data, weights) in found.items():
        np.testing.assert_allclose(data, expected[0][row], atol=1e-5 * np.abs(expected[0]).max())
        np.testing.assert_allclose(weights, expected[2][row], atol=1e-5 * np.abs(expected[2]).max())


@pytest.mark.parametrize("streamed", [False, True])
def test_particles_prepared_on_a_gpu_are_those_of_the_processor(gpu, made, tmp_path, streamed):
    particles, frames, offsets, mask = made
    lattice = Lattice.of(N, N // 2)
    kept = [
        prepare(
            particles.__getitem__,
            frames,
            offsets,
            lattice,
            2,
            Silent(),
            mask,
            folder=tmp_path / where[:3] if streamed else None,
            device=where,
        )
        for where in ("cpu", GPU)
    ]
    for name in ("G", "GE", "H"):
        here, there = (np.asarray(getattr(each, name)[:]) for each in kept)
        np.testing.assert_allclose(there, here, atol=(2e-3 if streamed else 1e-5) * np.abs(here).max())


def test_what_is_made_ahead_comes_in_order_and_is_not_all_made_at_once():
    begun, lock = [], threading.Lock()

    def slow(i):
        with lock:
            begun.append(i)
        time.sleep(0.002 * (i % 3))
        return 10 * i

    results = ahead(slow, range(40), 3)
    assert next(results) == 0
    time.sleep(0.1)
    assert len(begun) <= 7
    assert list(results) == [10 * i for i in range(1, 40)]


def test_what_goes_wrong_ahead_goes_wrong_where_it_is_used():
    def fails(i):
        if i == 3:
            raise ValueError("the fourth")
        return i

    results = ahead(fails, range(9), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the fourth"):
        next(results)
