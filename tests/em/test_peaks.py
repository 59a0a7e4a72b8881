"""Between the poses of a grid the peak of a posterior is found, wherever the best pose of the grid lies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_subtomo.em.peaks import Neighbourhoods, peaks
from napari_subtomo.em.poses import PoseGrid, pose_grid

SPAN = 16.0


@dataclass
class Found:
    """Errors of n particles, of the best pose of the grid and of the peak: degrees and pixels."""

    best: tuple[np.ndarray, np.ndarray]
    peak: tuple[np.ndarray, np.ndarray]


def found(
    poses: PoseGrid, sigma_degrees: float, sigma_px: float, reach_degrees: float, reach_px: float, count: int = 60, skew: bool = True
) -> Found:
    """Posteriors that are Gaussian about random true poses, of which those within `SPAN` are known."""
    rng = np.random.default_rng(7)
    rotations = Rotation.from_matrix(poses.rotations)
    turns = Rotation.from_rotvec(_in_ball(rng, count, np.radians(reach_degrees)))
    moves = _in_ball(rng, count, reach_px)
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    precision = axes @ np.diag([1, 1, 1, 0.6, 1.3, 1.8]) @ axes.T if skew else np.eye(6)
    columns: list[list[np.ndarray]] = [[], [], []]
    for turn, move in zip(turns, moves, strict=True):
        d = (turn.inv() * rotations).as_rotvec(degrees=True) / sigma_degrees
        e = (poses.shifts - move) / sigma_px
        x = np.concatenate([np.repeat(d, len(e), 0), np.tile(e, (len(d), 1))], axis=1)
        score = -0.5 * np.einsum("ei,ij,ej->e", x, precision, x)
        kept = np.flatnonzero(score > score.max() - SPAN)
        kept = kept[np.argsort(-score[kept], kind="stable")]
        for column, values in zip(columns, (kept // len(e), kept % len(e), score[kept]), strict=True):
            column.append(values)
    rotation, shift, score = (np.concatenate(column) for column in columns)
    begin = np.cumsum([0, *map(len, columns[0])])[:-1]
    orientation, offset = peaks(Neighbourhoods(poses), rotation.astype(np.int32), shift.astype(np.int32), score, begin, SPAN)

    def errors(matrices: np.ndarray, shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.degrees((turns.inv() * Rotation.from_matrix(matrices)).magnitude()), np.linalg.norm(shifts - moves, axis=1)

    np.testing.assert_allclose(orientation @ orientation.transpose(0, 2, 1), np.broadcast_to(np.eye(3), orientation.shape), atol=1e-9)
    return Found(errors(poses.rotations[rotation[begin]], poses.shifts[shift[begin]]), errors(orientation, offset))


def _in_ball(rng: np.random.Generator, count: int, radius: float) -> np.ndarray:
    vectors = rng.normal(size=(count, 3))
    return vectors * (radius * rng.uniform(size=count) ** (1 / 3) / np.linalg.norm(vectors, axis=1))[:, None]


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_a_peak_inside_the_grid_is_found_between_its_poses(width: float) -> None:
    """Posteriors half a step to two steps wide: within a tenth of their width, or a fifth of what the best pose is off."""
    poses = pose_grid(5.0, 20.0, 1.0, 4.0, np.random.default_rng(0))
    errors = found(poses, 5.0 * width, width, 12.0, 2.0)
    for best, peak, step in zip(errors.best, errors.peak, (5.0, 1.0), strict=True):
        assert np.median(best) > 0.3 * step
        assert np.median(peak) < max(0.2 * np.median(best), 0.1 * width * step)
        assert peak.max() < 0.25 * max(width, 1) * step


def test_where_neighbours_are_too_unlikely_to_be_known_the_peak_is_still_nearer_than_the_best_pose() -> None:
    poses = pose_grid(5.0, 20.0, 1.0, 4.0, np.random.default_rng(0))
    errors = found(poses, 1.0, 0.2, 12.0, 2.0)
    for best, peak in zip(errors.best, errors.peak, strict=True):
        assert np.median(peak) < 0.5 * np.median(best) and peak.mean() < best.mean()


def test_neighbours_on_some_sides_will_do() -> None:
    """A shift in the middle and six about it: what they don't tell of a curvature is that of the directions that they tell."""
    poses = pose_grid(5.0, 20.0, 1.0, 1.0, np.random.default_rng(0))
    assert len(poses.shifts) == 7
    errors = found(poses, 5.0, 1.0, 12.0, 0.3, skew=False)
    assert np.median(errors.peak[1]) < 0.3 * np.median(errors.best[1])


