"""Objects keep their distance, picks are off by what was asked for, and nothing depends on the order of drawing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from napari_subtomo.errors import OptionError
from napari_subtomo.geometry.frames import Frame
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.geometry.projection import project
from napari_subtomo.options.simulate import SimulateOptions
from napari_subtomo.simulate.scene import Scene, counts, make_scene, tilt_series


def scene(tomogram: int = 0, **options: Any) -> tuple[Scene, SimulateOptions]:
    chosen = SimulateOptions(**{"seed": 3, **options})
    series = tilt_series(chosen, "a", tomogram)
    return make_scene(chosen, ["holo", "apo"], tomogram, series, Frame(chosen.size_xyz, chosen.pixel_size)), chosen


def test_the_default_sample_is_what_it_says() -> None:
    made, _ = scene()
    assert len(made.kinds) == 114
    assert (made.classes == 0).sum() == 34  # 30 %
    names = list(made.names)
    assert [names.count(n) for n in ("holo", "apo", "bead", "membrane", "empty")] == [40, 40, 8, 9, 17]
    assert all((c == 0) == (n in ("bead", "membrane", "empty")) for c, n in zip(made.classes, names, strict=True))
    assert [names[i] for i in np.flatnonzero(made.classes == 2)] == ["apo"] * 40


def test_true_and_false_picks_are_mixed() -> None:
    made, _ = scene()
    thirds = [part.mean() for part in np.array_split(made.classes > 0, 3)]
    assert min(thirds) > 0.5 and max(thirds) < 0.9


def test_nothing_overlaps_and_some_places_are_crowded() -> None:
    made, options = scene()
    nearest = cKDTree(made.positions).query(made.positions, k=2)[0][:, 1]
    assert nearest.min() >= options.separation >= 1.05 * options.diameter
    assert (nearest < 1.15 * options.separation).mean() > 0.4
    sparse, _ = scene(crowding=0.0, particles=20)
    assert (cKDTree(sparse.positions).query(sparse.positions, k=2)[0][:, 1] < 1.15 * options.separation).mean() < 0.5


def test_every_pick_has_room_for_its_box_in_the_tomogram_and_in_every_image() -> None:
    made, options = scene(image_shift=40.0)
    frame = Frame(options.size_xyz, options.pixel_size)
    voxels = frame.voxels_zyx(made.picked_positions)
    half = options.box / 2
    assert (voxels >= half).all() and (voxels <= np.array([96, 384, 384]) - half).all()
    places = project(made.positions, tilt_series(options, "a", 0), frame, (384, 384))[..., :2]
    assert places.min() >= half and places.max() <= 383 - half


def test_orientations_are_off_by_a_gaussian_rotation_cut_at_its_maximum() -> None:
    made, _ = scene(prior_error=8.0)
    true = made.classes > 0
    errors = angular_distance(made.picked_matrices[true], made.matrices[true])
    assert errors.max() <= 10 and 5.8 < np.sqrt((errors**2).mean()) < 7.5
    wide, _ = scene(prior_error=4.0, prior_error_max=180.0)
    assert np.sqrt((angular_distance(wide.picked_matrices[true], wide.matrices[true]) ** 2).mean()) == pytest.approx(4, rel=0.15)


def test_orientations_of_false_picks_are_guesses() -> None:
    made, _ = scene()
    false = made.classes == 0
    assert np.median(angular_distance(made.picked_matrices[false], made.matrices[false])) > 60


def test_orientations_of_particles_are_uniform() -> None:
    made, _ = scene()
    assert np.abs(made.matrices.mean(axis=0)).max() < 0.25


def test_positions_are_off_by_the_wanted_amount() -> None:
    made, _ = scene(position_error=5.0)
    errors = made.picked_positions - made.positions
    assert errors.std(axis=0) == pytest.approx([5, 5, 5], rel=0.25)
    exact, _ = scene(position_error=0.0)
    np.testing.assert_array_equal(exact.picked_positions, exact.positions)


def test_errors_and_poses_of_a_particle_do_not_depend_on_how_many_there_are() -> None:
    few, _ = scene(particles=20, false_fraction=0.0)
    many, _ = scene(particles=60, false_fraction=0.0)
    np.testing.assert_array_equal(few.matrices, many.matrices[:20])
    np.testing.assert_array_equal(few.picked_positions - few.positions, (many.picked_positions - many.positions)[:20])


def test_tomograms_and_seeds_differ() -> None:
    first, again, other, seed = (scene(t, particles=10, seed=s)[0].positions for t, s in ((0, 3), (0, 3), (1, 3), (0, 4)))
    np.testing.assert_array_equal(first, again)
    assert not np.isclose(first, other).any() and not np.isclose(first, seed).any()


def test_doses_go_to_small_tilts_first() -> None:
    series = tilt_series(SimulateOptions(dose=3.0), "a", 0)
    assert series.y_tilt.tolist() == np.arange(-60, 61, 3.0).tolist()
    dose = dict(zip(series.y_tilt, series.dose, strict=True))
    assert [dose[t] for t in (0, -3, 3, -6, 6)] == [0, 3, 6, 9, 12]
    assert max(series.dose) == 120 == dose[60]
    np.testing.assert_allclose(series.scale, np.cos(np.radians(series.y_tilt)))


def test_defocus_lies_in_its_range_and_u_exceeds_v_by_the_astigmatism() -> None:
    options = SimulateOptions(defocus_min=20000, defocus_max=30000, defocus_spread=0, astigmatism=300)
    defoci = [tilt_series(options, "a", i) for i in range(20)]
    middles = np.array([(s.defocus_u[0] + s.defocus_v[0]) / 2 for s in defoci])
    assert middles.min() >= 20000 and middles.max() <= 30000 and np.ptp(middles) > 5000
    np.testing.assert_allclose(defoci[0].defocus_u - defoci[0].defocus_v, 300)


def test_proportions_are_kept_to_the_last_particle() -> None:
    assert counts(10, [1, 1, 1]).tolist() == [4, 3, 3]
    assert counts(80, [3, 1]).tolist() == [60, 20]
    made, _ = scene(particles=30, proportions=(2.0, 1.0))
    assert [(made.classes == c).sum() for c in (1, 2)] == [20, 10]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"particles": 400}, "found room for"),
        ({"thickness": 300.0}, "at least 520"),
        ({"prior_error": 90.0, "prior_error_max": 0.1}, "prior error"),
    ],
)
def test_what_cannot_be_placed_is_said_in_one_sentence(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        scene(**options)


@pytest.mark.parametrize("tomogram", [0, 1])
def test_a_packing_that_runs_out_of_room_is_begun_anew(tomogram: int) -> None:
    """With this seed a first packing holds 113 of 114 objects."""
    made, _ = scene(tomogram, seed=4)
    assert len(made.kinds) == 114
