"""What an iteration without alignment takes: one pass of products against the search over a grid of one pose.

    python benchmarks/stored_poses.py

Particles of noise on a lattice, references of noise in five folds; E-step, sums of the maps and residuals, alternately in both ways, on
one thread. Prints the least processor time of each and the largest difference of their posteriors; writes stored_poses.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from napari_subtomo.em.accumulate import map_sums, shell_sums
from napari_subtomo.em.expectation import EStep, reference_volumes, search
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.model import Model, Particles
from napari_subtomo.em.poses import PoseGrid
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.stored_poses import iterate_stored
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Silent

CASES = ((200, 48, 3, 12), (1000, 48, 3, 12), (1000, 48, 9, 12), (500, 64, 3, 20))  # particles, box, classes, last shell
FOLDS = 5
M_STEP_SHELLS = 3


def case(count: int, box: int, classes: int, shell: int) -> tuple[EStep, Prepared]:
    """An E-step and particles of noise."""
    rng = np.random.default_rng([count, box, classes])
    lattice = Lattice.of(box, box // 2)
    shape = count, len(lattice)
    data = rng.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]
    masked = data + 0.1 * rng.standard_normal((*shape, 2), np.float32).view(np.complex64)[..., 0]
    prepared = Prepared(lattice, data, masked, rng.random(shape, np.float32))
    maps = 0.0003 * rng.standard_normal((FOLDS, classes, box, box, box), np.float32) * soft_sphere(box, 0.4 * box, 5)
    noise = np.ones((1, lattice.last_shell + 1))
    fractions = np.log(np.full(classes + 1, 1 / (classes + 1)))
    model = Model(maps, noise, 1.0, np.ones(1), fractions, np.zeros((classes, lattice.last_shell + 1)), 1.0)
    zeros = np.zeros(count, np.int64)
    particles = Particles(zeros, zeros, np.arange(count) % FOLDS)
    grid = PaddedGrid(box, 1, exact=True).up_to(shell + M_STEP_SHELLS)
    return EStep(grid, lattice, PoseGrid.single(), shell, model, particles, np.zeros((count, 3))), prepared


def general(step: EStep, prepared: Prepared, last: int) -> Any:
    """The search over a grid of one pose."""
    volumes = reference_volumes(step)
    found, results = search(step, prepared, 1, Silent(), volumes)
    map_sums(step, prepared, found, last, np.eye(3)[None], 1, Silent())
    shell_sums(step, prepared, results, 1, volumes)
    return results


def one_pass(step: EStep, prepared: Prepared, last: int) -> Any:
    """All in one pass."""
    return iterate_stored(step, prepared, last, np.eye(3)[None], 1, Silent())[0]


def seconds(run: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    """Processor seconds, and what came out."""
    began = time.process_time()
    result = run(*given)
    return time.process_time() - began, result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    rows = []
    with threadpool_limits(1, user_api="blas"):
        for count, box, classes, shell in CASES:
            step, prepared = case(count, box, classes, shell)
            times: dict[str, list[float]] = {"general": [], "one pass": []}
            for _ in range(arguments.repeats + 1):  # the first is not counted: tables are made
                took, expected = seconds(general, step, prepared, shell + M_STEP_SHELLS)
                times["general"].append(took)
                took, found = seconds(one_pass, step, prepared, shell + M_STEP_SHELLS)
                times["one pass"].append(took)
            slow, fast = (min(values[1:]) for values in times.values())
            difference = float(np.abs(found.posterior - expected.posterior).max())
            rows.append(
                {"particles": count, "box": box, "classes": classes, "shell": shell, "n": arguments.repeats}
                | {"general_s": round(slow, 3), "one_pass_s": round(fast, 3), "ratio": round(slow / fast, 1), "difference": difference}
            )
            print(json.dumps(rows[-1]), flush=True)
    arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