def test_nothing_is_guessed_beyond_the_edge_of_the_grid() -> None:
    """A peak outside pulls towards the edge and along it, no further: only noise would tell how far."""
    poses = pose_grid(5.0, 20.0, 1.0, 3.0, np.random.default_rng(0))
    shifts, turns = poses.shifts, Rotation.from_matrix(poses.rotations).as_rotvec(degrees=True)
    for direction in np.vstack([np.eye(3), -np.eye(3)]):
        score = -0.5 * (np.linalg.norm(shifts - 5.0 * direction, axis=1) / 1.0) ** 2
        order = np.argsort(-score)
        order = order[score[order] > score.max() - SPAN]
        none = np.zeros(len(order), np.int32)
        _, offset = peaks(Neighbourhoods(poses), none, order.astype(np.int32), score[order], np.array([0]), SPAN)
        assert shifts[order[0]] @ direction > 2.5 and offset[0] @ direction <= shifts[order[0]] @ direction + 1e-3
        score = -0.5 * (np.linalg.norm(turns - 28.0 * direction, axis=1) / 5.0) ** 2
        order = np.argsort(-score)
        order = order[score[order] > score.max() - SPAN]
        orientation, _ = peaks(
            Neighbourhoods(poses), order.astype(np.int32), none[:1].repeat(len(order)), score[order], np.array([0]), SPAN
        )
        farthest = np.linalg.norm(turns, axis=1).max()
        assert Rotation.from_matrix(orientation[0]).magnitude() <= np.radians(farthest + 0.5)


def test_rotations_that_are_no_lattice_will_do() -> None:
    """A grid of all orientations, whose steps are uneven."""
    poses = pose_grid(15.0, -1.0, 1.0, 0.0, np.random.default_rng(1))
    errors = found(poses, 10.0, 1.0, 180.0, 0.0, count=20)
    assert np.median(errors.peak[0]) < 0.2 * np.median(errors.best[0])


def test_a_single_pose_stays_what_it_is() -> None:
    one = np.zeros(3, np.int32)
    orientation, offset = peaks(Neighbourhoods(PoseGrid.single()), one, one, np.zeros(3), np.arange(3), SPAN)
    np.testing.assert_array_equal(orientation, np.broadcast_to(np.eye(3), (3, 3, 3)))
    np.testing.assert_array_equal(offset, 0)


def test_a_pose_of_which_no_neighbour_is_known_stays_where_it_is() -> None:
    poses = pose_grid(7.5, 15.0, 1.0, 2.0, np.random.default_rng(2))
    rotation, shift = np.arange(1, 16, dtype=np.int32), np.arange(15, dtype=np.int32)
    orientation, offset = peaks(Neighbourhoods(poses), rotation, shift, np.zeros(15), np.arange(15), SPAN)
    np.testing.assert_allclose(orientation, poses.rotations[rotation], atol=1e-6)
    np.testing.assert_allclose(offset, poses.shifts[shift], atol=1e-6)


def test_a_particle_does_not_depend_on_those_beside_it() -> None:
    poses = pose_grid(7.5, 15.0, 1.0, 2.0, np.random.default_rng(2))
    rng = np.random.default_rng(3)
    parts = []
    for _ in range(5):
        pairs = rng.choice(len(poses.rotations) * len(poses.shifts), 300, replace=False)
        parts.append((pairs // len(poses.shifts), pairs % len(poses.shifts), -np.sort(rng.exponential(3.0, 300))))
    rotation, shift, score = (np.concatenate(column) for column in zip(*parts, strict=True))
    together = peaks(Neighbourhoods(poses), rotation, shift, score, np.arange(5) * 300, SPAN)
    for i, part in enumerate(parts):
        alone = peaks(Neighbourhoods(poses), *part, np.array([0]), SPAN)
        for all_of_them, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(all_of_them[i], one[0], atol=1e-9)
