"""What a 3D classification will take."""

from __future__ import annotations

import numpy as np

from napari_subtomo.em.back_rotation import PARTS
from napari_subtomo.em.basis import EIGEN, ROWS
from napari_subtomo.em.class_shell import MOST, SPLITS, asked
from napari_subtomo.em.class_shell import ROUNDS as HALVES_ROUNDS
from napari_subtomo.em.memory import REMEDY, chunk, inserted, needs, remembered, streams
from napari_subtomo.em.plan import Iteration, half_sphere, iterations, lattice_voxels
from napari_subtomo.em.remembered import bytes_of
from napari_subtomo.em.seeding import SELDOM, WARM_ROUNDS, at_poses, fitting
from napari_subtomo.em.stability import ITERATIONS
from napari_subtomo.em.start import HOT_ROUNDS, ROUNDS
from napari_subtomo.em.subdivision import FIRST
from napari_subtomo.jobs.costs import Costs, per_transform, shared_by
from napari_subtomo.jobs.facts import Facts
from napari_subtomo.jobs.rates import Rates
from napari_subtomo.numerics.backend import expects_loops
from napari_subtomo.options.classify import ClassifyOptions

_COMPARED = 1.7e-9  # seconds for a voxel of a particle and a class in a round of leave-one-out EM
_ROUND = 3e-4  # seconds that a round takes besides for each class and what they share, whatever its particles
_SETTLED = 0.15  # share of the rounds, for each class, after which EM has settled
_HALVES = 0.6  # likewise for halves of the particles with any number of classes
_PAIRS = 0.9  # and where a class is asked whether it holds two
_BETWEEN = 0.7  # functions that stand for a rotated reference, where such are found
_DEVICE = 50.0  # times as fast as a thread are things on a GPU that are not products of matrices
_BROAD, _REACHED = 1500.0, 0.04  # poses that hold a particle's posterior where it is broad: at most, and as a share of all
_ADDED = 3e-10  # seconds for a voxel of a pose to be added to the sums of the maps
_FILLED = 3  # as many classes as are likely to be filled
_FASTER = "use smaller search ranges, a coarser limit of the resolution, a larger binning, fewer classes or a GPU"


