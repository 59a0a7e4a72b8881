"""The two programs on one sample: command lines, time of each iteration, memory, and how many poses they tried."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from chain import PROGRAM, Chain, measure
from peer_watch import Watch

from napari_subtomo.io.class3d import complete_iterations, iteration_file

RELION = "relion_refine"
CLASSES, THREADS, SEED = 3, 2, 1
PARTICLES, REFERENCE = "Extract/job002/particles.star", "Reconstruct/job003/merged.mrc"
#: share of false picks in a sample, and most picks in a tomogram, which has room for some 130
FALSE_FRACTION, MOST = 0.3, 114
#: iterations whose time counts: those before are short, with coarse references, one class, or nothing but seeds
FROM_ITERATION = 5

# RELION 3.1's command. From its form for 3D classification, as it stands there: the reference is not on an absolute grey scale
# (--firstiter_cc), --ini_high 60, --tau2_fudge 4, --zero_mask, --flatten_solvent, --norm, --scale, --pad 2, --pool 3, --oversampling 1.
# Local searches of ±10° (three sigma) on the 7.5° grid, 3.75° after oversampling; offsets of ±2 px in steps of 1 px (or what is asked for:
# 2 px is what the form's 1 px becomes in the command), half of it after oversampling.
RELION_WORDS = (
    f"--i {PARTICLES} --ref {REFERENCE} --o {{folder}}/run --firstiter_cc --ini_high 60 --sym C1 --K {CLASSES} --iter {{iterations}} "
    "--tau2_fudge 4 --particle_diameter 380 --ctf --zero_mask --flatten_solvent --norm --scale --pad 2 --oversampling 1 --healpix_order 3 "
    f"--sigma_ang 3.33 --offset_range 2 --offset_step {{step:g}} --pool 3 --j {THREADS} --dont_combine_weights_via_disc "
    f"--random_seed {SEED}"
)
# The same reference, mask, low-pass and iterations; the steps are those that RELION reaches by oversampling, everywhere and always, since
# there is no coarser first pass here. One point per 3.75°³ is the density of RELION's fine grid too (12·4⁴·96 orientations in all).
OWN_WORDS = (
    f"classify --particles {PARTICLES} --reference {REFERENCE} --classes {CLASSES} --iterations {{iterations}} --mask-diameter 380 "
    "--initial-lowpass 60 --symmetry C1 --angular-step 3.75 --local-range 10 --offset-range 2 --offset-step {fine:g} --fixed-sampling "
    "--no-stop-when-converged "
    f"--device cpu --threads {THREADS} --seed {SEED}"
)


def relion_version() -> str:
    """Version of RELION on the path, which has to be 3.1."""
    if shutil.which(RELION) is None:
        sys.exit(f"Expected {RELION} of RELION 3.1 on the path (Debian's package relion), found none.")
    text = subprocess.run([RELION, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"version:\s*(\S+)", text)
    if match is None or not match[1].startswith("3.1"):
        sys.exit(f"Expected RELION 3.1, found {text.strip() or 'a program that does not say which'}.")
    return match[1]


def make_sample(project: Path, seed: int, particles: int, sample: Sequence[str], code: str) -> list[str]:
    """Simulate, extract and average, unless it is there from the same commands and code; the commands."""
    chain = Chain(project, code)
    tomograms = -(-particles // MOST)
    true = max(1, round(particles * (1 - FALSE_FRACTION) / tomograms))
    words = f"--seed {seed} --tomograms {tomograms} --particles {true} --false-fraction {FALSE_FRACTION}"
    chain.step("simulate", ["simulate", project.name, *words.split(), *sample])
    words = "--tomograms tomograms.star --particles particles.star --from tomogram --format relion31 --box-size 48 --binning 1"
    chain.step("extract", ["extract", *words.split()], "Extract/job002")
    chain.step("reconstruct", ["reconstruct", "--particles", PARTICLES], "Reconstruct/job003")
    return [step.command for step in chain.steps.values()]


def run_relion(project: Path, iterations: int, added: Sequence[str], code: str, step: float = 1.0) -> dict[str, Any]:
    """Classify with RELION, coarse offsets `step` px apart; `added` belongs to the other program. See `_run`."""
    folder = "Class3D/relion"
    _fresh(project / folder).mkdir(parents=True)
    words = RELION_WORDS.format(folder=folder, iterations=iterations, step=step).split()
    found = _run(project, folder, RELION, words, (RELION,), code)
    return found | {"searched": relion_searched(_log(project, folder).read_text())}


def run_own(project: Path, iterations: int, added: Sequence[str], code: str, step: float = 1.0) -> dict[str, Any]:
    """Classify with napari-subtomo, offsets half of `step` px apart, as RELION's are in the end. See `_run`."""
    folder = "Class3D/own"
    _fresh(project / folder)
    words = [*OWN_WORDS.format(iterations=iterations, fine=step / 2).split(), *added, "-o", folder]
    found = _run(project, folder, PROGRAM, words, (sys.executable, "-m", "napari_subtomo.cli.main"), code)
    return found | {"searched": own_searched(project / folder / "events.jsonl")}


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _log(project: Path, folder: str) -> Path:
    return project.parent / f"{project.name}-{folder.replace('/', '-')}.log"


