"""What judging classes at best poses gives where it is done seldom, as in large sets: in each iteration, in every fifth, or never.

    python benchmarks/large_sets.py                    # seeds 101 to 103; half an hour of one processor
    python benchmarks/large_sets.py --particles 300 --seeds 1 --json /tmp/large_sets.json    # a quick try

Particles of three species and some empty places are simulated in memory (box 24, SNR 0.03, two tomograms of a missing wedge each,
orientations 3 degrees off) and classified into four classes. Judged seldom, they pass for a large set: `--classes-at-poses` is lower than
their number; and more than 800 follow those that are clustered. Index: adjusted Rand index of true particles by species. Needs the folder
`tests` beside this one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import rounded, write
from chain import fingerprint
from threadpoolctl import threadpool_limits

from napari_subtomo.em import class_shell, seeding
from napari_subtomo.em.engine import initial_state, one_iteration
from napari_subtomo.em.start import rand_index
from napari_subtomo.progress import Silent

JSON = Path(__file__).with_suffix(".json")
SEEDS, CLUSTERED = (101, 102, 103), 800
WAYS = {"each": 10**6, "every fifth, and the last": 1, "never": 0}  # the option classes_at_poses
OPTIONS: dict[str, Any] = {
    "classes": 4,
    "iterations": 14,
    "local_range": 6.0,
    "angular_step": 3.0,
    "offset_range": 1.0,
    "offset_step": 0.5,
    "fixed_sampling": True,
    "stop_when_converged": False,
    "threads": 1,
}


def main(words: list[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--particles", type=int, default=2400, help="true ones")
    parser.add_argument("--snr", type=float, default=0.03)
    parser.add_argument("--json", type=Path, default=JSON, help="where results go")
    options = parser.parse_args(words)
    seeding.MOST = class_shell.MOST = CLUSTERED
    report: dict[str, Any] = {"code": fingerprint(), "particles": options.particles, "snr": options.snr, "seeds": {}}
    print(f"{'judged at best poses':28}{'seed':>6}  index after each iteration with all classes; seconds of the later ones, median")
    for seed in options.seeds:
        with threadpool_limits(1):
            found = {name: measure(seed, options.particles, options.snr, most) for name, most in WAYS.items()}
        report["seeds"][str(seed)] = found
        for name, row in found.items():
            print(f"{name:28}{seed:6}  {' '.join(f'{index:.2f}' for index in row['index'])}; {row['seconds']:.1f} s", flush=True)
        write(options.json, json.dumps(rounded(report), indent=1) + "\n")
    for name in WAYS:
        last = [row[name]["index"][-1] for row in report["seeds"].values()]
        print(f"{name}: {np.mean(last):.2f} ({min(last):.2f}-{max(last):.2f}) in the end, {len(last)} samples")
    return 0


def measure(seed: int, particles: int, snr: float, most: int) -> dict[str, Any]:
    """Index after each iteration from the first with all classes, and the median of seconds of those after it."""
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
    from helpers import em_world

    world = em_world.simulate(n=24, count=particles, snr=snr, species=3, empty=particles // 24, error=3.0, offset=0.5, seed=seed)
    setup = em_world.setup(world, **OPTIONS, classes_at_poses=most)
    state, true = initial_state(setup), world.labels > 0
    index, seconds = [], []
    while state.iteration < setup.options.iterations:
        began = time.perf_counter()
        state, _ = one_iteration(setup, state, Silent())
        if state.iteration >= setup.first_of_classes:
            index.append(rand_index(state.labels[true], world.labels[true]))
            seconds.append(time.perf_counter() - began)
    return {"index": index, "seconds": float(np.median(seconds[1:]))}


if __name__ == "__main__":
    sys.exit(main())
