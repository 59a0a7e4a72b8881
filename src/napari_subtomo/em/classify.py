"""The job: particles and a reference in; classes, poses and RELION's files of every iteration out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo.data.classes import Classes
from napari_subtomo.data.result import JobResult
from napari_subtomo.em.accuracy import UNKNOWN
from napari_subtomo.em.agreement import Stability, summarise
from napari_subtomo.em.convergence import reason
from napari_subtomo.em.engine import Setup, initial_state, iterate
from napari_subtomo.em.external import external_of
from napari_subtomo.em.inputs import set_up
from napari_subtomo.em.report import describe_start
from napari_subtomo.em.stability import last_common, repeated
from napari_subtomo.em.state import State, read_state, write_state
from napari_subtomo.errors import FileFormatError
from napari_subtomo.io.class3d import clear_unfinished, complete_iterations, iteration_file, write_iteration
from napari_subtomo.io.class_stability import write_stability
from napari_subtomo.io.optimisation import input_paths, resolve_inputs
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.scratch import scratch_folder
from napari_subtomo.numerics.backend import keep_freed_memory
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Reporter


def run(options: ClassifyOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Classify the particles of a set.

    Whatever iterations the folder already holds are gone on from: the result is that of an uninterrupted run.

    Parameters
    ----------
    options : ClassifyOptions
    folder : JobFolder
        Gets `run_itNNN_*` of every iteration from 000 on, the optimiser last.
    reporter : Reporter
        Gets an event "iteration" after each.

    Returns
    -------
    JobResult
        Outputs "optimiser", "model", "data", "particles" and "optimisation_set" of the last iteration; numbers "iterations", "classes",
        "counts", "fractions", "resolutions", "signal", and of repeats "stability" and "pairs".

    Raises
    ------
    InputError
        No particles, unusable files, sizes that do not fit, or an outside program that is not there.
    JobError
        The outside program failed, or made no usable map.
    """
    keep_freed_memory()
    with scratch_folder(options.scratch_dir, folder) as scratch:
        return _run(options, folder, scratch, reporter)


def _run(options: ClassifyOptions, folder: JobFolder, scratch: Path, reporter: Reporter) -> JobResult:
    """`run` with a folder for temporary files."""
    from threadpoolctl import threadpool_limits

    external = external_of(options, folder)  # a program that is not there is said before particles are read
    particles, tomogram_set, _ = resolve_inputs(options, folder.project)
    _, tomograms, trajectories = input_paths(options, folder.project)
    # wherever threads are ours, each has one BLAS thread: no more threads than asked for, and results that do not depend on their number
    with threadpool_limits(limits=1, user_api="blas"):
        setup = replace(set_up(options, particles, folder.project, reporter, tomogram_set, scratch), external=external)

    def write(state: State, classes: Classes) -> None:
        write_state(folder.file(f"run_it{classes.iteration:03d}_state.npz"), state)
        write_iteration(folder, classes, particles, tomograms, trajectories, options)
        reporter.event("iteration", **summary_of(classes))

    clear_unfinished(folder.path)
    state = _former(setup, folder, reporter)
    if state is None:
        with threadpool_limits(limits=1, user_api="blas"):
            state = initial_state(setup)
        write(state, describe_start(setup, state))
    if external is not None:
        reporter.message(f"References are made by {external.command}.")
    reporter.message(
        f"{len(particles)} particles in {len(setup.group_names)} tomograms, box {setup.lattice.n} px of {setup.pixel_size:g} Å, "
        f"noise temperature {state.temperature:.2f}, on {' and '.join(setup.devices)}."
    )
    classes: Classes | None = None
    # threads compare and sum, each with one BLAS thread; but a single fold of particles that are not aligned is one product of all of them
    with threadpool_limits(limits=options.threads if setup.folds == 1 and not options.align else 1, user_api="blas"):
        last = state
        for last, classes in iterate(setup, state, reporter):
            write(last, classes)
            reporter.check()
        stability = _stability(setup, last, folder, reporter)
    return _result(folder, options, last, classes, reason(setup, last), stability, reporter)


def _stability(setup: Setup, last: State, folder: JobFolder, reporter: Reporter) -> Stability | None:
    """What repeats say of the last iteration, written into its files; None without repeats."""
    o, common = setup.options, last_common(setup)
    if o.repeats < 2:
        return None
    path = folder.file(f"run_it{common:03d}_state.npz")
    start = read_state(path) if common and path.is_file() else None
    judgements = repeated(setup, start, folder.file("run_repeats.npz"), reporter)
    found = summarise(judgements, last.labels, o.classes + int(o.empty_class), o.empty_class, o.seed)
    pairs = [(pair.a, pair.b, pair.separation, pair.p, pair.distinct) for pair in found.pairs]
    write_stability(folder, last.iteration, found.particles[np.argsort(setup.order)], found.classes, pairs)
    return found


