"""What of the signal a tomogram holds: the mean over its tilts of CTF, dose damping and scale, at a particle's own depth."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import TiltSeries, Tomogram
from napari_subtomo.errors import InputError
from napari_subtomo.numerics.backend import to_device
from napari_subtomo.numerics.ctf import ctf, dose_weight
from napari_subtomo.numerics.wedge import Wedge

TomogramCtf = Literal["none", "phase-flipped", "corrected"]


class MeanTransfer:
    """The mean transfer function of the tilts behind each Fourier voxel.

    Each tilt holds ``scale · damping · CTF`` of the signal; the damping by dose and B-factor is in the images, whatever the
    reconstruction did about the CTF. A voxel where several tilts overlap holds their mean (`Wedge.mean`).

    Parameters
    ----------
    wedge : Wedge
        On `device`.
    series : TiltSeries
    tomogram : Tomogram
    voxel_size : float
        Å per pixel of the box.
    tomogram_ctf : str
        "none": the tomogram holds scale and CTF as they are; "phase-flipped": their modulus; "corrected": 1.
    device : str

    Raises
    ------
    InputError
        The tilts have a defocus, but voltage, Cs or amplitude contrast are unknown.
    """

    def __init__(
        self, wedge: Wedge, series: TiltSeries, tomogram: Tomogram, voxel_size: float, tomogram_ctf: TomogramCtf, device: str = "cpu"
    ) -> None:
        self.wedge, self.series, self.tomogram, self.device = wedge, series, tomogram, device
        self.flipped = tomogram_ctf == "phase-flipped"
        self.has_ctf = series.has_ctf and tomogram_ctf != "corrected"
        self.kx, self.ky = (k / np.float32(wedge.n * voxel_size) for k in (wedge.kx, wedge.ky))
        frequency = (self.kx**2 + self.ky**2) ** 0.5
        dose = np.nan_to_num(series.dose, nan=0.0)
        self.damping = dose_weight(frequency, self._per_pair(dose))
        if tomogram_ctf != "corrected":  # RELION counts the scale as part of the CTF
            self.damping = self.damping * self._per_pair(series.scale)
        if np.any(series.bfactor):
            self.damping = self.damping * np.e ** (-0.25 * self._per_pair(series.bfactor) * frequency**2)
        if self.has_ctf:
            optics = {"voltage": tomogram.voltage, "spherical aberration": tomogram.cs, "amplitude contrast": tomogram.amplitude_contrast}
            missing = [name for name, value in optics.items() if value is None]
            if missing:
                raise InputError(
                    f"Expected the {missing[0]} of the tomogram {tomogram.name} beside its defocus, found none in the tomogram set; "
                    "add the column, or use --tomogram-ctf corrected if the tomogram has no CTF left."
                )

    def _per_pair(self, values: npt.ArrayLike) -> Any:
        """A value per tilt (n_tilts,) at each pair of tilt and voxel, float32 on the device."""
        return to_device(np.asarray(values, dtype=np.float32), self.device)[self.wedge.tilt]

    def at(self, defocus_offset: npt.ArrayLike) -> Any:
        """Mean transfer function of a particle.

        Parameters
        ----------
        defocus_offset : array_like, shape (n_tilts,)
            Å, what the particle's depth adds to the defocus of each tilt.

        Returns
        -------
        array, shape (n, n, n // 2 + 1), float32
            Positive at low frequency; 0 in the missing wedge.
        """
        if not self.has_ctf:
            return self.wedge.mean(self.damping)
        series, offset = self.series, np.asarray(defocus_offset, dtype=np.float64)
        assert self.tomogram.voltage is not None and self.tomogram.cs is not None and self.tomogram.amplitude_contrast is not None
        values = ctf(
            self.kx,
            self.ky,
            self.tomogram.voltage,
            self.tomogram.cs,
            self.tomogram.amplitude_contrast,
            self._per_pair(series.defocus_u + offset),
            self._per_pair(series.defocus_v + offset),
            self._per_pair(series.defocus_angle),
            self._per_pair(series.phase_shift),
        )
        return self.wedge.mean((abs(values) if self.flipped else values) * self.damping)
