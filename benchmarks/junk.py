"""False-discovery rates against the truth: does `assess` keep what it promises, for each kind of junk among the picks?

    python benchmarks/junk.py                                  # seeds 101-110, figures into benchmarks/junk.json
    python benchmarks/junk.py --seeds 1-2 --kinds empty --out ""

Every kind and seed is a project of its own: one tomogram, 75 particles of two species and 40 false picks: empty places; empty places
and as many beads, membrane pieces or copies of another protein; another protein alone; or all four alike. It goes through extract,
classify (from the true map of one species at 60 Å) and assess. Of the particles accepted at 1, 5 and 10 % the false ones are counted.
Seeds 1-3 served for choosing.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

RESULT = Path(__file__).with_suffix(".json")
LEVELS = (0.01, 0.05, 0.1)
KINDS: Mapping[str, Mapping[str, Any]] = {
    "empty": {"structured_fraction": 0.0},
    "bead": {"structured_fraction": 0.5, "structured": ("bead",)},
    "membrane": {"structured_fraction": 0.5, "structured": ("membrane",)},
    "protein": {"structured_fraction": 0.5, "structured": ("protein",)},
    "protein alone": {"structured_fraction": 1.0, "structured": ("protein",)},  # enough of them for a class of their own
    "all four": {"structured_fraction": 0.75, "structured": ("bead", "membrane", "protein")},
}
SAMPLE = {
    "tomograms": 1, "particles": 75, "false_fraction": 0.35, "diameter": 210.0, "width": 384, "thickness": 1100.0,
    "crowding": 0.0, "min_distance": 250.0,
}  # fmt: skip
CLASSIFY = {
    "initial_lowpass": 60.0, "mask_diameter": 240.0, "local_range": 15.0, "offset_range": 2.0, "classes": 3, "iterations": 8,
    "consensus_iterations": 3, "restarts": 4, "device": "cpu", "threads": 2,
}  # fmt: skip
BOX = 32


def chain(root: Path, kind: str, seed: int, snr: float, more: Mapping[str, Any]) -> Path:
    """Simulate, extract, classify and assess in `root`; the folder of the assessment."""
    from napari_subtomo.jobs.runner import run_job
    from napari_subtomo.options.assess import AssessOptions
    from napari_subtomo.options.classify import ClassifyOptions
    from napari_subtomo.options.extract import ExtractOptions
    from napari_subtomo.simulate.project import make_sample

    make_sample(root, seed, snr=snr, **{**SAMPLE, **KINDS[kind]})
    extract = ExtractOptions(optimisation_set=root / "optimisation_set.star", box_size=BOX, source="tomogram")
    folder, _ = run_job("extract", extract, project=root)
    given = {**CLASSIFY, **more, "optimisation_set": folder.file("optimisation_set.star"), "reference": root / "densities/apo.mrc"}
    folder, result = run_job("classify", ClassifyOptions(**given, seed=seed), project=root)
    assess = AssessOptions(optimiser=result.outputs["optimiser"], device="cpu", seed=seed)
    return run_job("assess", assess, project=root)[0].path


def judge(root: Path, job: Path, classes: int) -> dict[str, Any]:
    """Per test and level: accepted, false among them, true ones; and the scores by kind."""
    from napari_subtomo.io import relion as r
    from napari_subtomo.io.particles import read_particles
    from napari_subtomo.io.star import read_star

    data = read_particles(next(job.glob("run_it*_data.star")))
    truth = read_star(root / "truth.star")[r.PARTICLES]
    names = dict(zip(truth.texts(r.TOMO_PARTICLE_NAME), truth.texts("trueName"), strict=True))
    kinds = np.array([names[name] for name in data.names])
    true = np.isin(kinds, ("apo", "holo"))
    found: dict[str, Any] = {"true": int(true.sum()), "false": int((~true).sum())}
    scores = data.floats(r.ASSESSED_EVIDENCE)
    tests = {"null": data.floats(r.FALSE_DISCOVERY_RATE), "mirror": data.floats(r.MIRROR_RATE)}
    tests["both"] = np.maximum(tests["null"], tests["mirror"])
    for name, rates in tests.items():
        rows = [(rates <= level, level) for level in LEVELS]
        found[name] = {f"{level:g}": [int((a & ~true).sum()), int((a & true).sum())] for a, level in rows}
    empty_class = data.class_numbers == classes + 1
    found["empty class"] = [int((~empty_class & ~true).sum()), int((~empty_class & true).sum())]
    nulls = read_particles(job / "nulls.star").floats(r.ASSESSED_EVIDENCE)
    found["scores"] = {name: np.percentile(values, [5, 50, 95]).round(1).tolist() for name, values in
                       {"null": nulls, **{kind: scores[kinds == kind] for kind in sorted(set(kinds))}}.items()}  # fmt: skip
    found["nulls"] = len(nulls)
    record = json.loads((job / "job_record.json").read_text(encoding="utf-8"))
    found["junk_share"] = round(record["numbers"]["junk_share"], 3)
    return found


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Mean false proportion with its range over seeds, and recall, for each kind, test and level (Markdown)."""
    lines = ["| junk | n | test | " + " | ".join(f"{100 * level:g} %: false, recall" for level in LEVELS) + " | verdict |"]
    lines.append("|---|---|---|" + "---|" * (len(LEVELS) + 1))
    for kind in dict.fromkeys(row["kind"] for row in rows):
        some = [row for row in rows if row["kind"] == kind]
        for test in ("null", "mirror", "both"):
            cells, worst = [], True
            for level in LEVELS:
                pairs = np.array([row[test][f"{level:g}"] for row in some], dtype=float)
                shares = pairs[:, 0] / np.maximum(pairs.sum(1), 1)
                error = shares.std(ddof=1) / np.sqrt(len(shares)) if len(shares) > 1 else 0.0
                worst &= bool(shares.mean() <= level + 2 * error + 1e-9) or shares.mean() <= level
                recall = pairs[:, 1].sum() / sum(row["true"] for row in some)
                cells.append(f"{100 * shares.mean():.1f} % ({100 * shares.min():.1f}–{100 * shares.max():.1f}), {100 * recall:.0f} %")
            verdict = "holds" if worst else ("against empty background only" if test == "null" else "does not hold")
            lines.append(f"| {kind} | {len(some)} | {test} | " + " | ".join(cells) + f" | {verdict} |")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="101-110")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--snr", type=float, default=0.015)
    parser.add_argument("--classes", type=int, default=CLASSIFY["classes"])
    parser.add_argument("--minutes", type=float, default=60.0, help="no new project is begun after this time")
    parser.add_argument("--out", default=str(RESULT))
    given = parser.parse_args(words)
    first, _, last = given.seeds.partition("-")
    begun, rows = time.monotonic(), []
    for seed in range(int(first), int(last or first) + 1):
        for kind in given.kinds:
            if time.monotonic() - begun > 60 * given.minutes:
                continue
            with tempfile.TemporaryDirectory() as place:
                clock = time.monotonic()
                job = chain(Path(place), kind, seed, given.snr, {"classes": given.classes})
                rows.append(
                    {"seed": seed, "kind": kind, **judge(Path(place), job, given.classes), "seconds": round(time.monotonic() - clock, 1)}
                )
            print(json.dumps(rows[-1]), flush=True)
            if given.out:
                settings = {"sample": SAMPLE, "snr": given.snr, "classify": {**CLASSIFY, "classes": given.classes}, "box": BOX}
                Path(given.out).write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
