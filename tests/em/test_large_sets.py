"""Where classes of very many particles begin: some are clustered, and the others follow."""

from types import SimpleNamespace

import numpy as np
from helpers.fixed_poses import particles

from napari_subtomo.em import seeding
from napari_subtomo.em.start import cluster, rand_index
from napari_subtomo.progress import Silent

OPTIONS = SimpleNamespace(classes=2, restarts=3, seed=1, threads=1, regularisation=1.0)


def test_some_are_clustered_and_the_others_follow(monkeypatch):
    fixed, which = particles(counts=(70, 70), noise=2.5)
    sizes, real = [], seeding.cluster
    monkeypatch.setattr(seeding, "MOST", 50)
    monkeypatch.setattr(seeding, "cluster", lambda g, *a: sizes.append(len(g)) or real(g, *a))
    gamma, agreement = seeding._clustered(fixed.up_to(5), OPTIONS, 1.0, Silent())
    assert sizes == [50] and gamma.shape == (140, 2) and agreement > 0.9
    np.testing.assert_allclose(gamma.sum(1), 1, atol=1e-6)
    assert rand_index(gamma.argmax(1), which) > 0.9


def test_those_that_follow_gain_by_all_particles(monkeypatch):
    """The classes of a few are poor ones; particles are not left with the labels that these give them."""
    fixed, which = particles(counts=(150, 150), noise=4.0, seed=3)
    part, given = fixed.up_to(5), []
    real = seeding.labels_from_others
    monkeypatch.setattr(seeding, "MOST", 60)
    monkeypatch.setattr(seeding, "labels_from_others", lambda *a: given.append(real(*a)) or given[-1])
    gamma, _ = seeding._clustered(part, OPTIONS, 1.0, Silent())
    assert len(given) == 5
    assert rand_index(gamma.argmax(1), which) > rand_index(np.concatenate(given), which) + 0.2


def test_of_few_all_are_clustered_as_before():
    fixed, _ = particles()
    part = fixed.up_to(5)
    expected, agreement = cluster(part.g, part.h, part.lattice, part.noise, 1.0, 2, 1.0, 3, 1, 1, Silent(), part.inside)
    gamma, same = seeding._clustered(part, OPTIONS, 1.0, Silent())
    np.testing.assert_array_equal(gamma, expected)
    assert same == agreement
