"""What an EM job will do, iteration by iteration, before it begins: sizes of searches, references and maps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from napari_subtomo.em.basis import LEAST, WORTH
from napari_subtomo.em.engine import M_STEP_SHELLS
from napari_subtomo.em.frames import LOCAL_SHIFTS, LOCAL_STEPS
from napari_subtomo.em.global_search import CANDIDATES, REACH
from napari_subtomo.em.poses import coarse_limits, orientations_of, steps_for
from napari_subtomo.em.subsets import subset_size
from napari_subtomo.geometry import so3
from napari_subtomo.geometry.symmetry import symmetry_order
from napari_subtomo.options.classify import ClassifyOptions

SHARE_OF_MASK = 0.875  # usual radius of the mask that is found, in radii of the mask diameter
_EXACT = 8  # steps in a search range up to which its points are counted one by one


@dataclass(frozen=True)
class Iteration:
    """Sizes of one iteration: particles, poses, classes, voxels of the E-step and of the maps, nodes of their grid, functions of shifts."""

    particles: int
    rotations: int
    shifts: int
    classes: int
    voxels: float
    map_voxels: float
    nodes: float
    folds: int
    functions: int = 1  # that shifts are made of in the large products
    copies: int = 1  # places in which each particle is searched
    coarse: Iteration | None = None  # pass over all orientations before

    @property
    def references(self) -> int:
        """Maps that particles are compared with: classes of all folds."""
        return self.classes * self.folds


def half_sphere(shell: float) -> float:
    """Fourier voxels of half a sphere."""
    return 2 / 3 * math.pi * shell**3


def lattice_voxels(box: int) -> float:
    """Voxels of a particle on the lattice, all shells."""
    return half_sphere((box - 1) // 2)


def iterations(options: ClassifyOptions, n: int, box: int, pixel: float, last_resolution: float | None = None) -> list[Iteration]:
    """The iterations as they are likely to go: one shell more in each, up to the last known resolution.

    Parameters
    ----------
    options : ClassifyOptions
    n : int
        Particles.
    box : int
        Pixels.
    pixel : float
        Å.
    last_resolution : float, optional
        Å. Without a known resolution it is taken to stop at two thirds of the limit.
    """
    limit = (box - 1) // 2
    if options.highres_limit > 0:
        limit = min(limit, max(1, int(box * pixel / options.highres_limit + 0.5)))
    first = int(np.clip(round(box * pixel / options.initial_lowpass), min(3, limit), limit))
    goal = box * pixel / last_resolution + 1 if last_resolution else 2 / 3 * limit
    last = int(np.clip(round(goal), first, limit))
    folds = min(options.folds, n)
    waits = options.start == "leave-one-out" and options.classes > 1
    before = options.consensus_iterations + (options.global_iterations if options.align and options.local_range < 0 else 0)
    alone = min(before, max(1, options.iterations // 2)) if waits else 0
    found = []
    for iteration in range(1, options.iterations + 1):
        shell = min(first + iteration - 1, last)
        everywhere = options.align and options.local_range < 0 and iteration <= options.global_iterations
        rotations, shifts = poses(options, shell, box, pixel, everywhere, iteration > 1)
        many = iteration > alone and (waits or iteration > 1 or options.absolute_greyscale)
        asked = 0.0 if options.map_limit < 0 else box * pixel / max(options.map_limit, 2 * pixel)
        map_shell = min((box - 1) // 2, max(shell + M_STEP_SHELLS, int(asked + 0.5)))
        classes = options.classes if many else 1
        voxels, map_voxels = half_sphere(shell + 0.5), half_sphere(map_shell + 0.5)
        nodes = grid_nodes(options, box, map_shell)
        few = functions(shifts, options.offset_range, shell / box)
        some = subset_size(options, n, iteration)
        step = Iteration(some, rotations, shifts, classes, voxels, map_voxels, nodes, folds, few)
        found.append(_after_coarse_pass(step, options, shell, box, pixel, iteration > 1) if everywhere else step)
    return found


def _after_coarse_pass(step: Iteration, options: ClassifyOptions, shell: int, box: int, pixel: float, masked: bool) -> Iteration:
    """An iteration about the candidates of a coarse pass over all orientations."""
    angle = 2 * options.angular_step
    told, shift = coarse_limits(shell, box, expected_radius(options, pixel, masked), angle, options.offset_step)
    rotations = orientations_of(angle, symmetry_order(options.symmetry))
    shifts = _shifts(options.offset_range / shift)
    few = functions(shifts, options.offset_range, told / box)
    coarse = replace(step, rotations=rotations, shifts=shifts, voxels=half_sphere(told + 0.5), functions=few)
    return replace(step, copies=CANDIDATES, coarse=coarse)


def grid_nodes(options: ClassifyOptions, box: int, last_shell: int) -> int:
    """Nodes of the grid of the maps; particles that keep their orientation stay on a grid that is not padded."""
    padding = 2 if options.align and options.local_range != 0 else 1
    size = padding * box
    edge = min(size, 2 * (padding * last_shell + 2))  # as `PaddedGrid.up_to`
    edge = edge if edge <= 0.8 * size else size
    return edge * edge * (edge // 2 + 1)


def poses(options: ClassifyOptions, shell: int, box: int, pixel: float, everywhere: bool = False, masked: bool = True) -> tuple[int, int]:
    """Rotations and shifts of a search up to a shell; in a search of all orientations, those about each candidate.

    `masked`: the mask of the particle has been found, as it is from the second iteration on.
    """
    if not options.align:
        return 1, 1
    angle, shift = options.angular_step, options.offset_step
    radius = expected_radius(options, pixel, masked)
    if not options.fixed_sampling:
        angle, shift = steps_for(shell, box, radius, angle, shift)
    if options.local_range >= 0:
        rotations = _rotations(options.local_range / angle) * symmetry_order(options.relax_symmetry or "C1")
        return rotations, _shifts(options.offset_range / shift)
    if not everywhere:
        return _rotations(LOCAL_STEPS), _shifts(min(LOCAL_SHIFTS, options.offset_range / shift))
    coarse_shift = coarse_limits(shell, box, radius, 2 * options.angular_step, options.offset_step)[1]
    return _rotations(REACH * 2 * options.angular_step / angle), _shifts(min(coarse_shift, options.offset_range) / shift)


def expected_radius(options: ClassifyOptions, pixel: float, masked: bool = True) -> float:
    """About how far a particle will be found to reach, pixels: somewhat less than its mask, once that has been found."""
    finds = masked and options.auto_mask and options.solvent_mask is None
    return (SHARE_OF_MASK if finds else 1.0) * options.mask_diameter / 2 / pixel


def functions(shifts: int, reach: float, frequency: float) -> int:
    """About how many functions stand for shifts within `reach` pixels up to a frequency in 1/pixel (`em/basis.py`).

    A range of lengths 2R and a band of frequencies ±f hold 4Rf independent numbers in each direction, and some more for their edges.
    """
    few = round((4 * reach * frequency + 2.0) ** 3)
    return few if shifts >= LEAST and few <= WORTH * shifts else shifts


def _rotations(ratio: float) -> int:
    """Rotations within so many steps."""
    return len(so3.ball(1.0, ratio)) if ratio <= _EXACT else _in_ball(ratio)


def _shifts(ratio: float) -> int:
    """Shifts within so many steps."""
    return len(so3.shifts(1.0, ratio)) if ratio <= _EXACT else _in_ball(ratio)


def _in_ball(ratio: float) -> int:
    """Points of a lattice with one point per unit volume in a ball."""
    return max(1, round(4 / 3 * math.pi * ratio**3))
