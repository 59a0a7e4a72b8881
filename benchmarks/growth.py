"""How time and memory of an iteration of `classify` grow: with particles, classes, rotations, offsets, shells and the box.

    python benchmarks/growth.py                  # table, growth.json, ../docs/images/growth.png

One of the six is changed at a time about a centre. Each case is a process of its own with one thread: simulated particles are prepared and
the same iteration, with all classes and a local search, is made three times. Of its three processor times (user and system) the least is
taken, since a busy machine only adds to them; memory is the largest resident size above that after the imports. The exponent is the slope
of a straight line through the logarithms, with its 95 % interval; "expected" is that of the forecast's own formula for the same cases.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
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
ANGULAR_STEP, REPEATS, PIXEL = 3.75, 3, 10.0
#: factor: the setting that is changed, and its levels
FACTORS: dict[str, tuple[str, tuple[float, ...]]] = {
    "particles": ("particles", (100, 200, 400, 800)),
    "classes": ("classes", (1, 2, 4, 8)),
    "rotations": ("range", (7.5, 10.0, 15.0, 20.0)),
    "offsets": ("reach", (1.0, 2.0, 3.0, 4.0)),
    "last shell": ("shell", (5, 6, 8, 10, 12)),
    "box": ("box", (24, 32, 48, 64)),
}
UNITS = {"box": "box (px)", "last shell": "last shell (Fourier px)", "rotations": "rotations searched", "offsets": "offsets searched"}


def one(case: dict[str, Any]) -> dict[str, Any]:
    """A case, in this process."""
    import numpy as np
    from helpers import em_world
    from threadpoolctl import threadpool_limits

    from napari_subtomo.em import engine
    from napari_subtomo.geometry.orientations import random_matrices
    from napari_subtomo.numerics.fourier import centred_fft, full_to_half
    from napari_subtomo.progress import Silent

    before = resident()
    n, count, classes = int(case["box"]), int(case["particles"]), int(case["classes"])
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
    options = {"classes": classes, "local_range": case["range"], "offset_range": case["reach"], "angular_step": ANGULAR_STEP}
    with threadpool_limits(1):
        given = {"fixed_sampling": True, "threads": 1, "noise_temperature": 1.5}
        setup = em_world.setup(world, reference=np.stack(maps), **options, **given)
        state = engine.initial_state(setup)
        state = engine.replace(state, last_shell=int(case["shell"]))
        processor, clock = [], []
        for _ in range(REPEATS):
            begun, cpu = time.perf_counter(), time.process_time()
            _, found = engine.one_iteration(setup, state, Silent())
            processor.append(time.process_time() - cpu)
            clock.append(time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    sizes = {"rotations": found.sampling.n_rotations, "offsets": found.sampling.n_shifts}
    return {
        **case,
        **sizes,
        "cpu_seconds": round(min(processor), 3),
        "cpu_seconds_all": [round(t, 3) for t in processor],
        "clock_seconds": round(min(clock), 3),
        "peak_mb": round(peak / 1e6, 1),
    }


def resident() -> int:
    """Resident bytes of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


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
        row["rotations"],
        row["offsets"],
        row["classes"],
        half_sphere(shell + 0.5),
        half_sphere(map_shell + 0.5),
        grid_nodes(options, box, map_shell),
        options.folds,
        functions(row["offsets"], row["reach"], shell / box),
    )
    return _seconds(step, row["particles"], box, options, Facts(cores=1), DEFAULT, False)


def slope(x: list[float], y: list[float]) -> dict[str, float]:
    """Exponent of y ~ x^e, with half of its 95 % interval."""
    from scipy import stats

    fit = stats.linregress([math.log(v) for v in x], [math.log(v) for v in y])
    return {"exponent": round(float(fit.slope), 2), "half_interval": round(float(fit.stderr * stats.t.ppf(0.975, len(x) - 2)), 2)}


def measured() -> dict[str, Any]:
    """All cases, and exponents."""
    done: dict[str, dict[str, Any]] = {}
    found: dict[str, Any] = {}
    for factor, (setting, levels) in FACTORS.items():
        rows = []
        for level in levels:
            case = CENTRE | {setting: level}
            key = json.dumps(case, sort_keys=True)
            if key not in done:
                words = [sys.executable, str(Path(__file__).resolve()), "--one", key]
                done[key] = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
                done[key]["expected_seconds"] = round(expected_seconds(done[key]), 3)
                print(f"{factor} {level:g}: {done[key]['cpu_seconds']} s, {done[key]['peak_mb']} MB", file=sys.stderr, flush=True)
            rows.append(done[key] | {"x": done[key].get(factor, level)})
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
        axes.set_ylim(0.05, 50)
        axes.set_xticks(x, [f"{value:g}" for value in x])
        axes.minorticks_off()
        right = axes.twinx()
        memory = part["slopes"]["peak_mb"]["exponent"]
        right.loglog(x, [row["peak_mb"] for row in part["rows"]], "s--", color="C1", label=f"memory, exponent {memory:.2f}")
        right.set_ylabel("largest memory (MB)", color="C1", fontsize=11)
        right.set_ylim(30, 3000)
        right.minorticks_off()
        lines = [*axes.get_lines(), *right.get_lines()]
        axes.legend(lines, [str(line.get_label()) for line in lines], loc="upper left", fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", help="a case (JSON): measure it in this process and print it")
    parser.add_argument("--json", type=Path, default=HERE / "growth.json")
    parser.add_argument("--picture", type=Path, default=HERE.parent / "docs/images/growth.png")
    parser.add_argument("--again", action="store_true", help="table and picture from the JSON file")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(json.loads(given.one))))
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
