"""Particles that fit no class are given to one that has died, and to no other."""

from dataclasses import replace

import numpy as np
from helpers import em_world as world
from helpers.fixed_poses import particles

from napari_subtomo.em import seeding
from napari_subtomo.em.engine import initial_state
from napari_subtomo.em.outliers import misfit, standing_out, with_outliers
from napari_subtomo.progress import Silent

BEADS = 6


def with_beads(beads=BEADS):
    """Two species and, at the end, beads that are many times brighter; and which is which."""
    plain, which = particles(counts=(40, 40), power=1.0)
    rng = np.random.default_rng(5)
    rows = np.arange(len(which) - beads, len(which))
    g = plain.g.copy()
    bead = 20 * (rng.normal(size=g.shape[1]) + 1j * rng.normal(size=g.shape[1]))
    g[rows] += bead.astype(np.complex64)
    which = which.copy()
    which[rows] = 2
    inside = replace(plain.inside, g=g)
    return replace(plain, g=g, inside=inside), which


def taken(fixed, labels, classes):
    return with_outliers(fixed, np.eye(classes)[labels], 1.0, 1.0, 20, 1)


def test_outliers_are_taken_by_the_class_that_had_died():
    fixed, which = with_beads()
    labels = np.where(which == 2, 1, which)
    found = taken(fixed, labels, 3)
    assert (found.argmax(1) == which).all()


def test_where_no_class_has_died_nothing_is_moved():
    fixed, which = with_beads()
    assert taken(fixed, np.where(which == 2, 1, which), 2) is None


def test_a_class_of_outliers_is_left_alone():
    fixed, which = with_beads()
    assert taken(fixed, which, 4) is None


def test_noise_alone_does_not_fill_a_class():
    fixed, which = particles(counts=(40, 40), power=1.0)
    assert taken(fixed, which, 3) is None


def test_misfit_is_one_where_noise_is_all_that_is_left():
    fixed, which = with_beads()
    left = misfit(fixed, np.eye(3)[which], 1.0, 1.0)
    np.testing.assert_allclose(left[which < 2].mean(), 1.0, atol=0.05)
    alone = misfit(fixed, np.eye(3)[np.where(which == 2, 1, which)], 1.0, 1.0)
    assert alone[which == 2].min() > 5
    assert (standing_out(alone) == (which == 2)).all()


def test_each_judgement_at_poses_offers_a_dead_class_what_fits_none():
    """Four bright particles come when classes have begun, and the search has put all into the first class."""
    made = world.simulate(n=16, count=60, snr=2.0, species=2, error=0.0, offset=0.0, seed=3, domain=30.0)
    rows = np.concatenate([np.flatnonzero(made.labels == 1), np.flatnonzero(made.labels == 2)[:4]])
    some = {name: getattr(made, name)[rows] for name in ("labels", "orientations", "offsets", "given_orientations", "given_offsets")}
    sample = replace(made, particles=[made.particles[i] for i in rows], **some)
    setup = world.setup(sample, classes=2, align=False, class_limit=0.0)
    state = initial_state(setup)
    state = replace(state, maps=np.repeat(state.maps, 2, axis=1), log_fractions=np.log([0.8, 0.1, 0.1]), iteration=2)
    after, judged = seeding.classes_at_poses(setup, state, Silent())
    assert (judged.argmax(1) + 1 == sample.labels[setup.order]).all()
    difference, size = (np.sqrt((maps**2).sum((1, 2, 3))) for maps in (after.maps[:, 1] - after.maps[:, 0], after.maps[:, 0]))
    assert (difference / size).min() > 0.3  # the search would else send them where they came from
