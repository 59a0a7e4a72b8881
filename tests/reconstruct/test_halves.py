"""Half sets: read or drawn, and honestly named."""

from __future__ import annotations

import numpy as np
import pytest

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.reconstruct.halves import MAYBE_GOLD, NOT_GOLD, choose_halves


def particles(images: list[str], halves: list[int] | None = None) -> ParticleSet:
    columns = {relion.TOMO_NAME: ["TS"] * len(images), relion.IMAGE_NAME: images}
    if halves is not None:
        columns[relion.RANDOM_SUBSET] = halves  # type: ignore[assignment]
    return ParticleSet.create(columns)


NAMES = [f"{i}.mrc" for i in range(101)]


def test_a_split_has_equal_halves_and_is_not_called_gold_standard() -> None:
    halves = choose_halves(particles(NAMES), 1)
    assert sorted(np.bincount(halves.numbers).tolist()) == [0, 50, 51]
    assert halves.made_here and halves.both
    assert halves.label == NOT_GOLD
    assert "not gold-standard" in halves.explanation


def test_the_split_is_seeded_and_does_not_hang_on_the_order() -> None:
    numbers = choose_halves(particles(NAMES), 1).numbers
    order = np.random.default_rng(0).permutation(len(NAMES))
    assert np.array_equal(choose_halves(particles([NAMES[i] for i in order]), 1).numbers, numbers[order])
    assert 20 < (choose_halves(particles(NAMES), 2).numbers != numbers).sum() < 80


def test_copies_of_one_subtomogram_stay_in_one_half() -> None:
    numbers = choose_halves(particles([*NAMES, *NAMES]), 1).numbers
    assert np.array_equal(numbers[:101], numbers[101:])


def test_half_sets_of_the_file_are_kept_and_gold_standard_is_not_promised() -> None:
    halves = choose_halves(particles(NAMES[:4], [1, 2, 2, 1]), 1)
    assert halves.numbers.tolist() == [1, 2, 2, 1]
    assert not halves.made_here and halves.both and not halves.warnings
    assert halves.label == MAYBE_GOLD
    assert "which the file does not tell" in halves.explanation


def test_an_image_in_both_halves_is_told() -> None:
    halves = choose_halves(particles(["a.mrc", "b.mrc", "a.mrc"], [1, 2, 2]), 1)
    assert halves.label == NOT_GOLD
    assert "1 subtomograms are in both half sets" in halves.warnings[0]


def test_an_empty_half_gives_no_fsc_and_says_so() -> None:
    halves = choose_halves(particles(NAMES[:3], [2, 2, 2]), 1)
    assert not halves.both
    assert halves.warnings == ("Half set 1 has no particles, so there is no FSC; only the merged map is written.",)


def test_particles_of_neither_half_are_told() -> None:
    halves = choose_halves(particles(NAMES[:3], [1, 0, 2]), 1)
    assert halves.both
    assert "1 of 3 particles belong to neither half set" in halves.warnings[0]


def test_one_particle_has_no_halves() -> None:
    halves = choose_halves(particles(["a.mrc"]), 1)
    assert not halves.both
    assert "at least two subtomograms" in halves.warnings[0]


def test_a_third_half_is_refused() -> None:
    with pytest.raises(InputError, match=r"found 3 for particle TS/2 \(row 2\)"):
        choose_halves(particles(NAMES[:2], [1, 3]), 1)
