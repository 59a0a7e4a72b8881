"""Priors on tilt and psi of single particles, as picks on surfaces have them.

RELION's definition (conventions 5.5): Gaussians about `rlnAngleTiltPrior` and `rlnAnglePsiPrior`, cut at three sigma, rot free, normalised
over the orientations that are searched; a particle without any orientation inside keeps the whole Gaussian. RELION drops these priors in
local searches; here they multiply the local search's own prior.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.poses import PoseGrid

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CUT = 3.0  # sigma
VALUES = 1_000_000  # pairs of particle and rotation that are worked on at once


@dataclass(frozen=True)
class AnglePriors:
    """Centres and widths.

    Attributes
    ----------
    tilt, psi : ndarray, shape (n,)
        Degrees.
    sigma_tilt, sigma_psi : float
        Degrees; not above 0: none.
    """

    tilt: FloatArray = field(repr=False)
    psi: FloatArray = field(repr=False)
    sigma_tilt: float
    sigma_psi: float

    def of(self, rows: Any) -> AnglePriors:
        """Those of some particles."""
        return replace(self, tilt=self.tilt[rows], psi=self.psi[rows])

    def deviations(self, ids: Any, axes: FloatArray) -> list[FloatArray]:
        """Distances from the centres in sigma, one array a prior, for axes of the shape (..., m, r, 3) where m are the particles `ids`."""
        found = []
        if self.sigma_tilt > 0:
            tilt = np.degrees(np.arccos(np.clip(axes[..., 2], -1, 1)))
            found.append((tilt - self.tilt[ids, None]) / self.sigma_tilt)
        if self.sigma_psi > 0:
            psi = np.degrees(np.arctan2(axes[..., 1], -axes[..., 0]))
            found.append(((psi - self.psi[ids, None] + 180) % 360 - 180) / self.sigma_psi)
        return found


@dataclass(frozen=True)
class RotationPrior:
    """The priors of all particles on the rotations of a grid.

    Attributes
    ----------
    priors : AnglePriors
    frames : ndarray, shape (n, 3, 3)
        R_p of each particle.
    axes : ndarray, shape (r, 3)
        z axes of the grid's rotations.
    grid_log_prior : ndarray, shape (r,)
    norm : ndarray, shape (n,)
        Log of the sum over the grid.
    whole : ndarray of bool, shape (n,)
        Particles without a rotation within three sigma.
    """

    priors: AnglePriors
    frames: FloatArray = field(repr=False)
    axes: FloatArray = field(repr=False)
    grid_log_prior: FloatArray = field(repr=False)
    norm: FloatArray = field(repr=False)
    whole: npt.NDArray[np.bool_] = field(repr=False)

    @classmethod
    def of(cls, priors: AnglePriors, frames: FloatArray, poses: PoseGrid) -> RotationPrior:
        """The prior on a grid, the grid's own prior included."""
        count = len(frames)
        blank = cls(priors, frames, poses.rotations[:, :, 2], poses.rotation_log_prior, np.zeros(count), np.zeros(count, bool))
        norm, whole = np.empty(count), np.empty(count, bool)
        for ids in _chunks(np.arange(count), len(poses.rotations)):
            log, inside = blank._terms(ids, slice(None))
            whole[ids] = ~inside.any(1)
            norm[ids] = np.logaddexp.reduce(np.where(inside | whole[ids, None], log, -np.inf), axis=1)
        return replace(blank, norm=norm, whole=whole)

    def some(self, ids: IntArray) -> RotationPrior:
        """That of some particles."""
        return replace(self, priors=self.priors.of(ids), frames=self.frames[ids], norm=self.norm[ids], whole=self.whole[ids])

    def log(self, ids: IntArray, some: slice) -> npt.NDArray[np.float32]:
        """Log prior of some rotations for some particles, shape (m, 1, 1, r) as scores have it."""
        log, inside = self._terms(ids, some)
        log = np.where(inside | self.whole[ids, None], log - self.norm[ids, None], -np.inf)
        return log.astype(np.float32)[:, None, None, :]

    def _terms(self, ids: IntArray, some: slice) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Log of the product of the Gaussians and the grid's prior, and what is within three sigma of all; shape (m, r) each."""
        axes = np.einsum("mij,rj->mri", self.frames[ids], self.axes[some])
        deviations = self.priors.deviations(ids, axes)
        log = self.grid_log_prior[some] - 0.5 * sum(d**2 for d in deviations)
        inside = np.all([np.abs(d) <= CUT for d in deviations], axis=0)
        return log, inside


def _chunks(ids: IntArray, rotations: int) -> Iterator[IntArray]:
    """Particles in pieces that fit `VALUES`."""
    size = max(1, VALUES // max(rotations, 1))
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def restricted(poses: PoseGrid, priors: AnglePriors) -> PoseGrid:
    """The rotations of a global grid that any particle may take: priors shared by all, as those of picks are, leave few."""
    _, ids = np.unique(np.round(np.stack([priors.tilt, priors.psi], 1), 3), axis=0, return_index=True)
    axes, kept = poses.rotations[:, :, 2], np.zeros(len(poses.rotations), bool)
    for chunk in _chunks(ids, len(axes)):
        kept |= np.all([np.abs(d) <= CUT for d in priors.deviations(chunk, axes[None])], axis=0).any(0)
    if not kept.any() or kept.all():
        return poses
    log = poses.rotation_log_prior[kept]
    return replace(poses, rotations=poses.rotations[kept], rotation_log_prior=log - np.logaddexp.reduce(log))


def with_mates(poses: PoseGrid, mates: FloatArray) -> PoseGrid:
    """A grid with the symmetry mates of each rotation, all equally likely: `A` and `A S` look alike but for what breaks the symmetry.

    Parameters
    ----------
    poses : PoseGrid
    mates : ndarray, shape (m, 3, 3)
        Rotations S of the group, identity first.
    """
    rotations = np.concatenate([poses.rotations @ mate for mate in mates])
    return replace(poses, rotations=rotations, rotation_log_prior=np.tile(poses.rotation_log_prior, len(mates)) - np.log(len(mates)))
