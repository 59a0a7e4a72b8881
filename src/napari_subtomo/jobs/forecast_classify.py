"""What a 3D classification will take."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from napari_subtomo.em.expectation import BLOCK_BYTES, REFERENCE_BYTES
from napari_subtomo.em.frames import LOCAL_SHIFTS, LOCAL_STEPS
from napari_subtomo.em.global_search import BATCH_BYTES, CANDIDATES, POOL, REACH
from napari_subtomo.em.poses import coarse_limits, orientations_of, steps_for
from napari_subtomo.geometry import so3
from napari_subtomo.geometry.symmetry import symmetry_order
from napari_subtomo.jobs.costs import Costs, nodes_of, per_transform, shared_by
from napari_subtomo.jobs.facts import Facts
from napari_subtomo.jobs.rates import Rates
from napari_subtomo.options.classify import ClassifyOptions

_POINTS_AT_ONCE = 4_000_000  # values that the M-step inserts in a chunk
_M_STEP_SHELLS = 3
_BASE = 130e6  # the program and its libraries, and what allocation leaves unused
_ROUNDS = 60  # most rounds of a leave-one-out start
_SIGNIFICANT = 60  # pairs of class and rotation that hold a particle's posterior where it is broad
_REMEMBERED = 5000  # poses of a particle within reach of its best
_EXACT = 8  # steps in the search range up to which shifts are counted one by one
_FASTER = "use smaller search ranges, a coarser limit of the resolution, a larger binning, fewer classes or a GPU"
_REMEDY = "use a larger binning, fewer classes, a larger angular step or a smaller search range"


@dataclass(frozen=True)
class Iteration:
    """Sizes of one iteration: poses, classes, voxels of the E-step and of the maps."""

    rotations: int
    shifts: int
    classes: int
    voxels: float
    map_voxels: float
    folds: int
    copies: int = 1  # places in which each particle is searched
    coarse: Iteration | None = None  # pass over all orientations before

    @property
    def references(self) -> int:
        """Maps that particles are compared with: classes of all folds."""
        return self.classes * self.folds


def half_sphere(shell: float) -> float:
    """Fourier voxels of half a sphere."""
    return 2 / 3 * math.pi * shell**3


def classify_costs(options: ClassifyOptions, facts: Facts, rates: Rates) -> Costs | None:
    """Costs of all iterations; None where the particles are not known."""
    n, box, pixel = facts.n_particles, facts.particle_box, facts.particle_pixel
    if not n or not box or not pixel:
        return None
    steps = iterations(options, facts, n, box, pixel)
    voxels = half_sphere((box - 1) // 2)
    gpu = facts.gpu and options.device != "cpu"
    threads = shared_by(options.threads, facts.cores, n)
    prepare = n * _resample(box, voxels, rates, 3 if options.mask_particles else 2) / threads
    seconds = 2.0 + prepare + min(n, 2000) * 4e-7 * voxels + n * 5e-8 * voxels
    seconds += sum(_seconds(step, n, box, options, facts, rates, gpu) for step in steps)
    if options.classes > 1 and options.start == "leave-one-out":
        last = steps[min(options.consensus_iterations, len(steps) - 1)]
        seconds += n * _resample(box, last.voxels, rates, 2) / threads
        seconds += options.restarts * options.classes * n * last.voxels * _ROUNDS * 8e-9
    kept = n * voxels * (20 if options.mask_particles else 12) + _BASE
    memory = kept + max(_memory(step, n, box, options) for step in steps)
    memory = max(memory, kept + options.threads * 400 * box**3)
    classes = options.classes + int(options.empty_class)
    each = classes * (4 * box**3 + 1024) + n * 500 + classes * box * 60 + 20_000
    states = 4 * box**3 * (steps[0].folds + sum(step.references for step in steps))  # and that of iteration 0
    return Costs(seconds, memory, (options.iterations + 1) * each + states, _REMEDY, _FASTER)


def iterations(options: ClassifyOptions, facts: Facts, n: int, box: int, pixel: float) -> list[Iteration]:
    """The iterations as they are likely to go: one shell more in each, up to the last known resolution.

    Without a known resolution it is taken to stop at two thirds of the limit.
    """
    limit = (box - 1) // 2
    if options.highres_limit > 0:
        limit = min(limit, max(1, int(box * pixel / options.highres_limit + 0.5)))
    first = int(np.clip(round(box * pixel / options.initial_lowpass), min(3, limit), limit))
    goal = box * pixel / facts.last_resolution + 1 if facts.last_resolution else 2 / 3 * limit
    last = int(np.clip(round(goal), first, limit))
    folds = min(options.folds, n)
    waits = options.start == "leave-one-out" and options.classes > 1
    before = options.consensus_iterations + (options.global_iterations if options.align and options.local_range < 0 else 0)
    alone = min(before, max(1, options.iterations // 2)) if waits else 0
    found = []
    for iteration in range(1, options.iterations + 1):
        shell = min(first + iteration - 1, last)
        everywhere = options.align and options.local_range < 0 and iteration <= options.global_iterations
        rotations, shifts = poses(options, shell, box, pixel, everywhere)
        many = iteration > alone and (waits or iteration > 1 or options.absolute_greyscale)
        map_shell = min((box - 1) // 2, shell + _M_STEP_SHELLS)
        step = Iteration(rotations, shifts, options.classes if many else 1, half_sphere(shell + 0.5), half_sphere(map_shell + 0.5), folds)
        found.append(_after_coarse_pass(step, options, shell, box, pixel) if everywhere else step)
    return found


def _after_coarse_pass(step: Iteration, options: ClassifyOptions, shell: int, box: int, pixel: float) -> Iteration:
    """An iteration about the candidates of a coarse pass over all orientations."""
    angle = 2 * options.angular_step
    told, shift = coarse_limits(shell, box, options.mask_diameter / 2 / pixel, angle, options.offset_step)
    rotations = orientations_of(angle, symmetry_order(options.symmetry))
    coarse = replace(step, rotations=rotations, shifts=_shifts(options.offset_range / shift), voxels=half_sphere(told + 0.5))
    return replace(step, copies=CANDIDATES, coarse=coarse)


def poses(options: ClassifyOptions, shell: int, box: int, pixel: float, everywhere: bool = False) -> tuple[int, int]:
    """Rotations and shifts of a search up to a shell; in a search of all orientations, those about each candidate."""
    if not options.align:
        return 1, 1
    angle, shift = options.angular_step, options.offset_step
    radius = options.mask_diameter / 2 / pixel
    if not options.fixed_sampling:
        angle, shift = steps_for(shell, box, radius, angle, shift)
    if options.local_range >= 0:
        return _in_ball(options.local_range / angle), _shifts(options.offset_range / shift)
    if not everywhere:
        return _in_ball(LOCAL_STEPS), _shifts(min(LOCAL_SHIFTS, options.offset_range / shift))
    coarse_shift = coarse_limits(shell, box, radius, 2 * options.angular_step, options.offset_step)[1]
    return _in_ball(REACH * 2 * options.angular_step / angle), _shifts(min(coarse_shift, options.offset_range) / shift)


def _shifts(ratio: float) -> int:
    """Shifts within so many steps."""
    return len(so3.shifts(1.0, ratio)) if ratio <= _EXACT else _in_ball(ratio)


def _in_ball(ratio: float) -> int:
    """Points of a lattice with one point per unit volume in a ball."""
    return max(1, round(4 / 3 * math.pi * ratio**3))


def _resample(box: int, voxels: float, rates: Rates, volumes: int) -> float:
    """Seconds for a particle to be read and turned."""
    transforms = volumes * rates.transform * (2 * box) ** 3 + 2 * per_transform(box, rates)
    return transforms + voxels * (rates.points + volumes * rates.values) + 2e-3


def _nodes(box: int, options: ClassifyOptions) -> float:
    """Nodes of the grid of the maps; particles that keep their orientation stay on a grid that is not padded."""
    return nodes_of(box) / (1 if options.align and options.local_range != 0 else 8)


def _chunk(step: Iteration) -> float:
    """Rotations whose references are held at once in the E-step."""
    return min(step.rotations, max(1.0, REFERENCE_BYTES // (64 * step.voxels * max(step.references, 8))))


def _inserted(step: Iteration) -> float:
    """Points that the M-step inserts at once."""
    return min(_POINTS_AT_ONCE / max(1, step.references // 4), step.rotations * step.map_voxels)


def _seconds(step: Iteration, n: int, box: int, options: ClassifyOptions, facts: Facts, rates: Rates, gpu: bool) -> float:
    """One iteration: references turned, matrix products, sums turned back and inserted, maps."""
    by_fold = shared_by(options.threads, facts.cores, step.folds)
    nodes = _nodes(box, options)
    transforms = 3 * step.references * rates.transform * 2 * nodes
    if not options.align:  # one pass of products, measured
        return (
            transforms + n * (half_sphere(box // 2) * 4e-9 + step.references * step.voxels * 4e-10) + 0.1 + nodes * step.references * 7e-8
        )
    search = _search(step, n * step.copies, options, facts, rates, gpu)
    if step.coarse is not None:
        search += _search(step.coarse, n, options, facts, rates, gpu)
        search += n * _resample(box, step.copies * step.map_voxels, rates, 3) / shared_by(options.threads, facts.cores, n)
    chunks = max(1.0, step.rotations * step.map_voxels / _inserted(step))
    inserted = step.rotations * step.map_voxels * (rates.points + 5 * step.references * rates.values)
    inserted += chunks * nodes * step.references * 1.2e-8
    sums = 2 * min(step.rotations * step.classes, _SIGNIFICANT) * n * step.map_voxels * 1e-9 / by_fold
    residuals = n * (step.voxels * (rates.points + step.classes * rates.values) + half_sphere(box // 2) * 3e-8) / by_fold
    maps = 0.1 + nodes * step.references * 7e-8
    return transforms + search + sums + inserted / shared_by(options.threads, facts.cores, int(chunks)) + residuals + maps


def _search(step: Iteration, n: int, options: ClassifyOptions, facts: Facts, rates: Rates, gpu: bool) -> float:
    """The search of an iteration: references turned, matrix products."""
    by_fold = shared_by(options.threads, facts.cores, step.folds)
    turned = step.rotations * step.voxels * (rates.points + step.references * (rates.values + 1e-8))
    products = 4.0 * n * step.shifts * step.classes * step.rotations * step.voxels
    scores = n * step.shifts * step.classes * step.rotations * 1.2e-8
    phases = n * step.shifts * step.voxels * 2e-9 * max(1.0, step.rotations / _chunk(step))
    if gpu:
        return turned / 50 + products / (0.5 * rates.device_product) + (scores + phases) / 50
    return turned + (products / (0.8 * rates.product) + scores + phases) / by_fold


def _memory(step: Iteration, n: int, box: int, options: ClassifyOptions) -> float:
    """Bytes beyond the prepared particles at the fullest moment of an iteration: search, insertion, or the making of maps."""
    if step.coarse is not None:  # candidates come in batches, of each particle the best stays until the end of the iteration
        batch = min(n * step.copies, max(step.copies, int(BATCH_BYTES // (24 * step.map_voxels))))
        kept = (n + batch) * 24 * step.map_voxels
        coarse = 48.0 * n * POOL + _memory(replace(step.coarse, map_voxels=1.0), 0, box, options)
        return max(coarse, kept + _memory(replace(step, copies=1, coarse=None), batch, box, options))
    nodes, references = _nodes(box, options), step.references
    threads = max(1, min(options.threads, step.folds))
    points = _chunk(step) * step.voxels
    shifted = step.shifts * (8 * step.voxels + 8 * step.classes * _chunk(step))  # of a particle; they come in blocks of at most 64
    block = 1.5 * min(BLOCK_BYTES, 64 * shifted) + 64 * 60 * step.voxels
    remembered = 16.0 * n * min(step.shifts * step.classes * step.rotations, _REMEMBERED)
    search = 16 * nodes * references + points * (130 + 24 * references) + threads * block + remembered
    all_rows = step.references * step.rotations
    rows = all_rows * -math.expm1(-n * _SIGNIFICANT / all_rows)  # of sums per fold, class and rotation that any particle adds to
    parts = 12.0 * rows * step.map_voxels
    inserting = max(1, min(options.threads, round(step.rotations * step.map_voxels / _inserted(step))))
    insertion = 12 * nodes * references * (1 + inserting) + inserting * _inserted(step) * (110 + 22 * references)
    maps = nodes * (44 * references + 60 * step.folds)
    grid = 200.0 * step.rotations
    return grid + max(search, parts + insertion, maps)
