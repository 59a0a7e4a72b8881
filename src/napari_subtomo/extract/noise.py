"""Does the noise of the crops follow the count of tilts? Mean power of the statistics over the weights, in sectors of each shell."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import namespace, to_host
from napari_subtomo.numerics.wedge import Wedge, lattice

FloatArray = npt.NDArray[np.float64]
SECTORS = 3


class NoiseCheck:
    """Sums of |data|²/weights over particles, in sectors of a shell that hold few, some and many tilts.

    Parameters
    ----------
    wedge : Wedge
    """

    def __init__(self, wedge: Wedge) -> None:
        kz, ky, kx = lattice(wedge.n)
        shell = np.floor(np.sqrt(kz**2 + ky**2 + kx**2) + 0.5).astype(int).ravel()
        tilts = np.asarray(to_host(wedge.multiplicity)).ravel()
        self.shells = wedge.n // 2
        self.index = np.flatnonzero((tilts > 0) & (shell >= 3) & (shell < self.shells))
        sector = np.zeros(len(self.index), int)
        for s in range(3, self.shells):
            rows = np.flatnonzero(shell[self.index] == s)
            rank = np.argsort(np.argsort(tilts[self.index[rows]], kind="stable"), kind="stable")
            sector[rows] = rank * SECTORS // max(1, len(rows))
        self.bins = shell[self.index] * SECTORS + sector
        self.number = np.bincount(self.bins, minlength=self.shells * SECTORS)

    def measure(self, crop: Any, wedge: Wedge) -> FloatArray:
        """Sums of a particle's m·|X|² in the sectors, shape (shells, SECTORS)."""
        xp = namespace(crop)
        power = abs(xp.fft.rfftn(crop)) ** 2 * wedge.filter**2 / xp.maximum(wedge.multiplicity, 1e-9)
        values = np.asarray(to_host(power)).ravel()[self.index]
        sums: FloatArray = np.bincount(self.bins, weights=values, minlength=self.shells * SECTORS).astype(np.float64)
        return sums.reshape(self.shells, SECTORS)

    def unevenness(self, total: FloatArray) -> float:
        """Root mean square over the outer half of the shells of the deviation of sectors from their shell's mean; 0 is as it should be.

        Parameters
        ----------
        total : ndarray, shape (shells, SECTORS)
            Sum of `measure` over particles.
        """
        number = self.number.reshape(self.shells, SECTORS)
        outer = slice(self.shells // 2, int(self.shells * 0.9))
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (total / number)[outer] / (total.sum(axis=1) / number.sum(axis=1))[outer, None]
        return float(np.sqrt(np.nanmean((mean - 1) ** 2))) if np.isfinite(mean).any() else 0.0