def classify_costs(options: ClassifyOptions, facts: Facts, rates: Rates) -> Costs | None:
    """Costs of all iterations; None where the particles are not known."""
    n, box, pixel = facts.n_particles, facts.particle_box, facts.particle_pixel
    if not n or not box or not pixel:
        return None
    steps = iterations(options, n, box, pixel, facts.last_resolution)
    voxels = lattice_voxels(box)
    gpu = facts.gpu and options.device != "cpu"
    threads = shared_by(options.threads, facts.cores, n)
    prepare = n * _turned(box, voxels, rates, 3 if options.mask_particles else 2, gpu) / threads
    seconds = 1.5 + prepare + n * 5e-8 * voxels
    each_takes = [_seconds(step, box, options, facts, rates, gpu) for step in steps]
    clusters = options.classes > 1 and options.start == "leave-one-out"
    clustering = 0.0
    if clusters:
        first = min(options.consensus_iterations, len(steps) - 1)
        last, some = steps[first], steps[max(first - 1, 0)].particles
        finest = fitting(_shell(last), some, _voxels)
        clustering = some * _turned(box, _voxels(finest), rates, 2, gpu) / threads
        for i, step in enumerate(steps[first + 1 :], first + 1):
            due = (i - first) % SELDOM == 1 or i == len(steps) - 1  # classes that have settled are judged seldom
            if at_poses(options, n, i + 1, first + 1) and min(step.particles, steps[i - 1].particles) == n and due:
                each_takes[i] += n * _judged(step, box, pixel, options, facts, rates, gpu) / threads
        starts = shared_by(options.threads, facts.cores, options.restarts)
        told = min(_told_by(last, box, pixel, options), _voxels(finest))
        few = min(some, MOST)
        em = options.restarts * _em(few, told, HOT_ROUNDS + ROUNDS, box, options.classes, rates) / starts
        if some > MOST:  # the others follow
            em += _em(some, told, ROUNDS, box, options.classes, rates) / shared_by(options.threads, facts.cores, some)
        if options.class_limit < 0:
            halves = [_voxels(shell) for shell in asked(finest, few, _voxels)]
            em += SPLITS * _halves(few, halves, box, options.classes, rates, _HALVES) / shared_by(options.threads, facts.cores, SPLITS)
            if options.classes > _FILLED:  # one is likely to spare: halves of the two largest are asked whether they hold two
                large = few / _FILLED
                em += 2 * FIRST * _halves(large, halves, box, 2, rates, _PAIRS) / shared_by(options.threads, facts.cores, FIRST)
        clustering += em / _DEVICE if gpu else em
    seconds += sum(each_takes) + clustering
    # a repeat: both halves go through a few iterations with their classes, and label each other
    again = each_takes[-1] * (ITERATIONS + 1) if clusters else sum(each_takes) + each_takes[-1]
    seconds += (options.repeats - 1) * (again + clustering)
    room = remembered(options, n, box, facts.free_memory, gpu)
    memory = needs(options, n, box, pixel, last_resolution=facts.last_resolution, room=room)
    streamed = streams(options, memory, facts.free_memory)
    if streamed:
        memory = needs(options, n, box, pixel, True, facts.last_resolution)
        seconds += n * voxels * 1.5e-7 + sum(step.particles * (12 * step.voxels + 6 * voxels) * 1.5e-9 for step in steps)
    classes = options.classes + int(options.empty_class)
    bytes_each = classes * (4 * box**3 + 1024) + n * 500 + classes * box * 60 + 20_000
    found = len(steps) if options.auto_mask and options.solvent_mask is None else 0  # masks that are found
    states = 4 * box**3 * (steps[0].folds + sum(step.references for step in steps) + found)  # and that of iteration 0
    disk = (options.iterations + 1) * bytes_each + states
    note = f"Particles are streamed from {memory.scratch / 1e9:.1f} GB of scratch space" if streamed else ""
    return Costs(seconds, memory.peak, disk, REMEDY, _FASTER, note)


def _turned(box: int, voxels: float, rates: Rates, volumes: int, gpu: bool = False, read: float = 1.0) -> float:
    """Seconds for a particle to be read, with this probability, and turned; a thread's share of them where a GPU turns what is read."""
    turned = volumes * rates.transform * (2 * box) ** 3 + voxels * (rates.points + volumes * rates.values)
    turned += read * 2 * per_transform(box, rates)
    return read * 2e-3 + (turned / _DEVICE if gpu else turned)


def _voxels(shell: float) -> float:
    """On the lattice up to a shell."""
    return half_sphere(shell + 0.5)


def _shell(step: Iteration) -> int:
    """Last shell of the comparison."""
    return round(float(np.cbrt(step.voxels / half_sphere(1.0))) - 0.5)


def _told_by(step: Iteration, box: int, pixel: float, options: ClassifyOptions) -> float:
    """Voxels that tell classes apart; where halves of the particles are to say, about half of the shells that are compared."""
    if options.class_limit == 0:
        return step.voxels
    shell = box * pixel / options.class_limit if options.class_limit > 0 else _shell(step) / 2
    return min(step.voxels, _voxels(shell))


def _em(n: float, voxels: float, rounds: int, box: int, classes: int, rates: Rates, settled: float = 0.0) -> float:
    """Seconds of leave-one-out EM of n particles at fixed poses, of at most so many rounds: particles compared, differences masked."""
    each = (classes + 1) * (_masked(voxels, box, rates) + _ROUND)
    return (settled or min(1.0, _SETTLED * classes)) * rounds * (classes * n * voxels * _COMPARED + each)


def _halves(n: float, several: list[float], box: int, classes: int, rates: Rates, settled: float) -> float:
    """Seconds of leave-one-out EM of the two halves of n particles, for each number of voxels that is asked about."""
    each = [2 * _em(n / 2, voxels, HOT_ROUNDS + HALVES_ROUNDS, box, classes, rates, settled) for voxels in several]
    return sum(each) + sum(n * _masked(voxels, box, rates) for voxels in several)


