"""What a tilt image does to a particle's signal: its CTF at the particle's depth, damping by dose, and its scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import TiltSeries, Tomogram
from napari_subtomo.errors import FileFormatError, InputError
from napari_subtomo.io import relion
from napari_subtomo.numerics.backend import namespace, to_device
from napari_subtomo.numerics.ctf import ctf_phase, defocus_slope, dose_weight

LEAST_DOSE_WEIGHT = 0.01
"""Samples that the dose has damped more than this count nowhere in RELION's 3D sums (`--cutoff_fract`)."""


def dose_bfactor(tomogram: Tomogram) -> float:
    """B-factor in Å² per e/Å² of a tomogram, which takes the place of the curve of Grant and Grigorieff; 0 where there is none.

    Raises
    ------
    FileFormatError
        No number, or a negative one.
    """
    text = tomogram.extra.get(relion.CTF_BFACTOR_PER_DOSE, "")
    if text in relion.NOT_AVAILABLE:
        return 0.0
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not value >= 0:
        raise FileFormatError(
            f"Expected a B-factor per dose of 0 or more (_{relion.CTF_BFACTOR_PER_DOSE}) for the tomogram {tomogram.name}, found {text!r}."
        )
    return value


class Modulation:
    """Transfer functions of a tilt series on the grid of a box.

    Parameters
    ----------
    series : TiltSeries
    tomogram : Tomogram
    box : int
        Edge in pixels.
    pixel_size : float
        Of the box, Å.
    device : str

    Raises
    ------
    InputError
        Defocus, voltage, spherical aberration or amplitude contrast are unknown.
    """

    def __init__(self, series: TiltSeries, tomogram: Tomogram, box: int, pixel_size: float, device: str = "cpu") -> None:
        optics = {"voltage": tomogram.voltage, "spherical aberration": tomogram.cs, "amplitude contrast": tomogram.amplitude_contrast}
        missing = [name for name, value in optics.items() if value is None] + ([] if series.has_ctf else ["defocus of every tilt"])
        if missing:
            raise InputError(
                f"Expected the {missing[0]} of the tomogram {tomogram.name} for its CTF, found none; "
                "estimate the CTF first, or add the column."
            )
        assert tomogram.voltage is not None and tomogram.cs is not None and tomogram.amplitude_contrast is not None
        kx = np.arange(box // 2 + 1) / (box * pixel_size)
        ky = np.fft.fftfreq(box, pixel_size)[:, None]
        k = np.hypot(kx, ky)
        tilt = (slice(None), None, None)
        phase = ctf_phase(
            *(kx, ky, tomogram.voltage, tomogram.cs, tomogram.amplitude_contrast),
            *(values[tilt] for values in (series.defocus_u, series.defocus_v, series.defocus_angle, series.phase_shift)),
        )
        dose, bfactor = np.nan_to_num(series.dose, nan=0.0)[tilt], dose_bfactor(tomogram)
        by_dose = np.exp(-0.25 * bfactor * dose * k**2) if bfactor else dose_weight(k, dose)
        damping = by_dose * series.scale[tilt]
        if np.any(series.bfactor):
            damping = damping * np.exp(-0.25 * series.bfactor[tilt] * k**2)
        self.phase, self.damping, self.slope = (
            to_device(np.asarray(a, dtype=np.float32), device) for a in (phase, damping, defocus_slope(k, tomogram.voltage))
        )
        counted = by_dose >= LEAST_DOSE_WEIGHT
        self.counted = None if counted.all() else to_device(counted.astype(np.float32), device)

    def at(self, tilts: npt.NDArray[np.int64], defocus_offsets: npt.NDArray[np.float64]) -> Any:
        """CTF times damping of particles in tilt images.

        Parameters
        ----------
        tilts : ndarray of int, shape (m,)
        defocus_offsets : ndarray, shape (m,)
            Å, what the depth of the particle adds to the defocus of the image.

        Returns
        -------
        array, shape (m, box, box // 2 + 1), float32
            Positive at low frequency for underfocus (bright protein).
        """
        xp = namespace(self.phase)
        index = xp.asarray(tilts)
        values = xp.asarray(defocus_offsets.astype(np.float32))[:, None, None] * self.slope
        values += self.phase[index]
        xp.sin(values, out=values)
        values *= self.damping[index]
        return values

    def counts(self, tilts: npt.NDArray[np.int64]) -> Any:
        """1 where samples count in 3D sums and 0 where the dose has damped them away, shape (m, box, box // 2 + 1); None if all do."""
        return None if self.counted is None else self.counted[namespace(self.counted).asarray(tilts)]
