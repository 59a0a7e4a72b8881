"""Rates from scores, against tables made by hand and against laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from napari_subtomo.assess.rates import junk_share, mirror_q_values, mirror_scores, p_values, q_values

SCORES = [9.0, 8.0, 5.0, 4.0, 1.0]
NULLS = [6.0, 3.0, 2.0]


def test_p_values_by_hand() -> None:
    # nulls at or above 9, 8, 5, 4, 1: 0, 0, 1, 1, 3, of 3
    np.testing.assert_allclose(p_values(SCORES, NULLS), [1 / 4, 1 / 4, 2 / 4, 2 / 4, 4 / 4])


def test_a_null_with_the_same_score_counts_against_a_particle() -> None:
    assert p_values([6.0], NULLS)[0] == 2 / 4


def test_q_values_by_hand() -> None:
    # n·p/accepted: 5·.25/1, 5·.25/2, 5·.5/3, 5·.5/4, 5·1/5 = 1.25, .625, .833, .625, 1; the least of this threshold and lower ones
    np.testing.assert_allclose(q_values(SCORES, NULLS), [0.625, 0.625, 0.625, 0.625, 1.0])
    np.testing.assert_allclose(q_values(SCORES, NULLS, 0.4), [0.25, 0.25, 0.25, 0.25, 0.4])


def test_q_values_do_not_depend_on_the_order_of_rows() -> None:
    rng = np.random.default_rng(1)
    scores, nulls = rng.normal(size=50).round(1), rng.normal(size=40).round(1)
    order = rng.permutation(50)
    np.testing.assert_array_equal(q_values(scores, nulls)[order], q_values(scores[order], rng.permutation(nulls)))


def test_a_higher_score_never_has_a_larger_rate_and_equal_scores_have_equal_ones() -> None:
    rng = np.random.default_rng(2)
    scores = np.concatenate([rng.normal(size=80), rng.normal(3, 1, 40)]).round(1)
    q = q_values(scores, rng.normal(size=100))
    order = np.argsort(-scores)
    assert (np.diff(q[order]) >= 0).all()
    for score in np.unique(scores):
        assert len(np.unique(q[scores == score])) == 1


def test_p_values_of_junk_that_scores_as_the_null_are_uniform() -> None:
    rng = np.random.default_rng(3)
    assert kstest(p_values(rng.gumbel(size=2000), rng.gumbel(size=4000)), "uniform").pvalue > 0.01
    # and would not be, if the junk scored a little higher
    assert kstest(p_values(rng.gumbel(size=2000) + 0.3, rng.gumbel(size=4000)), "uniform").pvalue < 1e-6


@pytest.mark.parametrize("level", [0.01, 0.05, 0.1])
def test_the_mean_share_of_junk_among_the_accepted_is_at_most_the_rate(level: float) -> None:
    shares = []
    for seed in range(200):
        rng = np.random.default_rng([4, seed])
        scores = np.concatenate([rng.normal(3, 1, 100), rng.normal(0, 1, 100)])
        nulls = rng.normal(0, 1, 300)
        accepted = q_values(scores, nulls, junk_share(p_values(scores, nulls))) <= level
        shares.append(accepted[100:].sum() / max(accepted.sum(), 1))
    error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) <= level + 2 * error
    assert np.mean(shares) >= 0.5 * level  # and is no bound that is never reached


def test_the_share_of_junk_is_found_and_never_above_one() -> None:
    rng = np.random.default_rng(5)
    scores, nulls = np.concatenate([rng.normal(6, 1, 700), rng.normal(0, 1, 300)]), rng.normal(0, 1, 2000)
    assert junk_share(p_values(scores, nulls)) == pytest.approx(0.3, abs=0.05)
    assert junk_share(np.ones(10)) == 1
    assert junk_share([]) == 1


def test_mirror_rates_by_hand() -> None:
    # thresholds 5, 4, 2, 1 accept 1, 2, 3, 4; at or below -5, -4, -2, -1 lie 0, 0, 0, 1: 1/1, 1/2, 1/3, 2/4
    np.testing.assert_allclose(mirror_q_values([5.0, 4.0, 2.0, 1.0, -1.0, 0.0]), [1 / 3, 1 / 3, 1 / 3, 1 / 2, 1, 1])


def test_mirror_scores_are_relative_and_turn_their_sign_when_exchanged() -> None:
    scores, mirrored = np.array([100.0, 600.0, -20.0, 0.2]), np.array([-50.0, 585.0, -25.0, 0.1])
    np.testing.assert_allclose(mirror_scores(scores, mirrored), [1.5, 0.025, 0.2, 0.1])
    np.testing.assert_allclose(mirror_scores(mirrored, scores), -mirror_scores(scores, mirrored))


def test_mirror_rates_hold_for_junk_that_is_symmetric_about_0() -> None:
    shares = []
    for seed in range(200):
        rng = np.random.default_rng([6, seed])
        differences = np.concatenate([rng.normal(4, 1, 100), 5 * rng.standard_t(3, 60)])
        accepted = mirror_q_values(differences) <= 0.1
        shares.append(accepted[100:].sum() / max(accepted.sum(), 1))
    assert np.mean(shares) <= 0.1 + 2 * np.std(shares) / np.sqrt(len(shares))


def test_no_particles_have_no_rates() -> None:
    assert len(q_values([], NULLS)) == 0
    assert len(mirror_q_values([])) == 0
