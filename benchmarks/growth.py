"""How time and memory of an iteration of `classify` grow: with particles, classes, rotations, offsets, shells and the box.

    python benchmarks/growth.py                  # table, growth.json, ../docs/images/growth.png

One of the six is changed at a time about a centre. Particles are simulated and prepared in a process of their own, with one thread, and the
same iteration, with all classes and a local search, is made five times for each case. Time is that of the processor, user and system. A
busy machine stretches it too, so before and after each a small iteration is made that is always the same, and the median ratio of the two
is multiplied by the least time that the small one ever took. Memory is the largest resident size during a case above that after the
imports (Linux). The exponent is the slope of a straight line through the logarithms, with its 95 % interval; "expected" is that of the
forecast's own formula for the same cases.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"
HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))

CENTRE = {"particles": 200, "classes": 4, "range": 15.0, "reach": 2.0, "shell": 8, "box": 32}
ANGULAR_STEP, REPEATS, PIXEL = 3.75, 5, 10.0
SMALL = {"particles": 40, "classes": 2, "range": 15.0, "reach": 2.0, "shell": 6, "box": 24}
#: what particles are prepared for; the rest is said to each iteration
PREPARED = ("particles", "classes", "box")
#: factor: the setting that is changed, and its levels
FACTORS: dict[str, tuple[str, tuple[float, ...]]] = {
    "particles": ("particles", (100, 200, 400, 800)),
    "classes": ("classes", (1, 2, 4, 8)),
    "rotations": ("range", (7.5, 10.0, 15.0, 20.0)),
    "offsets": ("reach", (1.0, 2.0, 3.0, 4.0)),
    "last shell": ("shell", (5, 6, 8, 10, 12)),
    "box": ("box", (24, 32, 40, 48)),
}
#: axes of the picture: processor seconds, MB
TIMES, MEMORIES = (0.1, 20.0), (60.0, 1200.0)
UNITS = {"box": "box (px)", "last shell": "last shell (Fourier px)", "rotations": "rotations searched", "offsets": "offsets searched"}


def prepared(case: dict[str, Any]) -> Any:
    """An engine with simulated particles."""
    import numpy as np
    from helpers import em_world

    from napari_subtomo.geometry.orientations import random_matrices
    from napari_subtomo.numerics.fourier import centred_fft, full_to_half

    n, count, classes = (int(case[name]) for name in ("box", "particles", "classes"))
    shapes = [np.vstack([em_world.density(n), [[n * 0.16, n * 0.03 * (c - 2), n * 0.12, n * 0.05, 0.9]]]) for c in range(classes)]
    rng = np.random.default_rng(1)
    orientations, offsets = random_matrices(count, rng), rng.uniform(-1, 1, (count, 3))
    maps = [em_world.render(shape, n) for shape in shapes]

    class Made:
        """Particles that are made when they are asked for: only what the engine keeps is in memory."""

        def __len__(self) -> int:
            return count

        def __getitem__(self, i: int) -> em_world.Particle:
            weights = em_world.wedge(n, 60.0 * (i % 2))
            noise = np.random.default_rng([7, i]).standard_normal((n, n, n)) * maps[0].std() * 4
            clean = centred_fft(em_world.render(shapes[i % classes], n, orientations[i], offsets[i]))
            half = full_to_half(weights * clean + np.sqrt(weights) * centred_fft(noise))
            data = np.fft.fftshift(np.fft.irfftn(half, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
            return em_world.Particle(data, full_to_half(weights), full_to_half((weights > 0).astype(np.float32)))

    world = em_world.World(Made(), np.ones(count), orientations, offsets, orientations, np.zeros((count, 3)), maps, np.arange(count) % 2, n)
    given = {"classes": classes, "angular_step": ANGULAR_STEP, "fixed_sampling": True, "threads": 1, "noise_temperature": 1.5}
    return em_world.setup(world, reference=np.stack(maps), **given)


def seconds_of(setup: Any, case: dict[str, Any]) -> tuple[float, Any]:
    """Processor seconds of an iteration, and its classes."""
    from dataclasses import replace

    from napari_subtomo.em.engine import initial_state, one_iteration
    from napari_subtomo.progress import Silent

    options = setup.options.model_copy(update={"local_range": case["range"], "offset_range": case["reach"]})
    setup = replace(setup, options=options)
    state = replace(initial_state(setup), last_shell=int(case["shell"]))
    begun = time.process_time()
    _, found = one_iteration(setup, state, Silent())
    return time.process_time() - begun, found


def several(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Cases that need the same particles, in this process."""
    from threadpoolctl import threadpool_limits

    from napari_subtomo.numerics.backend import release_memory

    rows = []
    with threadpool_limits(1):
        small = prepared(SMALL)
        seconds_of(small, SMALL)
        release_memory("cpu")
        before = memory("VmRSS")
        setup = prepared(cases[0])
        for case in cases:
            release_memory("cpu")
            Path("/proc/self/clear_refs").write_text("5")  # the largest resident size begins anew
            ratios, own, aside = [], [], [seconds_of(small, SMALL)[0]]
            for _ in range(REPEATS):
                seconds, found = seconds_of(setup, case)
                own.append(seconds)
                aside.append(seconds_of(small, SMALL)[0])
                ratios.append(2 * seconds / (aside[-2] + aside[-1]))
            sizes = {"rotations": found.sampling.n_rotations, "offsets": found.sampling.n_shifts}
            times = {
                "ratio": round(statistics.median(ratios), 3),
                "least_seconds": round(min(own), 3),
                "small_seconds": round(min(aside), 4),
            }
            rows.append({**case, **sizes, **times, "peak_mb": round((memory("VmHWM") - before) / 1e6, 1)})
    return rows


