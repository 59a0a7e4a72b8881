"""Bytes that an EM job needs at its fullest moment, from the arrays that its parts make; `benchmarks/forecast.py` measures how true it is.

Peaks are those of one part at a time: most of what a part leaves unused is given back to the system before the next one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from napari_subtomo.em.accumulate import SUMS_BYTES
from napari_subtomo.em.back_rotation import PARTS, POINT_BYTES, SCATTER_PARTS, scatter_points
from napari_subtomo.em.basis import ROWS
from napari_subtomo.em.class_shell import ASKED, MOST, working_bytes
from napari_subtomo.em.expectation import BLOCK_BYTES, REFERENCE_BYTES
from napari_subtomo.em.global_search import BATCH_BYTES, POOL
from napari_subtomo.em.plan import Iteration, iterations, lattice_voxels
from napari_subtomo.em.pose_sums import BLOCK_BYTES as SHIFTED_BYTES
from napari_subtomo.em.pose_sums import RANGES
from napari_subtomo.em.remembered import bytes_of
from napari_subtomo.em.seeding import VALUES, at_poses
from napari_subtomo.em.streamed import streamed_bytes
from napari_subtomo.errors import OptionError
from napari_subtomo.numerics.backend import expects_loops, free_bytes, loops_bytes
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Reporter

INDEX_BYTES = 80  # of a point that is interpolated at: its corners and itself
BASE = 95e6  # the program, its libraries, and what threads keep of freed memory
UNUSED = 1.03  # what allocation takes and leaves unused, as a factor
ROOM = 0.8  # share of the free memory that a job may count on
KEPT_SHARE = 0.05  # of the free memory, for particles that are only kept to save time
FULL = 0.9  # usual share of picks that are not, or not yet, taken for empty
REMEDY = "use a larger binning, fewer classes, a larger angular step or a smaller search range"
_TABLE = 3000.0  # bytes of a particle in tables of text, while they are read and written
_RESAMPLED = 350.0  # bytes a voxel of the box while a particle is turned
_FEW = 8  # poses that hold a particle's posterior where it is narrow
_SIGNIFICANT = 40  # pairs of class and rotation that hold a particle's posterior where it is broad
_MORE = 0.5  # what a further thread adds: threads are seldom at their fullest at once
_INSERTED = 20  # bytes of a point and a reference that are held on average while sums are inserted
_REMEMBERED, _REACHED = 10_000, 0.04  # poses of a particle within reach of its best where it is broad: at most, and as a share of all
_FOUND, _JOINED, _HELD = 24, 40, 10  # bytes of a remembered pose: as found, while all are put together, of those that the maps get


@dataclass(frozen=True)
class Memory:
    """What a job needs, bytes.

    Attributes
    ----------
    particles : float
        Values of all particles in memory; scales alone where they are streamed.
    working : float
        The most that is needed beside them.
    scratch : float
        On disk, of streamed particles.
    """

    particles: float
    working: float
    scratch: float = 0.0

    @property
    def peak(self) -> float:
        """Most memory at any time."""
        return BASE + loops_bytes() + self.particles + UNUSED * self.working


def remembered(options: ClassifyOptions, n: int, box: int, free: float | None, gpu: bool) -> float:
    """Room for particles that stay in memory in real space, where the processors turn them anew in each iteration.

    Parameters
    ----------
    options : ClassifyOptions
    n : int
        Particles.
    box : int
        Pixels.
    free : float or None
        Bytes; None where it is not known.
    gpu : bool
        Whether a GPU turns them.

    Returns
    -------
    float
        Bytes.
    """
    judged = options.align and options.classes > 1 and options.start == "leave-one-out" and n <= options.classes_at_poses
    if free is None or gpu or not judged or options.preread == "no":
        return 0.0
    return min(n * bytes_of(box), KEPT_SHARE * free)


def needs(
    options: ClassifyOptions,
    n: int,
    box: int,
    pixel: float,
    streamed: bool = False,
    last_resolution: float | None = None,
    room: float = 0.0,
) -> Memory:
    """Memory of a job.

    Parameters
    ----------
    options : ClassifyOptions
    n : int
        Particles.
    box, pixel : int, float
        Pixels, Å.
    streamed : bool
        Whether particles are read from scratch space.
    last_resolution : float, optional
        Å, as of `plan.iterations`.
    room : float
        Bytes, as of `remembered`.

    Returns
    -------
    Memory
    """
    voxels, kinds = lattice_voxels(box), (False, True, False) if options.mask_particles else (False, True)
    whole = sum(2.0 * streamed_bytes(n, 1, real) * voxels for real in kinds)
    if streamed:
        particles, scratch = 4.0 * len(kinds) * n * ((box + 1) // 2), whole / 2
    else:
        particles, scratch = whole + min(room, (FULL if options.empty_class else 1.0) * n * bytes_of(box)), 0.0
    if options.repeats > 1:  # a half is copied beside the whole
        particles += whole / 2
    steps = iterations(options, n, box, pixel, last_resolution)
    parts = [options.threads * _RESAMPLED * box**3]
    parts += [max(part.values()) for part in (_parts(step, box, options) for step in steps)]
    if options.classes > 1 and options.start == "leave-one-out":
        first = min(options.consensus_iterations, len(steps) - 1)
        some = steps[max(first - 1, 0)].particles
        parts.append(_clustering(steps[first], some))
        if options.class_limit < 0:
            asked = min(steps[first].voxels, ASKED / min(some, MOST))
            parts.append(24.0 * min(some * steps[first].voxels, VALUES) + working_bytes(options.threads, some, asked) + BLOCK_BYTES)
        if at_poses(options, n, options.iterations, first + 1):
            parts.append(_clustering(steps[-1], n))
    return Memory(particles, max(parts) + n * _TABLE, scratch)


def streams(options: ClassifyOptions, memory: Memory, free: float | None) -> bool:
    """Whether particles are to be streamed, for what they would need in memory and what is free (None: not known)."""
    fits = free is None or memory.peak <= ROOM * free
    return options.preread == "no" or (options.preread == "auto" and not fits)


def where_held(
    options: ClassifyOptions,
    n: int,
    box: int,
    pixel: float,
    last_resolution: float | None,
    scratch: Path,
    reporter: Reporter,
    gpu: bool = False,
) -> Path | None:
    """Folder for the particles of a job, or None for memory, as its options and the free memory have it; says which and what it needs.

    Raises
    ------
    OptionError
        Particles do not fit and were to be kept in memory.
    """
    free = free_bytes("cpu")
    memory = needs(options, n, box, pixel, last_resolution=last_resolution, room=remembered(options, n, box, free, gpu))
    streamed = streams(options, memory, free)
    if streamed:
        memory = needs(options, n, box, pixel, True, last_resolution)
    reporter.message(sentence(memory, free))
    if memory.particles > free:
        raise OptionError(
            f"Expected {memory.particles / 1e9:.1f} GB of memory for the particles, found {free / 1e9:.1f} GB free; "
            "use --preread auto to read them from scratch space when they are needed, or a larger binning."
        )
    if memory.peak > free:
        reporter.warn(f"More memory may be needed than is free: {REMEDY}.")
    return scratch / "particles" if streamed else None


def sentence(memory: Memory, free: float) -> str:
    """What a job needs of what there is."""
    text = f"Needs about {memory.peak / 1e9:.1f} of {free / 1e9:.1f} GB of memory"
    if memory.scratch:
        return f"{text}; particles are streamed from {memory.scratch / 1e9:.1f} GB of scratch space."
    return f"{text}, {memory.particles / 1e9:.1f} GB of it for the particles."


def _parts(step: Iteration, box: int, options: ClassifyOptions) -> dict[str, float]:
    """Bytes beyond the prepared particles at the fullest moment of each part of an iteration."""
    n, nodes, references, classes = step.particles, step.nodes, step.references, step.classes
    threads = max(1, min(options.threads, step.folds))
    points = chunk(step) * step.voxels
    # data times functions of shifts, their products with references, and scores, of a particle
    shifted = 8 * step.functions * (step.voxels + classes * chunk(step)) + 8 * step.shifts * classes * chunk(step)
    together = in_block(shifted, step)
    block = together * (shifted + 20 * step.voxels)
    found = n * min(_REACHED * step.shifts * classes * step.rotations, _REMEMBERED)
    held = _HELD * found
    always = 4 * references * box**3 + 8 * nodes * references + 20 * nodes + 200.0 * step.rotations
    few = n / step.folds * step.functions >= ROWS * classes * chunk(step)  # references through functions: overlaps in double precision
    compiled = expects_loops()
    if compiled:  # all folds at once; points alone
        turning = points * (24 + 12 * references + threads * (40 if few else 0) * classes)
    else:
        turning = points * max(INDEX_BYTES + 50, 64 + 12 * references + threads * (40 if few else 16) * classes)
    comparing = points * 12 * references + options.threads * block + 8 * step.shifts * step.voxels
    search = max(turning, comparing) + _FOUND * found
    all_rows = references * step.rotations
    there = FULL * n if options.empty_class else n
    rows = all_rows * -math.expm1(-there * _SIGNIFICANT / all_rows)  # of sums per fold, class and rotation that any particle adds to
    sums = min(12.0 * rows * step.map_voxels, SUMS_BYTES)
    # shifted data of a block of poses, and what they are summed to
    added = min(SHIFTED_BYTES / (16 * step.map_voxels), _FEW * there / step.folds)
    summed = step.map_voxels * (16 * added + 12 * min(step.rotations * classes, added))
    if compiled:
        folds = min(step.folds, math.ceil(options.threads / PARTS))  # whose sums are made and inserted at once
        sums = min(12.0 * rows * step.map_voxels * folds / step.folds, SUMS_BYTES)
        added, threads = min(SHIFTED_BYTES / (32 * step.map_voxels), there / step.folds), options.threads
        summed = 28 * added * step.map_voxels * step.folds / max(step.folds, RANGES * threads)
        # sums, those of a fold's second part; then what they are brought into
        insertion = 16 * nodes * (references + folds * classes)
        always_sums, brought = 16 * nodes * references, 28 * nodes * references
    else:
        at_once = inserted(step, rows)
        inserting = 1 + _MORE * (max(1, min(options.threads, round(step.rotations * step.map_voxels / at_once))) - 1)
        insertion = 12 * nodes * references * (1 + inserting) + inserting * at_once * (INDEX_BYTES + _INSERTED * references)
        always_sums, brought = 0.0, 0.0
    together = in_block(8 * (step.voxels + classes) + 8 * step.shifts * classes, step)
    shells = 8 * nodes * references + options.threads * (64 * together + POINT_BYTES) * step.voxels
    maps = nodes * (40 * references + 60 * step.folds)
    coarse = 0.0
    if step.coarse is not None:  # what a search of all orientations keeps of each particle: its best candidate, and those of a batch
        batch = min(n * step.copies, max(step.copies, int(BATCH_BYTES // (24 * step.map_voxels))))
        always += n * step.map_voxels * (20 if options.mask_particles else 12) + batch * 24 * step.map_voxels
        # in the pass before, the best orientations so far
        coarse = 48.0 * n * POOL + _parts(replace(step.coarse, map_voxels=1.0), box, options)["search"]
    return {
        "coarse search": coarse,
        "search": always + search,
        "joining": always + _JOINED * found,
        "summing": always + held + always_sums + sums + threads * summed + 8 * step.shifts * step.map_voxels,
        "insertion": always + held + max(sums + insertion, brought),
        "residuals": always + 12 * nodes * references + shells,
        "maps": always + maps,
    }


def _clustering(step: Iteration, n: int) -> float:
    """Classes of n particles at fixed poses: data, those inside the mask, weights, σ² and 1/(κσ²) on the voxels of the comparison."""
    return min(n * step.voxels, VALUES) * 28.0 + 2 * BLOCK_BYTES


def in_block(bytes_each: float, step: Iteration) -> float:
    """Particles of a fold that are compared at once; blocks are of nearly equal size."""
    members = math.ceil(step.particles / step.folds)
    return math.ceil(members / math.ceil(members / min(max(1.0, BLOCK_BYTES // bytes_each), 64)))


def chunk(step: Iteration) -> float:
    """Rotations whose references are held at once in the E-step."""
    return min(step.rotations, max(1.0, REFERENCE_BYTES // (64 * step.voxels * max(step.references, 8))))


def inserted(step: Iteration, rows: float = 0.0) -> float:
    """Points that the M-step inserts at once, where it sums to so many rows of class, fold and rotation."""
    portions = max(1, math.ceil(12.0 * rows * step.map_voxels / SUMS_BYTES))
    used = math.ceil(step.rotations / portions)
    most = max(1, min(scatter_points(int(step.nodes), step.references) // int(step.map_voxels), math.ceil(used / SCATTER_PARTS)))
    chunks = SCATTER_PARTS * math.ceil(math.ceil(used / most) / SCATTER_PARTS)
    return math.ceil(used / min(used, chunks)) * step.map_voxels
