"""What `peer.py` shows of its results: figures of both programs side by side, on the screen and as a page of documentation."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

from peer_runs import FROM_ITERATION
from tables import FIGURES, class_table

Run = Mapping[str, Any]
PROGRAMS = {"relion": "RELION 3.1.3", "own": "napari-subtomo"}
_SHARED = {row[0]: row for row in FIGURES}


def _of(part: str, name: str) -> Callable[[Run], float | None]:
    return lambda run: run[part][name] if run[part] else None


def _best(part: str, count: str) -> Callable[[Run], float | None]:
    return lambda run: 100 * run["best"][part][count] / run["best"][part]["of"] if run["best"][part]["of"] else None


def _mean(run: Run) -> float | None:
    """Seconds of an iteration, mean of those that count."""
    times = run["run"]["iteration_seconds"]
    return statistics.fmean(times[FROM_ITERATION - 1 :] or times[-1:]) if times else None


def _map(species: str, threshold: str) -> Callable[[Run], float | None]:
    """Resolution of the class with most particles of a species, kept or not."""

    def value(run: Run) -> float | None:
        mine = [c for c in run["classes"] if c.get("species") == species]
        best = max(mine, key=lambda c: c["members"][species], default=None)
        return None if best is None else float(best["fsc_resolution"][threshold])

    return value


#: key, what it is, unit, digits, value of a run, how the programs are compared: RELION's divided by ours, or ours less RELION's
ROWS: tuple[tuple[str, str, str, int, Callable[[Run], float | None], str], ...] = (
    ("median_seconds", "time of an iteration, median", "s", 2, _of("run", "median_seconds"), "ratio"),
    ("mean_seconds", "… mean", "s", 2, _mean, "ratio"),
    ("median_cpu_seconds", "… both processors", "s", 2, _of("run", "median_cpu_seconds"), "ratio"),
    ("seconds", "the whole run by the clock", "s", 1, _of("run", "seconds"), "ratio"),
    ("cpu_seconds", "… both processors", "s", 1, _of("run", "cpu_seconds"), "ratio"),
    ("peak_mb", "peak memory", "MiB", 0, _of("run", "peak_mb"), "ratio"),
    ("orientations", "orientations tried of a particle", "", 0, lambda run: run["run"]["searched"]["orientations"], ""),
    ("offsets", "offsets tried of a particle", "", 0, lambda run: run["run"]["searched"]["offsets"], ""),
    *((*_SHARED[key], "difference") for key in ("rand_found", "rand_kept")),
    ("rand_best", "… best choice of classes, by the truth", "", 3, _of("best", "rand_index"), "difference"),
    (*_SHARED["rand_species"], "difference"),
    *((*_SHARED[key], "difference") for key in ("true_kept", "false_rejected")),
    ("best_true", "… best choice: true particles kept", "%", 1, _best("true", "kept"), "difference"),
    ("best_false", "… best choice: false picks rejected", "%", 1, _best("false", "rejected"), "difference"),
    ("degrees_median", "error of orientation, all true particles, median", "°", 2, _of("all_poses", "degrees_median"), "difference"),
    ("degrees_90", "… 90 % are below", "°", 2, _of("all_poses", "degrees_90"), "difference"),
    ("angstrom_median", "error of position, all true particles, median", "Å", 1, _of("all_poses", "angstrom_median"), "difference"),
    ("angstrom_90", "… 90 % are below", "Å", 1, _of("all_poses", "angstrom_90"), "difference"),
    ("picks_degrees", "… of the picks, median: orientation", "°", 2, _of("picks", "degrees_median"), ""),
    ("picks_angstrom", "… of the picks, median: position", "Å", 1, _of("picks", "angstrom_median"), ""),
    ("holo_05", "map of the larger species against its density, FSC = 0.5", "Å", 1, _map("holo", "0.5"), "difference"),
    ("holo_0143", "… FSC = 0.143", "Å", 1, _map("holo", "0.143"), "difference"),
    ("apo_05", "map of the smaller species against its density, FSC = 0.5", "Å", 1, _map("apo", "0.5"), "difference"),
    ("apo_0143", "… FSC = 0.143", "Å", 1, _map("apo", "0.143"), "difference"),
)


def summary(seeds: Mapping[str, Mapping[str, Run]]) -> dict[str, dict[str, Any]]:
    """Of each figure the means of both programs, and the comparison of the two runs of each seed: its mean (of ratios the geometric
    one), least and largest; a seed where a program has no such figure, as a species without a class, is left out.
    """
    rows: dict[str, dict[str, Any]] = {}
    for key, _, _, digits, value, compared in ROWS:
        pairs = [(value(seed["relion"]), value(seed["own"])) for seed in seeds.values()]
        both = [(a, b) for a, b in pairs if a is not None and b is not None]
        row: dict[str, Any] = {"of": len(pairs), "n": len(both)}
        for program, found in zip(PROGRAMS, zip(*pairs, strict=True), strict=True):
            there = [v for v in found if v is not None]
            row[program] = round(statistics.fmean(there), digits + 1) if there else None
            row[f"{program}_n"] = len(there)
        if compared and both:
            each = [a / b if compared == "ratio" else b - a for a, b in both if compared != "ratio" or (a > 0 and b > 0)]
            middle = statistics.geometric_mean(each) if compared == "ratio" and each else statistics.fmean(each or [0.0])
            row |= {"compared": round(middle, 4), "least": round(min(each, default=0.0), 4), "most": round(max(each, default=0.0), 4)}
        rows[key] = row
    return rows


def cells(row: Mapping[str, Any], digits: int, compared: str) -> list[str]:
    """RELION's mean, ours, and the comparison, as text."""
    counts = [f" ({row[f'{p}_n']} of {row['of']})" if row[f"{p}_n"] < row["of"] else "" for p in PROGRAMS]
    values = ["–" if row[p] is None else f"{row[p]:.{digits}f}{count}" for p, count in zip(PROGRAMS, counts, strict=True)]
    if "compared" not in row:
        return [*values, ""]
    if compared == "ratio":
        return [*values, f"{row['compared']:.2f}× ({row['least']:.2f} – {row['most']:.2f})"]
    return [*values, f"{row['compared']:+.{digits}f} ({row['least']:+.{digits}f} – {row['most']:+.{digits}f})"]


