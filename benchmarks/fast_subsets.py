"""What fast subsets give and take: particles of known truth made in memory, the same seeds with and without them.

    python benchmarks/fast_subsets.py --seeds 101 103
    python benchmarks/fast_subsets.py --seeds 101 103 --like 20000 --variants subsets

A sample: 1000 particles of two species that differ in one domain, and 200 empty places, box 32, missing wedges of ±60° in two directions,
orientations 8° and offsets 1 px off. Subsets of 1500 and 4500 particles a class would be all of them: sizes are scaled down as if the
sample were a set of `--like` particles, so that what is measured are subsets of fewer particles than in a set of that size.

Variants: `all`, all particles in every iteration until nothing changes; `every`, the same to the 25th iteration; `subsets`, RELION's
stages; `short`, its stages up to the eighth iteration. Index: adjusted Rand index between the two species, mean of the last three
iterations; time: processor time of the iterations on one thread; work: particles compared, in units of the whole sample. Results go to
benchmarks/fast_subsets.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from helpers import em_world  # noqa: E402

from napari_subtomo.em import subsets  # noqa: E402
from napari_subtomo.em.engine import initial_state, iterate  # noqa: E402
from napari_subtomo.em.start import rand_index  # noqa: E402
from napari_subtomo.geometry.orientations import angular_distance  # noqa: E402
from napari_subtomo.progress import Silent  # noqa: E402

OPTIONS = {
    "classes": 2,
    "iterations": 25,
    "angular_step": 7.5,
    "local_range": 15.0,
    "offset_range": 2.0,
    "fixed_sampling": True,
    "mask_particles": False,
    "threads": 1,
}
RELION = tuple(subsets.STAGES)
VARIANTS: dict[str, Any] = {"all": (), "every": (), "subsets": RELION, "short": ((5, 1500, 0.0), (8, 4500, 0.0))}


def main() -> int:
    """Run every variant on every seed, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 3), metavar=("FIRST", "LAST"))
    parser.add_argument("--like", type=int, default=60000, help="particles of the set that the sample stands for")
    parser.add_argument("--snr", type=float, default=0.02)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--empty", type=int, default=200)
    parser.add_argument("--json", type=Path, default=HERE / "fast_subsets.json")
    asked = parser.parse_args()
    kept = json.loads(asked.json.read_text()) if asked.json.is_file() else {}
    sample = f"snr {asked.snr:g}, {asked.count} + {asked.empty} like {asked.like}"
    seeds = range(asked.seeds[0], asked.seeds[1] + 1)
    runs = kept.setdefault(sample, {})
    for seed in seeds:
        world = None
        for name in asked.variants:
            done = runs.setdefault(name, {})
            if str(seed) not in done:
                world = world or em_world.simulate(
                    n=32, count=asked.count, empty=asked.empty, snr=asked.snr, species=2, error=8.0, seed=seed, domain=1.2
                )
                done[str(seed)] = run(world, seed, name, asked.like)
                asked.json.write_text(json.dumps(kept, separators=(",", ":")) + "\n")
    print(f"{sample}; seeds {asked.seeds[0]} to {asked.seeds[1]}\n")
    table(runs, asked.variants, [str(seed) for seed in seeds])
    return 0


def scaled(stages: Any, share: float) -> tuple[tuple[int, int, float], ...]:
    """Stages with fewer particles a class."""
    return tuple((last, max(1, round(of_class * share)), least) for last, of_class, least in stages)


def run(world: em_world.World, seed: int, name: str, like: int) -> list[dict[str, float]]:
    """Figures of every iteration."""
    n, there = len(world.labels), world.labels > 0
    subsets.STAGES = scaled(VARIANTS[name] or RELION, n / like)
    setup = em_world.setup(world, **OPTIONS, seed=seed, fast_subsets=bool(VARIANTS[name]), stop_when_converged=name != "every")
    start = initial_state(setup)
    found, before = [], time.process_time()
    for state, _ in iterate(setup, start, Silent()):
        now = time.process_time()
        figures = {
            "index": rand_index(state.labels[there], world.labels[there]),
            "all": rand_index(state.labels, world.labels),
            "angle": float(np.median(angular_distance(state.orientations, world.orientations)[there])),
            "shell": state.last_shell,
            "particles": subsets.subset_size(setup.options, n, state.iteration),
            "seconds": now - before,
        }
        found.append({key: round(float(value), 4) for key, value in figures.items()})
        before = time.process_time()
    print(f"{name}, seed {seed}: index {found[-1]['index']:.2f}, {sum(f['seconds'] for f in found):.0f} s", file=sys.stderr, flush=True)
    return found


def table(runs: dict[str, Any], names: list[str], seeds: list[str]) -> None:
    """One line a variant: means over the seeds."""
    print("| variant | n | index (range) | with empty places | angle | shell | iterations | work | time |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in names:
        last = {key: np.array([np.mean([f[key] for f in runs[name][s][-3:]]) for s in seeds]) for key in ("index", "all", "angle", "shell")}
        every = [runs[name][s] for s in seeds]
        work = np.mean([sum(f["particles"] for f in r) / r[-1]["particles"] for r in every])
        seconds = np.mean([sum(f["seconds"] for f in r) for r in every])
        index = f"{last['index'].mean():.3f} ({last['index'].min():.2f} to {last['index'].max():.2f})"
        print(
            f"| {name} | {len(seeds)} | {index} | {last['all'].mean():.3f} | {last['angle'].mean():.2f}° | {last['shell'].mean():.1f} "
            f"| {np.mean([len(r) for r in every]):.1f} | {work:.1f} | {seconds:.0f} s |"
        )


if __name__ == "__main__":
    raise SystemExit(main())
