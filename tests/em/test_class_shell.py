"""How far in resolution classes are told apart: shells in which species differ are taken, those that hold noise alone are not."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers import em_world as world
from helpers.fixed_poses import N, particles
from helpers.said import Said

from napari_subtomo.em import seeding
from napari_subtomo.em.class_shell import (
    MOST,
    Reach,
    class_shell,
    extended,
    finest,
    labels_from_others,
    shared_information,
    tried,
    witness,
)
from napari_subtomo.em.constraints import Region
from napari_subtomo.em.engine import initial_state, one_iteration
from napari_subtomo.em.fixed_poses import FixedPoses
from napari_subtomo.em.inside import Inside
from napari_subtomo.em.seeding import classes_at_poses
from napari_subtomo.em.start import cluster, rand_index
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.progress import Silent


def labels_of(fixed, classes=2, starts=4):
    given = (fixed.g, fixed.h, fixed.lattice, fixed.noise, 1.0, classes, 1.0, starts)
    return cluster(*given, 1, 1, Silent(), fixed.inside)


def reach(fixed, classes=2, **changed):
    last = int(fixed.lattice.shell[-1])
    given = {"temperature": 1.0, "regularisation": 1.0, "seed": 1, "threads": 1, "reporter": Silent()} | changed
    return class_shell(fixed, last, classes, **given)


@pytest.mark.parametrize("last", [2, 4, 5, 13, 40])
def test_shells_are_tried_from_coarse_to_all(last):
    shells = tried(last)
    assert shells[-1] == last and shells == sorted(set(shells)) and (last < 5 or shells[0] == 4)
    assert all(b / a < 1.4 for a, b in pairwise(shells))


def test_information_is_that_of_the_classes_and_none_by_chance():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], (50, 30, 20))
    entropy = -sum(p * np.log(p) for p in (0.5, 0.3, 0.2))
    assert shared_information(labels, 2 - labels) == pytest.approx(entropy - 4 / 200)
    chance = [shared_information(labels, rng.permutation(labels)) for _ in range(2000)]
    assert abs(np.mean(chance)) < 0.003
    assert shared_information(labels, np.zeros(100, int)) == 0


def test_the_best_shell_is_taken_or_a_finer_one_that_is_no_worse():
    spread = np.array([-1, 1, -1, 1]) * 0.02
    best = np.full(4, 0.5)
    assert finest(np.array([best - 0.1, best, best - 0.1])) == 1
    assert finest(np.array([best, best - 0.005 + spread, best - 0.1, best])) == 1  # and none beyond a gap
    assert finest(np.array([best, best, best])) == 2
    assert finest(np.array([best, best - 0.005])) == 0  # always a little worse


@pytest.mark.parametrize("seed", [1, 2])
def test_classes_are_found_by_the_shells_in_which_they_differ(seed):
    """All shells have noise partitions that hold themselves up; with the shells that halves agree on, species are found."""
    fixed, which = particles(seed=seed)
    by_all, _ = labels_of(fixed)
    found = reach(fixed)
    by_some, agreement = labels_of(fixed.up_to(found.shell))
    assert found.shell in (4, 5, 6)
    assert rand_index(which, by_all.argmax(1)) < 0.5 < 0.8 < rand_index(which, by_some.argmax(1))
    assert found.index > 0.3 and agreement > 0.95


def test_halves_do_not_agree_on_noise():
    one, _ = particles(counts=(80,), last=6)
    two, _ = particles(last=6)
    assert reach(one).index < 0.1 < reach(two).index
    assert reach(one).information < 0.3 * reach(two).information


def test_one_class_for_all_is_agreed_about_and_counted_as_one(monkeypatch):
    fixed, _ = particles(last=4)
    monkeypatch.setattr("napari_subtomo.em.class_shell._clustered", lambda part, *_: np.eye(3)[np.zeros(len(part.g), int)])
    found = reach(fixed, classes=3)
    assert found.index == 1 and found.classes == 1 and found.information <= 0


def test_clear_differences_are_told_by_all_shells():
    fixed, which = particles(differ=11, noise=2.0)
    found = reach(fixed)
    assert found.shell == 11 and found.index == 1 and found.classes == 2
    assert rand_index(which, labels_of(fixed.up_to(found.shell))[0].argmax(1)) == 1


def test_a_half_is_labelled_by_the_other_only():
    """Labels by maps of others do not change with the particles' own classes, and follow those of the others."""
    fixed, which = particles(noise=2.0)
    one, other = (fixed.up_to(5, np.arange(start, 80, 2)) for start in (0, 1))
    known = np.eye(2)[which[1::2]]
    assert (labels_from_others(one, other, known, 1.0, 1.0) == which[::2]).all()
    assert (labels_from_others(one, other, known[:, ::-1], 1.0, 1.0) == 1 - which[::2]).all()


def test_any_number_of_threads_and_any_grey_scale_give_the_same():
    fixed, _ = particles(last=5)
    found = reach(fixed)
    assert reach(fixed, threads=3) == found
    g, variance = fixed.g * np.float32(4), fixed.noise * np.float32(16)
    inside = Inside.of(g, fixed.h, fixed.inside.differences, fixed.inside.whole, 1)
    assert reach(replace(fixed, g=g, noise=variance, inside=inside)) == found


