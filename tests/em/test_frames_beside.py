"""Particles are searched in frames beside their poses: turned references are right, and stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import em_world as world
from scipy.spatial.transform import Rotation

from napari_subtomo.em import poses as grids
from napari_subtomo.em.engine import initial_state, iterate
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.poses import PoseGrid, found_grid, frames_beside, pose_grid
from napari_subtomo.em.sampling import iteration_poses
from napari_subtomo.geometry.orientations import angular_distance, random_matrices
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.numerics.rotate import Interpolation
from napari_subtomo.progress import Silent


@pytest.mark.parametrize("make", [pose_grid, found_grid])
def test_orientations_are_those_of_the_grid_about_the_poses(make) -> None:
    given = random_matrices(5, np.random.default_rng(1))
    grid = make(7.5, 15.0, 1.0, 2.0, np.random.default_rng(2))
    found = frames_beside(given)[:, None] @ grid.beside().rotations
    np.testing.assert_allclose(found, given[:, None] @ grid.rotations, atol=1e-12)
    np.testing.assert_array_equal(grid.beside().rotation_log_prior, grid.rotation_log_prior)


def amplitude(grid: PoseGrid, n: int = 32, shell: int = 10) -> np.ndarray:
    """Of blobs in the padded grid at the poses of a grid, against what they are at these points, by shell from 1."""
    lattice, blobs = Lattice.of(n, shell), world.density(n, blobs=20)
    blobs[:, :3] *= 1.6  # as far out as a particle reaches in its box
    volume = world.render(blobs, n)
    padded = PaddedGrid(n).up_to(shell + 1)
    transform = padded.transform(volume).reshape(-1, 1)
    agree, power = np.zeros(shell + 1), np.zeros(shell + 1)
    for rotation in grid.rotations:
        points = lattice.k.astype(float) @ rotation
        right = np.zeros(len(points), complex)
        for x, y, z, sigma, weight in blobs:
            spread = weight * (2 * np.pi * sigma**2) ** 1.5 * np.exp(-2 * (np.pi * sigma / n) ** 2 * (points**2).sum(1))
            right += spread * np.exp(-2j * np.pi / n * (points @ (x, y, z)))
        found = Interpolation(padded, points.astype(np.float32)).gather(transform)[:, 0]
        agree += np.bincount(lattice.shell, (found * right.conj()).real, shell + 1)
        power += np.bincount(lattice.shell, np.abs(right) ** 2, shell + 1)
    return (agree / power)[1:]


def test_references_are_neither_too_strong_nor_too_weak_where_particles_are_searched() -> None:
    """On the nodes nothing is interpolated, and the division by the envelope of interpolation is too much."""
    near = pose_grid(0.4, 0.5, 1.0, 0.0, np.random.default_rng(3))
    assert (amplitude(near) > 1.03).all()
    np.testing.assert_allclose(amplitude(near.beside()), 1.0, atol=0.02)


def turn_of_the_reference(aside: np.ndarray, monkeypatch) -> float:
    """Turn that all particles have in common after some iterations, degrees; their given orientations are right to a degree."""
    monkeypatch.setattr(grids, "ASIDE", aside)
    made = world.simulate(n=24, count=80, snr=0.1, species=1, error=1.0, seed=2)
    setup = world.setup(made, reference=made.maps[0], classes=1, iterations=6, stop_when_converged=False)
    *_, (state, _) = iterate(setup, initial_state(setup), Silent())
    turns = np.swapaxes(made.orientations, 1, 2) @ state.orientations
    return float(np.degrees(Rotation.from_matrix(turns).mean().magnitude()))


def test_a_reference_keeps_its_orientation(monkeypatch) -> None:
    kept, on_nodes = (turn_of_the_reference(aside, monkeypatch) for aside in (grids.ASIDE, np.eye(3)))
    assert kept < 0.6 < 1.0 < on_nodes, (kept, on_nodes)


@pytest.mark.parametrize(("changed", "single"), [({"local_range": 0.0}, True), ({"align": False}, True), ({"local_range": 10.0}, False)])
def test_particles_that_keep_their_orientation_are_in_the_frames_of_their_poses(changed, single) -> None:
    """There the grid is not padded, and turned references would be read between its nodes."""
    made = world.simulate(n=16, count=3, snr=1.0, species=1, seed=3)
    setup = world.setup(made, **changed)
    rotations = iteration_poses(setup, initial_state(setup), 1, Silent()).rotations
    assert np.array_equal(setup.frames, made.given_orientations) == single
    assert np.array_equal(rotations, np.eye(3)[None]) == single
    assert angular_distance(setup.frames[:, None] @ rotations, made.given_orientations[:, None]).min(1).max() < 5
