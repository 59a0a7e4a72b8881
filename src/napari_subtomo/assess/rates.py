"""p-values and false-discovery rates of scores against scores of a null: arrays only.

The competition of targets and decoys of proteomics (Käll et al. 2008, J. Proteome Res. 7:29), with decoys that are measured apart: of the
particles above a score, as many are junk as nulls above it say. One is added to the nulls, as for permutation tests: without it a score
that no null reaches would be free of risk (Levitsky et al. 2017, J. Proteome Res. 16:393; for p-values from a shared null, Bates et al.
2023, Ann. Stat. 51:149).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SPLIT = 0.5  # p-values above it are taken for junk


def p_values(scores: npt.ArrayLike, nulls: npt.ArrayLike) -> FloatArray:
    """Share of a null that scores at least as high, counted with the particle itself: ``(1 + #{null >= s}) / (1 + m)``.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Higher is better.
    nulls : array_like, shape (m,)

    Returns
    -------
    ndarray, shape (n,)
        Uniform on 1/(m + 1) … 1 for junk that scores as the null does.
    """
    ordered = np.sort(np.asarray(nulls, dtype=np.float64))
    above = len(ordered) - np.searchsorted(ordered, np.asarray(scores, dtype=np.float64), side="left")
    return np.asarray((1.0 + above) / (1.0 + len(ordered)), dtype=np.float64)


def junk_share(p: npt.ArrayLike) -> float:
    """Share of junk among particles, from the p-values that only junk has: ``(1 + #{p > 1/2}) / (n / 2)``, at most 1 (Storey 2002)."""
    p = np.asarray(p, dtype=np.float64)
    if not len(p):
        return 1.0
    return float(min(1.0, (1 + int((p > SPLIT).sum())) / (len(p) * (1 - SPLIT))))


def q_values(scores: npt.ArrayLike, nulls: npt.ArrayLike, share: float = 1.0) -> FloatArray:
    """Least false-discovery rate at which each particle is accepted.

    The rate of accepting all with a score of at least t is ``share · n · (1 + #{null >= t}) / (1 + m) / #{score >= t}``; a particle gets
    the least of those of all thresholds that accept it, so that a higher score never has a larger value.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Higher is better.
    nulls : array_like, shape (m,)
    share : float
        Share of junk among the particles; 1 is the most cautious.

    Returns
    -------
    ndarray, shape (n,)
        0 to 1.
    """
    scores = np.asarray(scores, dtype=np.float64)
    n = len(scores)
    if n == 0:
        return np.zeros(0)
    accepted = n - np.searchsorted(np.sort(scores), scores, side="left")
    rate = np.minimum(1.0, share * n * p_values(scores, nulls) / accepted)
    order = np.argsort(scores, kind="stable")  # the worst first: the least rate of all thresholds up to its own score
    lowest = np.minimum.accumulate(rate[order])
    # equal scores have equal rates already
    found = np.empty(n)
    found[order] = lowest
    return found


def mirror_scores(scores: npt.ArrayLike, mirrored: npt.ArrayLike) -> FloatArray:
    """How much better a particle fits references than their mirror images: ``(s - m) / max(|s|, |m|, 1)``.

    Exchanging references and mirror images turns its sign and nothing else, so junk is as often above t as below -t. Relative to the size
    of the scores: an object of much power, such as a bead, differs by many nats for no other reason than that a reference lies a fraction
    of a voxel off its centre.

    Parameters
    ----------
    scores, mirrored : array_like, shape (n,)
        Log evidence with references and with their mirror images.

    Returns
    -------
    ndarray, shape (n,)
        -2 to 2.
    """
    s, m = np.asarray(scores, dtype=np.float64), np.asarray(mirrored, dtype=np.float64)
    return np.asarray((s - m) / np.maximum(np.maximum(np.abs(s), np.abs(m)), 1.0), dtype=np.float64)


def mirror_q_values(differences: npt.ArrayLike) -> FloatArray:
    """Least false-discovery rate of each particle from differences that are symmetric about 0 for junk.

    Of the particles with a difference of at least t > 0 as many are junk as have one of at most -t: the knockoff filter (Barber & Candès
    2015, Ann. Stat. 43:2055), ``(1 + #{d <= -t}) / #{d >= t}``.

    Parameters
    ----------
    differences : array_like, shape (n,)

    Returns
    -------
    ndarray, shape (n,)
        0 to 1; 1 for differences of 0 and below.
    """
    d = np.asarray(differences, dtype=np.float64)
    ordered = np.sort(d)
    accepted = len(d) - np.searchsorted(ordered, d, side="left")
    against = np.searchsorted(ordered, -d, side="right")
    rate = np.where(d > 0, np.minimum(1.0, (1.0 + against) / np.maximum(accepted, 1)), 1.0)
    order = np.argsort(d, kind="stable")
    found = np.empty(len(d))
    found[order] = np.minimum.accumulate(rate[order])
    return found
