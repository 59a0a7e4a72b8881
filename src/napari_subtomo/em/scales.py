"""Intensity scales: one a tomogram as RELION fits it (`rlnGroupScaleCorrection`), or one a particle, drawn to its tomogram's.

A scale multiplies the reference: data = scale · W · A + noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.state import State
from napari_subtomo.em.statistics import ShellSums

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
STRONG = 3.0  # least SSNR of the shells that scales of tomograms are fitted on
MAD = 1.4826  # a standard deviation in median absolute deviations
MEDIAN_ERROR = np.pi / 2  # variance of a median, in variances of a mean
STRANGE = 6.0  # standard deviations from its tomogram's, beyond which a scale is that of something else: gold beads
FARTHEST = 5.0  # from the median, as a factor


def next_scales(setup: Setup, shells: ShellSums, state: State, ssnr: FloatArray, posterior: FloatArray) -> FloatArray:
    """Scales of the next iteration: of tomograms, shape (n tomograms,), or with `particle_scales` of particles, shape (n,).

    Parameters
    ----------
    setup : Setup
    shells : ShellSums
    state : State
        Before the iteration.
    ssnr : ndarray, shape (S,)
        Of the map of all particles.
    posterior : ndarray, shape (n, classes + 1)
        Of particles, the empty class last.
    """
    strong = np.flatnonzero(ssnr[1:] > STRONG) + 1
    cross, power = shells.cross[:, strong], shells.power[:, strong]
    if not setup.options.particle_scales:
        return group_scales(cross.sum(1), power.sum(1)) if len(state.scales) > 1 else state.scales
    if not np.any(power > 0):
        return state.scales
    noise = state.noise[setup.particles.noise][:, strong] * state.temperature
    return particle_scales((cross / noise).sum(1), (power / noise).sum(1), setup.tomograms, 1 - posterior[:, -1])


def group_scales(cross: FloatArray, power: FloatArray) -> FloatArray:
    """Σ(X·A)/Σ(A²) over shells with SSNR > 3, clipped to [median/5, 5 median], mean 1 (RELION's rule, conventions 5.10).

    Parameters
    ----------
    cross, power : ndarray, shape (n,)
        Summed over the shells.
    """
    known = power > 0
    if not np.any(known):
        return np.ones(len(cross))
    scales = np.where(known, cross / np.where(known, power, 1), 1.0)
    return _normalised(scales, known)


def particle_scales(cross: FloatArray, power: FloatArray, tomograms: IntArray, there: FloatArray) -> FloatArray:
    """Posterior mean of each particle's scale under a Gaussian about that of its tomogram, whose width the particles themselves show.

    With sums weighted by 1/(κσ²) a particle's own estimate cross/power has the variance 1/(2·power); what the estimates spread beyond
    that is the variance of the scales (moment estimate of empirical Bayes). Scales of tomograms are medians, drawn to that of all in the
    same way. Medians are not moved by a minority of gold beads; and what is as bright as no other particle is something else, which
    keeps the scale of its tomogram and stays unlike the references.

    Parameters
    ----------
    cross, power : ndarray, shape (n,)
        Σ Re(X A*)/(κσ²) and Σ W|A|²/(κσ²) over half of Fourier space.
    tomograms : ndarray, shape (n,)
        Number of each particle's tomogram.
    there : ndarray, shape (n,)
        Probability of each particle not to be empty.

    Returns
    -------
    ndarray, shape (n,)
        Of mean 1.
    """
    weights = np.where(power > 0, there, 0.0)
    if not np.any(weights > 0):
        return np.ones(len(cross))
    own = np.where(power > 0, cross / np.where(power > 0, power, 1), 0.0)
    level = weighted_median(own, weights)
    if level <= 0:
        return np.ones(len(cross))
    own, noise = own / level, 1 / np.maximum(2 * power * level**2, 1e-30)
    centre = _of_tomograms(own, tomograms, weights)
    apart = own - centre
    variance = max(_spread(apart, weights) ** 2 - weighted_median(noise, weights), 0.0)
    like = 1 / (1 + (apart**2 / (STRANGE**2 * (variance + noise))) ** 4)
    return _normalised(centre + like * variance / (variance + noise) * apart, power > 0)


def _of_tomograms(own: FloatArray, tomograms: IntArray, weights: FloatArray) -> FloatArray:
    """Scale of each particle's tomogram, by estimates of particles, all of shape (n,)."""
    held = np.bincount(tomograms, weights)
    some = np.flatnonzero(held > 0)
    medians = np.ones(len(held))
    if len(some) < 2:
        return medians[tomograms]
    medians[some] = [weighted_median(own[tomograms == t], weights[tomograms == t]) for t in some]
    free = max(1 - len(some) / held.sum(), 0.5)  # each tomogram's median is one of the numbers that are fitted
    error = MEDIAN_ERROR * _spread(own - medians[tomograms], weights) ** 2 / free / np.maximum(held, 1e-9)
    variance = max(float(np.var(medians[some], ddof=1) - np.mean(error[some])), 0.0)
    drawn: FloatArray = 1 + (medians - 1) * variance / np.maximum(variance + error, 1e-30)
    return drawn[tomograms]


def _spread(values: FloatArray, weights: FloatArray) -> float:
    """A standard deviation about zero, by the median."""
    return MAD * weighted_median(np.abs(values), weights)


def weighted_median(values: FloatArray, weights: FloatArray) -> float:
    """The value up to which half of the weights lie.

    Parameters
    ----------
    values, weights : ndarray, shape (n,)
        Weights of at least 0, not all 0.
    """
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order[int(np.searchsorted(total, total[-1] / 2))]])


def _normalised(scales: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Clipped about the median, mean 1; the median where nothing is known."""
    median = np.median(scales[known])
    if median <= 0:
        return np.ones(len(scales))
    clipped = np.where(known, np.clip(scales, median / FARTHEST, FARTHEST * median), median)
    normalised: FloatArray = clipped / clipped.mean()
    return normalised
