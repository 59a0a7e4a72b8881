"""Do the particles have anything in common, and is it bright?

Noise does not care about its sign. Whitened particles, turned as their orientations say, are correlated in pairs; if they were noise,
turning the sign of any of them would change nothing, so the mean over all pairs under random signs has mean 0 and the variance
``2 Σ c² / (n (n-1))²``: an exact scale for what was found, whatever noise and weights look like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_subtomo.check.sample import Frame, Sample
from napari_subtomo.check.verdict import CANNOT, FAIL, PASS, Verdict

FloatArray = npt.NDArray[np.float64]
SIGNAL_Z = 5.0  # three bands are looked at: 1 in a million sets of noise passes
LEAST_COMMON = 0.02  # mean correlation of two particles that is called none; sound simulated ones have 0.2 and more
SURE = 3.0
CONTRAST_Z = 4.0
LEAST_PARTICLES = 8


@dataclass(frozen=True)
class Common:
    """What pairs of particles have in common.

    Attributes
    ----------
    mean, error, z : float
        Mean correlation of a pair, its standard deviation if the particles were noise, and their ratio.
    """

    mean: float
    error: float

    @property
    def z(self) -> float:
        """Standard deviations above what noise gives."""
        return self.mean / self.error if self.error > 0 else 0.0


def common(whitened: npt.NDArray[np.complex64]) -> Common:
    """Mean correlation of pairs of whitened particles (n, m), and its standard deviation under random signs."""
    n = len(whitened)
    if n < 2 or whitened.shape[1] == 0:
        return Common(0.0, 1.0)
    parts = np.ascontiguousarray(whitened).view(np.float32)
    gram = (parts @ parts.T).astype(np.float64)
    size = np.sqrt(np.maximum(np.diag(gram), 1e-30))
    correlation = gram / np.outer(size, size)
    np.fill_diagonal(correlation, 0.0)
    pairs = n * (n - 1)
    return Common(float(correlation.sum() / pairs), float(np.sqrt(2 * (correlation**2).sum()) / pairs))


def bands(frame: Frame) -> dict[str, tuple[int, int]]:
    """Shells that are looked at, coarse ones first: what a blob would show, the shape of the particle, everything."""
    last = frame.n // 2 - 1
    return {"coarse": (1, max(2, last // 4)), "middle": (1, max(3, last // 2)), "all": (1, last)}


def check_signal(sample: Sample) -> Verdict:
    """Whether particles have more in common than noise has."""
    frame, n = sample.reference, sample.n
    rule = (
        f"Mean correlation of pairs of particles in three bands: pass above {SIGNAL_Z:g} standard deviations of noise (random signs); "
        f"fail if in each band {SURE:g} standard deviations above what was found are still less than {LEAST_COMMON:g}."
    )
    found = {name: common(frame.whitened(frame.band(*band))) for name, band in bands(frame).items()}
    best = max(found, key=lambda name: found[name].z)
    numbers = {"particles": n, "band": best} | {
        f"{name}_{what}": round(float(value), 6)
        for name, one in found.items()
        for what, value in (("correlation", one.mean), ("error", one.error), ("z", one.z))
    }
    most = max(one.mean + SURE * one.error for one in found.values())
    text = f"two particles correlate by {found[best].mean:.4f}, {found[best].z:.1f} standard deviations of noise (n = {n})"
    if n < LEAST_PARTICLES:
        return Verdict("signal", CANNOT, f"Only {n} particles: too few to tell signal from noise.", rule, numbers)
    if found[best].z > SIGNAL_Z:
        return Verdict("signal", PASS, f"There is signal: {text}.", rule, numbers)
    if most < LEAST_COMMON:
        return Verdict(
            "signal", FAIL, f"No signal: {text}; are picks, their coordinates and the tomograms those that belong together?", rule, numbers
        )
    return Verdict("signal", CANNOT, f"Not enough to tell: {text}.", rule, numbers)


def blob(sample: Sample, diameter: float, shift_px: npt.ArrayLike = (0.0, 0.0, 0.0)) -> npt.NDArray[np.complex64]:
    """Transform of a Gaussian as wide as a ball of `diameter` Å, `shift_px` coarse voxels (xyz) off the middle, on the sample's lattice.

    A Gaussian has no side lobes: at finer detail than the particle's size, which it knows nothing of, it says nothing.
    """
    n = sample.reference.n
    sigma = diameter / 2 / np.sqrt(5) / sample.voxel_size  # standard deviation of a ball along each axis
    ky, kx = np.fft.fftfreq(n), np.arange(n // 2 + 1) / n
    squared = ky[:, None, None] ** 2 + ky[None, :, None] ** 2 + kx[None, None, :] ** 2
    x, y, z = np.asarray(shift_px, dtype=np.float64)
    turn = kx[None, None, :] * x + ky[None, :, None] * y + ky[:, None, None] * z
    half: npt.NDArray[np.complex64] = (np.exp(-2 * np.pi**2 * sigma**2 * squared) * np.exp(-2j * np.pi * turn)).astype(np.complex64)
    return half.ravel()


def brightness(sample: Sample, diameter: float, shift_px: npt.ArrayLike = (0.0, 0.0, 0.0)) -> FloatArray:
    """Per particle how bright a blob at the place of the particle is against its surroundings, in any unit; shape (n,).

    The data are multiplied with the CTF, so their product with a template is the matched filter for it; the mean of the box is left out.
    """
    frame = sample.reference
    where = frame.band(1, frame.n // 2 - 1)
    noise = np.maximum(frame.noise[frame.shell[where]], 1e-30)
    template = blob(sample, diameter, shift_px)[where] / noise
    scores: FloatArray = (frame.values[:, where] @ template.conj()).real.astype(np.float64)
    return scores


def check_contrast(sample: Sample, diameter: float, shift_px: npt.ArrayLike) -> Verdict:
    """Whether the middle of the particles is brighter than their surroundings; `shift_px` is where the middle was found."""
    scores, n = brightness(sample, diameter, shift_px), sample.n
    rule = (
        f"Matched filter for a bright blob of the particle's size: mean over particles beyond {CONTRAST_Z:g} standard errors: "
        "pass if bright, fail if dark."
    )
    spread = float(scores.std(ddof=1)) if n > 1 else 0.0
    z = float(scores.mean() / spread * np.sqrt(n)) if spread > 0 else 0.0
    bright = float((scores > 0).mean())
    numbers = {"particles": n, "z": round(z, 3), "bright_fraction": round(bright, 4)}
    text = f"{100 * bright:.0f} % of {n} particles are brighter in the middle than around it ({z:+.1f} standard errors)"
    if n < LEAST_PARTICLES or abs(z) <= CONTRAST_Z:
        return Verdict("contrast", CANNOT, f"Not enough to tell: {text}.", rule, numbers)
    if z > 0:
        return Verdict("contrast", PASS, f"Particles are bright, as they should be: {text}.", rule, numbers)
    return Verdict("contrast", FAIL, f"Particles are dark: {text}; extract with the other --invert / --no-invert.", rule, numbers)