def _former(setup: Setup, folder: JobFolder, reporter: Reporter) -> State | None:
    """The state of the last whole iteration in the folder that fits these options."""
    for iteration in reversed(complete_iterations(folder.path)):
        if iteration > setup.options.iterations:
            continue
        path = folder.file(f"run_it{iteration:03d}_state.npz")
        try:
            state = read_state(path)
        except FileFormatError as error:
            reporter.warn(str(error))
            continue
        if len(state.labels) == len(setup.order) and state.noise.shape == setup.power.shape:
            reporter.message(f"Going on from iteration {iteration} in {folder.path.name}.")
            return state
    return None


def summary_of(classes: Classes) -> dict[str, Any]:
    """The figures of an iteration as plain numbers, for events."""
    return {
        "iteration": classes.iteration,
        "of": classes.iteration if classes.converged else classes.n_iterations,
        "converged": classes.converged,
        "phase": classes.phase,
        "has_empty": classes.has_empty,
        "fractions": [round(float(f), 6) for f in classes.fractions],
        "counts": [int(c) for c in classes.counts],
        "resolutions": [round(float(r), 2) for r in classes.resolutions],
        "current_resolution": round(classes.current_resolution, 2),
        "change_classes": round(classes.change_classes, 6),
        "change_orientations": round(classes.change_orientations, 4),
        "change_offsets": round(classes.change_offsets, 4),
        "average_pmax": round(classes.average_pmax, 4),
        "log_likelihood": round(classes.log_likelihood, 3),
        "angular_step": classes.sampling.angular_step,
        "rotations": classes.sampling.n_rotations,
        "shifts": classes.sampling.n_shifts,
        "seconds": round(classes.seconds, 2),
    }


def _result(
    folder: JobFolder,
    options: ClassifyOptions,
    state: State,
    classes: Classes | None,
    converged: str,
    stability: Stability | None,
    reporter: Reporter,
) -> JobResult:
    """Outputs and closing lines."""
    iteration = state.iteration
    names = {"optimiser": "optimiser", "model": "model", "data": "data", "particles": "data", "optimisation_set": "optimisation_set"}
    outputs: dict[str, Path] = {role: folder.file(iteration_file(iteration, name)) for role, name in names.items()}
    k = options.classes + int(options.empty_class)
    counts = np.bincount(state.labels - 1, minlength=k)
    lines = [f"{len(state.labels)} particles after {iteration} iterations:"]
    for c in range(k):
        name = "empty" if options.empty_class and c == k - 1 else f"class {c + 1}"
        tail = ""
        if classes is not None and name != "empty" and counts[c] > 0:
            value = classes.resolutions[c]
            tail = f", resolution {value:.1f} Å" if value < UNKNOWN else ", no shell with more signal than noise"
        if stability is not None and np.isfinite(stability.classes[c]):
            tail += f", stability {stability.classes[c]:.2f}"
        lines.append(f"  {name}: {counts[c]} particles{tail}")
    if converged:
        text = f"{converged}. --no-stop-when-converged goes on to iteration {options.iterations}."
        reporter.message(text)
        lines.append(text)
    if not state.signal:
        text = (
            f"No signal beyond the initial low-pass of {options.initial_lowpass:g} Å: up to there the classes may show the reference; "
            "begin with a coarser --initial-lowpass to tell, and if it is coarse, check contrast, pixel size, orientations and reference."
        )
        reporter.warn(text)
        lines.append(text)
    numbers: dict[str, Any] = {"iterations": iteration, "classes": options.classes, "counts": counts.tolist(), "signal": state.signal}
    numbers["converged"] = bool(converged)
    if classes is not None:
        numbers |= {"fractions": classes.fractions.tolist(), "resolutions": classes.resolutions.tolist(), "seconds": classes.seconds}
    if stability is not None:
        lines += [pair.sentence for pair in stability.pairs if not pair.distinct]
        numbers |= {"stability": stability.classes.tolist(), "pairs": [[p.a, p.b, p.separation, p.p, p.distinct] for p in stability.pairs]}
    return JobResult(outputs, tuple(lines), numbers)
