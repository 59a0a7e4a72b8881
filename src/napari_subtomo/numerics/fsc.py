"""Fourier shell correlation of two maps, the resolution it stands for, and its correction for the effect of a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import GeometryError
from napari_subtomo.numerics.backend import namespace, to_host
from napari_subtomo.numerics.fourier import centred_fft, centred_ifft, shells

FloatArray = npt.NDArray[np.float64]


def fsc(a: Any, b: Any, mask: Any | None = None) -> FloatArray:
    """Fourier shell correlation ``Re Σ A·B* / sqrt(Σ|A|² Σ|B|²)`` in shells one Fourier pixel wide.

    Parameters
    ----------
    a, b : real arrays, shape (n, n, n)
        Maps, numpy or cupy; grey values and their scale do not matter.
    mask : real array, shape (n, n, n), optional
        Both maps are multiplied by it first.

    Returns
    -------
    ndarray, shape (n // 2 + 1,), on the host
        Shell 0 is the mean and says nothing; shells without any power hold 0.

    Raises
    ------
    GeometryError
        The shapes differ or are no cubes.
    """
    shape = tuple(a.shape)
    others = [tuple(b.shape)] if mask is None else [tuple(b.shape), tuple(mask.shape)]
    if len(set(shape)) != 1 or len(shape) != 3 or any(other != shape for other in others):
        raise GeometryError(f"Expected cubes of one size for a Fourier shell correlation, found shapes {[shape, *others]}.")
    if mask is not None:
        a, b = a * mask, b * mask
    return _correlation(centred_fft(a), centred_fft(b))


def _correlation(a: Any, b: Any) -> FloatArray:
    """Shell correlation of two centred transforms."""
    xp = namespace(a)
    count = a.shape[0] // 2 + 1
    shell = xp.asarray(shells(tuple(a.shape)))
    inside = shell < count
    index, a, b = shell[inside], a[inside], b[inside]

    def total(values: Any) -> FloatArray:
        out: FloatArray = to_host(xp.bincount(index, values.astype(xp.float64), count))
        return out

    cross = total((a * b.conj()).real)
    power_a, power_b = total(xp.abs(a) ** 2), total(xp.abs(b) ** 2)
    # Rounding leaves power where there is none in truth: 1e-12 of the strongest shell is far below any map's noise.
    silent = (power_a <= 1e-12 * power_a.max()) | (power_b <= 1e-12 * power_b.max())
    return np.where(silent, 0.0, cross / np.sqrt(np.where(silent, 1.0, power_a * power_b)))


def shell_frequencies(n: int, voxel_size: float) -> FloatArray:
    """Spatial frequency in 1/Å of the shells 0 … n // 2 of a box of n voxels of `voxel_size` Å."""
    return np.arange(n // 2 + 1) / (n * voxel_size)


def resolution_at(curve: npt.ArrayLike, voxel_size: float, n: int, threshold: float = 0.143) -> float:
    """Resolution in Å where a curve first falls below a threshold, interpolated linearly in frequency.

    Parameters
    ----------
    curve : array_like, shape (m,)
        Correlation per shell; shell 0 is not looked at.
    voxel_size : float
        Å.
    n : int
        Box in voxels.
    threshold : float

    Returns
    -------
    float
        Å; the resolution of the last shell when the curve never falls below the threshold, infinity when it starts below it.
    """
    values = np.asarray(curve, dtype=np.float64)
    below = np.flatnonzero(values[1:] < threshold) + 1
    if len(values) < 2 or (len(below) and below[0] == 1):
        return float("inf")
    if not len(below):
        return n * voxel_size / (len(values) - 1)
    after = int(below[0])
    shell = after - 1 + (values[after - 1] - threshold) / (values[after - 1] - values[after])
    return float(n * voxel_size / shell)


def randomise_phases(volume: Any, from_shell: int, rng: np.random.Generator) -> Any:
    """Map with random phases from a shell on and its amplitudes kept.

    Parameters
    ----------
    volume : real array, shape (n, n, n)
    from_shell : int
        First shell with random phases.
    rng : numpy.random.Generator

    Returns
    -------
    real array, shape (n, n, n)
    """
    xp = namespace(volume)
    transform = centred_fft(volume)
    # The phases of white noise: uniform, and those of Friedel mates opposite.
    noise = centred_fft(xp.asarray(rng.standard_normal(volume.shape)))
    random = xp.abs(transform) * noise / xp.maximum(xp.abs(noise), 1e-30)
    far = xp.asarray(shells(tuple(volume.shape)) >= from_shell)
    return centred_ifft(xp.where(far, random, transform)).real


def corrected_fsc(a: Any, b: Any, mask: Any, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Masked correlation with the part that the mask itself makes taken out (as `relion_postprocess` does).

    Phases of both maps are randomised from the shell on where the unmasked correlation first falls below 0.8; with `t` the masked
    correlation and `r` that of the randomised maps the truth is ``(t - r) / (1 - r)`` from two shells after it on, `t` before.

    Parameters
    ----------
    a, b : real arrays, shape (n, n, n)
        Half maps.
    mask : real array, shape (n, n, n)
    rng : numpy.random.Generator

    Returns
    -------
    corrected, masked, randomised : ndarrays, shape (n // 2 + 1,)

    References
    ----------
    Chen et al., Ultramicroscopy 135 (2013) 24-35.
    """
    low = np.flatnonzero(fsc(a, b)[1:] < 0.8) + 1
    start = int(low[0]) if len(low) else a.shape[0] // 2 + 1
    masked = fsc(a, b, mask)
    randomised = fsc(randomise_phases(a, start, rng), randomise_phases(b, start, rng), mask)
    corrected = masked.copy()
    far = slice(start + 2, None)
    corrected[far] = (masked[far] - randomised[far]) / np.maximum(1 - randomised[far], 1e-6)
    return corrected, masked, randomised
