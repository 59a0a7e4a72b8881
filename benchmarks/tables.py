"""Summaries over seeds, and the page of documentation that is made of them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any

Seed = Mapping[str, Any]
STEPS = ("simulate", "extract", "reconstruct", "classify", "select", "remove-duplicates")


def _share(part: str, count: str) -> Callable[[Seed], float | None]:
    return lambda s: 100 * s[part][count] / s[part]["of"] if s[part]["of"] else None


def _kind(kind: str) -> Callable[[Seed], float | None]:
    return lambda s: 100 * s["false_by_kind"][kind]["rejected"] / s["false_by_kind"][kind]["of"] if s["false_by_kind"][kind]["of"] else None


def _pose(which: str, name: str) -> Callable[[Seed], float | None]:
    return lambda s: s[which][name] if s[which] else None


def _shift(name: str) -> Callable[[Seed], float | None]:
    return lambda s: sum(v**2 for v in s["poses"][name]) ** 0.5 if s["poses"] else None


def best_class(seed: Seed, species: str) -> Mapping[str, Any] | None:
    """The kept class with most particles of a species."""
    mine = [c for c in seed["classes"] if c.get("species") == species and c["kept"]]
    return max(mine, key=lambda c: c["members"][species], default=None)


def _resolution(species: str, threshold: str) -> Callable[[Seed], float | None]:
    def value(seed: Seed) -> float | None:
        found = best_class(seed, species)
        return found["fsc_resolution"][threshold] if found else None

    return value


#: key, what it is, unit, digits, value of a seed
FIGURES: tuple[tuple[str, str, str, int, Callable[[Seed], float | None]], ...] = (
    ("rand_found", "adjusted Rand index, classes as found", "", 3, lambda s: s["rand_index"]["found"]),
    ("rand_kept", "adjusted Rand index, classes not kept taken as one", "", 3, lambda s: s["rand_index"]["kept"]),
    ("rand_species", "adjusted Rand index, two species among true particles", "", 3, lambda s: s["rand_index"]["species"]),
    ("true_kept", "true particles kept", "%", 1, _share("true", "kept")),
    ("false_rejected", "false picks rejected", "%", 1, _share("false", "rejected")),
    ("bead_rejected", "… gold beads", "%", 1, _kind("bead")),
    ("membrane_rejected", "… membrane pieces", "%", 1, _kind("membrane")),
    ("empty_rejected", "… empty places", "%", 1, _kind("empty")),
    ("degrees_median", "error of orientation, median", "°", 2, _pose("poses", "degrees_median")),
    ("degrees_90", "error of orientation, 90 % are below", "°", 2, _pose("poses", "degrees_90")),
    ("angstrom_median", "error of position, median", "Å", 1, _pose("poses", "angstrom_median")),
    ("angstrom_90", "error of position, 90 % are below", "Å", 1, _pose("poses", "angstrom_90")),
    ("picks_degrees", "… of the picks, median: orientation", "°", 2, _pose("picks", "degrees_median")),
    ("picks_angstrom", "… of the picks, median: position", "Å", 1, _pose("picks", "angstrom_median")),
    ("common_degrees", "rotation common to all particles", "°", 2, _pose("poses", "common_degrees")),
    ("shift_particle", "shift common to all, frame of the reference", "Å", 2, _shift("mean_offset_particle")),
    ("shift_tomogram", "shift common to all, frame of the tomogram", "Å", 2, _shift("mean_offset_tomogram")),
    ("holo_05", "map of the larger species against its density, FSC = 0.5", "Å", 1, _resolution("holo", "0.5")),
    ("holo_0143", "… FSC = 0.143", "Å", 1, _resolution("holo", "0.143")),
    ("apo_05", "map of the smaller species against its density, FSC = 0.5", "Å", 1, _resolution("apo", "0.5")),
    ("apo_0143", "… FSC = 0.143", "Å", 1, _resolution("apo", "0.143")),
    ("temperature", "noise temperature", "", 2, lambda s: s["noise_temperature"]),
    ("kept_classes", "classes kept", "", 1, lambda s: len(s["keep"])),
    ("duplicates", "duplicates removed", "", 1, lambda s: s["duplicates"]),
)


def summary(seeds: Mapping[str, Seed]) -> dict[str, dict[str, float]]:
    """Mean, smallest and largest of each figure, and over how many seeds."""
    rows = {}
    for key, _, _, _, value in FIGURES:
        found = [v for v in map(value, seeds.values()) if v is not None]
        if found:
            rows[key] = {
                "mean": round(statistics.fmean(found), 4),
                "min": round(min(found), 4),
                "max": round(max(found), 4),
                "n": len(found),
            }
    return rows


def medians(times: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, dict[str, float]]:
    """Median time and memory of each step over seeds."""
    rows = {}
    for step in STEPS:
        found = [steps[step] for steps in times.values() if step in steps]
        if found:
            rows[step] = {key: statistics.median(f[key] for f in found) for key in ("seconds", "cpu_seconds", "peak_mb", "load")}
            rows[step]["peak_mb_max"] = max(f["peak_mb"] for f in found)
    return rows


def figure_table(result: Mapping[str, Any]) -> list[str]:
    """Markdown table of a result: mean, range, and every seed."""
    seeds = result["seeds"]
    lines = [f"| | mean | range | {' | '.join(seeds)} |", f"|---|---|---|{'---|' * len(seeds)}"]
    for key, label, unit, digits, value in FIGURES:
        row = result["summary"].get(key)
        if row is None:
            continue
        cells = [value(seed) for seed in seeds.values()]
        each = " | ".join("–" if v is None else f"{v:.{digits}f}" for v in cells)
        name = f"{label}, {unit}" if unit else label
        lines.append(f"| {name} | **{row['mean']:.{digits}f}** | {row['min']:.{digits}f} – {row['max']:.{digits}f} | {each} |")
    return lines


def time_table(times: Mapping[str, Any]) -> list[str]:
    """Markdown table of medians."""
    lines = ["| step | time, s | processor time, s | peak memory, MiB |", "|---|---|---|---|"]
    for step, row in times["medians"].items():
        lines.append(
            f"| `{step}` | {row['seconds']:.0f} | {row['cpu_seconds']:.0f} | {row['peak_mb']:.0f} (most {row['peak_mb_max']:.0f}) |"
        )
    return lines


def class_table(seeds: Mapping[str, Seed]) -> list[str]:
    """Markdown table: who is in which class."""
    lines = ["| seed | class | kept | members | own resolution, Å |", "|---|---|---|---|---|"]
    for seed, found in seeds.items():
        for c in found["classes"]:
            members = ", ".join(f"{n} {kind}" for kind, n in c["members"].items()) or "none"
            lines.append(f"| {seed} | {c['number']} | {'yes' if c['kept'] else 'no'} | {members} | {c['resolution']:.1f} |")
        rest = ", ".join(f"{n} {kind}" for kind, n in sorted(found["empty_class"].items())) or "none"
        lines.append(f"| {seed} | empty | no | {rest} | |")
    return lines


INTRODUCTION = """# Benchmarks

