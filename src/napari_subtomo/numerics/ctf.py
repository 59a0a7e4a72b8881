"""The contrast transfer function and the dose filter, with RELION's signs and constants.

The functions are made of ufuncs only, so they answer in numpy or cupy, whatever they are given.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def electron_wavelength(voltage_kv: float) -> float:
    """Relativistic wavelength in Å of electrons of `voltage_kv` (RELION's constants: 300 kV gives 0.019687 Å)."""
    volts = voltage_kv * 1e3
    return float(12.2643247 / np.sqrt(volts * (1.0 + volts * 0.978466e-6)))


def ctf(
    kx: Any,
    ky: Any,
    voltage_kv: float,
    cs_mm: float,
    amplitude: float,
    defocus_u: Any,
    defocus_v: Any,
    angle_deg: Any,
    phase_deg: Any = 0.0,
) -> Any:
    """Contrast transfer function, positive at low frequency for underfocus (`CTF::getCTF` without its envelope).

    ``sin(π λ Δf(k) k² − π/2 Cs λ³ k⁴ + phase + asin(amplitude))`` with ``Δf(k) k² = U k_u² + V k_v²`` along the axes of astigmatism.
    Raw images have dark protein: their transform is *minus* this function times the transform of the projected density.

    Parameters
    ----------
    kx, ky : array
        Spatial frequencies in 1/Å; all array arguments broadcast.
    voltage_kv : float
        Acceleration voltage in kV.
    cs_mm : float
        Spherical aberration in mm.
    amplitude : float
        Amplitude contrast as a fraction below 1.
    defocus_u, defocus_v : float or array
        Defocus in Å along the two axes of astigmatism, positive for underfocus.
    angle_deg : float or array
        Angle of the axis of `defocus_u` against the x axis, degrees.
    phase_deg : float or array
        Phase shift of a phase plate, degrees.

    Returns
    -------
    array of the broadcast shape, between -1 and 1
    """
    return np.sin(ctf_phase(kx, ky, voltage_kv, cs_mm, amplitude, defocus_u, defocus_v, angle_deg, phase_deg))


def ctf_phase(
    kx: Any,
    ky: Any,
    voltage_kv: float,
    cs_mm: float,
    amplitude: float,
    defocus_u: Any,
    defocus_v: Any,
    angle_deg: Any,
    phase_deg: Any = 0.0,
) -> Any:
    """The phase whose sine is `ctf`, in radians; parameters as there. `defocus_slope` times a change of defocus adds to it."""
    wavelength = electron_wavelength(voltage_kv)
    cs = cs_mm * 1e7
    angle = np.deg2rad(angle_deg)
    along = (kx * np.cos(angle) + ky * np.sin(angle)) ** 2
    across = (ky * np.cos(angle) - kx * np.sin(angle)) ** 2
    defocus_term = np.pi * wavelength * (defocus_u * along + defocus_v * across)
    spherical_term = 0.5 * np.pi * cs * wavelength**3 * (along + across) ** 2
    return defocus_term - spherical_term + np.deg2rad(phase_deg) + np.arcsin(amplitude)


def defocus_slope(k: Any, voltage_kv: float) -> Any:
    """Radians that each Å of defocus adds to `ctf_phase` at frequency `k` (1/Å): ``π λ k²``."""
    return np.pi * electron_wavelength(voltage_kv) * k**2


def critical_dose(k: Any) -> Any:
    """Dose in e/Å² of Grant & Grigorieff (2015, eLife 4:e06980): ``0.245 k^-1.665 + 2.81`` at frequency k > 0 in 1/Å."""
    return 0.245 * k**-1.665 + 2.81


def dose_weight(k: Any, dose: Any) -> Any:
    """Amplitude left at frequency `k` after `dose`: ``exp(-dose / 2 / critical_dose(k))``, 1 at k = 0.

    Parameters
    ----------
    k : array
        Spatial frequency in 1/Å, not negative; broadcasts with `dose`.
    dose : float or array
        Exposure before the image in e/Å².

    Returns
    -------
    array of the broadcast shape, in (0, 1]
    """
    # the smallest frequency stands for 0, where the critical dose is infinite
    return np.exp(-0.5 * dose / critical_dose(np.maximum(k, 1e-12)))
