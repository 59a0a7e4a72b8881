"""Groups of particles that share a noise spectrum: an optics group (RELION 5), or a tomogram, drawn to its optics group.

What a tomogram's own residuals say counts by the Fourier voxels behind it, particles times voxels of the shell, what its optics group
says as `PRIOR_VOXELS` of them: `σ² = (n σ_own² + n₀ σ_optics²) / (n + n₀)`, the posterior mean under a conjugate prior of that strength.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.statistics import ShellSums
from napari_subtomo.errors import InputError

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PRIOR_VOXELS = 300.0


@dataclass(frozen=True)
class NoiseGroups:
    """Optics group and tomogram of each of g noise groups, as indices from 0; tomogram -1: all of the optics group."""

    optics: IntArray = field(repr=False)
    tomogram: IntArray = field(repr=False)

    @classmethod
    def of(cls, by: str, optics: IntArray, tomogram: IntArray) -> NoiseGroups:
        """The groups of particles whose optics groups and tomograms are given, shape (n,); `by` is "optics-group" or "tomogram"."""
        if by == "optics-group":
            known = np.arange(int(optics.max()) + 1)
            return cls(known, np.full(len(known), -1))
        pairs = np.unique(np.stack([optics, tomogram], axis=1), axis=0)
        return cls(pairs[:, 0], pairs[:, 1])

    def __len__(self) -> int:
        """g."""
        return len(self.optics)

    @property
    def by_tomogram(self) -> bool:
        """Whether tomograms have spectra of their own."""
        return bool((self.tomogram >= 0).any())

    def index(self, optics: IntArray, tomogram: IntArray) -> IntArray:
        """Group of particles whose optics groups and tomograms are given, shape (n,).

        Raises
        ------
        InputError
            There is none for a particle.
        """
        place = {pair: i for i, pair in enumerate(zip(self.optics.tolist(), self.tomogram.tolist(), strict=True))}
        wanted = zip(optics.tolist(), tomogram.tolist() if self.by_tomogram else [-1] * len(optics), strict=True)
        found = [place.get(pair, -1) for pair in wanted]
        if min(found, default=0) < 0:
            raise InputError(
                "Expected particles whose tomograms are in the optics groups they have in the classification, found others; "
                "give them the same optics groups."
            )
        return np.array(found, np.int64)

    def of_optics(self, noise: FloatArray, counts: IntArray) -> FloatArray:
        """Mean spectra of the optics groups, weighted by particles, of those of their groups (g, S); shape (n optics, S)."""
        if not self.by_tomogram:
            return noise
        means = np.empty((int(self.optics.max()) + 1, noise.shape[1]))
        for o in range(len(means)):
            members = np.flatnonzero(self.optics == o)
            share = counts[members] if counts[members].any() else np.ones(len(members))
            means[o] = (share / share.sum()) @ noise[members]
        return means

    def of_tomograms(self, noise: FloatArray, counts: IntArray, tomograms: int) -> FloatArray | None:
        """Spectra of so many tomograms, shape (tomograms, S), zero of those without particles; None where they have none of their own."""
        if not self.by_tomogram:
            return None
        share = counts / np.maximum(np.bincount(self.tomogram, counts, tomograms), 1)[self.tomogram]
        spectra = np.zeros((tomograms, noise.shape[1]))
        np.add.at(spectra, self.tomogram, noise * share[:, None])
        return spectra

    def drawn(self, noise: FloatArray, counts: IntArray, voxels: IntArray) -> FloatArray:
        """Spectra drawn to those of their optics groups, by how many voxels are behind each.

        A group that is alone in its optics group, or without particles, stays as it is.

        Parameters
        ----------
        noise : ndarray, shape (g, S)
        counts : ndarray, shape (g,)
            Particles of each group.
        voxels : ndarray, shape (S,)
            Of each shell.
        """
        if not self.by_tomogram:
            return noise
        alone = np.bincount(self.optics)[self.optics] == 1
        own = counts[:, None] * voxels[None].astype(np.float64)
        drawn = (own * noise + PRIOR_VOXELS * self.of_optics(noise, counts)[self.optics]) / (own + PRIOR_VOXELS)
        kept = alone | (counts == 0)
        spectra: FloatArray = np.where(kept[:, None], noise, drawn)
        return spectra


def first_noise(setup: Setup) -> FloatArray:
    """Noise of the first iteration by group, shape (g, S): the particles' power."""
    counts = np.bincount(setup.particles.noise, minlength=len(setup.power))
    return setup.noise_groups.drawn(setup.power, counts, setup.lattice.counts)


def next_noise(setup: Setup, shells: ShellSums) -> FloatArray:
    """Noise of the next iteration by group, shape (g, S): residuals of the comparison, beyond its shells the particles' power."""
    measured = shells.weight > 0
    noise = np.where(measured, np.maximum(shells.residual / np.where(measured, shells.weight, 1), 1e-30), setup.power)
    counts = np.bincount(setup.particles.noise, minlength=len(noise))
    return setup.noise_groups.drawn(noise, counts, setup.lattice.counts)