def _masked(voxels: float, box: int, rates: Rates) -> float:
    """Seconds for a mask in real space of values up to a shell: two transforms of the smallest box that does (`em.constraints.Region`)."""
    shell = float(np.cbrt(voxels / half_sphere(1.0))) - 0.5
    return 2.5 * per_transform(min(box, 4 * shell + 2), rates)


def _judged(step: Iteration, box: int, pixel: float, options: ClassifyOptions, facts: Facts, rates: Rates, gpu: bool) -> float:
    """Seconds for the class of a particle at its best pose; those that are kept in real space are not read."""
    voxels = min(_told_by(step, box, pixel, options), _voxels(fitting(_shell(step), step.particles, _voxels)))
    kept = remembered(options, step.particles, box, facts.free_memory, gpu) / (step.particles * bytes_of(box))
    turned = _turned(box, voxels, rates, 2, gpu, 1 - kept) if options.align else 0.0
    compared = _masked(voxels, box, rates) + options.classes * voxels * WARM_ROUNDS * _COMPARED
    return turned + (compared / _DEVICE if gpu else compared)


def _seconds(step: Iteration, box: int, options: ClassifyOptions, facts: Facts, rates: Rates, gpu: bool) -> float:
    """One iteration: references turned, matrix products, sums turned back and insertion, maps."""
    by_fold = shared_by(options.threads, facts.cores, step.folds)
    n, nodes = step.particles, step.nodes
    transforms = 3 * step.references * rates.transform * 2 * nodes
    if not options.align:  # one pass of products, measured
        return (
            transforms + n * (half_sphere(box // 2) * 4e-9 + step.references * step.voxels * 4e-10) + 0.1 + nodes * step.references * 7e-8
        )
    search = _search(step, n * step.copies, options, facts, rates, gpu)
    if step.coarse is not None:
        search += _search(step.coarse, n, options, facts, rates, gpu)
        search += n * _turned(box, step.copies * step.map_voxels, rates, 3) / shared_by(options.threads, facts.cores, n)
    if not expects_loops():
        chunks = max(1.0, step.rotations * step.map_voxels / inserted(step))
        insertion = step.rotations * step.map_voxels * (rates.points + 3 * step.references * rates.values)
        insertion += chunks * nodes * step.references * 1.2e-8
    else:  # a part of a fold at a time
        chunks = PARTS * step.folds
        insertion = step.rotations * step.map_voxels * (step.folds * rates.points / 2 + 2 * step.references * rates.values)
    found = min(_REACHED * step.shifts * step.rotations * step.classes, _BROAD)
    sums = n * found * step.map_voxels * _ADDED / shared_by(options.threads, facts.cores, n)
    residuals = n * step.voxels * (rates.points + step.classes * rates.values + 3e-8) / by_fold
    maps = 0.05 + nodes * step.references * 5e-8
    return transforms + search + sums + insertion / shared_by(options.threads, facts.cores, int(chunks)) + residuals + maps


def _search(step: Iteration, n: int, options: ClassifyOptions, facts: Facts, rates: Rates, gpu: bool) -> float:
    """The search of an iteration: references turned, matrix products."""
    by_fold = shared_by(options.threads, facts.cores, step.folds)
    turned = step.rotations * step.voxels * (rates.points + step.references * (rates.values + 1e-8))
    products = 4.0 * n * step.functions * step.classes * step.rotations * step.voxels
    count = step.classes * chunk(step)
    if not gpu and n / step.folds * step.functions >= ROWS * count * (1 + EIGEN * count / step.voxels):
        products *= _BETWEEN
    scores = n * step.shifts * step.classes * step.rotations * 1.2e-8
    phases = n * step.functions * step.voxels * 2e-9 * max(1.0, step.rotations / chunk(step))
    if gpu:
        return turned / _DEVICE + products / (0.5 * rates.device_product) + (scores + phases) / _DEVICE
    return turned + (products / (0.8 * rates.product) + scores + phases) / by_fold