This page is made by `python benchmarks/accuracy.py --write-docs` from `benchmarks/accuracy.json`; do not edit it by hand.

## What is measured

`python benchmarks/accuracy.py` simulates a sample for each of the seeds {seeds}, which were not used during development, and
takes it through `extract`, `reconstruct`, `classify`, `select` and `remove-duplicates` by the commands below, each in its own process.
Classes are kept as [`select --auto`](which-classes.md#a-proposal-select---auto) proposes, which knows no truth. The truth is looked at only
afterwards.

* **Adjusted Rand index** (Hubert & Arabie 1985; 1: the same partition, 0: chance), of hard labels, in three versions: all picks, the true
  groups being the two species and the false picks as one group, (a) against the classes as found, the empty class being one of them, and
  (b) against the kept classes with everything else as one group; (c) the two species among true particles, against the classes as found.
  (a) stays below 1 where nothing is wrong but false picks of two kinds lie in two classes, such as beads in one, empty places in another.
* **True particles kept, false picks rejected**: after selection and removal of duplicates. Gold beads and membrane pieces have density,
  empty places none.
* **Errors of poses** are those of the true particles that are kept: the angle of the rotation, and the distance, between the true and the
  found pose. A rotation or shift common to all particles belongs to the reference: it harms no average, but counts in these errors.
* **Maps against densities**: FSC of the class map, as written, with the density that was simulated, where it stands, both inside the soft
  mask of {mask:g} Å; of each species the kept class that holds most of it.
"""

GPU = """## On a GPU

`python benchmarks/gpu_check.py` compares everything that can run on a GPU with numpy there, times E-steps on both, and writes a report; its
first lines say what it needs. Where there is no GPU, the tests run the same computations on a stand-in for CuPy that refuses what CuPy
refuses. No report of a real GPU has been published here yet.
"""


def document(data: Mapping[str, Any], mask: float) -> str:
    """docs/benchmarks.md."""
    results = data["results"]
    order = sorted(results, key=lambda name: (name != "default", name))
    seeds = ", ".join(dict.fromkeys(seed for name in order for seed in results[name]["seeds"]))
    parts = [INTRODUCTION.format(seeds=seeds, mask=mask)]
    for name in order:
        result, times = results[name], data["times"][name]
        n, particles = len(result["seeds"]), sorted({s["particles"] for s in result["seeds"].values()})
        head = "Default settings" if name == "default" else f"`{name}`"
        version = f"Version {result['version']}, fingerprint of the code {result['code']}"
        note = f" Options added: `{' '.join(result['added'])}`." if result["added"] else ""
        parts += [f"## {head}", ""]
        parts += [
            f"{n} samples of {' or '.join(map(str, particles))} picks. {version}.{note}",
            "",
        ]
        parts += [*figure_table(result), ""]
        if name == "default":
            parts += ["```", *result["commands"], "```", "", "Who is where:", "", *class_table(result["seeds"]), ""]
        machine, load = times["machine"], max(row["load"] for row in times["medians"].values())
        parts += [f"Medians on {machine}:", "", *time_table(times), ""]
        parts += [f"Other programs ran at the same time (median load up to {load:.1f}); alone, the clock shows less.", ""]
    return "\n".join([*parts, GPU]).rstrip() + "\n"
