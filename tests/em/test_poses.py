"""Steps of the search follow the resolution, by rungs that double the poses."""

from __future__ import annotations

import numpy as np
import pytest

from napari_subtomo.em.poses import needed_step, pose_grid, steps_for
from napari_subtomo.geometry import so3


@pytest.mark.parametrize("asked", [7.5, 1.0, 0.3])
def test_a_step_is_as_fine_as_is_needed_and_at_most_a_rung_finer(asked: float) -> None:
    allowed = asked * np.linspace(0.05, 3.0, 500)
    found = np.array([needed_step(asked, float(a)) for a in allowed])
    enough = allowed >= asked
    np.testing.assert_array_equal(found[enough], asked)
    assert (found <= allowed * (1 + 1e-6)).all()
    assert (found[~enough] > allowed[~enough] / 2 ** (1 / 3) * (1 - 1e-6)).all()
    assert len(np.unique(found)) == 1 + 13  # a twentieth is 2^(-12.97/3): small changes of what is allowed leave the step as it is


def test_a_step_that_is_just_what_is_allowed_stays() -> None:
    for halvings in range(5):
        assert needed_step(8.0, 8.0 / 2**halvings) == 8.0 / 2**halvings


@pytest.mark.parametrize("shell", [9, 12, 15, 20])
def test_rotations_lose_about_a_tenth_of_the_last_shell_at_most_and_shifts_less(shell: int) -> None:
    n, radius = 48, 13.0
    angle, shift = steps_for(shell, n, radius, 60.0, 60.0)

    def amplitude(spread: float) -> float:
        """Left of the last shell by positions that are off by so many pixels in each direction."""
        return float(np.exp(-0.5 * (2 * np.pi * shell / n * spread) ** 2))

    assert 0.955 < amplitude(shift / np.sqrt(12)) < 0.98  # uniform in a cell; one rung finer loses 0.63 of what the coarsest loses
    # turned by a vector w, uniform in a cell of the body-centred lattice, points r of a ball move by w x r
    rng, vectors = np.random.default_rng(0), so3.ball(angle, 4 * angle)
    turns = rng.uniform(-1, 1, (4000, 3)) * angle
    turns -= vectors[np.linalg.norm(turns[:, None] - vectors, axis=2).argmin(1)]
    points = rng.normal(size=(4000, 3))
    points *= radius * (rng.uniform(size=4000) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    assert 0.895 < amplitude(float(np.sqrt(np.mean(np.cross(np.radians(turns), points) ** 2)))) < 0.945


def test_a_rung_doubles_the_poses() -> None:
    def count(step: float) -> int:
        return len(pose_grid(30.0, 30.0, step, 6.0, np.random.default_rng(0)).shifts)

    counts = [count(2 ** (-k / 3)) for k in range(4)]
    ratios = np.array(counts[1:]) / counts[:-1]
    assert ((ratios > 1.8) & (ratios < 2.2)).all(), counts
