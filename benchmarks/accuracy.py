"""How well the chain finds two species and throws out false picks: simulated samples of seeds that were not used in development.

    python benchmarks/accuracy.py                                     # seeds 101 to 105, default settings
    python benchmarks/accuracy.py --write-docs                        # and write docs/benchmarks.md
    python benchmarks/accuracy.py --name random-start -- --start random --shrink-to own
    python benchmarks/accuracy.py --name snr-0.01 --snr 0.01 --seeds 101 102

Results go to benchmarks/accuracy.json under their name. What is finished is not done again (see --work).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chain import fingerprint, run_chain
from judge import MASK_DIAMETER, judge
from tables import FIGURES, document, medians, summary

import napari_subtomo

HERE = Path(__file__).resolve().parent
SEEDS = (101, 102, 103, 104, 105)
DOCUMENT = HERE.parent / "docs" / "benchmarks.md"


def main(words: list[str] | None = None) -> int:
    """Measure, print and write."""
    options = parse(sys.argv[1:] if words is None else words)
    data = json.loads(options.json.read_text()) if options.json.is_file() else {"results": {}, "times": {}}
    if not options.only_docs:
        results, times = measure_seeds(options)
        data["results"][options.name], data["times"][options.name] = rounded(results), rounded(times)
        write(options.json, json.dumps(data, indent=1) + "\n")
        show(options.name, results, times)
    if options.write_docs or options.only_docs:
        write(options.docs, document(data, MASK_DIAMETER))
    return 0


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; what follows ``--`` goes to `classify`."""
    own, _, added = (words, "", []) if "--" not in words else (words[: words.index("--")], "--", words[words.index("--") + 1 :])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="seeds of the samples (101 to 105)")
    parser.add_argument("--name", default="default", help="name of the result")
    parser.add_argument("--snr", type=float, help="of the sample, if not its default")
    parser.add_argument("--prior-error", type=float, help="of the sample's orientations, degrees, if not its default")
    parser.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "napari-subtomo-benchmarks", help="folder for the samples"
    )
    parser.add_argument("--json", type=Path, default=HERE / "accuracy.json", help="where results go")
    parser.add_argument("--docs", type=Path, default=DOCUMENT, help="where the page goes")
    parser.add_argument("--write-docs", action="store_true", help="write the page from all results so far")
    parser.add_argument("--only-docs", action="store_true", help="write the page, measure nothing")
    options = parser.parse_args(own)
    options.classify = added
    options.sample = []
    for flag in ("snr", "prior_error"):
        if getattr(options, flag) is not None:
            options.sample += [f"--{flag.replace('_', '-')}", f"{getattr(options, flag):g}"]
    if options.name == "default" and (added or options.sample):
        parser.error("give a --name to a result of other settings")
    return options


def measure_seeds(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Results, which do not depend on the machine, and times, which do."""
    code, seeds, times, commands = fingerprint(), {}, {}, []
    where = options.work.absolute() / ("_".join(options.sample).replace("--", "") or "default")
    for seed in options.seeds:
        print(f"{options.name}, seed {seed}, in {where}", flush=True)
        project = where / f"seed{seed}"
        chain, keep, classified, kept = run_chain(project, seed, options.sample, options.name, options.classify, code)
        seeds[str(seed)] = judge(project, classified, keep, kept)
        measured = {name: asdict(step) for name, step in chain.steps.items()}
        times[str(seed)] = {name: {k: v for k, v in m.items() if k not in ("command", "code")} for name, m in measured.items()}
        commands = commands or [step.command for step in chain.steps.values()]
    result = {
        "version": napari_subtomo.__version__,
        "code": code,
        "added": [*options.sample, *options.classify],
        "commands": commands,
        "summary": summary(seeds),
        "seeds": seeds,
    }
    machine = f"{os.cpu_count()} processors ({platform.machine()}, {platform.system()}), Python {platform.python_version()}"
    return result, {"machine": machine, "medians": medians(times), "seeds": times}


def show(name: str, result: dict[str, Any], times: dict[str, Any]) -> None:
    """The tables, on the screen."""
    print(f"\n{name}: {len(result['seeds'])} samples, mean (range)")
    for key, label, unit, digits, _ in FIGURES:
        if key in result["summary"]:
            row = result["summary"][key]
            print(f"  {label:<60} {row['mean']:8.{digits}f} {unit:<2} ({row['min']:.{digits}f} to {row['max']:.{digits}f})")
    for step, row in times["medians"].items():
        print(f"  {step:<20} {row['seconds']:7.1f} s, processors {row['cpu_seconds']:7.1f} s, peak {row['peak_mb']:6.0f} MiB (medians)")


def rounded(value: Any) -> Any:
    """Numbers with as many digits as mean anything."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return round(value, 4) if isinstance(value, float) else value


def write(path: Path, text: str) -> None:
    """Replace a file as a whole."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
