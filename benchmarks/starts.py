"""How often a start of the leave-one-out clustering finds the species: by how hot it begins, and by the shells that it goes by.

    python benchmarks/starts.py                          # samples for tuning, as in docs/decisions/resolution-of-classes.md
    python benchmarks/starts.py --samples junk-50:6      # cells of grid.py and seeds

Each sample of `grid.py` is classified up to where classes begin; then eight starts from the same random partitions are compared with the
truth, three ways: at the temperature of the data by all shells (cold), hot at first by all shells (hot), and hot at first by the shells
that halves of the particles agree on (limited). Results go to benchmarks/starts.json after every sample; what is there of the same code
is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import write
from chain import fingerprint
from grid import CELLS, ITERATIONS, LOCAL, make
from peer_runs import PARTICLES, REFERENCE
from threadpoolctl import threadpool_limits

from napari_subtomo.em import start as begin
from napari_subtomo.em.class_shell import class_shell
from napari_subtomo.em.engine import Setup, initial_state, one_iteration
from napari_subtomo.em.fixed_poses import FixedPoses
from napari_subtomo.em.inputs import set_up
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.jobs.truth import read_truth
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

JSON = Path(__file__).with_suffix(".json")
SEEDS = {"junk-50": range(1, 4), "sizes-80": range(1, 4), "domain-5": range(1, 4), "snr-0.01": range(1, 3), "centre": range(1, 2)}
SAMPLES = [f"{cell}:{seed}" for cell, seeds in SEEDS.items() for seed in seeds]
STARTS = 8
WAYS = {"cold": (1.0, False), "hot": (begin.HOT, False), "limited": (begin.HOT, True)}  # heat, whether halves say by which shells
FOUND = 0.5  # index from which on the species count as found
#: the command of grid.py as options
WAY: dict[str, Any] = {
    "iterations": ITERATIONS,
    "mask_diameter": 380.0,
    "initial_lowpass": 60.0,
    "angular_step": 3.75,
    "local_range": 10.0,
    "offset_range": 2.0,
    "offset_step": 0.5,
    "fixed_sampling": True,
    "device": "cpu",
    "threads": 1,
    "seed": 1,
}


def main(words: list[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", nargs="+", default=SAMPLES, metavar="CELL:SEED", help="of grid.py")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "napari-subtomo-benchmarks/grid", help="for samples")
    parser.add_argument("--json", type=Path, default=JSON, help="where results go")
    options = parser.parse_args(words)
    code, data = fingerprint(), json.loads(options.json.read_text()) if options.json.is_file() else {}
    for sample in options.samples:
        if data.get(sample, {}).get("code") != code:
            data[sample] = measure(sample, options.work.absolute(), code)
            write(options.json, json.dumps(data, indent=1) + "\n")
        print(f"{sample:12}" + "; ".join(line(way, data[sample][way]) for way in WAYS), flush=True)
    for way in WAYS:
        runs = [data[sample][way] for sample in options.samples]
        found = sum(index > FOUND for run in runs for index in run["index"])
        print(f"{way}: {found} of {STARTS * len(runs)} starts, {sum(run['chosen'] > FOUND for run in runs)} of {len(runs)} chosen")
    return 0


def line(way: str, run: dict[str, Any]) -> str:
    """One way on the screen."""
    found = sum(index > FOUND for index in run["index"])
    return f"{way}, {run['angstrom']} Å: {found} of {STARTS} starts, chosen {run['chosen']:.2f}, agreement {run['agreement']:.2f}"


def measure(sample: str, work: Path, code: str) -> dict[str, Any]:
    """Index between the species of each start, of the partition that is chosen among them, and how far starts agree; by way."""
    name, seed = sample.split(":")
    cell, project = CELLS[name], work / name / f"seed{seed}"
    if cell.classify != LOCAL:
        sys.exit(f"Expected a cell of grid.py with its usual search, found {name}; give another one.")
    make(cell, project, int(seed), code)
    place, particles = Project(project), read_particles(project / PARTICLES)
    options = ClassifyOptions(particles=project / PARTICLES, reference=project / REFERENCE, classes=cell.species + 1, **WAY)
    setup = set_up(options, particles, place, Silent())
    state = initial_state(setup)
    while state.iteration < options.consensus_iterations:
        state, _ = one_iteration(setup, state, Silent())
    fixed = FixedPoses.of(setup, state, state.last_shell, "cpu", Silent())
    species = read_truth(project / "truth.star").of(particles).species[setup.order][fixed.kept]
    given = (state.last_shell, options.classes, state.temperature, options.regularisation, options.seed, options.threads, Silent())
    shells = {False: state.last_shell, True: class_shell(fixed, *given).shell}
    result: dict[str, Any] = {"code": code}
    for way, (heat, limited) in WAYS.items():
        begin.HOT = heat
        part = fixed.up_to(shells[limited])
        alone = [clustered(setup, state.temperature, part, 1, seed)[0] for seed in range(1, STARTS + 1)]
        chosen, agreement = clustered(setup, state.temperature, part, STARTS, options.seed)
        result[way] = {
            "angstrom": round(setup.lattice.n * setup.pixel_size / shells[limited]),
            "index": [index_of(labels, species) for labels in alone],
            "chosen": index_of(chosen, species),
            "agreement": round(agreement, 3),
        }
    return result


def clustered(setup: Setup, temperature: float, fixed: FixedPoses, starts: int, seed: int) -> tuple[np.ndarray, float]:
    """Labels of the partition chosen among so many starts, shape (n,), and their agreement."""
    o = setup.options
    given = (fixed.g, fixed.h, setup.lattice, fixed.noise, temperature, o.classes, o.regularisation)
    with threadpool_limits(limits=1, user_api="blas"):
        gamma, agreement = begin.cluster(*given, starts, seed, o.threads, Silent(), fixed.inside)
    return gamma.argmax(1), agreement


def index_of(labels: np.ndarray, species: np.ndarray) -> float:
    """Adjusted Rand index between the species, false picks left out."""
    true = species > 0
    return round(begin.rand_index(species[true], labels[true]), 3)


if __name__ == "__main__":
    sys.exit(main())
