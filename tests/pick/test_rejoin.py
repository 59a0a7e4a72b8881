"""Edited picks find their particles again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.pick import Picks, join, join_particles, stable_ids

TOLERANCE = {"01": 0.1, "TS 1.mrc": 0.1}


def joined_rows(
    names: list[str], points: object, picks: Picks, ids: list[str] | None = None, pick_ids: list[str] | None = None
) -> list[int]:
    return join(names, np.asarray(points, dtype=float), picks, TOLERANCE, ids, pick_ids)[0].tolist()


def picks_at(points: object, name: str = "01") -> Picks:
    array = np.asarray(points, dtype=float).reshape(-1, 3)
    return Picks((name,) * len(array), array)


def test_two_picks_at_one_place_are_told_apart_by_their_ids() -> None:
    places = [[0, 0, 0], [0, 0, 0], [5, 5, 5]]
    assert joined_rows(["01"] * 3, places, picks_at([[5, 5, 5], [0, 0, 0]]), ["a", "b", "c"], ["c", "b"]) == [2, 1]


def test_two_picks_at_one_place_without_ids_keep_the_order_of_the_files() -> None:
    places = [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert joined_rows(["01"] * 3, places, picks_at(places)) == [0, 1, 2]
    assert joined_rows(["01"] * 3, places, picks_at(places[:2])) == [0, 1]


def test_an_id_finds_a_particle_that_was_moved_far_away() -> None:
    assert joined_rows(["01", "01"], [[0, 0, 0], [9, 9, 9]], picks_at([[9, 9, 9], [700, 0, 0]]), ["a", "b"], ["b", "a"]) == [1, 0]


def test_of_a_copied_pick_the_first_keeps_the_particle_and_the_copy_is_new() -> None:
    assert joined_rows(["01"], [[0, 0, 0]], picks_at([[3, 0, 0], [0, 0, 0]]), ["a"], ["a", "a"]) == [0, -1]


def test_an_id_of_another_tomogram_or_set_is_no_id() -> None:
    assert joined_rows(["TS 1.mrc"], [[0, 0, 0]], picks_at([[0, 0, 0]]), ["a"], ["a"]) == [-1]
    assert joined_rows(["01"], [[0, 0, 0]], picks_at([[0, 0, 0], [8, 0, 0]]), ["a"], ["z", ""]) == [0, -1]


def test_without_ids_the_nearest_within_the_tolerance_is_taken_once() -> None:
    places = [[0, 0, 0], [0.15, 0, 0]]
    assert joined_rows(["01"] * 2, places, picks_at([[0.08, 0, 0], [0.14, 0, 0], [0.3, 0, 0]])) == [0, 1, -1]


def test_nothing_joins_nothing() -> None:
    assert joined_rows([], np.zeros((0, 3)), picks_at([[0, 0, 0]])) == [-1]
    assert joined_rows(["01"], [[0, 0, 0]], picks_at([])) == []


@pytest.fixture
def make() -> Callable[..., ParticleSet]:
    def particle_set(n: int = 6, **columns: object) -> ParticleSet:
        rng = np.random.default_rng(4)
        base = {relion.TOMO_NAME: ["01", "TS 1.mrc"] * (n // 2)}
        base |= dict(zip(relion.CENTRED, rng.uniform(-300, 300, (3, n)), strict=True))
        base |= dict(zip(relion.ORIGINS, rng.normal(0, 20, (3, n)), strict=True))
        base |= dict(zip(relion.SUBTOMOGRAM_ANGLES, rng.uniform(-90, 90, (3, n)), strict=True))
        base |= {relion.CLASS_NUMBER: ["01"] * n, relion.RANDOM_SUBSET: ["1", "2", "1", "1", "2", "1"][:n]}
        return ParticleSet.create(base | columns, optics={relion.OPTICS_GROUP: [1, 2], relion.OPTICS_GROUP_NAME: ["second", "first"]})

    return particle_set


def rows_of(particles: ParticleSet) -> list[tuple[str, ...]]:
    return [tuple(texts[i] for texts in particles.table.columns.values()) for i in range(particles.n)]


def test_ids_are_names_where_those_are_unique_and_a_column_of_their_own_where_not(make: Callable[..., ParticleSet]) -> None:
    named = make(rlnTomoParticleName=[f"p/{i}" for i in range(6)])
    same, ids = stable_ids(named)
    assert same is named
    assert ids == named.names
    joined, ids = stable_ids(make(rlnTomoParticleName=["01/1"] * 6))  # two sets put together
    assert ids == tuple("123456")
    assert joined.texts(relion.ROW_ID) == ids
    assert stable_ids(joined.select([5, 2]))[1] == ("6", "3")


def test_unmoved_rows_keep_their_text_deleted_ones_go_and_new_ones_come_last(
    make: Callable[..., ParticleSet], tomograms: TomogramSet
) -> None:
    base, ids = stable_ids(make())
    positions = base.positions()
    picks = Picks((*base.tomo_names[3:], base.tomo_names[1], "01"), np.concatenate([positions[3:], positions[1:2], [[7.0, 8.0, 9.0]]]))
    result = join_particles(base, picks, tomograms, (*ids[3:], ids[1], ""))
    assert (result.kept, result.moved, result.added, result.dropped) == (4, 0, 1, 2)
    assert rows_of(result.particles)[:4] == [rows_of(base)[i] for i in (1, 3, 4, 5)]
    new = result.particles.select([4])
    np.testing.assert_allclose(new.positions(), [[7, 8, 9]])
    assert new.tomo_names == ("01",)
    assert new.texts(relion.ROW_ID) == ("7",)


def test_a_moved_pick_moves_the_true_position_and_only_the_cells_of_that_axis(
    make: Callable[..., ParticleSet], tomograms: TomogramSet
) -> None:
    base, ids = stable_ids(make())
    positions = base.positions()
    positions[2] += [0, 12.5, 0]
    result = join_particles(base, Picks(base.tomo_names, positions), tomograms, ids)
    assert (result.kept, result.moved) == (6, 1)
    np.testing.assert_allclose(result.particles.positions(), positions, atol=1e-6)
    before, after = rows_of(base), rows_of(result.particles)
    assert [i for i in range(6) if before[i] != after[i]] == [2]
    changed = [label for label, a, b in zip(base.table.labels, before[2], after[2], strict=True) if a != b]
    assert changed == [relion.CENTRED_Y]


def test_picks_without_ids_within_a_hundredth_voxel_are_unmoved(make: Callable[..., ParticleSet], tomograms: TomogramSet) -> None:
    base, _ = stable_ids(make())
    shaken = base.positions() + np.random.default_rng(0).uniform(-0.05, 0.05, (6, 3))  # Å; a voxel is 10 Å
    order = np.random.default_rng(1).permutation(6)
    picks = Picks(tuple(base.tomo_names[i] for i in order), shaken[order])
    result = join_particles(base, picks, tomograms)
    assert (result.kept, result.moved, result.added) == (6, 0, 0)
    assert rows_of(result.particles) == rows_of(base)


def test_a_new_pick_gets_the_group_half_and_name_that_fit(make: Callable[..., ParticleSet], tomograms: TomogramSet) -> None:
    base = make(
        rlnTomoParticleName=["01/1", "TS 1.mrc/1", "01/7", "TS 1.mrc/2", "01/3", "TS 1.mrc/3"],
        rlnOpticsGroup=["2", "1"] * 3,
        rlnImageName=["a.mrc"] * 6,
        rlnGroupName=["g1", "g2"] * 3,
        rlnTomoVisibleFrames=["[1,0]", "[1,1]"] * 3,
        trueClass=["2"] * 6,
        remark=["x y"] * 6,
    )
    picks = Picks((*base.tomo_names, "01", "01", "TS 1.mrc"), np.concatenate([base.positions(), np.eye(3) * 50]))
    new = join_particles(base, picks, tomograms, (*base.names, "", "", "")).particles.select([6, 7, 8])
    assert new.names == ("01/8", "01/9", "TS 1.mrc/4")
    assert new.texts(relion.OPTICS_GROUP) == ("2", "2", "1")
    assert new.texts(relion.RANDOM_SUBSET) == ("2", "2", "1")  # four of six were in half 1
    assert new.texts(relion.GROUP_NAME) == ("g1", "g1", "g2")
    assert new.texts(relion.VISIBLE_FRAMES) == ("[1,0]", "[1,0]", "[1,1]")
    assert new.texts(relion.IMAGE_NAME) == ("None",) * 3
    assert new.texts(relion.CLASS_NUMBER) == ("0",) * 3
    assert new.texts("trueClass") == ("0",) * 3
    assert new.texts("remark") == ("None",) * 3
    np.testing.assert_allclose(new.positions(), np.eye(3) * 50)
