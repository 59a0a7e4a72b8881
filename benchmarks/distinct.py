"""Are two classes distinct? How often `classify --repeats` is right, on simulated samples of one species and of two.

``python benchmarks/distinct.py --seeds 101 102`` makes a sample of one species and one of two (35 : 65) for each seed, classifies them
with more classes than there are species and with as many, and compares what is said of every pair of classes with the truth: two classes
are one thing when most particles of both are of the same species. Results are added to ``benchmarks/distinct.json``; ``--report`` counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np

from napari_subtomo.em.start import rand_index
from napari_subtomo.io import relion as r
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.star import read_star
from napari_subtomo.jobs.runner import run_job
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.options.simulate import SimulateOptions

RESULTS = Path(__file__).with_name("distinct.json")
SAMPLE = {"tomograms": 1, "false_fraction": 0.0, "diameter": 240.0, "width": 384, "thickness": 600.0, "threads": 1}
#: name -> changes of the sample, and of the classification
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one species, K = 2": ({"particles": 90, "proportions": (1, 0)}, {"classes": 2}),
    "one species, K = 3": ({"particles": 90, "proportions": (1, 0)}, {"classes": 3}),
    "two species, K = 2": ({"particles": 110, "proportions": (35, 65)}, {"classes": 2}),
    "two species, K = 3": ({"particles": 110, "proportions": (35, 65)}, {"classes": 3}),
    "two species, K = 2, SNR 0.01": ({"particles": 110, "proportions": (35, 65), "snr": 0.01}, {"classes": 2}),
    "one species, K = 2, SNR 0.01": ({"particles": 90, "proportions": (1, 0), "snr": 0.01}, {"classes": 2}),
    "one species, K = 2, poses 8° off and kept": ({"particles": 90, "proportions": (1, 0)}, {"classes": 2, "align": False}),
    "one species, K = 2, poses 15° off": ({"particles": 90, "proportions": (1, 0), "prior_error": 15.0}, {"classes": 2}),
}


def sample(root: Path, seed: int, changes: dict[str, Any]) -> tuple[Path, Path]:
    """Optimisation set and reference of a simulated sample."""
    given = SimulateOptions(**SAMPLE, **changes, seed=seed, density_seed=seed)
    made = run_job("simulate", given, output=root)[1].outputs
    extract = ExtractOptions.model_validate(
        {"tomograms": made["tomograms"], "particles": made["particles"], "from": "tomogram", "box_size": 48, "crop_size": 36, "binning": 1}
    )
    particles = run_job("extract", extract, project=root, output="Extract/job002")[1].outputs["optimisation_set"]
    average = run_job("reconstruct", ReconstructOptions(optimisation_set=particles), project=root, output="Reconstruct/job003")
    return particles, average[1].outputs["merged"]


def truth_of(root: Path, names: tuple[str, ...]) -> np.ndarray:
    """Species of particles by name."""
    table = read_star(root / "truth.star")["particles"]
    species = dict(zip(table.texts(r.TOMO_PARTICLE_NAME), table.ints("trueClass"), strict=True))
    return np.array([species[name] for name in names])


def one(root: Path, particles: Path, reference: Path, changes: dict[str, Any], repeats: int) -> dict[str, Any]:
    """What a classification says of its pairs, and the truth."""
    options = ClassifyOptions(
        optimisation_set=particles, reference=reference, iterations=8, consensus_iterations=3, mask_diameter=290.0, local_range=15.0,
        offset_range=3.0, repeats=repeats, threads=1, device="cpu", **changes,
    )  # fmt: skip
    result = run_job("classify", options, project=root)[1]
    data = read_particles(result.outputs["data"])
    truth, labels = truth_of(root, data.names), data.class_numbers
    major = {c: int(np.bincount(truth[labels == c], minlength=3).argmax()) for c in set(labels.tolist())}
    pairs = [
        {"a": a, "b": b, "separation": apart, "p": p, "distinct": bool(distinct), "same": major[a] == major[b]}
        for a, b, apart, p, distinct in result.numbers["pairs"]
    ]
    return {
        "pairs": pairs,
        "index": rand_index(labels, truth),
        "counts": result.numbers["counts"],
        "stability": result.numbers["stability"],
    }


def report(results: dict[str, Any]) -> list[str]:
    """Counts by case as lines of a table."""
    lines = ["| case | samples | one thing: called not distinct | two things: called distinct | separation, one thing | two things |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for case in CASES:
        found = [pair for seed in results.get(case, {}).values() for pair in seed["pairs"]]
        if not found:
            continue
        same, apart = [p for p in found if p["same"]], [p for p in found if not p["same"]]

        def share(pairs: list[Any], right: bool) -> str:
            return f"{sum(p['distinct'] == right for p in pairs)} of {len(pairs)}" if pairs else ""

        def spread(pairs: list[Any]) -> str:
            values = [p["separation"] for p in pairs]
            return f"{min(values):.2f} … {max(values):.2f}" if pairs else ""

        cells = (len(results[case]), share(same, False), share(apart, True), spread(same), spread(apart))
        lines.append(f"| {case} | " + " | ".join(map(str, cells)) + " |")
    return lines


def main() -> None:
    """Run the cases that are asked for and not yet in the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="*", default=[])
    parser.add_argument("--cases", type=int, nargs="*", default=list(range(len(CASES))), help="numbers of cases, from 0")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    results: dict[str, Any] = json.loads(options.results.read_text()) if options.results.is_file() else {}
    names = list(CASES)
    for seed in options.seeds:
        samples: dict[str, tuple[Path, Path, Path]] = {}
        for case in (names[i] for i in options.cases):
            if str(seed) in results.get(case, {}):
                continue
            of_sample, of_classes = CASES[case]
            key = json.dumps(of_sample)
            if key not in samples:
                root = Path(mkdtemp(prefix="distinct")) / "project"
                samples[key] = (root, *sample(root, seed, of_sample))
            results.setdefault(case, {})[str(seed)] = one(*samples[key], of_classes, options.repeats)
            print(seed, case, json.dumps(results[case][str(seed)]), flush=True)
            options.results.write_text(json.dumps(results, indent=1) + "\n")
        for root, *_ in samples.values():
            shutil.rmtree(root.parent)
    if options.report:
        print("\n".join(report(results)))


if __name__ == "__main__":
    main()
