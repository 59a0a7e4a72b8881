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
STRONG = 3.0  # least SSNR of the shells that scales of tomograms are fitted on
FARTHEST = 5.0  # from the median, as a factor


def next_scales(setup: Setup, shells: ShellSums, state: State, ssnr: FloatArray) -> FloatArray:
    """Scales of the next iteration: of tomograms, shape (n tomograms,), or with `particle_scales` of particles, shape (n,).

    Parameters
    ----------
    setup : Setup
    shells : ShellSums
    state : State
        Before the iteration.
    ssnr : ndarray, shape (S,)
        Of the map of all particles.
    """
    strong = np.flatnonzero(ssnr[1:] > STRONG) + 1
    cross, power = shells.cross[:, strong], shells.power[:, strong]
    if not setup.options.particle_scales:
        return group_scales(cross.sum(1), power.sum(1)) if len(state.scales) > 1 else state.scales
    if not np.any(power > 0):
        return state.scales
    noise = state.noise[setup.particles.optics][:, strong] * state.temperature
    tomograms, count = setup.tomograms, len(setup.group_names)
    added = [np.stack([np.bincount(tomograms, column, count) for column in sums_.T], 1).sum(1) for sums_ in (cross, power)]
    centre = group_scales(added[0], added[1]) if count > 1 else np.ones(1)
    return particle_scales((cross / noise).sum(1), (power / noise).sum(1), centre[tomograms])


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


def particle_scales(cross: FloatArray, power: FloatArray, centre: FloatArray) -> FloatArray:
    """Posterior mean of each particle's scale under a Gaussian about that of its tomogram, whose width the particles themselves show.

    With sums weighted by 1/(κσ²) a particle's own estimate cross/power has the variance 1/(2·power); what the estimates spread beyond
    that is the variance of the scales (moment estimate of empirical Bayes).

    Parameters
    ----------
    cross, power : ndarray, shape (n,)
        Σ Re(X A*)/(κσ²) and Σ W|A|²/(κσ²) over half of Fourier space.
    centre : ndarray, shape (n,)
        Scale of each particle's tomogram.
    """
    known = power > 0
    own = np.where(known, cross / np.where(known, power, 1), centre)
    precision = 2 * power
    total = max(float(precision.sum()), 1e-30)
    # weighted spread about the tomograms' scales, in units of what the noise alone would make of it
    level = float((precision * own).sum()) / max(float((precision * centre).sum()), 1e-30)
    if level <= 0:
        return centre
    own = own / level
    spread = float((precision * (own - centre) ** 2).sum()) - int(known.sum()) / level**2
    variance = max(spread / total, 0.0)
    if variance == 0:
        return centre
    weight = precision * level**2 * variance / (precision * level**2 * variance + 1)
    return _normalised(centre + weight * (own - centre), known)


def _normalised(scales: FloatArray, known: npt.NDArray[np.bool_]) -> FloatArray:
    """Clipped about the median, mean 1; the median where nothing is known."""
    median = np.median(scales[known])
    if median <= 0:
        return np.ones(len(scales))
    clipped = np.where(known, np.clip(scales, median / FARTHEST, FARTHEST * median), median)
    normalised: FloatArray = clipped / clipped.mean()
    return normalised
