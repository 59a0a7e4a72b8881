"""An iteration that searches all orientations: a coarse grid on few shells, then a fine grid about the best candidates of a particle.

The coarse pass compares all particles, in the frame of their boxes, with all orientations that symmetry leaves different, on the shells
that its step can tell apart. It ranks orientations, no more: of each particle the best few that lie well apart are kept. About each of
these the particle is resampled in a frame beside that orientation, so that one small grid of turns serves all particles and candidates,
and the general E-step runs on all shells. Candidates of a particle share its posterior by their evidence, and all of them go into the
maps with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.accumulate import map_sums, shell_sums
from napari_subtomo.em.expectation import EStep, compare, reference_volumes, search
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.poses import coarse_limits, frames_beside
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.remembered import Load
from napari_subtomo.em.solvent import particle_radius
from napari_subtomo.em.state import State
from napari_subtomo.em.statistics import ParticleResults, ShellSums, Sums
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.em.turning import in_frame, transforms
from napari_subtomo.em.work import shares
from napari_subtomo.numerics.backend import device_context, namespace, to_host
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Quiet, Reporter

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CANDIDATES = 8  # orientations of a particle that are looked at closely
APART = 1.5  # least angle between them, in steps of the coarse grid
REACH = 0.75  # radius about a candidate that is searched finely, in steps of the coarse grid
POOL = 256  # orientations of a particle from which candidates are taken
BATCH_BYTES = 256 * 2**20
LEAST = 1e-4  # share of a particle's posterior below which a candidate adds nothing


@dataclass(frozen=True)
class Candidates:
    """The best orientations of n particles that lie well apart, M at most for each.

    Attributes
    ----------
    particle : ndarray, shape (c,), int
        Which particle each of the candidates belongs to, ascending; the best of a particle first.
    frames : ndarray, shape (c, 3, 3)
        Beside the orientations (`PoseGrid.beside`), in the subtomogram frame.
    offsets : ndarray, shape (c, 3)
        Where the particle sits, pixels in the subtomogram frame.
    """

    particle: IntArray
    frames: FloatArray = field(repr=False)
    offsets: FloatArray = field(repr=False)


@dataclass(frozen=True)
class Found:
    """What an iteration over all orientations gives: the best candidate of each particle as if it were the particle's frame.

    Attributes
    ----------
    frames : ndarray, shape (n, 3, 3)
    centres : ndarray, shape (n, 3)
        Offsets taken out of the particles, pixels in the subtomogram frame.
    prepared : Prepared
        The particles in those frames, up to the shells of the maps.
    step : EStep
        On the fine grid in those frames.
    results : ParticleResults
    sums : Sums
    shells : ShellSums
    """

    frames: FloatArray = field(repr=False)
    centres: FloatArray = field(repr=False)
    prepared: Prepared
    step: EStep
    results: ParticleResults
    sums: Sums
    shells: ShellSums


def coarse_sampling(setup: Setup, state: State) -> tuple[float, float, int]:
    """Angular step (degrees), offset step (pixels) and last shell of the coarse pass: twice the angular step asked for, as RELION does."""
    o = setup.options
    angle = 2 * o.angular_step
    shell, shift = coarse_limits(state.last_shell, setup.lattice.n, particle_radius(setup, state), angle, o.offset_step)
    return angle, shift, shell


def search_everywhere(setup: Setup, fine: EStep, coarse: EStep, last_map_shell: int, reporter: Reporter) -> Found:
    """E-step and sums of an iteration over all orientations.

    Parameters
    ----------
    setup : Setup
        With particles in the frames of their boxes.
    fine : EStep
        With the grid about a candidate.
    coarse : EStep
        With the grid of all orientations.
    last_map_shell : int
        Up to which maps are made.
    reporter : Reporter
    """
    prepared, input_offsets = setup.prepared, setup.input_offsets
    mask, mates, threads = setup.particle_mask, setup.mates, setup.options.threads
    candidates = _screened(setup, coarse, reporter)
    whole = fine.lattice
    lattice = Lattice(whole.n, whole.last_shell, whole.k[: whole.prefix(last_map_shell)], whole.shell[: whole.prefix(last_map_shell)])
    count, classes = len(prepared), fine.model.maps.shape[1]
    shape = count, len(lattice)
    g, h = np.empty(shape, np.complex64), np.empty(shape, np.float32)
    ge = g if mask is None else np.empty_like(g)
    best = Prepared(lattice, g, ge, h)
    frames, offsets = np.empty((count, 3, 3)), np.empty((count, 3))
    results = ParticleResults.empty(count, classes)
    reporter.stage("Candidates", count, "particles")

    def batch(numbered: tuple[int, slice]) -> Sums:
        """The sums of some candidates; what is found of their particles is noted."""
        number, some = numbered
        particle = candidates.particle[some]
        turned = resample_candidates(setup.load, candidates, some, lattice, input_offsets, mask, threads, reporter)
        step = replace(
            fine,
            lattice=lattice,
            particles=fine.particles.some(particle, len(fine.model.noise)),
            offsets_px=np.einsum("nji,nj->ni", candidates.frames[some], candidates.offsets[some]),
            allowed=None if fine.allowed is None else fine.allowed[particle],
            device=setup.devices[number % len(setup.devices)],
        )
        poses, each = search(step, turned, threads, Quiet(reporter))
        first, share = combine(step, particle, each, results)
        weighted = replace(poses, score=(poses.score * share[poses.particle]).astype(np.float32))
        ids = particle[first]
        frames[ids], offsets[ids] = candidates.frames[some][first], candidates.offsets[some][first]
        g[ids], h[ids] = turned.G[first], turned.H[first]
        if mask is not None:
            ge[ids] = turned.GE[first]
        return map_sums(step, turned, weighted, last_map_shell, mates, threads, Quiet(reporter))

    sums: Sums | None = None
    for part in ordered_map(batch, enumerate(_batches(candidates, len(lattice))), len(setup.devices)):
        sums = part if sums is None else sums + part
    assert sums is not None, "every particle has a candidate"
    step = replace(fine, lattice=lattice, offsets_px=np.einsum("nji,nj->ni", frames, offsets))
    return Found(frames, offsets, best, step, results, sums, shell_sums(step, best, results, threads))


def _screened(setup: Setup, coarse: EStep, reporter: Reporter) -> Candidates:
    """Candidates of all particles, which the devices share, in the order of the particles."""
    shared = shares(coarse.particles.fold, setup.devices)

    def one(place: int) -> Candidates:
        share = shared[place]
        listener = reporter if place == 0 else Quiet(reporter)
        some, offsets = setup.prepared.some(share.ids), setup.input_offsets[share.ids]
        found = screen(share.step(coarse), some, offsets, setup.mates, setup.options.threads, listener)
        return replace(found, particle=share.ids[found.particle])

    if len(shared) == 1:
        return screen(coarse, setup.prepared, setup.input_offsets, setup.mates, setup.options.threads, reporter)
    parts = list(ordered_map(one, range(len(shared)), len(shared)))
    order = np.argsort(np.concatenate([part.particle for part in parts]), kind="stable")
    return Candidates(*(np.concatenate([getattr(part, f.name) for part in parts])[order] for f in fields(Candidates)))


def screen(step: EStep, prepared: Prepared, input_offsets: FloatArray, mates: FloatArray, threads: int, reporter: Reporter) -> Candidates:
    """The coarse pass: candidates of all particles.

    Orientations are ranked by their evidence, the sum over offsets and classes (by the best correlation in a step that compares by it).
    """
    count, pool = len(prepared), min(POOL, len(step.poses.rotations))
    log, rotation = np.full((count, pool), -np.inf), np.zeros((count, pool), np.int64)
    shift = np.zeros((count, pool), np.int64)

    def take(scores: Any, ids: IntArray, some: slice) -> None:
        """The best orientations so far of some particles, with their best shifts."""
        evidence, at = ranked(scores, step.cross_correlation)
        both = np.concatenate([log[ids], evidence], axis=1)
        top = np.argpartition(-both, pool - 1, axis=1)[:, :pool]
        where = np.concatenate([rotation[ids], np.broadcast_to(np.arange(some.start, some.stop), evidence.shape)], axis=1)
        best = [np.take_along_axis(of_all, top, axis=1) for of_all in (where, np.concatenate([shift[ids], at], axis=1), both)]
        rotation[ids], shift[ids], log[ids] = best

    with device_context(step.device):
        compare(step, prepared, reference_volumes(step, threads), threads, reporter, "All orientations", take)
    apart = APART * step.poses.angular_step
    chosen = [distinct(step.poses.rotations[rotation[i]], log[i], apart, mates, CANDIDATES) for i in range(count)]
    particle = np.repeat(np.arange(count), [len(c) for c in chosen])
    at = np.concatenate(chosen)
    frames = frames_beside(step.poses.rotations[rotation[particle, at]])
    found = step.poses.shifts[shift[particle, at]]
    return Candidates(particle, frames, input_offsets[particle] + found)


def ranked(log: Any, by_best: bool) -> tuple[FloatArray, IntArray]:
    """Evidence of each rotation, the sum over offsets and classes or the best of them, and its best offset; of scores (m, nT, classes, r).

    Returns
    -------
    evidence, shift : ndarray, shape (m, r)
    """
    xp = namespace(log)
    over_classes = log.max(axis=2)
    best = over_classes.max(axis=1)
    at = to_host(over_classes.argmax(axis=1)).astype(np.int64)
    if by_best:
        return to_host(best).astype(np.float64), at
    total = xp.exp(log - best[:, None, None, :]).sum(axis=(1, 2))
    return to_host(best + xp.log(total)).astype(np.float64), at


def distinct(rotations: FloatArray, log: FloatArray, apart: float, mates: FloatArray, most: int) -> IntArray:
    """The best rotations that lie farther from each other than `apart` degrees, symmetry considered, best first.

    Parameters
    ----------
    rotations : ndarray, shape (r, 3, 3)
    log : ndarray, shape (r,)
    apart : float
    mates : ndarray, shape (m, 3, 3)
    most : int

    Returns
    -------
    ndarray of int
        At least one.
    """
    left = np.argsort(-log, kind="stable")
    left = left[np.isfinite(log[left])] if np.isfinite(log).any() else left[:1]
    limit = 1 + 2 * np.cos(np.radians(apart))  # the trace of a turn by that angle
    chosen: list[int] = []
    while len(left) and len(chosen) < most:
        best = int(left[0])
        chosen.append(best)
        equivalent = rotations[best] @ mates
        traces = np.einsum("rij,mij->rm", rotations[left], equivalent).max(1)
        left = left[(traces < limit) & (left != best)]
    return np.array(chosen, np.int64)


def resample_candidates(
    load: Load,
    candidates: Candidates,
    some: slice,
    lattice: Lattice,
    input_offsets: FloatArray,
    mask: Any,
    threads: int,
    reporter: Reporter,
) -> Prepared:
    """The particles of some candidates in each candidate's frame, offsets taken out; each particle is read and transformed once."""
    particle = candidates.particle[some]
    grid = PaddedGrid(lattice.n).up_to(int(lattice.shell[-1]))
    size = len(particle)
    g, h = np.empty((size, len(lattice)), np.complex64), np.empty((size, len(lattice)), np.float32)
    ge = g if mask is None else np.empty_like(g)
    frames, offsets = candidates.frames[some], candidates.offsets[some]

    def one(i: int) -> None:
        made = transforms(load(i), grid, input_offsets[i], mask)
        for row in np.flatnonzero(particle == i):
            g[row], ge[row], h[row] = in_frame(grid, made, lattice.k, frames[row], offsets[row])

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(one, np.unique(particle)):
            reporter.advance()
    return Prepared(lattice, g, ge, h)


