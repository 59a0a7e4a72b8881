"""How long a 2D stack takes to become a subtomogram: inserted in 3D, with and without a frame of its own, or read back from scratch space.

    python benchmarks/stacks.py                        # table on the terminal, figures into benchmarks/stacks.json
    python benchmarks/stacks.py --boxes 64 --repeats 40 --out ""

Particles of noise in one tilt series, 21 of its 41 tilts each, one thread. Insertion is everything from the file of a particle to its data
and weights; where particles have the frame of the tomogram, places in the grid are found once for all of them, else for each. All three
ways and all boxes run side by side, a particle of each in every round, so that whatever else the machine does falls on all of them alike;
medians over the rounds of processor milliseconds, and of the wall clock beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from extract_tilts import PIXEL, TILTS, make_project

RESULT = Path(__file__).with_suffix(".json")
WAYS = ("insert, frame of the tomogram", "insert, frame of its own", "read back")
PARTICLES = 4


def open_source(root: Path, box: int, own_frames: bool, scratch: Path | None) -> Any:
    """Stacks of noise of this box as a source of subtomograms."""
    from napari_subtomo.io import relion as r
    from napari_subtomo.io.mrc import write_mrc
    from napari_subtomo.io.particles import ParticleSet, read_particles
    from napari_subtomo.io.project import Project
    from napari_subtomo.io.subtomograms import open_subtomograms
    from napari_subtomo.io.tomograms import read_tomograms

    made = read_particles(root / "particles.star").select(range(PARTICLES))
    seen = np.arange(TILTS) % 2 == 0
    rng = np.random.default_rng(box)
    names = [f"stacks/{box}_{number}.mrcs" for number in range(PARTICLES)]
    for name in names:
        write_mrc(root / name, rng.standard_normal((seen.sum(), box, box), dtype=np.float32), PIXEL, float16=True, stack=True)
    columns = {
        r.TOMO_NAME: made.tomo_names,
        **dict(zip(r.CENTRED, made.coordinates().T, strict=True)),
        **{label: made.floats(label) * own_frames for label in r.SUBTOMOGRAM_ANGLES},
        r.OPTICS_GROUP: [1] * PARTICLES,
        r.IMAGE_NAME: names,
        r.VISIBLE_FRAMES: ["[" + ",".join(str(int(flag)) for flag in seen) + "]"] * PARTICLES,
    }
    optics = {r.OPTICS_GROUP: [1], r.OPTICS_GROUP_NAME: ["optics1"], r.VOLTAGE: [300.0], r.SPHERICAL_ABERRATION: [2.7]}
    optics |= {r.AMPLITUDE_CONTRAST: [0.1], r.IMAGE_PIXEL_SIZE: [PIXEL], r.IMAGE_SIZE: [box], r.IMAGE_DIMENSIONALITY: [2]}
    particles = ParticleSet.create(columns, optics | {r.CTF_PREMULTIPLIED: [1]}, are_2d_stacks=True)
    project = Project(root)
    return open_subtomograms(particles, project, read_tomograms(root / "tomograms.star", project), scratch)


@dataclass
class Bench:
    """One box and way: what reads a particle, and the milliseconds measured so far, of the processor and of the clock."""

    box: int
    way: str
    read: Callable[[int], Any]
    processor: list[float]
    clock: list[float]

    def round(self, number: int) -> None:
        """Read one particle."""
        begun, processor = time.perf_counter(), time.process_time()
        self.read(number % PARTICLES)
        self.processor.append(1e3 * (time.process_time() - processor))
        self.clock.append(1e3 * (time.perf_counter() - begun))


def measure(boxes: list[int], repeats: int) -> list[Bench]:
    """Interleaved rounds over all boxes and ways; the first read of each particle is not counted."""
    with tempfile.TemporaryDirectory() as text:
        root = Path(text)
        make_project(root, 2 * PARTICLES, 256)
        benches = []
        for box in boxes:
            sources = (
                open_source(root, box, False, None),
                open_source(root, box, True, None),
                open_source(root, box, False, root / f"{box}"),
            )
            for way, source in zip(WAYS, sources, strict=True):
                for number in range(PARTICLES):
                    source.read(number)
                benches.append(Bench(box, way, source.read, [], []))
        for number in range(repeats):
            for bench in benches:
                bench.round(number)
    return benches


def table(benches: list[Bench]) -> str:
    """Medians, one line a box."""
    boxes = sorted({bench.box for bench in benches})
    lines = ["| box | " + " | ".join(WAYS) + " |", "|---" * (len(WAYS) + 1) + "|"]
    for box in boxes:
        cells = [f"{statistics.median(b.processor):.1f} ms ({statistics.median(b.clock):.1f})" for b in benches if b.box == box]
        lines.append(f"| {box} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boxes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--out", default=str(RESULT), help='JSON file; "" for none')
    given = parser.parse_args()
    load = os.getloadavg()[0]
    benches = measure(given.boxes, given.repeats)
    print(table(benches))
    if given.out:
        rows = [
            {
                "box": b.box,
                "way": b.way,
                "processor_ms": round(statistics.median(b.processor), 2),
                "clock_ms": round(statistics.median(b.clock), 2),
            }
            | {"fastest_ms": round(min(b.processor), 2), "slowest_ms": round(max(b.processor), 2)}
            for b in benches
        ]
        machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors"
        setting = {"machine": machine, "load_before": round(load, 2), "numpy": np.__version__, "repeats": given.repeats}
        Path(given.out).write_text(json.dumps({"setting": setting, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
