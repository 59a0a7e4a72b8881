"""What does it cost to keep particles in float16 on disk? The same E-steps with particles in memory and with streamed ones.

    python benchmarks/streaming.py --seeds 101 102

Makes a sample of each seed (`simulate`, `extract`, `reconstruct`), classifies its particles in memory, and in each iteration searches
with streamed particles as well, against the same references. Prints and writes (streaming.json) how far log-likelihoods are apart, in
nats, how many particles get another label, and at the end how many labels differ from those of a run with streamed particles throughout.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo.em import engine
from napari_subtomo.em.expectation import search
from napari_subtomo.em.inputs import set_up
from napari_subtomo.io.optimisation import resolve_inputs
from napari_subtomo.io.project import Project
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

HERE = Path(__file__).resolve().parent
STEPS = (
    "extract --optimisation-set optimisation_set.star --box-size 48 --binning 1 --from tomogram -o Extract/particles",
    "reconstruct --optimisation-set Extract/particles/optimisation_set.star -o Reconstruct/average",
)
OPTIONS = {
    **{"classes": 2, "mask_diameter": 380.0, "initial_lowpass": 60.0, "local_range": 15.0, "offset_range": 2.0, "device": "cpu"},
    **{"consensus_iterations": 2, "restarts": 4},
}


def sample(root: Path, seed: int, particles: int, snr: float) -> None:
    """A project with extracted particles and their average."""
    numbers = ["--seed", str(seed), "--tomograms", "1", "--particles", str(particles), "--snr", str(snr)]
    commands = [["simulate", ".", *numbers], *(step.split() for step in STEPS)]
    root.mkdir(parents=True)
    for words in commands:
        subprocess.run([sys.executable, "-m", "napari_subtomo.cli.main", *words, "--quiet"], cwd=root, check=True)


def compare(root: Path, iterations: int) -> list[dict[str, float]]:
    """Each iteration in memory and streamed; the last row is of the labels of two whole runs."""
    project, rows = Project(root), []
    files = {"particles": root / "Extract/particles/particles.star", "reference": root / "Reconstruct/average/merged.mrc"}
    setups = []
    for preread in ("yes", "no"):
        options = ClassifyOptions(**files, tomograms=root / "tomograms.star", iterations=iterations, preread=preread, **OPTIONS)
        particles, tomograms, _ = resolve_inputs(options, project)
        setups.append(set_up(options, particles, project, Silent(), tomograms, root / "scratch" / preread))
    found: list[Any] = []
    real = engine.search

    def both(step: Any, prepared: Any, threads: int, reporter: Any, volumes: Any = None) -> Any:
        poses, here = real(step, prepared, threads, reporter, volumes)
        found.append((here, search(step, setups[1].prepared, threads, Silent(), volumes)[1]))
        return poses, here

    engine.search = both
    state, _ = list(engine.iterate(setups[0], engine.initial_state(setups[0]), Silent()))[-1]
    engine.search = real
    for number, (here, there) in enumerate(found, 1):
        apart = there.log_evidence - here.log_evidence
        classes = np.abs(there.posterior - here.posterior).max()
        other = int((there.posterior.argmax(1) != here.posterior.argmax(1)).sum())
        rows.append(
            {
                **{"iteration": number, "rms_nats": float(np.sqrt((apart**2).mean())), "most_nats": float(np.abs(apart).max())},
                **{"most_posterior": float(classes), "other_labels": other, "particles": len(apart)},
            }
        )
    whole, _ = list(engine.iterate(setups[1], engine.initial_state(setups[1]), Silent()))[-1]
    rows.append({"iteration": 0, "other_labels": int((whole.labels != state.labels).sum()), "particles": len(state.labels)})
    return rows


def main(words: list[str] | None = None) -> int:
    """Make, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102])
    parser.add_argument("--particles", type=int, default=60)
    parser.add_argument("--snr", type=float, default=0.02)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--json", type=Path, default=HERE / "streaming.json")
    options = parser.parse_args(words)
    results = {}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary) / "project"
            sample(root, seed, options.particles, options.snr)
            results[str(seed)] = rows = compare(root, options.iterations)
        for row in rows:
            print(seed, {key: float(f"{value:.3g}") for key, value in row.items()}, flush=True)
    report = {"particles": options.particles, "snr": options.snr, "seeds": results}
    options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
