"""How right orientations are that a classification finds from nothing: simulated samples, orientations of the picks not used.

    python benchmarks/global_search.py                     # seeds 101 to 103
    python benchmarks/global_search.py --snr 0.01 --seeds 101

Each sample is one tomogram with 80 particles of two species and 20 empty places. The reference is the true density of one species at 60 Å.
A particle is wrong if its orientation is off by more than 20°; medians are over the others. `common` is the turn that they share, which
belongs to the reference, and `own` the median of what is left without it. Adds to global_search.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from judge import common_turn

from napari_subtomo.em.start import rand_index
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.io.class3d import complete_iterations, iteration_file
from napari_subtomo.io.particles import read_particles
from napari_subtomo.jobs.truth import Truth, pose_errors, read_truth

WRONG = 20.0  # degrees
SAMPLE = "--tomograms 1 --particles 80 --false-fraction 0.2 --structured-fraction 0"
CUT = "--tomograms tomograms.star --particles particles.star --from tomogram --box-size 48 --binning 1"
CLASSIFY = "--mask-diameter 380 --initial-lowpass 60 --local-range -1 --classes 2"


def command(words: str, folder: Path) -> float:
    """Run napari-subtomo; processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "napari_subtomo.cli.main", *words.split()], cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(seed: int, snr: float, iterations: int, added: list[str], work: Path) -> dict[str, Any]:
    """One sample."""
    root = work / f"seed{seed}-{snr:g}"
    if not (root / "Extract/job002/optimisation_set.star").is_file():
        work.mkdir(parents=True, exist_ok=True)
        command(f"simulate {root} --seed {seed} --snr {snr:g} {SAMPLE}", work)
        command(f"extract {CUT} -o Extract/job002", root)
    given = f"--optimisation-set Extract/job002/optimisation_set.star --reference densities/apo.mrc --iterations {iterations}"
    seconds = command(f"classify {given} {CLASSIFY} {' '.join(added)} -o Class3D/job003 --overwrite", root)
    folder = root / "Class3D/job003"
    rows = [poses(root, folder, i) for i in complete_iterations(folder)[1:]]
    return {"seed": seed, "snr": snr, "n": 80, "added": added, "cpu_seconds": round(seconds, 1), "iterations": rows}


def poses(root: Path, folder: Path, iteration: int) -> dict[str, Any]:
    """Figures of one iteration."""
    particles = read_particles(folder / iteration_file(iteration, "data"))
    truth = read_truth(root / "truth.star").of(particles)
    true, labels = truth.species > 0, particles.class_numbers
    errors = pose_errors(Truth(truth.particles.select(true)), particles.select(true))
    right, distance = errors.degrees <= WRONG, np.linalg.norm(errors.offsets, axis=1)
    given, own = truth.particles.orientations[true], particles.orientations[true]
    common = common_turn(given[right], own[right]) if right.any() else np.eye(3)
    found = {
        "wrong": (~right).mean(),
        "degrees": np.median(errors.degrees[right]) if right.any() else 180.0,
        "common": angular_distance(np.eye(3), common),
        "own": np.median(angular_distance(given[right] @ common, own[right])) if right.any() else 180.0,
        "angstrom": np.median(distance[right]) if right.any() else 999.0,
        "kept": (labels[true] <= 2).mean(),
        "rejected": (labels[~true] > 2).mean(),
        "rand_index": rand_index(truth.species[true], labels[true]),
    }
    return {"iteration": iteration} | {name: round(float(value), 3) for name, value in found.items()}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--snr", type=float, default=0.03)
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "napari-subtomo-global-search")
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    own, added = parser.parse_known_args()
    data = json.loads(own.json.read_text(encoding="utf-8")) if own.json.is_file() else []
    for seed in own.seeds:
        result = measure(seed, own.snr, own.iterations, added, own.work.absolute())
        print(json.dumps({k: v for k, v in result.items() if k != "iterations"} | result["iterations"][-1]), flush=True)
        data = [old for old in data if (old["seed"], old["snr"], old["added"]) != (seed, own.snr, added)] + [result]
        own.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
