"""What an iteration says of itself: the noun `Classes`, from sums, posteriors and states."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.classes import Classes, Sampling
from napari_subtomo.em.accuracy import UNKNOWN, Accuracy, expected_errors
from napari_subtomo.em.expectation import EStep
from napari_subtomo.em.frames import LOCAL_STEPS, searches_everywhere
from napari_subtomo.em.global_search import CANDIDATES
from napari_subtomo.em.maximisation import Maximiser, OwnMap, resolved_shell
from napari_subtomo.em.poses import orientations_of
from napari_subtomo.em.state import State
from napari_subtomo.em.statistics import ParticleResults, Sums
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.geometry.orientations import relion_distance

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]


def own_maps(setup: Setup, maximiser: Maximiser, sums: Sums, spectrum: FloatArray) -> tuple[list[OwnMap], OwnMap]:
    """Each class's own map, while there is one common class its own for all; and that of all classes together."""
    classes = sums.numerator.shape[1]

    def of(c: int | None) -> OwnMap:
        num, den = (each.sum(1) if c is None else each[:, c] for each in (sums.numerator, sums.denominator))
        return maximiser.own_map(num, den, spectrum)

    wanted = [None, *(range(classes) if classes > 1 else ())]
    everything, *made = ordered_map(of, wanted, setup.options.threads)
    made = made or [everything] * setup.options.classes
    if setup.options.empty_class:
        flat = np.zeros(maximiser.n_shells)
        made.append(OwnMap(np.zeros_like(made[0].volume), flat, flat, flat, flat))
    return made, everything


def resolution(shell: int, setup: Setup) -> float:
    """Å of a shell; 999 for shell 0."""
    return setup.lattice.n * setup.pixel_size / shell if shell > 0 else UNKNOWN


def tomogram_scales(setup: Setup, scales: FloatArray) -> FloatArray:
    """Scale of each tomogram: its own, or the mean of its particles'."""
    if not setup.options.particle_scales:
        return scales
    counts = np.bincount(setup.tomograms, minlength=len(setup.group_names))
    means: FloatArray = np.bincount(setup.tomograms, scales, len(counts)) / np.maximum(counts, 1)
    return means


def class_fractions(setup: Setup, posterior: FloatArray) -> FloatArray:
    """Mean posterior of each written class: copies of a common class share its fraction."""
    mean = posterior.mean(0)
    real, empty = mean[:-1], mean[-1]
    if len(real) < setup.options.classes:
        real = np.full(setup.options.classes, real.sum() / setup.options.classes)
    return np.append(real, empty) if setup.options.empty_class else real


def accuracies(setup: Setup, step: EStep, results: ParticleResults, written: int, n_shells: int) -> Accuracy:
    """Accuracies of all written classes: copies of a common class share its own, the empty class has none."""
    found = expected_errors(step, setup.prepared, results, setup.options.seed, setup.options.threads)
    row = np.arange(setup.options.classes) if len(found.rotations) == setup.options.classes else np.zeros(setup.options.classes, int)
    every = Accuracy.unknown(written, n_shells)
    every.rotations[: len(row)], every.offsets[: len(row)] = found.rotations[row], found.offsets[row]
    every.orientability[: len(row)] = found.orientability[row]
    return every


def describe(
    setup: Setup,
    state: State,
    new: State,
    step: EStep,
    results: ParticleResults,
    maps: list[OwnMap],
    maximiser: Maximiser,
    seconds: float,
) -> Classes:
    """The classes after an iteration with their own maps, particles in the order of the input file."""
    o = setup.options
    shells = np.array([resolved_shell(m.ssnr[: maximiser.last_shell + 1]) for m in maps])
    back = np.argsort(setup.order)  # engine order -> file order
    moved = new.offsets - state.offsets
    n = len(back)
    accuracy = accuracies(setup, step, results, len(maps), maximiser.n_shells)
    completeness = np.array([m.completeness[1 : maximiser.last_shell + 1].mean() if m.completeness.any() else 0.0 for m in maps])
    return Classes(
        iteration=new.iteration,
        n_iterations=o.iterations,
        phase=setup.phase(new.iteration),
        pixel_size=setup.pixel_size,
        mask_diameter=o.mask_diameter,
        maps=np.stack([m.volume for m in maps]),
        has_empty=o.empty_class,
        fractions=class_fractions(setup, results.posterior),
        resolutions=np.array([resolution(s, setup) for s in shells]),
        completeness=completeness,
        accuracy_rotations=accuracy.rotations,
        accuracy_offsets=np.where(accuracy.offsets < UNKNOWN, accuracy.offsets * setup.pixel_size, UNKNOWN),
        ssnr=np.stack([m.ssnr for m in maps]),
        tau2=np.stack([m.tau2 for m in maps]),
        sigma2=np.stack([m.sigma2 for m in maps]),
        shell_completeness=np.stack([m.completeness for m in maps]),
        orientability=accuracy.orientability,
        group_names=setup.group_names,
        **_groups(setup, new),
        current_resolution=resolution(int(shells.max()), setup),
        current_size=2 * new.last_shell,
        temperature=new.temperature,
        sigma_offset=new.sigma_offset * setup.pixel_size,
        log_likelihood=float(results.log_likelihood.sum()),
        average_pmax=float(results.pmax.mean()) if n else 0.0,
        sampling=sampling(setup, state, step),
        **_assigned(setup, new),
        log_likelihoods=results.log_likelihood[back],
        log_evidence=results.log_evidence[back],
        pmax=results.pmax[back],
        n_significant=results.significant[back],
        change_classes=float((new.labels != state.labels).mean()) if n else 0.0,
        change_orientations=float(relion_distance(state.orientations, new.orientations, setup.mates).mean()) if n else 0.0,
        change_offsets=float(np.sqrt((moved**2).sum() / max(2 * n, 1)) * setup.pixel_size),
        seconds=seconds,
    )