def memory(name: str) -> int:
    """Bytes of this process, as Linux counts them: resident now (VmRSS), at most (VmHWM)."""
    line = next(text for text in Path("/proc/self/status").read_text().splitlines() if text.startswith(name))
    return int(line.split()[1]) * 1024


def expected_seconds(row: dict[str, Any]) -> float:
    """What the forecast's formula says of the iteration of a case, with one thread and usual rates."""
    from napari_subtomo.em.engine import M_STEP_SHELLS
    from napari_subtomo.em.plan import Iteration, functions, grid_nodes, half_sphere
    from napari_subtomo.jobs.facts import Facts
    from napari_subtomo.jobs.forecast_classify import _seconds
    from napari_subtomo.jobs.rates import DEFAULT
    from napari_subtomo.options.classify import ClassifyOptions

    options = ClassifyOptions(
        reference=Path("map.mrc"), mask_diameter=0.8 * row["box"] * PIXEL, local_range=row["range"], offset_range=row["reach"], threads=1
    )
    shell, box = row["shell"], row["box"]
    map_shell = min((box - 1) // 2, shell + M_STEP_SHELLS)
    step = Iteration(
        row["particles"],
        row["rotations"],
        row["offsets"],
        row["classes"],
        half_sphere(shell + 0.5),
        half_sphere(map_shell + 0.5),
        grid_nodes(options, box, map_shell),
        options.folds,
        functions(row["offsets"], row["reach"], shell / box),
    )
    return _seconds(step, box, options, Facts(cores=1), DEFAULT, False)


def slope(x: list[float], y: list[float]) -> dict[str, float]:
    """Exponent of y ~ x^e, with half of its 95 % interval."""
    from scipy import stats

    fit = stats.linregress([math.log(v) for v in x], [math.log(v) for v in y])
    return {"exponent": round(float(fit.slope), 2), "half_interval": round(float(fit.stderr * stats.t.ppf(0.975, len(x) - 2)), 2)}


def measured() -> dict[str, Any]:
    """All cases, and exponents."""
    every = {json.dumps(CENTRE | {setting: level}, sort_keys=True) for setting, levels in FACTORS.values() for level in levels}
    groups: dict[tuple[float, ...], list[dict[str, Any]]] = {}
    # what a small case leaves in memory a larger one after it needs anyway
    for case in sorted(map(json.loads, every), key=lambda case: (case["shell"], case["range"], case["reach"], case["particles"])):
        groups.setdefault(tuple(case[name] for name in PREPARED), []).append(case)
    done: dict[str, dict[str, Any]] = {}
    for cases in groups.values():
        words = [sys.executable, str(Path(__file__).resolve()), "--cases", json.dumps(cases)]
        rows = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        done |= {json.dumps(case, sort_keys=True): row for case, row in zip(cases, rows, strict=True)}
        print(
            *(f"{row['ratio']} x {row['small_seconds']} s, {row['peak_mb']} MB: {row}" for row in rows),
            sep="\n",
            file=sys.stderr,
            flush=True,
        )
    least = min(row["small_seconds"] for row in done.values())
    for row in done.values():
        row |= {"cpu_seconds": round(row["ratio"] * least, 3), "expected_seconds": round(expected_seconds(row), 3)}
    found: dict[str, Any] = {}
    for factor, (setting, levels) in FACTORS.items():
        cases = [done[json.dumps(CENTRE | {setting: level}, sort_keys=True)] for level in levels]
        rows = [row | {"x": row.get(factor, level)} for row, level in zip(cases, levels, strict=True)]
        x = [row["x"] for row in rows]
        fits = {name: slope(x, [row[name] for row in rows]) for name in ("cpu_seconds", "expected_seconds", "peak_mb")}
        found[factor] = {"rows": rows, "slopes": fits}
    return found


def table(found: dict[str, Any]) -> str:
    """One line a factor."""
    lines = ["| | levels | processor s | exponent | expected | memory, MB | exponent |", "|---" * 7 + "|"]
    for factor, part in found.items():
        columns = {name: ", ".join(f"{row[name]:{form}}" for row in part["rows"]) for name, form in (("x", "g"), ("peak_mb", ".0f"))}
        seconds = ", ".join(f"{row['cpu_seconds']:.2f}" for row in part["rows"])
        time_, wanted, memory = (part["slopes"][name] for name in ("cpu_seconds", "expected_seconds", "peak_mb"))
        of = f"{time_['exponent']:.2f} ± {time_['half_interval']:.2f}", f"{wanted['exponent']:.2f}", columns["peak_mb"]
        lines.append(
            f"| {factor} | {columns['x']} | {seconds} | "
            + " | ".join(of)
            + f" | {memory['exponent']:.2f} ± {memory['half_interval']:.2f} |"
        )
    return "\n".join(lines)


def draw(found: dict[str, Any], path: Path) -> None:
    """Time and memory against each factor, logarithmic both ways."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(13, 7.2), layout="constrained")
    for axes, (factor, part) in zip(figure.subplots(2, 3).ravel(), found.items(), strict=True):
        x = [row["x"] for row in part["rows"]]
        seconds = part["slopes"]["cpu_seconds"]
        axes.loglog(x, [row["cpu_seconds"] for row in part["rows"]], "o-", color="C0", label=f"time, exponent {seconds['exponent']:.2f}")
        ratio = part["rows"][0]["cpu_seconds"] / part["rows"][0]["expected_seconds"]
        expected = [ratio * row["expected_seconds"] for row in part["rows"]]
        axes.loglog(x, expected, ":", color="C0", label=f"forecast, exponent {part['slopes']['expected_seconds']['exponent']:.2f}")
        axes.set_xlabel(UNITS.get(factor, factor), fontsize=12)
        axes.set_ylabel("time of an iteration (processor s)", color="C0", fontsize=11)
        axes.set_ylim(*TIMES)
        right = axes.twinx()
        memory = part["slopes"]["peak_mb"]["exponent"]
        right.loglog(x, [row["peak_mb"] for row in part["rows"]], "s--", color="C1", label=f"memory, exponent {memory:.2f}")
        right.set_ylabel("largest memory (MB)", color="C1", fontsize=11)
        right.set_ylim(*MEMORIES)
        axes.set_xticks(x, [f"{value:g}" for value in x])
        for some in (axes, right):
            some.xaxis.set_minor_locator(NullLocator())
        lines = [*axes.get_lines(), *right.get_lines()]
        axes.legend(lines, [str(line.get_label()) for line in lines], loc="upper left", fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", help="cases (JSON) with the same particles: measure them in this process and print them")
    parser.add_argument("--json", type=Path, default=HERE / "growth.json")
    parser.add_argument("--picture", type=Path, default=HERE.parent / "docs/images/growth.png")
    parser.add_argument("--again", action="store_true", help="table and picture from the JSON file")
    given = parser.parse_args()
    if given.cases:
        print(json.dumps(several(json.loads(given.cases))))
        return 0
    if given.again:
        found = json.loads(given.json.read_text())["factors"]
    else:
        found = measured()
        setting = {"centre": CENTRE, "angular_step": ANGULAR_STEP, "repeats": REPEATS, "load": round(os.getloadavg()[0], 1)}
        given.json.write_text(json.dumps({"setting": setting, "factors": found}, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    draw(found, given.picture)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
