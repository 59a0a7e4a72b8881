"""What compiled loops change: an iteration with them and with arrays in their place, on one and on two threads, in turns.

    napari-subtomo demo napari-subtomo-demo --no-show
    python benchmarks/loops.py napari-subtomo-demo

Goes on from the last but two iterations of the demo's classification, prints the median seconds of each part, and by how much weights
change since point spread functions are symmetric, and writes loops.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from iteration import at_the_end, replace_floats, watch
from threadpoolctl import threadpool_limits

from napari_subtomo.em import engine
from napari_subtomo.em.remembered import point_spread
from napari_subtomo.numerics import backend
from napari_subtomo.numerics.backend import keep_freed_memory
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Silent

THREADS, FOUND = (1, 2), backend._loaded_loops


def use(compiled: bool) -> None:
    """Let everything find the loops, or nothing."""
    backend._loaded_loops = FOUND if compiled else lambda: None


def change_by_rim(setup: engine.Setup) -> float:
    """Largest change of a particle's weights by the rim of their point spread function at both ends of the box, of the largest weight."""
    grid, changes = PaddedGrid(setup.lattice.n), []
    for i in range(len(setup.order)):
        spread = point_spread(setup.load(i))
        before = grid.transform(spread).real
        changes.append(float(np.abs(grid.even_transform(spread) - before).max() / before.max()))
    return max(changes)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="project folder of a finished demo")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    if backend.loops() is None:
        raise SystemExit("Expected numba to be installed and allowed to compile, found neither loops nor leave.")
    keep_freed_memory()
    seconds: dict[str, float] = {}
    watch(seconds)
    begun = {threads: at_the_end(arguments.project.resolve(), 1.0, threads) for threads in THREADS}
    found: dict[tuple[bool, int], list[dict[str, float]]] = {(compiled, threads): [] for compiled in (True, False) for threads in THREADS}
    with threadpool_limits(1, user_api="blas"):  # as the job does
        for number in range(arguments.rounds + 1):
            for (compiled, threads), times in found.items():
                setup, state = begun[threads]
                use(compiled)
                seconds.clear()
                before = time.perf_counter()
                engine.one_iteration(setup, state, Silent())
                whole = time.perf_counter() - before
                if number:  # in the first round loops are compiled, and particles read
                    times.append({"iteration": whole} | dict(seconds))
    use(True)
    medians = {key: {part: statistics.median(each[part] for each in times) for part in times[0]} for key, times in found.items()}
    result: dict[str, Any] = {"particles": len(begun[1][0].order), "rounds": arguments.rounds, "seconds": {}}
    print(f"{'seconds of':<40}{'arrays, 1':>12}{'2 threads':>12}{'loops, 1':>12}{'2 threads':>12}")
    for part in medians[True, 1]:
        row = {f"{'loops' if c else 'arrays'}, {t}": medians[c, t][part] for c in (False, True) for t in THREADS}
        result["seconds"][part.strip()] = row
        print(f"{part:<40}" + "".join(f"{value:12.3f}" for value in row.values()))
    result["largest change of weights, %"] = change = 100 * change_by_rim(begun[1][0])
    print(f"Weights change by at most {change:.2f} % of a particle's largest.")
    arguments.json.write_text(json.dumps(replace_floats(result), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
