"""Where classification works and where it stops: one central sample and one factor changed at a time, against the truth.

    python benchmarks/grid.py                                   # all cells, seeds 101 to 105; hours
    python benchmarks/grid.py --cells centre snr-0.01 --seeds 101 102 --minutes 30
    python benchmarks/grid.py --programs relion --seeds 101 102 103     # RELION 3.1.3, on the cells marked for it
    python benchmarks/grid.py --only-docs                       # write docs/benchmarks-grid.md from what there is
    python benchmarks/grid.py --added=--no-auto-mask --json without.json --docs without.md     # another way, on the same samples

Results go to benchmarks/grid.json after every run; what is there from the same commands and the same code is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accuracy import rounded, write
from chain import Chain, fingerprint
from grid_page import document, screen
from peer_judge import judge_run
from peer_runs import PARTICLES, REFERENCE, run_own, run_relion

HERE = Path(__file__).resolve().parent
SEEDS = (101, 102, 103, 104, 105)
PROGRAMS = ("own", "relion")
PICKS, ITERATIONS, ROOM = 160, 15, 100  # picks in a sample, about; iterations; picks that a tomogram has room for
LOCAL = "--local-range 10 --angular-step 3.75"


@dataclass(frozen=True)
class Cell:
    """A kind of sample.

    Attributes
    ----------
    factor, level : str
        What is changed against the centre, and to what.
    sample : str
        Added to `simulate`.
    classify : str
        Added to `classify`.
    false : float
        Share of false picks.
    source : str
        What is extracted from: tomogram or tilts.
    species : int
        Number of them; one class more is asked for.
    relion : bool
        RELION is run on it too.
    """

    factor: str
    level: str
    sample: str = ""
    classify: str = LOCAL
    false: float = 0.3
    source: str = "tomogram"
    species: int = 2
    relion: bool = False


CELLS = {
    "centre": Cell("centre", "SNR 0.02, two species 60:40, domain 12 %, 30 % false picks, 8°, ±60°, tomogram", relion=True),
    "snr-0.05": Cell("SNR", "0.05", "--snr 0.05", relion=True),
    "snr-0.01": Cell("SNR", "0.01", "--snr 0.01", relion=True),
    "snr-0.005": Cell("SNR", "0.005", "--snr 0.005", relion=True),
    "sizes-80": Cell("sizes", "80 : 20", "--proportions 80 20"),
    "sizes-95": Cell("sizes", "95 : 5", "--proportions 95 5"),
    "domain-5": Cell("domain", "5 % of the mass", "--domain-fraction 0.05"),
    "domain-8": Cell("domain", "8 %", "--domain-fraction 0.08", relion=True),
    "domain-20": Cell("domain", "20 %", "--domain-fraction 0.20"),
    "junk-0": Cell("false picks", "none", false=0.0),
    "junk-10": Cell("false picks", "10 %", false=0.1),
    "junk-50": Cell("false picks", "50 %", false=0.5, relion=True),
    "prior-3": Cell("error of orientations", "3°", "--prior-error 3"),
    "prior-10": Cell("error of orientations", "10°", "--prior-error 10", "--local-range 15 --angular-step 3.75"),
    "prior-none": Cell(
        "error of orientations",
        "not known; the larger species' density is the reference",  # an average without orientations shows nothing
        "--prior-error 180 --prior-error-max 180",
        "--local-range -1 --angular-step 7.5 --reference densities/holo.mrc",
    ),
    "wedge-50": Cell("tilts", "±50°", "--tilt-range 50"),
    "tilts": Cell("extracted from", "tilt images", source="tilts"),
    "one": Cell("species", "1", "--proportions 1 0", species=1),
    "three": Cell("species", "3, of equal numbers", "--species 3 --proportions 1 1 1", species=3),
    "four": Cell("species", "4", "--species 4 --proportions 1 1 1 1", species=4),
    "five": Cell("species", "5", "--species 5 --proportions 1 1 1 1 1", species=5),
}
CENTRE = {"--snr": "0.02", "--proportions": "60 40"}


def main(words: list[str] | None = None) -> int:
    """Measure, print and write."""
    options = parse(sys.argv[1:] if words is None else words)
    data: dict[str, Any] = json.loads(options.json.read_text()) if options.json.is_file() else {}
    if not options.only_docs:
        measure(options, data)
        print("\n".join(screen(data, CELLS)))
    write(options.docs, document(data, CELLS, _words(CENTRE)))
    return 0


def parse(words: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS), metavar="CELL", help="of " + ", ".join(CELLS))
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the samples (101 to 105)")
    parser.add_argument("--programs", nargs="+", default=["own"], choices=PROGRAMS, help="relion: on the cells that are marked for it")
    parser.add_argument("--added", default="", help="added to the command of the classification")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after so many minutes")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "napari-subtomo-benchmarks/grid", help="for samples")
    parser.add_argument("--json", type=Path, default=HERE / "grid.json", help="where results go")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs/benchmarks-grid.md", help="where the page goes")
    parser.add_argument("--only-docs", action="store_true", help="write the page, measure nothing")
    return parser.parse_args(words)


def measure(options: argparse.Namespace, data: dict[str, Any]) -> None:
    """All cells of one seed, then of the next."""
    code, until = fingerprint(), time.monotonic() + 60 * options.minutes
    for seed in options.seeds:
        for name in options.cells:
            for program in options.programs:
                if program == "relion" and not CELLS[name].relion:
                    continue
                runs = data.setdefault(name, {}).setdefault(str(seed), {})
                if runs.get(program, {}).get("code") == code or time.monotonic() > until:
                    continue
                print(f"{name}, seed {seed}, {program}", flush=True)
                runs[program] = rounded(run(name, seed, program, options.work.absolute(), code, options.added))
                write(options.json, json.dumps(data, indent=1) + "\n")


def run(name: str, seed: int, program: str, work: Path, code: str, added: str = "") -> dict[str, Any]:
    """One program on one sample: figures against the truth, command lines."""
    cell = CELLS[name]
    project = work / name / f"seed{seed}"
    commands = make(cell, project, seed, code)
    classes = cell.species + 1
    if program == "own":
        found = run_own(project, ITERATIONS, [*cell.classify.split(), "--classes", str(classes), *added.split()], code)
    else:
        found = run_relion(project, ITERATIONS, (), code)
    return judge_run(project, project / found["folder"], found["iteration"], classes) | {"run": found, "code": code, "commands": commands}


def make(cell: Cell, project: Path, seed: int, code: str) -> Sequence[str]:
    """Simulate, extract and average; the commands."""
    chain = Chain(project, code)
    tomograms = -(-PICKS // ROOM)
    true = max(1, round(PICKS * (1 - cell.false) / tomograms))
    centre = _words({name: value for name, value in CENTRE.items() if name not in cell.sample})
    words = f"--seed {seed} --tomograms {tomograms} --particles {true} --false-fraction {cell.false} {centre} {cell.sample}"
    chain.step("simulate", ["simulate", project.name, *words.split()])
    words = f"--tomograms tomograms.star --particles particles.star --from {cell.source} --box-size 48 --binning 1"
    if cell.source == "tomogram":
        words += " --format relion31"  # which RELION 3.1 reads
    chain.step("extract", ["extract", *words.split()], PARTICLES.rsplit("/", 1)[0])
    chain.step("reconstruct", ["reconstruct", "--particles", PARTICLES], REFERENCE.rsplit("/", 1)[0])
    return [step.command for step in chain.steps.values()]


def _words(options: dict[str, str]) -> str:
    """Options as they are typed."""
    return " ".join(f"{name} {value}" for name, value in options.items())


if __name__ == "__main__":
    sys.exit(main())
