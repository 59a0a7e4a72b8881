"""Null places keep their distances."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist, pdist

from napari_subtomo.assess.places import null_places, region, shares

TAKEN = np.random.default_rng(1).uniform(-900, 900, (40, 3)) * [1, 1, 0.2]


def test_places_keep_away_from_particles_from_each_other_and_from_the_faces() -> None:
    where = region([2000, 2000, 800], [120, 120, 120], TAKEN, 200)
    places, separation = null_places(where, TAKEN, 200, 60, np.random.default_rng(2))
    assert len(places) == 60
    assert cdist(places, TAKEN).min() >= 200
    assert pdist(places).min() >= separation * (1 - 1e-6) >= 50 * (1 - 1e-6)
    assert (np.abs(places) <= [880, 880, 280]).all()


def test_places_lie_in_the_layer_of_the_particles() -> None:
    where = region([2000, 2000, 2000], [0, 0, 0], TAKEN, 200)
    places, _ = null_places(where, TAKEN, 200, 100, np.random.default_rng(2))
    assert places[:, 2].min() >= TAKEN[:, 2].min() - 200
    assert places[:, 2].max() <= TAKEN[:, 2].max() + 200
    assert np.abs(places[:, 2]).max() > 200  # but not only between them


def test_where_there_is_little_room_there_are_fewer_places() -> None:
    where = region([500, 500, 300], [50, 50, 50], TAKEN[:1] * 0, 150)
    places, separation = null_places(where, np.zeros((1, 3)), 150, 500, np.random.default_rng(3))
    assert 10 < len(places) < 500
    assert separation == 0.25 * 150
    assert np.linalg.norm(places, axis=1).min() >= 150


def test_where_there_is_no_room_there_is_no_place() -> None:
    assert len(null_places(region([300, 300, 300], [200, 200, 200], TAKEN, 100), TAKEN, 100, 10, np.random.default_rng(4))[0]) == 0
    small = region([200, 200, 200], [0, 0, 0], TAKEN[:1] * 0, 400)
    assert len(null_places(small, np.zeros((1, 3)), 400, 10, np.random.default_rng(4))[0]) == 0


def test_the_same_seed_gives_the_same_places() -> None:
    where = region([2000, 2000, 800], [120, 120, 120], TAKEN, 200)
    one, two, three = (null_places(where, TAKEN, 200, 20, np.random.default_rng(s))[0] for s in (5, 5, 6))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, three)


def test_places_are_shared_out_by_particles() -> None:
    np.testing.assert_array_equal(shares(300, [70, 30, 0]), [210, 90, 0])
    assert shares(100, [1, 1, 1]).sum() == 100
