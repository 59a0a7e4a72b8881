"""The grid of poses that all particles share in an iteration: rotations and shifts about each particle's own frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

from napari_subtomo.geometry import so3
from napari_subtomo.geometry.orientations import rotation_vectors_to_matrices

FloatArray = npt.NDArray[np.float64]

# Steps at which sampling costs about 10 % (rotations) and 4 % (shifts) of a shell's amplitude (exp of half the phase variance): a
# body-centred lattice of rotations of step s spreads the points of a ball of radius R by 0.177·s·R per direction (root mean square), a
# cubic lattice of shifts by 0.289·s. Shifts may be finer since they cost less: many are made of few functions (`em/basis.py`).
ANGLE_RULE = 0.4
SHIFT_RULE = 0.16
# The same for the coarse pass over all orientations, which only ranks them (RELION's rule for its own coarse pass).
COARSE_ANGLE_RULE = 1.2
COARSE_SHIFT_RULE = 0.4
LEAST_SHELLS = 3
RUNGS = 3  # to half a step
# Frames of particles lie beside the poses about which they are searched, by 53 degrees about an odd axis: see `PoseGrid.beside`.
ASIDE = rotation_vectors_to_matrices(np.degrees([0.5, -0.35, 0.7]))


@dataclass(frozen=True)
class PoseGrid:
    """Rotations and shifts of one iteration.

    Attributes
    ----------
    rotations : ndarray, shape (nR, 3, 3)
        dR: a particle's orientation is `R_p · dR` with R_p its frame.
    rotation_log_prior : ndarray, shape (nR,)
        Sums to one after exp.
    shifts : ndarray, shape (nT, 3)
        Pixels (x, y, z) in the particle's frame.
    angular_step, shift_step : float
        Degrees, pixels.
    perturbation : float
        Offset of the grid as a fraction of a step, -0.5 … 0.5.
    whole_range : bool
        The grid is all that is possible, and priors sum to one over it. Otherwise it is a part of the space of all orientations and
        offsets in which the search has found something, and its poses have that part of the prior only.
    """

    rotations: FloatArray = field(repr=False)
    rotation_log_prior: FloatArray = field(repr=False)
    shifts: FloatArray = field(repr=False)
    angular_step: float
    shift_step: float
    perturbation: float
    whole_range: bool = True

    @property
    def is_single(self) -> bool:
        """Whether there is but one pose, that of the particle's own frame."""
        return len(self.rotations) == len(self.shifts) == 1

    def beside(self) -> PoseGrid:
        """The grid for particles in `frames_beside` the poses that it is about: `(R_p S) · (Sᵀ dR) = R_p · dR`.

        A reference that is hardly turned has its samples on nodes of the padded grid, where nothing is interpolated, and the division
        of maps by the envelope of interpolation makes them wrong by up to a tenth. Such poses would fit worse than others that are as
        right, and the reference would turn away from them (docs/decisions/frames-beside-poses.md).
        """
        return replace(self, rotations=ASIDE.T @ self.rotations)

    @classmethod
    def single(cls) -> PoseGrid:
        """The stored pose alone."""
        return cls(np.eye(3)[None], np.zeros(1), np.zeros((1, 3)), 0.0, 0.0, 0.0)


def frames_beside(poses: FloatArray) -> FloatArray:
    """Frames, shape (n, 3, 3), for particles that are searched about these poses (n, 3, 3) by the grid that `PoseGrid.beside` gives."""
    frames: FloatArray = poses @ ASIDE
    return frames


def needed_step(asked: float, allowed: float) -> float:
    """`asked`, made smaller by rungs of 2^(1/3), each of which doubles the poses of a grid in three dimensions, to at most `allowed`.

    Halving would do with fewer different grids, but have up to eight times as many poses as a resolution needs; without rungs every
    small change of a particle's radius would be a finer step, and no run would come to rest.
    """
    rungs = math.ceil(RUNGS * math.log2(asked / allowed) - 1e-6)
    return asked * 2 ** (-rungs / RUNGS) if rungs > 0 else asked


def steps_for(shell: int, n: int, radius_px: float, angular_step: float, shift_step: float) -> tuple[float, float]:
    """Angular (degrees) and shift step (pixels) that a shell of box `n` needs for a particle of this radius."""
    shell = max(shell, 1)
    angle = needed_step(angular_step, np.degrees(ANGLE_RULE * n / (shell * max(radius_px, 1.0))))
    return angle, needed_step(shift_step, SHIFT_RULE * n / shell)


def coarse_limits(shell: int, n: int, radius_px: float, angular_step: float, shift_step: float) -> tuple[int, float]:
    """Last shell that a coarse angular step (degrees) can rank orientations on, at most `shell`, and the shift step for it.

    The shift step is the asked one, doubled as often as that shell allows.
    """
    told = int(COARSE_ANGLE_RULE * n / (np.radians(angular_step) * max(radius_px, 1.0)))
    shell = min(shell, max(told, LEAST_SHELLS))
    while 2 * shift_step <= COARSE_SHIFT_RULE * n / shell:
        shift_step *= 2
    return shell, shift_step


