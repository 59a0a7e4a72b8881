"""Against RELION 3.1.3 on the same particles: time, memory, index, poses and maps, on simulated samples with truth.

    python benchmarks/peer.py                                                  # seeds 101 to 103, 300 picks, 15 iterations; half an hour
    python benchmarks/peer.py --write-docs                                     # and write docs/benchmarks-peer.md
    python benchmarks/peer.py --name try --seeds 1 --particles 80 --iterations 3 --json /tmp/peer.json   # a quick try
    python benchmarks/peer.py --name offsets-1px --offset-step 2 --seeds 101 102   # offsets twice as far apart
    python benchmarks/peer.py --name random-start -- --start random            # with other options of classify

Needs relion_refine of RELION 3.1 (Debian's package relion). Command lines stand in peer_runs.py. Results go to benchmarks/peer.json
under their name, after every seed; samples are kept (see --work), classifications are always done again, the two programs in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from accuracy import rounded, write
from chain import fingerprint
from peer_judge import judge_run
from peer_page import document
from peer_runs import CLASSES, FROM_ITERATION, make_sample, relion_version, run_own, run_relion
from peer_tables import PROGRAMS, screen, summary

import napari_subtomo

HERE = Path(__file__).resolve().parent
SEEDS = (101, 102, 103)
RUN = {"relion": run_relion, "own": run_own}


def main(words: list[str] | None = None) -> int:
    """Measure, print and write."""
    options = parse(sys.argv[1:] if words is None else words)
    data: dict[str, Any] = json.loads(options.json.read_text()) if options.json.is_file() else {"results": {}}
    if not options.only_docs:
        measure_seeds(options, data)
        print("", f"{options.name}: means of {len(data['results'][options.name]['seeds'])} samples", sep="\n")
        print("\n".join(screen(data["results"][options.name])))
    if options.write_docs or options.only_docs:
        if not data["results"]:
            sys.exit(f"Expected results in {options.json}, found none; measure first.")
        write(options.docs, document(data, FROM_ITERATION))
    return 0


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; what follows ``--`` goes to `classify`."""
    own, added = (words, []) if "--" not in words else (words[: words.index("--")], words[words.index("--") + 1 :])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="seeds of the samples (101 to 103)")
    parser.add_argument("--particles", type=int, default=300, help="picks in each sample, about")
    parser.add_argument("--iterations", type=int, default=15, help="of both programs")
    parser.add_argument("--offset-step", type=float, default=1.0, help="RELION's coarse step of offsets, px; the fine one of both is half")
    parser.add_argument("--snr", type=float, help="of the samples, if not the default of simulate")
    parser.add_argument("--name", default="default", help="name of the result")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "napari-subtomo-benchmarks/peer", help="folder for the samples"
    )
    parser.add_argument("--json", type=Path, default=HERE / "peer.json", help="where results go")
    parser.add_argument("--docs", type=Path, default=HERE.parent / "docs/benchmarks-peer.md", help="where the page goes")
    parser.add_argument("--write-docs", action="store_true", help="write the page from all results so far")
    parser.add_argument("--only-docs", action="store_true", help="write the page, measure nothing")
    options = parser.parse_args(own)
    options.added = added
    options.sample = [] if options.snr is None else ["--snr", f"{options.snr:g}"]
    usual = all(getattr(options, name) == parser.get_default(name) for name in ("particles", "iterations", "offset_step"))
    if options.name == "default" and (added or options.sample or not usual):
        parser.error("give a --name to a result of other settings")
    if options.iterations < 1 or options.particles < 20:
        parser.error("at least 1 iteration and 20 particles")
    return options


def measure_seeds(options: argparse.Namespace, data: dict[str, Any]) -> None:
    """Both programs on each seed; results are written after every seed."""
    relion, code = relion_version(), fingerprint()
    where = options.work.absolute() / "_".join([str(options.particles), *options.sample]).replace("--", "")
    seeds: dict[str, Any] = {}
    commands: list[str] = []
    for number, seed in enumerate(options.seeds):
        print(f"{options.name}, seed {seed}, in {where}", flush=True)
        project = where / f"seed{seed}"
        sample = make_sample(project, seed, options.particles, options.sample, code)
        order = list(PROGRAMS) if number % 2 == 0 else list(PROGRAMS)[::-1]
        runs: dict[str, Any] = {"order": order}
        for program in order:
            run = RUN[program](project, options.iterations, options.added, code, options.offset_step)
            runs[program] = judge_run(project, project / run["folder"], run["iteration"], CLASSES) | {"run": run}
        commands = commands or [*sample, *(runs[program]["run"]["command"] for program in PROGRAMS)]
        seeds[str(seed)] = runs
        ratio = runs["relion"]["run"]["median_seconds"] / runs["own"]["run"]["median_seconds"]
        index = ", ".join(f"{title} {runs[p]['rand_index']['found']:.3f}" for p, title in PROGRAMS.items())
        print(f"  seed {seed}: an iteration of RELION takes {ratio:.1f} times as long; index {index}", flush=True)
        data["results"][options.name] = rounded(
            {
                "version": napari_subtomo.__version__,
                "code": code,
                "relion": relion,
                "machine": f"{os.cpu_count()} processors ({platform.machine()}, {platform.system()}), Python {platform.python_version()}",
                "iterations": options.iterations,
                "added": [*options.sample, *options.added],
                "commands": commands,
                "summary": summary(seeds),
                "seeds": seeds,
            }
        )
        write(options.json, json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
