"""The EM as a generator: each iteration takes a state and yields the next, with the classes as they stand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.classes import Classes
from napari_subtomo.em.accumulate import mean_noise
from napari_subtomo.em.constraints import composed, constrained
from napari_subtomo.em.convergence import followed, reason
from napari_subtomo.em.expectation import EStep, search
from napari_subtomo.em.external import External, references_of
from napari_subtomo.em.frames import Held, in_frames, next_frames, searches_everywhere
from napari_subtomo.em.global_search import search_everywhere
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.maximisation import Maximiser, OwnMap, resolved_shell
from napari_subtomo.em.model import Model, Particles
from napari_subtomo.em.noise import NoiseGroups, first_noise, next_noise
from napari_subtomo.em.poses import PoseGrid
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.priors import AnglePriors, RotationPrior
from napari_subtomo.em.remembered import Load
from napari_subtomo.em.report import describe, line_of, of_all, own_maps
from napari_subtomo.em.sampling import coarse_pass, iteration_poses
from napari_subtomo.em.scales import next_scales
from napari_subtomo.em.seeding import classes_at_poses, clustered_references, copied, random_classes
from napari_subtomo.em.state import State
from napari_subtomo.em.statistics import ParticleResults, ShellSums, Sums
from napari_subtomo.em.subsets import chosen, part_of, setup_of, state_of, whole_of
from napari_subtomo.em.temperature import noise_temperature, uncertainty
from napari_subtomo.em.work import Work, carried_out
from napari_subtomo.numerics.backend import release_memory
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]

M_STEP_SHELLS = 3  # shells made beyond those compared: what they show is not biased by the alignment
MIN_FRACTION = 1e-3


@dataclass(frozen=True)
class Setup:
    """What a job keeps the same through all iterations.

    Attributes
    ----------
    order : ndarray, shape (n,)
        Row of the input file of each particle in the engine's order.
    frames : ndarray, shape (n, 3, 3)
        R_p, beside the poses about which particles are searched (`PoseGrid.beside`); identity where a search over all orientations begins.
    input_orientations : ndarray, shape (n, 3, 3)
    input_offsets : ndarray, shape (n, 3)
        Pixels, in the subtomogram frame.
    centres : ndarray, shape (n, 3)
        Offsets that are taken out of the prepared particles: the input offsets, or those of found poses.
    references : ndarray, shape (1 or classes, box, box, box)
        Low-passed and masked.
    mates : ndarray, shape (m, 3, 3)
        Symmetry.
    group_names : tuple of str
    pixel_size : float
        Å.
    initial_shell : int
        Of the first E-step.
    limit_shell : int
        Most shells an E-step may use.
    tomograms : ndarray, shape (n,)
        Index of each particle's tomogram in `group_names`.
    particle_mask : ndarray or None
        Of the particles in the E-step.
    held : Held
        The frames that `prepared` is in.
    power : ndarray, shape (n noise groups, S)
        Power of the particles per unit weight: the noise of shells without a reference.
    noise_groups : NoiseGroups
        What shares a noise spectrum.
    map_shell : int
        Up to which maps are made at least; 0: as far as an E-step needs.
    focus : ndarray, shape (box, box, box), optional
        Mask of the region in which classes may differ.
    relaxed : ndarray, shape (m, 3, 3), optional
        Symmetry mates of orientations that are searched too.
    priors : AnglePriors, optional
    external : External, optional
        The outside program that makes the references.
    """

    options: ClassifyOptions
    prepared: Prepared
    load: Load = field(repr=False)
    particles: Particles
    order: npt.NDArray[np.int64] = field(repr=False)
    frames: FloatArray = field(repr=False)
    input_orientations: FloatArray = field(repr=False)
    input_offsets: FloatArray = field(repr=False)
    centres: FloatArray = field(repr=False)
    references: npt.NDArray[np.float32] = field(repr=False)
    maximiser: Maximiser
    mates: FloatArray = field(repr=False)
    group_names: tuple[str, ...]
    pixel_size: float
    initial_shell: int
    limit_shell: int
    tomograms: npt.NDArray[np.int64] = field(repr=False)
    particle_mask: npt.NDArray[np.float32] | None = field(repr=False)
    held: Held = field(repr=False)
    power: FloatArray = field(repr=False)
    noise_groups: NoiseGroups
    map_shell: int = 0
    focus: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    relaxed: FloatArray | None = field(default=None, repr=False)
    priors: AnglePriors | None = None
    devices: tuple[str, ...] = ("cpu",)
    external: External | None = None

    @property
    def device(self) -> str:
        """The first of the devices."""
        return self.devices[0]

    @property
    def lattice(self) -> Lattice:
        """The lattice of the prepared particles."""
        return self.prepared.lattice

    @property
    def radius(self) -> float:
        """Of the mask, pixels."""
        return self.options.mask_diameter / 2 / self.pixel_size

    @property
    def own_frame_offsets(self) -> FloatArray:
        """Offsets taken out of the particles, in each particle's own frame, pixels, shape (n, 3)."""
        offsets: FloatArray = np.einsum("nji,nj->ni", self.frames, self.centres)
        return offsets

    @property
    def finds_solvent(self) -> bool:
        """Whether references are masked around what they show, too."""
        return self.options.auto_mask and self.options.solvent_mask is None

    @property
    def folds(self) -> int:
        """Number of folds in use."""
        return int(self.particles.fold.max()) + 1

    @property
    def first_of_classes(self) -> int:
        """First iteration with all classes."""
        return next(i for i in range(1, self.options.iterations + 2) if self.phase(i) == "classes")

    def phase(self, iteration: int) -> str:
        """ "consensus" while all particles share one class before the classes begin, else "classes"."""
        o = self.options
        waits = o.start == "leave-one-out" and o.classes > 1 and len(self.references) == 1
        before = o.consensus_iterations + (o.global_iterations if o.align and o.local_range < 0 else 0)
        return "consensus" if waits and iteration <= min(before, max(1, o.iterations // 2)) else "classes"


def initial_state(setup: Setup) -> State:
    """The state before iteration 1: given references, noise from the power of the particles, equal fractions."""
    o, lattice = setup.options, setup.lattice
    n_groups, noise = max(int(setup.particles.group.max()) + 1, len(setup.group_names)), first_noise(setup)
    temperature = o.noise_temperature
    if temperature <= 0:
        envelope = np.abs(setup.references).mean(0)
        temperature = noise_temperature(setup.prepared, setup.particles, noise, envelope, max(lattice.last_shell // 2, 1), o.seed)
    maps = np.repeat(setup.references[None], setup.folds, axis=0)
    classes = maps.shape[1]
    if setup.focus is not None and classes > 1:
        maps = composed(maps, maps.mean(1), setup.focus)
    empty = 0.2 if o.empty_class else 0.0
    with np.errstate(divide="ignore"):
        log_fractions = np.log(np.append(np.full(classes, (1 - empty) / classes), empty))
    return State(
        iteration=0,
        maps=maps,
        map_noise=np.zeros((classes, lattice.last_shell + 1)),
        noise=noise,
        temperature=temperature,
        scales=np.ones(n_groups),
        log_fractions=log_fractions,
        sigma_offset=max(10.0 / setup.pixel_size, 1e-3),
        last_shell=setup.initial_shell,
        orientations=setup.input_orientations,
        offsets=setup.input_offsets,
        labels=np.ones(len(setup.prepared), np.int64),
        signal=False,
        steps=np.array([o.angular_step, o.offset_step]),
    )


def iterate(setup: Setup, state: State, reporter: Reporter) -> Iterator[tuple[State, Classes]]:
    """Iterations after `state` up to the last one asked for, or until nothing changes; cancelling means to stop iterating."""
    while state.iteration < setup.options.iterations and not reason(setup, state):
        state, classes = one_iteration(setup, state, reporter)
        yield state, classes


def one_iteration(setup: Setup, state: State, reporter: Reporter) -> tuple[State, Classes]:
    """One E-step and M-step."""
    began, o = time.monotonic(), setup.options
    iteration = state.iteration + 1
    rows = chosen(setup, state, iteration)
    some = "" if rows is None else f" {len(rows)} of {len(setup.order)} particles,"
    reporter.message(f"Iteration {iteration} of {o.iterations} ({setup.phase(iteration)}),{some} shells to {state.last_shell}.")
    seeded = False
    wanted = 1 if setup.phase(iteration) == "consensus" else o.classes
    first_cc = iteration == 1 and not o.absolute_greyscale
    given: FloatArray | None = None
    if state.maps.shape[1] < wanted:
        if o.start == "leave-one-out":
            (state, given), first_cc = _clustered(setup, state, reporter), False
        else:
            state, seeded = copied(state, wanted), not first_cc
    elif o.start == "random" and wanted > 1 and len(setup.references) == 1 and iteration == 2 and not o.absolute_greyscale:
        seeded = True  # RELION seeds in the first soft iteration
    elif state.iteration > 0 and (rows is None or len(rows) == len(setup.order)):
        state, given = classes_at_poses(setup, state, reporter)
    whole, before = in_frames(setup, state, reporter), state
    setup, state = part_of(whole, before, rows)
    allowed = random_classes(len(setup.prepared), wanted, o.seed) if seeded else None
    last_map_shell = _last_map_shell(setup, state)
    grid = setup.maximiser.grid.up_to(last_map_shell)
    maximiser = replace(setup.maximiser, last_shell=last_map_shell, grid=grid, solvent=state.solvent if state.solvent.size else None)
    poses = iteration_poses(setup, state, iteration, reporter)
    step = replace(_e_step(setup, state, poses, allowed, first_cc), given=given if given is None or rows is None else given[rows])
    if searches_everywhere(setup, state):
        best = search_everywhere(setup, step, coarse_pass(setup, state, step), last_map_shell, reporter)
        setup, step = replace(setup, frames=best.frames, centres=best.centres, prepared=best.prepared), best.step
        results, sums, shells = best.results, best.sums, best.shells
    else:
        work = Work(step, setup.prepared, last_map_shell, setup.mates, o.assignment, o.threads)
        # the particles of a subset are not those of the next: nothing is brought over for later
        finest = replace(state, last_shell=setup.limit_shell)
        at_most = setup.lattice.prefix(_last_map_shell(setup, finest)) if rows is None else 0
        done = carried_out(work, setup.devices, setup.held.resident, at_most, reporter)
        results, sums, shells = done.results, done.sums, done.shells
        del done
    after, maps, maximiser = _next_state(setup, state, step, results, sums, shells, maximiser, first_cc, reporter)
    reporter.message(line_of(after, results))
    release_memory("cpu")
    classes = describe(setup, state, after, step, results, maps, maximiser, time.monotonic() - began)
    new = next_frames(whole, before, whole_of(whole, before, after, results, rows), step.poses.angular_step)
    classes = classes if rows is None else of_all(whole, new, classes)
    new = followed(whole, before, new, classes)
    return new, replace(classes, converged=reason(whole, new))


def _clustered(setup: Setup, state: State, reporter: Reporter) -> tuple[State, FloatArray | None]:
    """The state with references of all classes, clustered from the particles of the last iteration: their poses are those of its map.

    With the posteriors of `clustered_references`, where it took all particles.
    """
    rows = chosen(setup, state, state.iteration)
    if rows is None or len(rows) == len(setup.order):
        return clustered_references(setup, state, reporter)
    found, _ = clustered_references(setup_of(setup, rows), state_of(setup, state, rows), reporter)
    given = {name: getattr(found, name) for name in ("maps", "map_noise", "log_fractions", "class_shell")}
    return replace(state, **given), None


def labels_by(setup: Setup, maps: State, own: State, reporter: Reporter) -> npt.NDArray[np.int64]:
    """Classes of particles by maps that other particles led to, their poses searched anew; shape (n,), the empty class last.

    Parameters
    ----------
    setup : Setup
        Of the particles to be labelled.
    maps : State
        Whose references, noise and fractions count.
    own : State
        Of the particles themselves.
    reporter : Reporter
    """
    mean = maps.maps.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
    state = replace(
        maps,
        maps=mean,
        orientations=own.orientations,
        offsets=own.offsets,
        labels=own.labels,
        scales=own.scales if setup.options.particle_scales else maps.scales,
        frames=own.frames,
        centres=own.centres,
        frame_step=own.frame_step,
    )
    setup = in_frames(setup, state, reporter)
    alone = replace(setup, particles=replace(setup.particles, fold=np.zeros_like(setup.particles.fold)))  # has no share in the maps
    step = _e_step(alone, state, iteration_poses(alone, state, state.iteration + 1, reporter), None, False)
    _, results = search(step, alone.prepared, setup.options.threads, reporter)
    labels: npt.NDArray[np.int64] = results.posterior.argmax(axis=1) + 1
    return labels


def score_particles(setup: Setup, state: State, reporter: Reporter) -> ParticleResults:
    """One E-step with the references of a state, as its next iteration would make it; nothing is learnt from it.

    Without prior orientations all are searched again. These may be other particles, without grey scales: all are compared at 1.
    """
    if setup.options.particle_scales:
        state = replace(state, scales=np.ones(len(setup.order)))
    state = replace(state, frames=np.zeros((0, 3, 3)), centres=np.zeros((0, 3)), frame_step=0.0)
    setup = in_frames(setup, state, reporter)
    step = _e_step(setup, state, iteration_poses(setup, state, state.iteration + 1, reporter), None, False)
    if searches_everywhere(setup, state):
        return search_everywhere(setup, step, coarse_pass(setup, state, step), _last_map_shell(setup, state), reporter).results
    return search(step, setup.prepared, setup.options.threads, reporter)[1]


def _last_map_shell(setup: Setup, state: State) -> int:
    """Shell up to which the maps of an iteration are made."""
    return min(setup.lattice.last_shell, max(state.last_shell + M_STEP_SHELLS, setup.map_shell))


def _e_step(setup: Setup, state: State, poses: PoseGrid, allowed: npt.NDArray[np.bool_] | None, cross_correlation: bool) -> EStep:
    """The E-step of a state."""
    temperature = state.temperature * uncertainty(setup.options.initial_uncertainty, state.iteration + 1 - setup.first_of_classes)
    model = Model(state.maps, state.noise, temperature, state.scales, state.log_fractions, state.map_noise, state.sigma_offset)
    return EStep(
        setup.maximiser.grid.up_to(_last_map_shell(setup, state)),
        setup.lattice,
        poses,
        state.last_shell,
        model,
        setup.particles,
        setup.own_frame_offsets,
        allowed,
        cross_correlation,
        setup.device,
        None if setup.priors is None or not setup.options.align else RotationPrior.of(setup.priors, setup.frames, poses),
    )


def _next_state(
    setup: Setup,
    state: State,
    step: EStep,
    results: ParticleResults,
    sums: Sums,
    shells: ShellSums,
    maximiser: Maximiser,
    cross_correlation: bool,
    reporter: Reporter,
) -> tuple[State, list[OwnMap], Maximiser]:
    """Noise, temperature, scales, fractions, references and limits for the next iteration, and the classes' own maps.

    The maximiser that is returned knows where the particle is.
    """
    o = setup.options
    noise = state.noise
    if not cross_correlation:  # its scale is not that of the data: residuals mean nothing
        noise = next_noise(setup, shells)
    fractions = np.maximum(results.posterior.mean(0), MIN_FRACTION)
    if not o.empty_class:
        fractions[-1] = 0
    elif cross_correlation:
        fractions = np.exp(state.log_fractions)
    with np.errstate(divide="ignore"):
        log_fractions = np.log(fractions / fractions.sum())
    spectrum = mean_noise(noise, setup.particles.noise_counts(len(noise)))
    maps = references_of(setup, maximiser, sums, spectrum, state.iteration + 1, reporter)
    references = constrained(setup, maximiser, maps, sums, spectrum, step.last_shell)
    maximiser = replace(maximiser, solvent=references.solvent)
    maps_of_classes, everything = own_maps(setup, maximiser, sums, spectrum)
    scales = state.scales if cross_correlation else next_scales(setup, shells, state, everything.ssnr, results.posterior)
    resolved = resolved_shell(everything.ssnr[: maximiser.last_shell + 1], setup.initial_shell)
    last_shell = int(np.clip(resolved, setup.initial_shell, min(state.last_shell + 1, setup.limit_shell)))
    total = np.einsum("nij,nj->ni", setup.frames, step.offsets_px + results.offset)
    spread = np.sqrt(shells.offsets / max(3 * shells.offset_weight, 1e-9))
    labels = results.posterior.argmax(1) + 1
    labels = np.where(results.posterior.argmax(1) == results.posterior.shape[1] - 1, o.classes + 1, labels)
    after = State(
        iteration=state.iteration + 1,
        maps=references.maps,
        map_noise=references.map_noise,
        noise=noise,
        temperature=state.temperature,
        scales=scales,
        log_fractions=log_fractions,
        sigma_offset=float(max(spread, np.sqrt(2.0) / setup.pixel_size)) if o.align and shells.offset_weight else state.sigma_offset,
        last_shell=last_shell,
        orientations=setup.frames @ results.turn if o.align else setup.input_orientations,
        offsets=total,
        labels=labels.astype(np.int64),
        signal=bool(state.signal or resolved > setup.initial_shell),
        steps=np.array([step.poses.angular_step, step.poses.shift_step]) if o.align else state.steps,
        solvent=np.zeros((0, 0, 0), np.float32) if references.solvent is None else references.solvent,
        class_shell=state.class_shell,
        judgement=state.judgement,
        judged=state.judged,
        settled=state.settled and (state.class_shell > 0 or last_shell == state.last_shell),
    )
    return after, maps_of_classes, maximiser
