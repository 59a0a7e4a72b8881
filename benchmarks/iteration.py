"""Where the time of an iteration goes, and how few functions stand for shifts and for rotated references.

    napari-subtomo demo napari-subtomo-demo --no-show
    python benchmarks/iteration.py napari-subtomo-demo

Goes on from the last but two iterations of the demo's classification, twice for each offset step, and prints the seconds of each part (two
threads; run it on a quiet machine) and ranks. Writes iteration.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from napari_subtomo.em import accumulate, engine, expectation, fixed_poses, inputs, report, sampling, work
from napari_subtomo.em.basis import shift_basis
from napari_subtomo.em.state import State, read_state
from napari_subtomo.io.class3d import complete_iterations
from napari_subtomo.io.optimisation import resolve_inputs
from napari_subtomo.io.project import Project
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

#: parts of an iteration; those within others are indented
PARTS = {
    "classes at best poses": (engine, "classes_at_poses"),
    "  particles turned": (fixed_poses, "_aligned"),
    "references turned into Fourier space": (work, "reference_volumes"),
    "expectation": (work, "search"),
    "maximisation": (work, "map_sums"),
    "  back-rotation": (accumulate, "insert"),
    "noise and scales": (work, "shell_sums"),
    "next references": (engine, "_next_state"),
    "report": (engine, "describe"),
    "  accuracies": (report, "accuracies"),
}
TOLERANCES = (1e-1, 1e-2, 1e-3, 5e-5)


def watch(seconds: dict[str, float]) -> None:
    """Let every part add its seconds."""

    def watched(part: str, run: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*values: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return run(*values, **named)
            finally:
                seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - began

        return timed

    for part, (module, function) in PARTS.items():
        setattr(module, function, watched(part, getattr(module, function)))


def at_the_end(root: Path, offset_step: float, threads: int = 2, angular_step: float = 3.75) -> tuple[engine.Setup, State]:
    """The demo's classification after all but two of its iterations, to be gone on with in other steps."""
    folder = root / "Class3D/job004"
    options = ClassifyOptions(
        optimisation_set=root / "Extract/job002/optimisation_set.star",
        reference=root / "Reconstruct/job003/merged.mrc",
        **{"classes": 3, "iterations": 99, "mask_diameter": 380.0, "initial_lowpass": 60.0, "local_range": 10.0, "offset_range": 2.0},
        **{"angular_step": angular_step, "offset_step": offset_step, "fixed_sampling": True, "threads": threads, "device": "cpu"},
    )
    particles, tomograms, _ = resolve_inputs(options, Project(root))
    setup = inputs.set_up(options, particles, Project(root), Silent(), tomograms, root)
    return setup, judging(read_state(folder / f"run_it{complete_iterations(folder)[-3]:03d}_state.npz"))


def judging(state: State) -> State:
    """The state before an iteration that judges classes at best poses, as each does until they have settled."""
    return replace(state, settled=False)


def ranks(setup: engine.Setup, state: State) -> dict[str, Any]:
    """Functions that shifts need, and the rank of the rotated references of fold 0, by tolerance in nats."""
    step = engine._e_step(setup, state, sampling.iteration_poses(setup, state, state.iteration + 1, Silent()), None, False)
    classes = step.model.maps.shape[1]
    volumes = expectation.reference_volumes(step)[:, :classes]
    turned = expectation.rotated(step, volumes, step.poses.rotations)
    members = np.flatnonzero(step.particles.fold == 0)
    weight = (setup.prepared.H[members, : step.voxels] * step.whitening(members)).mean(0)
    whole = (turned.transpose(2, 0, 1).reshape(-1, step.voxels) * np.sqrt(weight)).astype(np.complex128).view(np.float64)
    values, vectors = np.linalg.eigh(whole @ whole.T)
    left = (vectors**2 * np.maximum(values, 0)).cumsum(axis=1).max(axis=0)
    shell = step.lattice.shell[: step.voxels]
    power = (np.abs(turned[0]) ** 2).max(1) * weight
    energy = np.bincount(shell, power, step.last_shell + 1) / np.bincount(shell)
    functions = {str(t): shift_basis(step.poses.shifts, step.lattice, step.last_shell, energy, t).functions for t in TOLERANCES}
    return {
        "shell": step.last_shell,
        "shifts": len(step.poses.shifts),
        "functions of shifts": {tolerance: len(some) for tolerance, some in functions.items()},
        "rotated references": len(whole),
        "rank of references": {str(t): int(len(whole) - np.searchsorted(left, t, side="right")) for t in TOLERANCES},
        "nats of a reference": float((whole**2).sum(1).max()),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="project folder of a finished demo")
    parser.add_argument("--angular-step", type=float, default=3.75, help="degrees")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    root = arguments.project.resolve()
    found: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}
    watch(seconds)
    for offset_step in (1.0, 0.5):
        setup, state = at_the_end(root, offset_step, angular_step=arguments.angular_step)
        table = ranks(setup, state)
        with threadpool_limits(1, user_api="blas"):  # as the job does: folds are threads
            for _ in range(2):
                seconds.clear()
                began = time.perf_counter()
                state, _ = engine.one_iteration(setup, judging(state), Silent())
                whole = time.perf_counter() - began
        found.append(
            {"particles": len(setup.order), "offset_step_px": offset_step, **table, "seconds": {"iteration": whole} | dict(seconds)}
        )
        print(json.dumps(replace_floats(found[-1]), indent=1))
    arguments.json.write_text(json.dumps(replace_floats(found), indent=1) + "\n", encoding="utf-8")


def replace_floats(value: Any) -> Any:
    """Numbers with three decimals."""
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, dict):
        return {key: replace_floats(inner) for key, inner in value.items()}
    return [replace_floats(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    main()
