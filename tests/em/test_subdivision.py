"""A class that holds two is divided where halves of its particles agree about them, and only there."""

import numpy as np
import pytest
from helpers.fixed_poses import particles

from napari_subtomo.em import subdivision
from napari_subtomo.em.start import rand_index
from napari_subtomo.em.subdivision import subdivided
from napari_subtomo.progress import Silent


def divided(fixed, gamma, shell=4, **changed):
    last = int(fixed.lattice.shell[-1])
    given = {"temperature": 1.0, "regularisation": 1.0, "restarts": 3, "seed": 1, "threads": 1, "reporter": Silent()} | changed
    return subdivided(fixed, gamma, shell, last, **given)


def all_in_one(which, classes=2):
    return np.eye(classes)[np.zeros(len(which), int)]


@pytest.mark.parametrize("threads", [1, 2])
def test_two_species_in_one_class_are_told_apart_by_their_own_shells(threads):
    fixed, which = particles(seed=1)
    shell, gamma = divided(fixed, all_in_one(which), threads=threads)
    assert rand_index(gamma.argmax(1), which) > 0.8
    again, same = divided(fixed, all_in_one(which))
    assert again == shell
    np.testing.assert_array_equal(same, gamma)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_species_stays_one(seed):
    fixed, which = particles(counts=(80,), seed=seed)
    before = all_in_one(which, 3)
    shell, gamma = divided(fixed, before, shell=5)
    assert shell == 5 and gamma is before


def test_without_a_class_to_spare_nothing_is_asked(monkeypatch):
    fixed, which = particles(seed=1)
    monkeypatch.setattr(subdivision, "agreements", None)  # would fail
    before = np.eye(2)[np.random.default_rng(0).permutation(which)]
    assert divided(fixed, before)[1] is before
    some = np.eye(2)[(np.arange(len(which)) <= subdivision.SPARE * len(which)).astype(int)]  # just so many that none is to spare
    assert divided(fixed, some)[1] is some


@pytest.mark.parametrize(
    ("mean", "spread", "divides"), [(0.1, 0.05, True), (0.1, 0.5, False), (0.015, 0.001, False), (0.005, 0.0001, False)]
)
def test_what_halves_agree_about_must_be_enough_and_sure(monkeypatch, mean, spread, divides):
    """Twelve splits: the standard error is their spread over 3.5."""
    fixed, which = particles(seed=1)
    before = all_in_one(which)

    def said(part, shells, classes, splits, *_):
        information = mean + spread * np.where(np.arange(len(splits)) % 2, 1.0, -1.0)
        return np.stack([np.broadcast_to(information, (len(shells), len(splits)))] * 3, axis=2)

    monkeypatch.setattr(subdivision, "agreements", said)
    assert (divided(fixed, before)[1] is not before) == divides


def test_a_class_of_few_is_not_asked(monkeypatch):
    fixed, which = particles(counts=(9, 10), noise=1.0)
    monkeypatch.setattr(subdivision, "agreements", None)  # would fail
    before = all_in_one(which)
    assert divided(fixed, before)[1] is before


def test_the_members_of_a_class_that_is_spared_are_free_to_join_any(monkeypatch):
    fixed, which = particles(seed=1)
    labels = np.zeros(len(which), int)
    labels[:2] = 1
    starts = []
    real = subdivision.leave_one_out
    monkeypatch.setattr(subdivision, "leave_one_out", lambda *a, **k: starts.append(a[5]) or real(*a, **k))
    _, gamma = divided(fixed, np.eye(2)[labels])
    assert (starts[0][:2] == 0.5).all() and np.isin(starts[0][2:], (0, 1)).all()
    assert rand_index(gamma.argmax(1), which) > 0.8


def test_of_many_particles_some_are_asked_and_the_others_follow(monkeypatch):
    fixed, which = particles(counts=(60, 60), seed=1)
    asked = []
    real = subdivision.cluster
    monkeypatch.setattr(subdivision, "MOST", 80)
    monkeypatch.setattr(subdivision, "cluster", lambda g, *a, **k: asked.append(len(g)) or real(g, *a, **k))
    _, gamma = divided(fixed, all_in_one(which))
    assert asked == [80]
    assert rand_index(gamma.argmax(1), which) > 0.8


def test_what_all_particles_do_not_hold_up_is_left_alone(monkeypatch):
    fixed, which = particles(seed=1)
    before = all_in_one(which)
    monkeypatch.setattr(subdivision, "leave_one_out", lambda *a, **k: before.copy())
    assert divided(fixed, before)[1] is before