def test_large_sets_are_asked_in_part(monkeypatch):
    fixed, _ = particles(last=5)
    monkeypatch.setattr("napari_subtomo.em.class_shell.MOST", 40)
    sizes = []
    up_to = FixedPoses.up_to
    monkeypatch.setattr(FixedPoses, "up_to", lambda self, last, rows=None, threads=1: sizes.append(len(rows)) or up_to(self, last, rows))
    assert isinstance(reach(fixed), Reach) and set(sizes) == {20} and MOST > 1000


def test_shells_that_speak_for_the_classes_are_added():
    fixed, which = particles(differ=8)
    gamma = np.eye(2)[which]
    assert witness(fixed.up_to(6), gamma, 4, 1.0, 1.0) > 3
    assert witness(fixed.up_to(11), gamma, 9, 1.0, 1.0) < 3
    shell, after = extended(fixed, labels_of(fixed.up_to(4))[0], 4, 11, 1.0, 1.0, 1)
    assert shell in (6, 8)
    assert rand_index(which, after.argmax(1)) >= rand_index(which, labels_of(fixed.up_to(4))[0].argmax(1))


def test_noise_does_not_speak_for_classes():
    """Classes of noise in the shells before, and no share of a particle in what it is compared with."""
    for seed in range(1, 7):
        one, _ = particles(counts=(60,), seed=seed, last=8)
        gamma, _ = labels_of(one.up_to(5), starts=1)
        assert witness(one, gamma, 5, 1.0, 1.0) < 3


def test_a_single_class_has_no_witness():
    fixed, _ = particles()
    assert witness(fixed, np.eye(2)[np.zeros(80, int)], 5, 1.0, 1.0) == -np.inf


# --- in a classification ------------------------------------------------------------------------------------------------------

OPTIONS = {
    "classes": 2,
    "iterations": 4,
    "consensus_iterations": 2,
    "angular_step": 7.5,
    "local_range": 12.0,
    "offset_range": 1.0,
    "fixed_sampling": True,
    "restarts": 2,
    "absolute_greyscale": False,
}


@pytest.fixture(scope="module")
def sample():
    return world.simulate(n=16, count=30, snr=1.0, species=2, empty=8, error=6.0, seed=7, domain=2.0)


@pytest.mark.parametrize("divides", [False, True])
def test_where_halves_leave_a_class_empty_it_is_said_and_the_shells_stay_or_it_is_divided(sample, monkeypatch, divides):
    setup = world.setup(sample, **OPTIONS)
    state, said = initial_state(setup), Said()
    while state.iteration < 2:
        state, _ = one_iteration(setup, state, said)
    monkeypatch.setattr(seeding, "class_shell", lambda *_: Reach(4, 0.5, 0.9, 1))
    monkeypatch.setattr(seeding, "cluster", lambda g, *_: (np.eye(2)[np.zeros(len(g), int)], 1.0))
    if not divides:
        monkeypatch.setattr(seeding, "subdivided", lambda fixed, gamma, shell, *_: (shell, gamma))
    assert state.last_shell > 4
    begun, given = seeding.clustered_references(setup, state, said)
    assert np.isfinite(begun.maps).all()
    there = np.isfinite(given[:, 0])
    labels = given[there].argmax(1)
    if divides:
        assert begun.class_shell > 4 and any(", 2 of 2; two halves" in text and text.endswith("that it is two.") for text in said.messages)
        assert rand_index(labels, sample.labels[setup.order][there]) > 0.5
    else:
        assert begun.class_shell == 4 and (labels == 0).all()
        assert any(", 1 of 2; two halves" in text for text in said.messages)


@pytest.mark.parametrize(("limit", "expected"), [(0.0, None), (40.0, 4), (-1.0, "found")])
def test_the_limit_is_that_of_the_options_or_found_and_kept(sample, monkeypatch, limit, expected):
    setup = world.setup(sample, **OPTIONS, class_limit=limit)
    state, said = initial_state(setup), Said()
    while state.iteration < 3:
        before = state
        state, _ = one_iteration(setup, state, said)
    finest_shell = before.last_shell
    lines = [line for line in said.messages if line.startswith("Classes are told apart up to")]
    assert len(lines) == (expected == "found")
    if expected == "found":
        assert 1 <= state.class_shell <= finest_shell and "two halves of the particles agree about" in lines[0]
    else:
        extent = setup.lattice.n * setup.pixel_size
        assert state.class_shell == (finest_shell if expected is None else min(round(extent / limit), finest_shell))
    shells = []
    of = FixedPoses.of.__func__
    monkeypatch.setattr(FixedPoses, "of", classmethod(lambda cls, s, t, last, *a: shells.append(last) or of(cls, s, t, last, *a)))
    assert classes_at_poses(setup, state, Silent())[1] is not None
    assert classes_at_poses(setup, replace(state, class_shell=0), Silent())[1] is not None
    assert shells == [state.class_shell, state.last_shell]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_shell_that_hardly_any_data_reach_is_no_matter():
    """The mean of a tomogram, of which a contrast transfer function lets nothing through: with nothing expected of differences there, the
    strength that draws them together grew without bounds, and what a mask spreads to that shell from others overflowed with it."""
    plain, _ = particles(power=4.0)
    g, h = plain.g.copy(), plain.h.copy()
    g[:, 0] *= 1e-12
    h[:, 0] = 1e-12
    region = Region(soft_sphere(N, 9, 2), plain.lattice, g.shape[1])
    gamma, _ = labels_of(replace(plain, g=g, h=h, inside=Inside.of(g, h, region, region, 1)))
    assert np.isfinite(gamma).all()
