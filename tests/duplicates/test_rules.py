"""Which of near particles stay: facts on points, and agreement with brute force and with RELION."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.duplicates import greedy_keep, relion_keep
from napari_subtomo.errors import GeometryError, InputError
from napari_subtomo.io import relion
from napari_subtomo.io.star import StarBlock, read_star, write_star

LINE = [[0, 0, 0], [20, 0, 0], [40, 0, 0]]
ONE = ["a"] * 3


def brute_greedy(points: np.ndarray, groups: list[str], distance: float, scores: np.ndarray) -> np.ndarray:
    keep = np.zeros(len(points), dtype=bool)
    for i in sorted(range(len(points)), key=lambda row: (-scores[row], row)):
        near = [j for j in np.flatnonzero(keep) if groups[j] == groups[i] and np.sum((points[i] - points[j]) ** 2) <= distance**2]
        keep[i] = not near
    return keep


def brute_relion(points: np.ndarray, groups: list[str], distance: float) -> np.ndarray:
    n = len(points)
    return np.array(
        [not any(groups[i] == groups[j] and np.sum((points[i] - points[j]) ** 2) <= distance**2 for j in range(i + 1, n)) for i in range(n)]
    )


def cloud(n: int, seed: int) -> tuple[np.ndarray, list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    points = np.round(rng.uniform(0, 120, (n, 3)), 1)
    points[rng.integers(0, n, n // 6)] = points[rng.integers(0, n, n // 6)]  # some at the very same place
    return points, [str(g) for g in rng.integers(0, 3, n)], rng.integers(0, 5, n).astype(float)


def test_in_a_chain_the_ends_stay_because_a_removed_particle_removes_nobody() -> None:
    keep, winner = greedy_keep(LINE, ONE, 30)
    assert keep.tolist() == [True, False, True]
    assert winner.tolist() == [0, 0, 2]


def test_relions_rule_keeps_only_the_last_of_a_chain() -> None:
    assert relion_keep(LINE, ONE, 30).tolist() == [False, False, True]


def test_the_higher_score_stays() -> None:
    assert greedy_keep(LINE, ONE, 30, [1, 9, 2])[0].tolist() == [False, True, False]


def test_equal_scores_leave_the_first() -> None:
    assert greedy_keep([[0, 0, 0]] * 3, ONE, 1, [5, 5, 5])[0].tolist() == [True, False, False]


def test_nan_loses_against_any_number_and_among_nans_the_first_stays() -> None:
    places = [[0, 0, 0]] * 3
    assert greedy_keep(places, ONE, 1, [np.nan, -np.inf, np.nan])[0].tolist() == [False, True, False]
    assert greedy_keep(places, ONE, 1, [np.nan] * 3)[0].tolist() == [True, False, False]


def test_a_distance_equal_to_the_threshold_is_a_duplicate_in_both_rules() -> None:
    pair = [[0, 0, 0], [0, 0, 30]]
    assert greedy_keep(pair, ["a", "a"], 30)[0].tolist() == [True, False]
    assert relion_keep(pair, ["a", "a"], 30).tolist() == [False, True]
    assert greedy_keep(pair, ["a", "a"], 29.999)[0].all()
    assert relion_keep(pair, ["a", "a"], 29.999).all()


def test_particles_of_different_tomograms_are_never_compared() -> None:
    assert greedy_keep([[0, 0, 0]] * 3, ["01", "1", "1.0"], 10)[0].all()
    assert relion_keep([[0, 0, 0]] * 3, ["01", "1", "1.0"], 10).all()


def test_no_particles_give_no_particles() -> None:
    assert len(greedy_keep(np.zeros((0, 3)), [], 10)[0]) == 0
    assert len(relion_keep(np.zeros((0, 3)), [], 10)) == 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("distance", [3.0, 12.0, 40.0, 500.0])
def test_both_rules_agree_with_brute_force(seed: int, distance: float) -> None:
    points, groups, scores = cloud(150, seed)
    np.testing.assert_array_equal(greedy_keep(points, groups, distance, scores)[0], brute_greedy(points, groups, distance, scores))
    np.testing.assert_array_equal(greedy_keep(points, groups, distance)[0], brute_greedy(points, groups, distance, np.zeros(150)))
    np.testing.assert_array_equal(relion_keep(points, groups, distance), brute_relion(points, groups, distance))


def test_what_stays_is_far_apart_and_what_went_has_a_better_neighbour_that_stays() -> None:
    points, groups, scores = cloud(400, 9)
    keep, winner = greedy_keep(points, groups, 15, scores)
    for row in range(400):
        if keep[row]:
            others = [j for j in np.flatnonzero(keep) if j != row and groups[j] == groups[row]]
            assert np.linalg.norm(points[others] - points[row], axis=1).min() > 15
        else:
            assert keep[winner[row]]
            assert groups[winner[row]] == groups[row]
            assert (-scores[winner[row]], winner[row]) < (-scores[row], row)


def test_scores_and_not_the_order_of_rows_decide() -> None:
    points, groups, _ = cloud(200, 3)
    scores = np.random.default_rng(1).permutation(200).astype(float)
    keep, _ = greedy_keep(points, groups, 20, scores)
    order = np.random.default_rng(2).permutation(200)
    shuffled, _ = greedy_keep(points[order], [groups[i] for i in order], 20, scores[order])
    np.testing.assert_array_equal(keep[order], shuffled)


def test_positions_that_are_no_numbers_are_refused_by_row() -> None:
    with pytest.raises(GeometryError, match="particle 2"):
        greedy_keep([[0, 0, 0], [np.nan, 0, 0]], ["a", "a"], 10)
    with pytest.raises(InputError, match="one tomogram name a particle"):
        relion_keep([[0, 0, 0]], [], 10)


@pytest.mark.skipif(shutil.which("relion_star_handler") is None, reason="relion_star_handler is not installed")
def test_the_relion_rule_keeps_the_same_rows_as_relion_star_handler(tmp_path: Path) -> None:
    points, groups, _ = cloud(300, 17)
    origins = np.round(np.random.default_rng(5).normal(0, 6, (300, 3)), 2)
    optics = StarBlock.loop(
        relion.OPTICS,
        {
            relion.OPTICS_GROUP: [1],
            relion.OPTICS_GROUP_NAME: ["one"],
            relion.IMAGE_PIXEL_SIZE: [2.0],
            relion.IMAGE_SIZE: [64],
            relion.IMAGE_DIMENSIONALITY: [3],
            relion.VOLTAGE: [300.0],
            relion.SPHERICAL_ABERRATION: [2.7],
            relion.AMPLITUDE_CONTRAST: [0.1],
        },
    )
    columns = {relion.MICROGRAPH_NAME: [f"mic{g}" for g in groups]}
    columns |= dict(zip(relion.COORDINATES, points.T, strict=True)) | dict(zip(relion.ORIGINS, origins.T, strict=True))
    columns |= {relion.OPTICS_GROUP: [1] * 300, relion.IMAGE_NAME: [f"{i:06d}@stack.mrcs" for i in range(1, 301)]}
    write_star(tmp_path / "in.star", [optics, StarBlock.loop(relion.PARTICLES, columns)])
    command = ["relion_star_handler", "--i", "in.star", "--o", "out.star", "--remove_duplicates", "12", "--image_angpix", "1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    kept = read_star(tmp_path / "out.star")[relion.PARTICLES].texts(relion.IMAGE_NAME)
    mine = relion_keep(points - origins, groups, 12)
    assert 20 < len(kept) < 280
    assert sorted(kept) == [name for name, keep in zip(columns[relion.IMAGE_NAME], mine, strict=True) if keep]
