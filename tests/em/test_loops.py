"""The engine's compiled loops against arrays: sums over poses, back-rotation, classes at fixed poses, whole iterations."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from helpers import em_world as world
from helpers.no_loops import without_loops

from napari_subtomo.em import back_rotation, pose_sums
from napari_subtomo.em.engine import initial_state, one_iteration
from napari_subtomo.em.inside import Inside
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.start import leave_one_out
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Silent


@pytest.mark.parametrize("more", [{}, {"symmetry": "C2"}, {"align": False}, {"particle_scales": True}])
def test_an_iteration_is_the_same_with_arrays(monkeypatch: pytest.MonkeyPatch, more: dict[str, object]) -> None:
    small = world.simulate(n=16, count=24, snr=0.3, species=2, seed=4)
    setup = world.setup(small, iterations=3, classes=2, offset_range=1.0, folds=3, threads=2, start="random", **more)
    compiled, _ = one_iteration(setup, initial_state(setup), Silent())
    without_loops(monkeypatch)
    arrays, _ = one_iteration(setup, initial_state(setup), Silent())
    np.testing.assert_array_equal(compiled.labels, arrays.labels)
    np.testing.assert_allclose(compiled.maps, arrays.maps, atol=1e-5 * np.abs(arrays.maps).max())
    np.testing.assert_allclose(compiled.noise, arrays.noise, rtol=1e-5)
    np.testing.assert_allclose(compiled.orientations, arrays.orientations, atol=1e-4)


def test_left_out_shares_are_those_of_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, lattice = np.random.default_rng(1), Lattice.of(16, 6)
    n, voxels = 30, len(lattice)
    h = rng.uniform(0, 2, (n, voxels)).astype(np.float32)
    species = np.arange(n) % 2
    signal = (rng.normal(size=(2, voxels)) + 1j * rng.normal(size=(2, voxels))) / 3
    noise = np.full((n, voxels), 0.7, np.float32)
    noisy = rng.normal(size=(n, voxels)) + 1j * rng.normal(size=(n, voxels))
    g = (h * signal[species] + np.sqrt(0.35 * h) * noisy).astype(np.complex64)
    inside = Inside((0.8 * g).astype(np.complex64), lambda values: np.asarray(0.9 * values, np.complex64), lambda values: values)
    start = np.eye(3)[rng.integers(0, 3, n)] * 0.8 + 0.2 / 3
    given = (g, h, lattice, noise, 40.0, start, 1.0, 4)
    found = [leave_one_out(*given, where, threads) for where in (None, inside) for threads in (1, 2)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[2], found[3])
    without_loops(monkeypatch)
    for gamma, where in ((found[0], None), (found[2], inside)):
        np.testing.assert_allclose(gamma, leave_one_out(*given, where, 1), atol=1e-4)
    assert np.abs(found[0] - found[2]).max() > 0.01 and 0.05 < found[0].max(1).min() < 0.99


def poses_of(rng: np.random.Generator, particles: int, rotations: int, shifts: int, classes: int) -> pose_sums.Poses:
    """Poses of particles, one of which has none, as `Poses` has them."""
    counts = rng.integers(1, 9, particles)
    counts[2] = 0
    start, total = np.append(0, np.cumsum(counts)), int(counts.sum())
    indices = [rng.integers(0, most, total).astype(np.int32) for most in (shifts, classes, rotations)]
    return pose_sums.Poses(start, *indices, rng.uniform(0, 1, total).astype(np.float32))


class Shifted(pose_sums.Shifted):
    """Particles without an E-step about them."""

    def data(self, ids, voxels=None):
        return self.prepared[0][ids, voxels or slice(None)]

    def weight(self, ids, voxels=None):
        return self.prepared[1][ids, voxels or slice(None)]


@pytest.mark.parametrize("threads", [1, 3])
def test_sums_over_poses_and_their_insertion_are_those_of_sparse_products(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    rng, lattice, grid = np.random.default_rng(2), Lattice.of(24, 9), PaddedGrid(24, limit=9)
    particles, rotations, classes, voxels = 11, 7, 3, len(lattice)
    assert voxels > pose_sums.RANGES * 3 * 200 and grid.edge < grid.size
    data = (rng.normal(size=(particles, voxels)) + 1j * rng.normal(size=(particles, voxels))).astype(np.complex64)
    weight = rng.uniform(0, 1, (particles, voxels)).astype(np.float32)
    turns = np.exp(2j * np.pi * rng.uniform(size=(5, voxels))).astype(np.complex64)
    matrices = np.stack([np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(rotations)])
    step = SimpleNamespace(
        poses=SimpleNamespace(rotations=matrices),
        model=SimpleNamespace(maps=np.zeros((2, classes))),
        grid=grid,
        lattice=lattice,
        device="cpu",
    )
    shifted = Shifted(step, (data, weight), turns, np.ones((1, 10), np.float32))
    poses = poses_of(rng, particles, rotations, 5, classes)
    members = [np.arange(0, 11, 2), np.arange(1, 11, 2)]
    mates = np.stack([np.eye(3), np.diag([-1.0, -1.0, 1.0])])
    old = [pose_sums.PoseSums(np.zeros(0, int), np.full((30, voxels), 7, np.complex64), np.full((30, voxels), 7, np.float32))]

    def both(used) -> tuple[list[pose_sums.PoseSums], back_rotation.GridSums]:
        parts = pose_sums.fold_sums(shifted, poses, members, 1, 5, threads, Silent(), used)
        sums = back_rotation.GridSums.zero(step, np)
        for folds in back_rotation.fold_groups(sums, threads):
            back_rotation.insert(step, parts[folds], np.arange(1, 6), sums, folds, voxels, mates, threads, Silent())
        return parts, sums

    found, on_grid = both(old)
    assert found[0].data.base is old[0].data and on_grid.together is not None
    without_loops(monkeypatch)
    expected, grid_expected = both(())
    assert grid_expected.together is None
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a.keys, b.keys)
        np.testing.assert_allclose(a.data, b.data, atol=1e-5)
        np.testing.assert_allclose(a.weight, b.weight, atol=1e-5)
    for name in ("numerator", "denominator"):
        one, other = getattr(on_grid, name), getattr(grid_expected, name)
        np.testing.assert_allclose(one, other, atol=1e-5 * np.abs(other).max())
