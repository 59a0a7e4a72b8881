"""What `grid.py` shows of its results: a table on the screen, a page of documentation."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

Run = Mapping[str, Any]


def _share(part: str, count: str) -> Callable[[Run], float | None]:
    return lambda run: 100 * run[part][count] / run[part]["of"] if run[part]["of"] else None


def _best_map(run: Run) -> float | None:
    """Å at which the best class agrees with its density."""
    return min((c["fsc_resolution"]["0.5"] for c in run["classes"] if "fsc_resolution" in c), default=None)


FIGURES: tuple[tuple[str, str, int, Callable[[Run], float | None]], ...] = (
    ("index, species", "", 2, lambda run: run["rand_index"]["species"]),
    ("index, kept", "", 2, lambda run: run["rand_index"]["kept"]),
    ("true kept", "%", 0, _share("true", "kept")),
    ("false rejected", "%", 0, _share("false", "rejected")),
    ("angle", "°", 1, lambda run: run["all_poses"]["degrees_median"] if run["all_poses"] else None),
    ("position", "Å", 1, lambda run: run["all_poses"]["angstrom_median"] if run["all_poses"] else None),
    ("map, FSC = 0.5", "Å", 0, _best_map),
    ("an iteration", "s", 1, lambda run: run["run"]["median_cpu_seconds"]),
    ("memory", "MiB", 0, lambda run: run["run"]["peak_mb"]),
)
#: quantile of Student's distribution for a two-sided 95 % interval, by degrees of freedom
STUDENT = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def values(seeds: Mapping[str, Any], program: str, figure: Callable[[Run], float | None]) -> dict[str, float]:
    """A figure of a cell by seed."""
    found = {seed: figure(runs[program]) for seed, runs in seeds.items() if program in runs}
    return {seed: value for seed, value in found.items() if value is not None}


def paired(seeds: Mapping[str, Any], figure: Callable[[Run], float | None]) -> tuple[float, float, int] | None:
    """Mean difference of ours less RELION's over the seeds that both ran, half its 95 % interval, and their number."""
    ours, theirs = values(seeds, "own", figure), values(seeds, "relion", figure)
    differences = [ours[seed] - theirs[seed] for seed in ours if seed in theirs]
    if len(differences) < 2:
        return None
    half = STUDENT[min(len(differences) - 1, 9)] * statistics.stdev(differences) / math.sqrt(len(differences))
    return statistics.mean(differences), half, len(differences)


def cell_text(found: Mapping[str, float], digits: int) -> str:
    """Mean and range."""
    if not found:
        return "–"
    mean = f"{statistics.mean(found.values()):.{digits}f}"
    if len(found) == 1:
        return mean
    return f"{mean} ({min(found.values()):.{digits}f}–{max(found.values()):.{digits}f})"


def rows(data: Mapping[str, Any], cells: Mapping[str, Any], program: str) -> list[list[str]]:
    """A row for each cell with results."""
    found = []
    for name, cell in cells.items():
        seeds = {seed: runs for seed, runs in data.get(name, {}).items() if program in runs}
        if seeds:
            figures = [cell_text(values(seeds, program, figure), digits) for _, _, digits, figure in FIGURES]
            found.append([f"{cell.factor}: {cell.level}", str(len(seeds)), *figures])
    return found


def heads() -> list[str]:
    """Heads of the columns."""
    return ["sample", "n", *(f"{title}, {unit}" if unit else title for title, unit, _, _ in FIGURES)]


def screen(data: Mapping[str, Any], cells: Mapping[str, Any]) -> list[str]:
    """Lines of plain text."""
    lines = []
    for program in ("own", "relion"):
        table = rows(data, cells, program)
        if table:
            lines += ["", program, *(" | ".join(row) for row in [heads(), *table])]
    return lines


def table_lines(table: list[list[str]], first: list[str]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in [first, ["---"] * len(first), *table]]


def codes(data: Mapping[str, Any]) -> str:
    """Which code made the runs of this package: "c0ffee (7 runs), decade (2 runs)"."""
    counts = Counter(runs["own"]["code"] for seeds in data.values() for runs in seeds.values() if "own" in runs)
    return ", ".join(f"{code} ({count} run{'s' if count > 1 else ''})" for code, count in counts.most_common())


def document(data: Mapping[str, Any], cells: Mapping[str, Any], centre: str) -> str:
    """The page."""
    lines = [
        "# Where classification works and where it stops",
        "",
        "Made by `python benchmarks/grid.py` (samples of about 160 picks, box 48, 15 iterations, one class more than there are species).",
        f"One central sample, simulated with `{centre}`, and one factor changed at a time. Seeds were not used in development,",
        "but that what went wrong in one sample (from tilt images, seed 105) led to dividing [classes that hold two]"
        "(decisions/resolution-of-classes.md). The index",
        "is the adjusted Rand index against the truth: of true particles by species, and of everything after classes were kept as",
        "`select --auto` keeps them (rejected particles are one group). Angle and position: median errors of all true particles.",
        "Map: the best class against its density. An iteration: median from the fifth on, seconds of both processors together; others ran",
        "at the same time, and the two programs at different ones ([side by side](benchmarks-peer.md) times are elsewhere). Memory: the",
        "largest. Mean, and range where there is more than one sample; n is the number of samples (seeds from 101 on).",
        f"Fingerprints of the code: {codes(data)}.",
        "",
        "## napari-subtomo",
        "",
        *table_lines(rows(data, cells, "own"), heads()),
    ]
    theirs = rows(data, cells, "relion")
    if theirs:
        lines += ["", "## RELION 3.1.3, on the same particles", "", *table_lines(theirs, heads())]
        differences = []
        for name, cell in cells.items():
            pairs = [paired(data.get(name, {}), figure) for _, _, _, figure in FIGURES]
            if any(pairs):
                count = max(pair[2] for pair in pairs if pair)
                texts = [f"{p[0]:+.{d}f} ± {p[1]:.{d}f}" if p else "–" for p, (_, _, d, _) in zip(pairs, FIGURES, strict=True)]
                differences.append([f"{cell.factor}: {cell.level}", str(count), *texts])
        said = (
            "Mean over the samples that both classified, with its 95 % interval (paired, Student's distribution). A map of particles of "
            "all species together has more of them than one of a single species, and may be the sharper one for it."
        )
        if differences:
            lines += ["", "## Difference, ours less RELION's", "", said, "", *table_lines(differences, heads())]
        else:
            lines += ["", "Differences with intervals need two samples or more that both classified."]
    return "\n".join(lines) + "\n"