def screen(result: Mapping[str, Any]) -> list[str]:
    """Lines of the table on the screen."""
    lines = [f"{'':<62}{PROGRAMS['relion']:>16}{PROGRAMS['own']:>18}  RELION's divided by ours, or ours less RELION's (range)"]
    for key, label, unit, digits, _, compared in ROWS:
        relion, own, comparison = cells(result["summary"][key], digits, compared)
        lines.append(f"{label + (', ' + unit if unit else ''):<62}{relion:>16}{own:>18}  {comparison}")
    return lines


def table(result: Mapping[str, Any]) -> list[str]:
    """Markdown: means of both programs, and the comparison within each seed."""
    lines = [
        f"| | {PROGRAMS['relion']} | {PROGRAMS['own']} | RELION's divided by ours, or ours less RELION's (range) |",
        "|---|---|---|---|",
    ]
    for key, label, unit, digits, _, compared in ROWS:
        row = cells(result["summary"][key], digits, compared)
        lines.append(f"| {label + (', ' + unit if unit else '')} | {' | '.join(row)} |")
    return lines


def by_seed(result: Mapping[str, Any]) -> list[str]:
    """Markdown: the main figures of every run, in the order in which they ran."""
    head = ("seed", "program", "an iteration, s", "both processors, s", "whole run, s", "load before")
    lines = ["| " + " | ".join((*head, "index as found", "kept", "best choice", "species")) + " |", "|" + "---|" * 10]
    for seed, runs in result["seeds"].items():
        for program in runs["order"]:
            found, run = runs[program], runs[program]["run"]
            index = found["rand_index"]
            figures = [f"{v:.3f}" for v in (index["found"], index["kept"], found["best"]["rand_index"], index["species"])]
            processor = run["median_cpu_seconds"]
            times = [
                f"{run['median_seconds']:.2f}",
                "–" if processor is None else f"{processor:.2f}",
                f"{run['seconds']:.0f}",
                f"{run['load']:.1f}",
            ]
            lines.append(f"| {seed} | {PROGRAMS[program]} | {' | '.join([*times, *figures])} |")
    return lines


def members(result: Mapping[str, Any], program: str) -> list[str]:
    """Markdown: who is in which class."""
    lines = class_table({seed: runs[program] for seed, runs in result["seeds"].items()})
    return [line for line in lines if program == "own" or "| empty | no |" not in line]