def combine(step: EStep, particle: IntArray, each: ParticleResults, results: ParticleResults) -> tuple[IntArray, FloatArray]:
    """Join the candidates of particles: posteriors by evidence, everything else from the best candidate.

    Parameters
    ----------
    step : EStep
    particle : ndarray, shape (c,)
        Of each candidate, ascending.
    each : ParticleResults
        Of the candidates, each as if there were no other.
    results : ParticleResults
        Of all particles; those of these candidates are written.

    Returns
    -------
    first : ndarray, shape (p,)
        The best candidate of each of these particles.
    share : ndarray, shape (c,)
        Factor on a candidate's posteriors that makes them joint ones; 0 for candidates of no account.
    """
    ids, start = np.unique(particle, return_index=True)
    row = np.repeat(np.arange(len(ids)), np.diff(np.append(start, len(particle))))
    if step.cross_correlation:
        real = each.log_likelihood
    else:
        fractions = step.model.log_fractions
        real = each.log_evidence + np.logaddexp.reduce(fractions[:-1])
    order = np.lexsort((-real, row))
    first = order[start]
    share = np.zeros(len(particle))
    if step.cross_correlation:
        share[first] = 1
        results.posterior[ids] = each.posterior[first]
        results.log_evidence[ids] = results.log_likelihood[ids] = real[first]
    else:
        total = np.logaddexp(np.logaddexp.reduceat(real, start), fractions[-1])
        share = np.exp(each.log_likelihood - total[row])
        posterior = np.add.reduceat(each.posterior[:, :-1] * share[:, None], start, axis=0)
        results.posterior[ids] = np.column_stack([posterior, np.exp(fractions[-1] - total)])
        results.log_evidence[ids] = np.logaddexp.reduceat(real, start) - np.logaddexp.reduce(fractions[:-1])
        results.log_likelihood[ids] = total
        held = share * each.posterior[:, :-1].sum(1)
        share = np.where(held > LEAST, share, 0)
    for name in ("rotation", "shift", "best_class", "turn", "offset"):
        getattr(results, name)[ids] = getattr(each, name)[first]
    results.pmax[ids] = each.pmax[first] * share[first]
    results.significant[ids] = np.add.reduceat(np.where(share > 0, each.significant, 0), start)
    return first, share


def _batches(candidates: Candidates, voxels: int) -> Iterator[slice]:
    """Slices of candidates that hold whole particles and fit `BATCH_BYTES`."""
    size = max(CANDIDATES, BATCH_BYTES // (24 * voxels))
    edges = np.append(np.flatnonzero(np.diff(candidates.particle, prepend=-1)), len(candidates.particle))
    begin = 0
    while begin < len(candidates.particle):
        end = int(edges[np.searchsorted(edges, begin + size, side="right") - 1])
        end = end if end > begin else int(edges[np.searchsorted(edges, begin, side="right")])
        yield slice(begin, end)
        begin = end