def _run(project: Path, folder: str, name: str, words: Sequence[str], program: Sequence[str], code: str) -> dict[str, Any]:
    """Run a program in the project and measure it.

    Returns
    -------
    dict
        `folder`, `command`, `iteration` (the last), `iteration_seconds` and `iteration_cpu_seconds` (of each from the first on),
        `median_seconds` and `median_cpu_seconds` (of those that count; None where processor time cannot be seen), and `seconds`,
        `cpu_seconds`, `peak_mb`, `load` of the whole run as in `chain.Measured`.
    """
    command = f"{name} {' '.join(words)}"
    print(f"  {command}", flush=True)
    blas = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(THREADS))
    watch = Watch(project / folder)
    try:
        measured = measure(command, words, project, _log(project, folder), code, program, os.environ | blas, watch.start)
    finally:
        watch.stop()
    times = iteration_seconds(project / folder)
    processor = [after - before for before, after in pairwise(watch.cpu)] if len(watch.cpu) == len(times) + 1 else []
    return {
        "folder": folder,
        "command": command,
        "iteration": len(times),
        "iteration_seconds": [round(t, 2) for t in times],
        "iteration_cpu_seconds": [round(t, 2) for t in processor],
        "median_seconds": _middle(times),
        "median_cpu_seconds": _middle(processor),
        "seconds": measured.seconds,
        "cpu_seconds": measured.cpu_seconds,
        "peak_mb": round(watch.peak_kib / 1024) or measured.peak_mb,
        "load": measured.load,
    }


def _middle(times: Sequence[float]) -> float | None:
    """Median of the iterations that count, of a short run that of the last one."""
    counted = times[FROM_ITERATION - 1 :] or times[-1:]
    return round(statistics.median(counted), 3) if counted else None


def iteration_seconds(folder: Path) -> list[float]:
    """Time between the particle files of iterations that follow each other, s: both programs write one at the end of each."""
    found = complete_iterations(folder)
    if found != list(range(len(found))) or len(found) < 2:
        sys.exit(f"Expected the files of all iterations from 0 on in {folder}, found those of {found or 'none'}.")
    written = [(folder / iteration_file(iteration, "data")).stat().st_mtime for iteration in found]
    return [after - before for before, after in pairwise(written)]


def relion_searched(log: str) -> dict[str, Any]:
    """Orientations and offsets, coarse and fine, that RELION says at each iteration it tries of one of its particles; means."""
    rows = re.findall(r"Oversampling= (\d).*?NrOrientations= (\d+).*?NrTranslations= (\d+)", log, re.DOTALL)

    def mean(level: str, column: int) -> int | None:
        found = [int(row[column]) for row in rows if row[0] == level]
        return round(statistics.fmean(found)) if found else None

    names = {"orientations": ("1", 1), "offsets": ("1", 2), "coarse_orientations": ("0", 1), "coarse_offsets": ("0", 2)}
    return {name: mean(*place) for name, place in names.items()}


def own_searched(events: Path) -> dict[str, Any]:
    """Orientations and offsets of the last iteration's grid."""
    records = [json.loads(line) for line in events.read_text().splitlines()]
    last = [record["data"] for record in records if record["kind"] == "iteration"][-1]
    return {"orientations": last["rotations"], "offsets": last["shifts"]}
