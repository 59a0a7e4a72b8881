"""Particles that fit none of the classes: where a class has died they are what it is for.

Classes begin with the particles that were not empty by then. Gold beads among those that come later would else have no class to set
apart, and spoil one that holds a species.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.fixed_poses import FixedPoses, references, without_own
from napari_subtomo.em.inside import portions
from napari_subtomo.em.start import alive, fewest, leave_one_out
from napari_subtomo.numerics.backend import namespace, to_host

FloatArray = npt.NDArray[np.float64]

STANDS_OUT = 6.0  # robust standard deviations above the median misfit: no particle of any set, if misfits were Gaussian
GAUSSIAN = 1.4826  # standard deviation of a Gaussian in median absolute deviations


def misfit(part: FixedPoses, gamma: FloatArray, temperature: float, regularisation: float) -> FloatArray:
    """Power of what is left of particles without the reference of their class: Σ|G − H·A|²/σ² over Σ H.

    A is the reference without the particle's own share. White noise of variance σ²H leaves 1; what errors of pose, neighbours and
    correlated noise leave besides is in all particles, and is for comparing them only.

    Parameters
    ----------
    part : FixedPoses
    gamma : ndarray, shape (n, classes)
        Posteriors.
    temperature, regularisation : float
        κ, T.

    Returns
    -------
    ndarray, shape (n,)
    """
    common, sums = references(part, gamma, temperature, regularisation)
    xp = namespace(part.g)
    least, first = xp.maximum(common.rho, 1e-20), part.lattice.prefix(0)
    labels, left = gamma.argmax(1), np.empty(len(gamma))
    for c, (numerator, denominator) in enumerate(sums):
        members = np.flatnonzero(labels == c)
        for some in (members[piece] for piece in portions(part.g[: len(members)])):
            rows = xp.asarray(some)
            h = part.h[rows]
            rest = part.g[rows] - h * without_own(part, rows, gamma[some, c].astype(np.float32), numerator, denominator, least)
            power = ((rest.real**2 + rest.imag**2) / part.noise[rows])[:, first:].sum(1)
            left[some] = to_host(power / xp.maximum(h[:, first:].sum(1), 1e-20))
    return left


def standing_out(values: FloatArray) -> npt.NDArray[np.bool_]:
    """Which are far above the rest, shape (n,)."""
    middle = np.median(values)
    return np.asarray(values > middle + STANDS_OUT * GAUSSIAN * np.median(np.abs(values - middle)))


def with_outliers(
    part: FixedPoses, gamma: FloatArray, temperature: float, regularisation: float, rounds: int, threads: int
) -> FloatArray | None:
    """Posteriors with a class that had died taken by the particles that fit none, by leave-one-out EM from there.

    Parameters
    ----------
    part : FixedPoses
    gamma : ndarray, shape (n, classes)
        Posteriors.
    temperature, regularisation : float
        κ, T.
    rounds : int
        Most EM rounds.
    threads : int

    Returns
    -------
    ndarray, shape (n, classes), or None
        None where no class has died, where no particles stand out, and where they do not hold together as a class.
    """
    n, classes = gamma.shape
    labels = gamma.argmax(1)
    counts = np.bincount(labels, minlength=classes)
    dead = np.flatnonzero(counts < fewest(n))
    if not len(dead):
        return None
    out = standing_out(misfit(part, gamma, temperature, regularisation))
    mostly = 2 * np.bincount(labels[out], minlength=classes) > counts  # a class of such particles: they have what they need
    out &= ~mostly[labels]
    if np.count_nonzero(out) < fewest(n):
        return None
    start = np.eye(classes)[np.where(out, dead[0], labels)]
    given = (part.g, part.h, part.lattice, part.noise, temperature, start, regularisation)
    found = leave_one_out(*given, rounds, part.inside, threads)
    return found if alive(found) > alive(gamma) else None
