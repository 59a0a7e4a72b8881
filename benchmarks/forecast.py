"""Are forecasts true? Runs extraction, averaging and classification with several options and compares memory and time with the forecasts.

    napari-subtomo demo my_demo
    python benchmarks/forecast.py my_demo

The project is copied, nothing is written into it. Each job runs in its own process (Linux only). Results go to benchmarks/forecast.json:
predicted and measured peak of memory (anonymous pages: memory-mapped files are not counted), time by the clock, load of the machine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chain import PROGRAM

from napari_subtomo.jobs.commandline import command_words
from napari_subtomo.jobs.facts import gather_facts
from napari_subtomo.jobs.forecast import forecast
from napari_subtomo.jobs.rates import Rates, measure_rates
from napari_subtomo.jobs.record import dump_options
from napari_subtomo.jobs.registry import get_job
from napari_subtomo.options.base import JobOptions

HERE = Path(__file__).resolve().parent
SEARCH = {"mask_diameter": 380, "local_range": 15, "offset_range": 3, "initial_lowpass": 60}
QUIET = 2.5  # load of a machine of two processors that does hardly anything else
SHORT = {**SEARCH, "consensus_iterations": 1, "iterations": 3}
#: name, job, folder that it writes, particles that it reads, options
CASES: tuple[tuple[str, str, str, str, dict[str, Any]], ...] = (
    ("extract", "extract", "Extract/box48", "Picks/job001", {"box_size": 48}),
    ("extract, 1 thread", "extract", "Extract/thread1", "Picks/job001", {"box_size": 48, "threads": 1}),
    ("extract, box 96 cropped", "extract", "Extract/crop48", "Picks/job001", {"box_size": 96, "crop_size": 48}),
    ("extract, box 72", "extract", "Extract/box72", "Picks/job001", {"box_size": 72}),
    ("extract, binning 2", "extract", "Extract/bin2", "Picks/job001", {"box_size": 24, "binning": 2}),
    ("average", "reconstruct", "Reconstruct/box48", "Extract/box48", {}),
    ("average, box 72", "reconstruct", "Reconstruct/box72", "Extract/box72", {}),
    ("average, octahedral", "reconstruct", "Reconstruct/octahedral", "Extract/box48", {"symmetry": "O"}),
    (
        "15 iterations",
        "classify",
        "Class3D/iterations15",
        "Extract/box48",
        {**SEARCH, "classes": 3, "iterations": 15, "stop_when_converged": False},
    ),
    ("3 classes", "classify", "Class3D/classes3", "Extract/box48", {**SHORT, "classes": 3}),
    ("1 thread", "classify", "Class3D/thread1", "Extract/box48", {**SHORT, "classes": 3, "threads": 1}),
    ("1 class", "classify", "Class3D/classes1", "Extract/box48", {**SHORT, "classes": 1}),
    ("6 classes, finer", "classify", "Class3D/classes6", "Extract/box48", {**SHORT, "classes": 6, "initial_lowpass": 35}),
    ("box 72", "classify", "Class3D/box72", "Extract/box72", {**SHORT, "classes": 3}),
    ("binning 2", "classify", "Class3D/bin2", "Extract/bin2", {**SHORT, "classes": 3, "offset_range": 2}),
    ("particles whole", "classify", "Class3D/whole", "Extract/box48", {**SHORT, "classes": 2, "mask_particles": False}),
    ("streamed", "classify", "Class3D/streamed", "Extract/box48", {**SHORT, "classes": 3, "preread": "no"}),
    ("streamed, box 72", "classify", "Class3D/streamed72", "Extract/box72", {**SHORT, "classes": 2, "preread": "no"}),
    ("1 fold, 1 thread", "classify", "Class3D/fold1", "Extract/box48", {**SHORT, "classes": 3, "folds": 1, "threads": 1}),
    (
        *("all orientations", "classify", "Class3D/global", "Extract/box48"),
        {**SHORT, "classes": 2, "local_range": -1, "angular_step": 15, "fixed_sampling": True, "iterations": 2},
    ),
    ("no alignment", "classify", "Class3D/fixed", "Extract/box48", {**SEARCH, "classes": 3, "align": False, "iterations": 10}),
    ("extract, RELION 3.1", "extract", "Extract/box60", "Picks/job001", {"box_size": 60, "output_format": "relion31"}),
    ("extract, binning 1.4", "extract", "Extract/bin14", "Picks/job001", {"box_size": 40, "binning": 1.4}),
    ("average, box 60", "reconstruct", "Reconstruct/box60", "Extract/box60", {"symmetry": "C4"}),
    ("box 60, wide search", "classify", "Class3D/box60", "Extract/box60", {**SHORT, "classes": 4, "local_range": 20, "offset_range": 4}),
    ("binning 1.4, 1 fold", "classify", "Class3D/bin14", "Extract/bin14", {**SHORT, "classes": 5, "folds": 1, "initial_lowpass": 50}),
    # the way of the demo
    ("extract, tilt images", "extract", "Extract/tilts", "Picks/job001", {"box_size": 64, "crop_size": 48, "source": "tilts"}),
    ("average, tilt images", "reconstruct", "Reconstruct/tilts", "Extract/tilts", {}),
    (
        "tilt images, 15 iterations",
        "classify",
        "Class3D/tilts",
        "Extract/tilts",
        {**SEARCH, "classes": 3, "iterations": 15, "stop_when_converged": False, "reference": Path("Reconstruct/tilts/merged.mrc")},
    ),
)


def main(words: list[str] | None = None) -> int:
    """Predict, run, compare, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path, help="a finished demo project")
    parser.add_argument("--only", nargs="+", help="names of cases, or jobs")
    parser.add_argument("--work", type=Path, help="folder for the copy (a temporary one, removed afterwards)")
    parser.add_argument("--again", action="store_true", help="forecast again what the JSON file holds measured (needs --work)")
    parser.add_argument("--json", type=Path, default=HERE / "forecast.json")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as temporary:
        root = (options.work or Path(temporary)).absolute() / "project"
        if not root.is_dir():
            shutil.copytree(options.demo, root, ignore=shutil.ignore_patterns("Class3D", "Extract", "Select", "pictures"))
        before = json.loads(options.json.read_text()) if options.again else {}
        former = before.get("cases", {})
        # how fast the machine was when it was measured
        rates, rows = Rates(**before["rates"]) if options.again else measure_rates(), {}
        for name, job, folder, source, given in CASES:
            if options.only and name not in options.only and job not in options.only:
                continue
            rows[name] = row = compare(root, job, folder, source, given, rates, former.get(name))
            print(line(name, row), flush=True)
    machine = f"{os.cpu_count()} processors ({platform.machine()}, {platform.system()}), Python {platform.python_version()}"
    groups = {"all": rows, f"load below {QUIET}": {name: row for name, row in rows.items() if row["load"] < QUIET}}
    found = {name: factors(group) for name, group in groups.items() if group}
    report = {"machine": machine, "rates": rates.__dict__, "factors": found, "cases": rows}
    print(json.dumps(report["factors"], indent=1))
    if not options.only:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def compare(
    root: Path, job: str, folder: str, source: str, given: dict[str, Any], rates: Rates, former: dict[str, Any] | None
) -> dict[str, Any]:
    """One case; what was measured before is not run."""
    particles, tomograms = root / source / "particles.star", root / "tomograms.star"
    asked: dict[str, Any] = {"particles": particles, "device": "cpu"}
    if job == "extract":
        asked |= {"tomograms": tomograms, "source": "tomogram"}
    asked |= given
    if job == "classify":
        asked["reference"] = root / given.get("reference", "Reconstruct/box48/merged.mrc")
    model: type[JobOptions] = get_job(job).model
    options = model.model_validate(asked)
    facts = gather_facts(particles, tomograms, asked.get("reference"), root)
    predicted = forecast(job, options, facts, rates)
    assert predicted is not None, f"nothing is known of {source}"
    measured = former
    if measured is None:
        words = command_words(job, model, dump_options(options, str, given_only=True))
        measured = run([*words, "-o", folder, "--overwrite"], root)
        written = sum(path.stat().st_size for path in (root / folder).rglob("*") if path.is_file())
        measured["disk_mb"] = {"measured": round(written / 1e6, 1)}
    forecasts = {"memory_mb": predicted.memory_bytes / 1e6, "seconds": predicted.seconds, "disk_mb": predicted.disk_bytes / 1e6}
    both = {name: {"predicted": round(value, 1), "measured": measured[name]["measured"]} for name, value in forecasts.items()}
    return {**both, "processor_seconds": measured["processor_seconds"], "load": measured["load"]}


