"""What an option of the classification gives: particles of known truth made in memory, the same seeds with and without it.

    python benchmarks/options.py --seeds 101 120 --iterations 12 default hard:assignment=best
    python benchmarks/options.py --seeds 101 120 --snr 0.05 --iterations 25 all:stop_when_converged=false

A word is a variant: its name, and after the colon options of `classify` with commas between them. A sample: 80 particles of two species
that differ in one domain, and 16 empty places, box 24, missing wedges of ±60° in two directions, orientations 8° and offsets 1 px off.
`--tomograms 9 --noise 0.4` takes nine tomograms whose noise power differs by a log-normal factor of that spread; with `--brightness`
it is their signal that does. Index: adjusted Rand index between the two species among particles, and of all three kinds. Results,
with every iteration's figures, go to benchmarks/options.json under the sample's and the variant's name.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from helpers import em_world  # noqa: E402

from napari_subtomo.em.engine import initial_state, iterate  # noqa: E402
from napari_subtomo.em.start import rand_index  # noqa: E402
from napari_subtomo.geometry.orientations import angular_distance  # noqa: E402
from napari_subtomo.progress import Silent  # noqa: E402

SHARED = {
    "classes": 2,
    "consensus_iterations": 4,
    "angular_step": 7.5,
    "offset_range": 2.0,
    "offset_step": 1.0,
    "fixed_sampling": True,
    "mask_particles": False,
}


def main(words: list[str] | None = None) -> int:
    """Run every variant on every seed, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="+", help="name, or name:option=value,option=value")
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 5), metavar=("FIRST", "LAST"))
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--domain", type=float, default=1.2, help="weight of the domain that tells the species apart")
    parser.add_argument("--spread", type=float, default=0.0, help="standard deviation of the log of the particles' scales")
    parser.add_argument("--tomograms", type=int, default=2)
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation of the log of the tomograms' noise power")
    parser.add_argument("--brightness", type=float, default=0.0, help="standard deviation of the log of the tomograms' signal")
    parser.add_argument("--error", type=float, default=8.0, help="of the orientations, degrees")
    parser.add_argument("--offset", type=float, default=1.0, help="of the positions at most, pixels, in each direction")
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--empty", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, default=HERE / "options.json")
    asked = parser.parse_args(words)
    sample = (
        f"snr {asked.snr:g}, domain {asked.domain:g}, spread {asked.spread:g}, {asked.count} + {asked.empty}, {asked.iterations} iterations"
    )
    if asked.error != 8 or asked.offset != 1:
        sample += f", {asked.error:g} degrees and {asked.offset:g} px off"
    if asked.tomograms != 2 or asked.noise or asked.brightness:
        sample += f", {asked.tomograms} tomograms, noise {asked.noise:g}"
    if asked.brightness:
        sample += f", brightness {asked.brightness:g}"
    kept = json.loads(asked.json.read_text()) if asked.json.is_file() else {}
    for seed in range(asked.seeds[0], asked.seeds[1] + 1):
        for word in asked.variants:
            name, options = variant(word)
            done = kept.setdefault(sample, {}).setdefault(name, {"options": options, "seeds": {}})
            if str(seed) in done["seeds"] and done["options"] == options:
                continue
            done["options"] = options
            done["seeds"][str(seed)] = run(asked, seed, options)
            asked.json.write_text(json.dumps(kept, indent=None, separators=(",", ":")) + "\n")
            last = done["seeds"][str(seed)][-1]
            print(f"{name}, seed {seed}: index {last['index']:.2f}, with empty {last['all']:.2f}", file=sys.stderr, flush=True)
    print(f"{sample}; seeds {asked.seeds[0]} to {asked.seeds[1]}")
    table(kept[sample], [variant(word)[0] for word in asked.variants], range(asked.seeds[0], asked.seeds[1] + 1))
    return 0


def variant(word: str) -> tuple[str, dict[str, Any]]:
    """Name and options of a word of the command line."""
    name, _, rest = word.partition(":")
    options = {}
    for part in filter(None, rest.split(",")):
        option, _, value = part.partition("=")
        try:
            options[option] = json.loads(value)
        except json.JSONDecodeError:
            options[option] = value
    return name, options


def run(asked: argparse.Namespace, seed: int, options: dict[str, Any]) -> list[dict[str, float]]:
    """Figures of every iteration of one run."""
    wedges = tuple(60.0 * t for t in range(asked.tomograms))
    shape = {"n": 24, "count": asked.count, "empty": asked.empty, "species": 2, "domain": asked.domain, "wedges": wedges}
    spreads = {"spread": asked.spread, "noise": asked.noise, "brightness": asked.brightness}
    world = em_world.simulate(**shape, snr=asked.snr, error=asked.error, offset=asked.offset, seed=seed, **spreads)
    setup = em_world.setup(world, **{**SHARED, "iterations": asked.iterations, "threads": asked.threads, "seed": seed, **options})
    there, found, labels = world.labels > 0, [], []
    for state, classes in iterate(setup, initial_state(setup), Silent()):
        turned = angular_distance(state.orientations, world.orientations)[there]
        moved = np.linalg.norm(state.offsets - world.offsets, axis=1)[there]
        labels = [*labels, state.labels][-4:]
        figures = {
            "index": rand_index(state.labels[there], world.labels[there]),
            "all": rand_index(state.labels, world.labels),
            "lost": float((state.labels[there] == 3).mean()),
            "junk": float((state.labels[~there] != 3).mean()) if (~there).any() else 0.0,
            "angle": float(np.median(turned)),
            "offset": float(np.median(moved)),
            "shell": state.last_shell,
            "step": classes.sampling.angular_step,
            "resolution": classes.current_resolution,
            "classes": classes.change_classes,
            "orientations": classes.change_orientations,
            "offsets": classes.change_offsets,
            "three": float((labels[0] != labels[-1]).mean()),  # classes changed in three iterations
        }
        found.append({key: round(float(value), 4) for key, value in figures.items()})
    return found


def table(results: dict[str, Any], names: list[str], seeds: range) -> None:
    """One line a variant: means over seeds of the last three iterations' figures, and paired differences from the first variant."""
    columns = ("index", "all", "lost", "junk", "angle", "offset", "shell")
    print(f"| variant | n | {' | '.join(columns)} | least index | iterations | index minus the first's |")
    print("|" + "---|" * (len(columns) + 5))
    first = None
    for name in names:
        runs = [results[name]["seeds"][str(seed)] for seed in seeds]
        last = {c: np.array([np.mean([figures[c] for figures in r[-3:]]) for r in runs]) for c in columns}
        first = last["index"] if first is None else first
        paired = last["index"] - first
        spread = 1.96 * paired.std(ddof=1) / np.sqrt(len(paired)) if len(paired) > 1 else np.nan
        cells = [f"{last[c].mean():.3f}" for c in columns]
        print(
            f"| {name} | {len(runs)} | {' | '.join(cells)} | {last['index'].min():.2f} | {np.mean([len(r) for r in runs]):.1f} "
            f"| {paired.mean():+.3f} ± {spread:.3f} |"
        )


if __name__ == "__main__":
    raise SystemExit(main())
