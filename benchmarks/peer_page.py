"""The page of documentation that is made of the results of `peer.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from peer_tables import PROGRAMS, by_seed, members, summary, table

INTRODUCTION = """# Benchmarks against RELION 3.1

This page is made by `python benchmarks/peer.py --write-docs` from `benchmarks/peer.json`; do not edit it by hand.

## What is compared

`python benchmarks/peer.py` simulates a sample for each seed, cuts the particles from the tomograms as float32 volumes with a 3D CTF, which
RELION 3.1 reads, and averages them at the picked poses. From this one map both programs classify the same files on two threads,
one after the other; which goes first changes from seed to seed. Ratios and differences are those of the two runs of a seed.

* **Time of an iteration**: between the particle files of one iteration and the next, by the clock; the median and the mean from
  iteration {first} on. Ours judges classes at best poses in each iteration until that changes no label, then in every fifth and the last.
  *Both processors* is the time that all threads were running: where other programs run too, it is the fairer one, but it does not tell
  whether both threads had work. The whole run counts reading, preparing and writing as well.
* **Peak memory**: the largest resident memory, as the operating system counts it.
* **Sampling**: local searches of ±10° with a Gaussian prior of 3.33°, offsets of ±2 px. RELION begins on a grid of 7.5° and 1 px and
  divides what is probable to 3.75° and 0.5 px; with `--offset-step 2` it begins at 2 px and ends at 1 px, as its form has it. Here every
  pose of the fine grid is tried, at every resolution (`--fixed-sampling`; by default the steps follow the resolution). Both grids have
  about as many orientations in a given volume; RELION tries more, because its region is ±10° of direction and ±10° of in-plane angle,
  whose corners lie further off than 10°. RELION's region follows a particle from iteration to iteration, ours stays about the pick.
* **Precision**: RELION as Debian builds it, in double precision and without its code for accelerators; single precision here.
* **Classes**: three are asked for. Ours has the empty class besides, which RELION does not know. T is each program's default, 4 in
  the form of RELION 3.1 and 1 here, where it acts upon the differences to the common average.
* **Kept and rejected**: by the rule of [the other benchmark](benchmarks.md), which knows no truth, from the same columns and maps of both
  programs, as [`select --auto`](which-classes.md#a-proposal-select---auto) proposes.
  *Best choice*: whichever classes someone who knew the truth would keep for the largest index. Duplicates are not removed.
* **Index, errors of poses, maps against densities**: as in [the other benchmark](benchmarks.md), but errors are those of all true
  particles, and the map is that of the class with most particles of a species, kept or not. Numbers such as (2 of 3): in the other samples
  no class is mostly of that species.
"""


def document(data: Mapping[str, Any], first: int) -> str:
    """docs/benchmarks-peer.md."""
    results = data["results"]
    parts = [INTRODUCTION.format(first=first)]
    for name in sorted(results, key=lambda text: (text != "default", text)):
        parts += _section(name, {**results[name], "summary": summary(results[name]["seeds"])})  # older ones lack what was added since
    return "\n".join(parts).rstrip() + "\n"


def _section(name: str, result: Mapping[str, Any]) -> list[str]:
    """One result."""
    head = "Default sample" if name == "default" else f"`{name}`"
    counts = sorted({runs["own"]["particles"] for runs in result["seeds"].values()})
    sizes = " or ".join(map(str, counts))
    samples = f"{len(result['seeds'])} samples" if len(result["seeds"]) > 1 else "One sample"
    added = f" Options added: `{' '.join(result['added'])}`." if result["added"] else ""
    first = next(iter(result["seeds"].values()))
    searched = first["relion"]["run"]["searched"]
    loads = [runs[program]["run"]["load"] for runs in result["seeds"].values() for program in PROGRAMS]
    own = f"napari-subtomo {result['version']} (fingerprint of the code {result['code']}), RELION {result['relion']}"
    return [
        f"## {head}",
        "",
        f"{samples} of {sizes} picks, box 48, {result['iterations']} iterations. {own}.{added}",
        f"{result['machine']}; load before the runs {min(loads):.1f} to {max(loads):.1f}: what other programs take is in the times.",
        "",
        *table(result),
        "",
        "RELION tells how many poses it tries of one particle in each iteration; the table has the mean over iterations. Those that are "
        f"not probable at the coarse step (of {searched['coarse_orientations']} orientations and {searched['coarse_offsets']} offsets) are "
        "not tried at the fine one.",
        "",
        *by_seed(result),
        "",
        "```",
        *result["commands"],
        "```",
        "",
        *[line for program, title in PROGRAMS.items() for line in (f"Who is where, {title}:", "", *members(result, program), "")],
    ]
