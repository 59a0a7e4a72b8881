"""The noise temperature κ: how much more noise a particle-shaped template sees than noise uncorrelated between Fourier voxels.

Noise of back-projected or masked particles is not spread evenly over the box: it is strongest where the particle is, which in Fourier
space is a correlation between neighbouring voxels. Spectra average over the box, so a likelihood that takes voxels as independent is
too sure of itself by a factor κ: about 1 for white noise, (3/2)³ = 3.4 for trilinear back-projection (engine notes, section 6). It is
measured, not assumed, in shells where a single particle shows next to no signal.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.model import Particles
from napari_subtomo.em.prepare import Prepared

FloatArray = npt.NDArray[np.float64]

TEMPLATES = 24
MOST_PARTICLES = 2000
COOLING = 5  # iterations in which an initial uncertainty of the classes falls to nothing


def noise_temperature(
    prepared: Prepared, particles: Particles, noise: FloatArray, envelope: npt.NDArray[np.float32], first_shell: int, seed: int
) -> float:
    """Variance of the particles on random templates against what independent voxels of the same spectrum would show.

    Parameters
    ----------
    prepared : Prepared
    particles : Particles
    noise : ndarray, shape (n noise groups, S)
        σ² per unit weight.
    envelope : ndarray, shape (n, n, n)
        Where templates have density, e.g. the reference's magnitude. Best not turned as the particles are, whose signal counts as noise.
    first_shell : int
        Shells from here on are used; there must be no signal to speak of in a single particle.
    seed : int

    Returns
    -------
    float
        κ, at least 0.5 and at most 20.
    """
    lattice = prepared.lattice
    rng = np.random.default_rng([seed, 77])
    start = lattice.prefix(first_shell - 1)
    shell = lattice.shell[start:]
    index = lattice.half_layout_index()[start:]
    templates = np.empty((TEMPLATES, len(index)), np.complex64)
    for template in templates:
        density = rng.standard_normal(envelope.shape).astype(np.float32) * envelope
        template[:] = np.fft.rfftn(np.fft.ifftshift(density)).ravel()[index]
    power = templates.real**2 + templates.imag**2
    some = rng.permutation(len(prepared))[:MOST_PARTICLES]
    found = expected = 0.0
    for i in some:
        whitening = (1.0 / noise[particles.noise[i]][shell]).astype(np.float32)
        data = prepared.GE[i, start:]
        projection = templates.real @ (2 * whitening * data.real) + templates.imag @ (2 * whitening * data.imag)
        found += float((projection.astype(np.float64) ** 2).sum())
        expected += float((power @ (2 * whitening * prepared.H[i, start:])).sum())
    return float(np.clip(found / expected, 0.5, 20)) if expected > 0 else 1.0


def uncertainty(factor: float, since: int) -> float:
    """Factor on the temperature in an iteration `since` the first one with classes: falls to 1 in equal ratios."""
    return 1.0 if since < 0 else float(factor ** max(0.0, 1 - since / COOLING))