def pose_grid(
    angular_step: float, local_range: float, shift_step: float, shift_range: float, rng: np.random.Generator, order: int | None = None
) -> PoseGrid:
    """Grid of an iteration, moved as a whole by a random part of a step (the same for all particles keeps products shared).

    Parameters
    ----------
    angular_step, local_range : float
        Degrees; the ball's radius is three sigma of a Gaussian prior. A negative range: all of SO(3).
    shift_step, shift_range : float
        Pixels.
    rng : numpy Generator
        Keyed by seed and iteration.
    order : int, optional
        HEALPix order of a global grid; by default the first whose step is at most `angular_step`.
    """
    if local_range < 0:
        return global_grid(angular_step, shift_step, shift_range, rng, order=order)
    perturbation, shifts = _moved(shift_step, shift_range, rng)
    vectors = _ball(angular_step, local_range, rng)
    sigma = max(local_range / 3, 1e-6)
    log_prior = -0.5 * (np.linalg.norm(vectors, axis=1) / sigma) ** 2
    return PoseGrid(rotation_vectors_to_matrices(vectors), log_prior - logsumexp(log_prior), shifts, angular_step, shift_step, perturbation)


def global_grid(
    angular_step: float,
    shift_step: float,
    shift_range: float,
    rng: np.random.Generator,
    mates: FloatArray | None = None,
    order: int | None = None,
) -> PoseGrid:
    """All orientations that a symmetry leaves different, equally likely; parameters as of `pose_grid`.

    Parameters
    ----------
    mates : ndarray, shape (m, 3, 3), optional
        Rotations of the reference onto itself, the identity included: of m equivalent orientations the one nearest to the identity is kept.
    """
    perturbation, shifts = _moved(shift_step, shift_range, rng)
    order = healpix_order(angular_step) if order is None else order
    angular_step = so3.healpix_step(order)
    turn = rotation_vectors_to_matrices(rng.uniform(-0.5, 0.5, 3) * angular_step)
    rotations = so3.healpix_orientations(order) @ turn
    if mates is not None and len(mates) > 1:  # the trace falls as the angle grows
        traces = np.einsum("rij,mji->rm", rotations, mates)
        rotations = rotations[np.trace(rotations, axis1=1, axis2=2) >= traces.max(1) - 1e-9]
    log_prior = np.full(len(rotations), -np.log(len(rotations)))
    return PoseGrid(rotations, log_prior, shifts, angular_step, shift_step, perturbation)


def healpix_order(angular_step: float) -> int:
    """First order whose step is at most this one, degrees."""
    return max(0, int(np.ceil(np.log2(60.0 / angular_step) - 1e-6)))


def orientations_of(angular_step: float, group_order: int = 1) -> int:
    """About how many orientations a global grid has, of which symmetry leaves one in `group_order` different."""
    return 72 * int(8 ** healpix_order(angular_step)) // group_order


def found_grid(
    angular_step: float, local_range: float, shift_step: float, shift_range: float, rng: np.random.Generator, group_order: int = 1
) -> PoseGrid:
    """Part of all orientations and offsets, about what a search of all of them has found; parameters as of `pose_grid`.

    Each rotation has the share step³ of the volume 8π² of all orientations, `group_order` times as much with symmetry: a particle's
    evidence stays that of a search over everything, so that the best of many tries on noise does not look like a particle.
    """
    perturbation, shifts = _moved(shift_step, shift_range, rng)
    rotations = rotation_vectors_to_matrices(_ball(angular_step, local_range, rng))
    share = min(np.radians(angular_step) ** 3 * group_order / (8 * np.pi**2), 1.0 / len(rotations))
    return PoseGrid(rotations, np.full(len(rotations), np.log(share)), shifts, angular_step, shift_step, perturbation, False)


def _moved(shift_step: float, shift_range: float, rng: np.random.Generator) -> tuple[float, FloatArray]:
    """Random offset of a grid, and its shifts, moved."""
    perturbation = float(rng.uniform(-0.5, 0.5))
    shifts = so3.shifts(shift_step, shift_range)
    if len(shifts) > 1:
        shifts = shifts + rng.uniform(-0.25, 0.25, 3) * shift_step
    return perturbation, shifts


def _ball(angular_step: float, local_range: float, rng: np.random.Generator) -> FloatArray:
    """Rotation vectors within a range, moved, degrees."""
    vectors = so3.ball(angular_step, local_range)
    if len(vectors) > 1:
        vectors = vectors + rng.uniform(-0.25, 0.25, 3) * angular_step
    return vectors
