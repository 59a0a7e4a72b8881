"""Repeats on halves: what they say of particles, classes and pairs of classes, and that one species in two classes is seen through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import em_files
from helpers.em_world import World, simulate

from napari_subtomo.em import stability
from napari_subtomo.em.agreement import Pair, contingency, matched, separation, summarise
from napari_subtomo.em.classify import run
from napari_subtomo.em.stability import Judgements, read_judgements
from napari_subtomo.errors import JobCancelled
from napari_subtomo.io import relion as r
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.star import read_star
from napari_subtomo.progress import Silent

N = 240


def judgements(labels: np.ndarray, of_half: Any, repeats: int = 2, seed: int = 1) -> Judgements:
    """Repeats in which `of_half(h, labels, rng)` is what the other half says of the particles of half h."""
    rng = np.random.default_rng(seed)
    found = Judgements.none(len(labels))
    for _ in range(repeats):
        half = rng.permutation(len(labels)) % 2
        given = np.where(half == 0, of_half(0, labels, rng), of_half(1, labels, rng))
        found = found.with_one(half, given)
    return found


def pairs(labels: np.ndarray, found: Judgements, classes: int = 3) -> dict[tuple[int, int], Pair]:
    return {(p.a, p.b): p for p in summarise(found, labels, classes, False, 1).pairs}


# --- figures on labels that are known -------------------------------------------------------------------------------------------


def test_other_numbers_of_the_same_classes_are_the_same_classes() -> None:
    labels = np.arange(N) % 3 + 1
    found = summarise(judgements(labels, lambda h, x, rng: (x + h) % 3 + 1), labels, 3, False, 1)
    assert (found.particles == 1).all()
    np.testing.assert_array_equal(found.classes, 1)
    assert [pair.separation for pair in found.pairs] == pytest.approx([1, 1, 1])
    assert all(pair.distinct for pair in found.pairs)


def test_a_particle_is_as_stable_as_the_share_of_repeats_that_agree() -> None:
    labels = np.repeat([1, 2], 20)
    right = labels.copy()
    wrong = labels.copy()
    wrong[:4] = 2
    half = np.arange(40) % 2
    found = Judgements.none(40).with_one(half, right).with_one(half, wrong)
    said = summarise(found, labels, 2, False, 1)
    assert said.particles.tolist() == [0.5] * 4 + [1.0] * 36
    # class 1 in each half: 10 particles, 8 of them found again; class 2: 10 of 12
    np.testing.assert_allclose(said.classes, [(1 + 0.8) / 2, (1 + 10 / 12) / 2])


def test_the_empty_class_is_matched_with_itself_alone() -> None:
    table = np.array([[0, 5, 9], [6, 0, 0], [1, 0, 2]])
    assert matched(table, empty=True).tolist() == [2, 1, 3]
    assert contingency(np.array([1, 1, 3]), np.array([2, 2, 3]), 3).tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_labels_of_chance_separate_nothing() -> None:
    """Separation is 0 on average whatever the sizes, and few of many pairs fall below p = 0.05."""
    rng = np.random.default_rng(5)
    labels = np.where(rng.random(60) < 0.2, 1, 2)
    drawn = [separation(judgements(labels, lambda h, x, g: g.integers(1, 3, len(x)), seed=s), labels, 1, 2, 2, rng) for s in range(60)]
    assert abs(np.mean([pair.separation for pair in drawn])) < 0.03
    assert sum(pair.p < 0.05 for pair in drawn) <= 8
    assert not any(pair.distinct for pair in drawn)


def test_a_true_class_in_two_halves_is_found_even_where_the_other_half_splits_the_other_class() -> None:
    """Classes 1 and 2 are one thing. One half splits it elsewhere, the other half splits class 3 instead."""
    labels = np.arange(N) % 3 + 1

    def of_half(h: int, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        coin = rng.integers(1, 3, len(x))
        return np.where(x == 3, 3, coin) if h == 0 else np.where(x == 3, coin, 3)

    found = pairs(labels, judgements(labels, of_half))
    assert not found[1, 2].distinct and abs(found[1, 2].separation) < 0.2
    assert found[1, 3].distinct and found[2, 3].distinct
    assert found[1, 3].separation > 0.9


def test_a_difference_that_is_sure_but_small_is_not_enough() -> None:
    """With many particles a slight tendency is significant; it does not make two classes of one."""
    rng = np.random.default_rng(2)
    labels = rng.integers(1, 3, 6000)
    found = judgements(labels, lambda h, x, g: np.where(g.random(len(x)) < 0.1, x, g.integers(1, 3, len(x))))
    pair = separation(found, labels, 1, 2, 2, rng)
    assert pair.p < 0.01 and 0.02 < pair.separation < 0.2 and not pair.distinct
    assert "tell them apart hardly" in pair.sentence


def test_a_class_without_particles_is_in_no_pair() -> None:
    labels = np.where(np.arange(N) % 2, 1, 3)
    found = summarise(judgements(labels, lambda h, x, rng: x), labels, 3, False, 1)
    assert [(p.a, p.b) for p in found.pairs] == [(1, 3)]
    assert np.isnan(found.classes[1]) and found.classes[0] == 1


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None])
def test_damaged_or_missing_repeats_are_made_again(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "run_repeats.npz"
    if damage is not None:
        path.write_bytes(damage)
    assert len(read_judgements(path, 5)) == 0
    np.savez(path, half=np.zeros((2, 5), np.int64), labels=np.ones((2, 5), np.int64))
    assert len(read_judgements(path, 5)) == 2
    assert len(read_judgements(path, 6)) == 0  # other particles


# --- whole classifications --------------------------------------------------------------------------------------------------------

QUICK: dict[str, Any] = {"repeats": 2, "iterations": 4, "consensus_iterations": 2}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stability, "ITERATIONS", 3)


@pytest.fixture(scope="module")
def two() -> World:
    """Two species and empty places."""
    made = simulate(n=16, count=64, empty=6, snr=1.0, species=2, error=5.0, seed=2, domain=3.0)
    made.given_offsets = made.offsets + np.random.default_rng(3).normal(size=made.offsets.shape) * 0.5
    return made


def model_of(folder: Any) -> Any:
    return read_star(folder.file("run_it004_model.star"))


def test_two_species_are_distinct_and_the_files_say_how_stable_everything_is(two: World, tmp_path: Path) -> None:
    em_files.write_project(tmp_path, two)
    folder, result = em_files.classify(tmp_path, two, **QUICK)
    model = model_of(folder)
    assert model[r.MODEL_PAIRS].ints(r.DISTINCT).tolist() == [1]
    assert model[r.MODEL_PAIRS].floats(r.SEPARATION)[0] > 0.8
    assert model[r.MODEL_CLASSES].floats(r.STABILITY).min() > 0.8
    assert read_particles(folder.file("run_it004_data.star")).floats(r.STABILITY).mean() > 0.9
    assert not any("not distinct" in line for line in result.summary)
    assert sum("stability" in line for line in result.summary) == 3
    np.testing.assert_allclose(result.numbers["stability"], model[r.MODEL_CLASSES].floats(r.STABILITY), atol=1e-5)


def test_two_identical_species_in_three_classes_are_reported_as_not_distinct(tmp_path: Path) -> None:
    world = simulate(n=16, count=48, snr=0.3, species=1, error=5.0, seed=3)
    em_files.write_project(tmp_path, world)
    # with the defaults there is a single class, and nothing to be told apart; drawn less together and without a mask, noise may split it
    loose = {"regularisation": 3.0, "auto_mask": False}
    folder, result = em_files.classify(tmp_path, world, **QUICK | loose, classes=3, fixed_sampling=False)
    there = int((np.array(result.numbers["counts"][:3]) > 0).sum())
    assert there > 1
    table = model_of(folder)[r.MODEL_PAIRS]
    assert len(table) == there * (there - 1) // 2
    assert not table.ints(r.DISTINCT).any()
    assert sum("are not distinct: maps made without their particles" in line for line in result.summary) == len(table)


def test_without_repeats_nothing_is_said(two: World, tmp_path: Path) -> None:
    em_files.write_project(tmp_path, two)
    folder, result = em_files.classify(tmp_path, two, **{**QUICK, "repeats": 1})
    assert r.MODEL_PAIRS not in model_of(folder)
    assert not model_of(folder)[r.MODEL_CLASSES].has(r.STABILITY)
    assert "stability" not in result.numbers and not folder.file("run_repeats.npz").exists()


def test_repeats_that_were_stopped_go_on_to_the_same_result(two: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    em_files.write_project(tmp_path, two)
    changed = {**QUICK, "repeats": 3, "classes": 2}
    whole, _ = em_files.classify(tmp_path, two, name="Class3D/job001", **changed)
    judge, calls = stability.judge, []

    def stopping(setup: Any, start: Any, repeat: int, reporter: Any) -> Any:
        calls.append(repeat)
        if len(calls) == 2:
            raise JobCancelled("stopped")
        return judge(setup, start, repeat, reporter)

    folder = em_files.job_folder(tmp_path, "Class3D/job002")
    monkeypatch.setattr(stability, "judge", stopping)
    with pytest.raises(JobCancelled):
        run(em_files.options_for(tmp_path, two, **changed), folder, Silent())
    assert not model_of(folder)[r.MODEL_CLASSES].has(r.STABILITY)
    run(em_files.options_for(tmp_path, two, **changed), folder, Silent())
    assert calls == [1, 2, 2]
    for label in (r.SEPARATION, r.SEPARATION_P):
        assert model_of(folder)[r.MODEL_PAIRS].texts(label) == model_of(whole)[r.MODEL_PAIRS].texts(label)
    data = [read_particles(one.file("run_it004_data.star")).texts(r.STABILITY) for one in (whole, folder)]
    assert data[0] == data[1]


def test_the_order_of_the_file_does_not_matter(two: World, tmp_path: Path) -> None:
    order = np.random.default_rng(3).permutation(len(two.particles))
    found = []
    for name, rows in (("a", None), ("b", order)):
        em_files.write_project(tmp_path / name, two, order=rows)
        folder, _ = em_files.classify(tmp_path / name, two, **QUICK)
        found.append(read_particles(folder.file("run_it004_data.star")).floats(r.STABILITY))
    np.testing.assert_array_equal(found[1], found[0][order])


def test_a_missing_state_of_the_common_average_is_made_again(two: World, tmp_path: Path) -> None:
    em_files.write_project(tmp_path, two)
    folder, _ = em_files.classify(tmp_path, two, **{**QUICK, "repeats": 1})
    folder.file("run_it002_state.npz").unlink()
    run(em_files.options_for(tmp_path, two, **QUICK), folder, Silent())
    assert model_of(folder)[r.MODEL_PAIRS].ints(r.DISTINCT).tolist() == [1]
