"""How fast particles are averaged from tilt images, and what the time and the memory go into.

    python benchmarks/reconstruct_tilts.py               # table on the terminal, figures into benchmarks/reconstruct_tilts.json
    python benchmarks/reconstruct_tilts.py --threads 4 --boxes 48 --repeats 1 --out ""

Particles in two tilt series of 41 images of noise, each in an orientation of its own, in half sets, cropped to two thirds of the box. The
whole job is timed in a process of its own (reading tables and images, computing, writing; not the start of Python), the shortest of some
repeats, with its largest memory. The profile comes from the same steps one after the other on one thread, in processor milliseconds a
particle.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from extract_tilts import SERIES, TILTS, make_project

RESULT = Path(__file__).with_suffix(".json")
CASES = {48: 500, 96: 200, 192: 40}  # particles by box


def options_of(root: Path, box: int, threads: int, device: str = "cpu") -> Any:
    """Options of the job."""
    from napari_subtomo.options.reconstruct import ReconstructOptions

    return ReconstructOptions(
        **{"from": "tilts", "particles": root / "particles.star", "tomograms": root / "tomograms.star"},
        **{"box_size": box, "crop_size": box * 2 // 3, "threads": threads, "device": device},
    )


def job(root: Path, options: Any, answer: Any) -> None:
    """Run the job; sends wall seconds and largest memory in bytes, without what was taken before."""
    from napari_subtomo.io.project import JobFolder, Project
    from napari_subtomo.progress import Silent
    from napari_subtomo.reconstruct import run

    folder = root / "Reconstruct/job001"
    folder.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    run(options, JobFolder(Project(root), folder), Silent())
    answer.put((time.perf_counter() - begun, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))


def measure(root: Path, options: Any, repeats: int) -> tuple[float, int]:
    """Shortest wall time in s, and the memory of that run."""
    context = multiprocessing.get_context("spawn")
    found = []
    for _ in range(repeats):
        answer = context.Queue()
        process = context.Process(target=job, args=(root, options, answer))
        process.start()
        found.append(answer.get())
        process.join()
    return min(found)


def profile(root: Path, options: Any, number: int) -> dict[str, float]:
    """Processor milliseconds a particle of each step, on one thread; reading is shared by the particles of a series."""
    from napari_subtomo.geometry.projection import tilt_matrices
    from napari_subtomo.geometry.symmetry import symmetry_matrices
    from napari_subtomo.io.particles import read_particles
    from napari_subtomo.io.tomograms import read_tomograms
    from napari_subtomo.numerics.planes import PlaneSums
    from napari_subtomo.progress import Silent
    from napari_subtomo.reconstruct.from_tilts import TiltAverage
    from napari_subtomo.reconstruct.gridded import solve_planes
    from napari_subtomo.tilts.slices import SliceMaker

    particles, tomograms = read_particles(root / "particles.star"), read_tomograms(root / "tomograms.star")
    spent: dict[str, float] = {}

    def clock(name: str, work: Callable[[], Any], share: int = number) -> Any:
        begun = time.process_time()
        result = work()
        spent[name] = spent.get(name, 0) + 1e3 * (time.process_time() - begun) / share
        return result

    work = clock("finding particles", lambda: TiltAverage(options, particles, tomograms, None, root, Silent()), particles.n)
    plan = work.plans[0]
    clock("reading images", lambda: plan.sightings.images.load(range(TILTS), np.inf, root), len(plan.rows))
    maker, box = SliceMaker(plan.sightings, options.box_size, work.binning, circle=True), options.box_size
    matrices, sums = tilt_matrices(plan.sightings.series), PlaneSums.zero(box)
    for particle in range(number):
        slices = clock("cutting, circle, FFT, CTF and dose", lambda p=particle: maker.slices(p))
        axes = matrices[slices.tilts] @ plan.orientations[particle]
        clock("insertion", lambda s=slices, a=axes: sums.insert(s.values, s.transfer**2, a))
    total = PlaneSums.zero(box, dtype=np.float64)
    clock("adding sums", lambda: total.add(sums), 16)
    clock("three maps, in all", lambda: [solve_planes(total, symmetry_matrices("C1")) for _ in range(3)], 1)
    return {name: round(value, 3) for name, value in spent.items()}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--boxes", type=int, nargs="+", default=list(CASES), help=f"of {', '.join(map(str, CASES))}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--image", type=int, default=1024, help="edge of the images in px")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", default=str(RESULT), help="JSON file; empty for none")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "tilts": TILTS,
        "image": given.image,
        "threads": given.threads,
        "device": given.device,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors",
        "numpy": np.__version__,
        "boxes": {},
    }
    for box in given.boxes:
        number = CASES[box]
        with tempfile.TemporaryDirectory() as text:
            root = Path(text)
            make_project(root, number, given.image)
            load = os.getloadavg()[0]
            seconds, memory = measure(root, options_of(root, box, given.threads, given.device), given.repeats)
            steps = profile(root, options_of(root, box, 1), min(20, number // SERIES))
        each = 1e3 * seconds / number
        result["boxes"][box] = {
            "particles": number,
            "seconds": round(seconds, 2),
            "ms_per_particle": round(each, 2),
            "memory_mb": round(memory / 1e6),
            "load_before": round(load, 2),
            "profile_ms_per_particle": steps,
        }
        print(f"box {box}: {number} particles in {seconds:.2f} s, {each:.1f} ms each, {memory / 1e6:.0f} MB; load {load:.1f}")
        for name, value in steps.items():
            print(f"    {name:40s} {value:8.3f} ms")
    if given.out:
        Path(given.out).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