def run(words: list[str], root: Path) -> dict[str, Any]:
    """Run a job: seconds by the clock and of all processors, largest number of anonymous bytes, mean load while it ran."""
    log, begun, peak = root.parent / "job.log", time.monotonic(), 0
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-m", "napari_subtomo.cli.main", *words], cwd=root, stdout=stream, stderr=stream)
        status = Path(f"/proc/{process.pid}/status")
        loads = []
        while True:
            done, state, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            text = status.read_text()
            peak = max(peak, *(1024 * int(row.split()[1]) for row in text.splitlines() if row.startswith("RssAnon:")), 0)
            loads.append(os.getloadavg()[0])
            time.sleep(0.005)
    process.returncode = os.waitstatus_to_exitcode(state)
    if process.returncode:
        sys.exit(f"{PROGRAM} {' '.join(words)} failed:\n{log.read_text()[-2000:]}")
    return {
        "memory_mb": {"measured": round(peak / 1e6)},
        "seconds": {"measured": round(time.monotonic() - begun, 1)},
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "load": round(sum(loads) / len(loads), 1),
    }


def factors(rows: dict[str, Any]) -> dict[str, Any]:
    """How far off: predicted through measured, the geometric mean and the extremes."""
    found = {}
    for key in ("memory_mb", "seconds", "disk_mb"):
        ratios = [row[key]["predicted"] / row[key]["measured"] for row in rows.values()]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        found[key] = {"mean": round(mean, 2), "least": round(min(ratios), 2), "most": round(max(ratios), 2)}
    return found


def line(name: str, row: dict[str, Any]) -> str:
    """A case in a line."""
    cells = [f"{row[key]['predicted']:8} {row[key]['measured']:8}" for key in ("memory_mb", "seconds", "disk_mb")]
    return f"{name:26} memory (MB) {cells[0]}   seconds {cells[1]} (processors {row['processor_seconds']:6})   disk (MB) {cells[2]}"


if __name__ == "__main__":
    sys.exit(main())