def of_all(setup: Setup, new: State, classes: Classes) -> Classes:
    """What an iteration of some particles says, with a row for every particle of the file.

    Parameters
    ----------
    setup : Setup
        Of all particles.
    new : State
        Of all particles, after the iteration.
    classes : Classes
        Of the iteration's particles.
    """
    back = np.argsort(setup.order)
    log_likelihood, log_evidence, pmax, significant = new.figures[back].T
    return replace(
        classes,
        **_groups(setup, new),
        **_assigned(setup, new),
        log_likelihoods=log_likelihood,
        log_evidence=log_evidence,
        pmax=pmax,
        n_significant=significant.astype(np.int64),
    )


def _assigned(setup: Setup, new: State) -> dict[str, Any]:
    """Poses, classes and grey scales of particles in the order of the input file, as fields of `Classes`."""
    back = np.argsort(setup.order)  # engine order -> file order
    return {
        "angles": new.orientations[back],
        "origins": -new.offsets[back] * setup.pixel_size,
        "class_numbers": new.labels[back],
        "scales": new.scales[back] if setup.options.particle_scales else None,
    }


def _groups(setup: Setup, state: State) -> dict[str, Any]:
    """Noise, scales and sizes of optics groups and tomograms, as fields of `Classes`."""
    counts, tomograms = np.bincount(setup.particles.noise, minlength=len(state.noise)), len(setup.group_names)
    return {
        "noise": setup.noise_groups.of_optics(state.noise, counts),
        "tomogram_noise": setup.noise_groups.of_tomograms(state.noise, counts, tomograms),
        "group_counts": np.bincount(setup.tomograms, minlength=tomograms),
        "group_scales": tomogram_scales(setup, state.scales),
    }


def sampling(setup: Setup, state: State, step: EStep) -> Sampling:
    """The grid of the iteration after a state; of a search over all orientations both passes."""
    o, p = setup.options, setup.pixel_size
    local_range, rotations = o.local_range, len(step.poses.rotations)
    if searches_everywhere(setup, state):
        rotations = CANDIDATES * rotations + orientations_of(2 * o.angular_step, len(setup.mates))
    elif len(state.frames):
        local_range = LOCAL_STEPS * state.frame_step
    return Sampling(
        angular_step=step.poses.angular_step,
        local_range=local_range,
        offset_range=o.offset_range * p,
        offset_step=step.poses.shift_step * p,
        perturbation=step.poses.perturbation,
        n_rotations=rotations,
        n_shifts=len(step.poses.shifts),
        symmetry=o.symmetry,
        original_angular_step=o.angular_step,
        original_offset_range=o.offset_range * p,
        original_offset_step=o.offset_step * p,
        align=o.align,
    )


def describe_start(setup: Setup, state: State) -> Classes:
    """Iteration 0: the given references, before any comparison."""
    o = setup.options
    n_shells = setup.maximiser.n_shells
    k = o.classes + int(o.empty_class)
    references = state.maps[0] if len(state.maps[0]) == o.classes else np.repeat(state.maps[0], o.classes, axis=0)
    if o.empty_class:
        references = np.concatenate([references, np.zeros_like(references[:1])])
    n = len(setup.order)
    back = np.argsort(setup.order)
    zeros, unknown = np.zeros((k, n_shells)), np.full(k, UNKNOWN)
    single = Sampling(
        o.angular_step,
        o.local_range,
        o.offset_range * setup.pixel_size,
        o.offset_step * setup.pixel_size,
        0.0,
        1,
        1,
        o.symmetry,
        o.angular_step,
        o.offset_range * setup.pixel_size,
        o.offset_step * setup.pixel_size,
        o.align,
    )
    empty = 0.2 if o.empty_class else 0.0
    fractions = np.full(o.classes, (1 - empty) / o.classes)
    return Classes(
        iteration=0,
        n_iterations=o.iterations,
        phase="start",
        pixel_size=setup.pixel_size,
        mask_diameter=o.mask_diameter,
        maps=references,
        has_empty=o.empty_class,
        fractions=np.append(fractions, empty) if o.empty_class else fractions,
        resolutions=np.full(k, float(o.initial_lowpass)),
        completeness=np.zeros(k),
        accuracy_rotations=unknown,
        accuracy_offsets=unknown,
        ssnr=zeros,
        tau2=zeros,
        sigma2=zeros,
        shell_completeness=zeros,
        orientability=zeros,
        group_names=setup.group_names,
        **_groups(setup, state),
        current_resolution=float(o.initial_lowpass),
        current_size=2 * state.last_shell,
        temperature=state.temperature,
        sigma_offset=state.sigma_offset * setup.pixel_size,
        log_likelihood=0.0,
        average_pmax=0.0,
        sampling=single,
        angles=state.orientations[back],
        origins=-state.offsets[back] * setup.pixel_size,
        class_numbers=state.labels[back],
        log_likelihoods=np.zeros(n),
        log_evidence=np.zeros(n),
        pmax=np.zeros(n),
        n_significant=np.zeros(n, np.int64),
        change_classes=1.0,
        change_orientations=0.0,
        change_offsets=0.0,
        seconds=0.0,
    )


def line_of(state: State, results: ParticleResults) -> str:
    """One line for the log."""
    shares = " ".join(f"{f:.3f}" for f in np.exp(state.log_fractions))
    return (
        f"  fractions {shares} (last: empty), mean Pmax {results.pmax.mean():.3f}, mean log evidence {results.log_evidence.mean():.1f}, "
        f"noise temperature {state.temperature:.2f}, next shell {state.last_shell}."
    )
