"""How fast particles are extracted from tilt images, and what the time goes into.

    python benchmarks/extract_tilts.py                 # table on the terminal, figures into benchmarks/extract_tilts.json
    python benchmarks/extract_tilts.py --threads 4 --image 4096 --repeats 1 --out ""

500 particles in two tilt series of 41 images of noise, box 64 cropped to 48, as 2D stacks and as 3D pseudo-subtomograms. The whole job is
timed in this process (reading tables, images, computing, writing, the montage; not the start of Python), the shortest of some repeats;
processor time tells how fast it is where nothing else runs. The profile comes from the same steps one after the other on one thread, in
processor milliseconds a particle. RELION 5.0.1 took 2.1 s (2D) and 4.8 s (3D) of wall time for 286 particles of the same kind on two
threads of such a machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SERIES, TILTS, BOX, CROP = 2, 41, 64, 48
PIXEL, FLAT = 5.0, 300  # Å; thickness in px
RELION = {"2D": 286 / 2.1, "3D": 286 / 4.8}  # particles per second
RESULT = Path(__file__).with_suffix(".json")


def make_project(root: Path, particles: int, image: int, float16: bool = False) -> None:
    """Tilt series of noise, and particles all over them, each with a frame of its own."""
    from napari_subtomo.geometry.orientations import matrix_to_euler, random_matrices
    from napari_subtomo.io import relion as r
    from napari_subtomo.io.mrc import write_mrc
    from napari_subtomo.io.particles import ParticleSet, write_particles
    from napari_subtomo.io.star import StarBlock, write_star

    rng = np.random.default_rng(1)
    names = [f"TS_{number + 1:02d}" for number in range(SERIES)]
    for name in names:
        images = [f"images/{name}_{tilt:02d}.mrc" for tilt in range(TILTS)]
        for path in images:
            write_mrc(root / path, rng.standard_normal((image, image), dtype=np.float32), PIXEL, float16=float16)
        angles = np.linspace(-60, 60, TILTS)
        table = {
            r.MICROGRAPH_NAME: images,
            r.MICROGRAPH_PRE_EXPOSURE: 3 * np.argsort(np.argsort(np.abs(angles))),
            r.TOMO_Y_TILT: angles,
            r.TOMO_Z_ROT: np.full(TILTS, 85.0),
            r.DEFOCUS_U: np.full(TILTS, 31000.0),
            r.DEFOCUS_V: np.full(TILTS, 30000.0),
            r.DEFOCUS_ANGLE: np.full(TILTS, 40.0),
        }
        write_star(root / f"tilt_series/{name}.star", [StarBlock.loop(name, table)])
    table = {
        r.TOMO_NAME: names,
        r.VOLTAGE: [300.0] * SERIES,
        r.SPHERICAL_ABERRATION: [2.7] * SERIES,
        r.AMPLITUDE_CONTRAST: [0.1] * SERIES,
        r.TOMO_HAND: [-1] * SERIES,
        r.OPTICS_GROUP_NAME: ["optics1"] * SERIES,
        r.TILT_SERIES_PIXEL_SIZE: [PIXEL] * SERIES,
        r.TOMO_TILT_SERIES_STAR_FILE: [f"tilt_series/{name}.star" for name in names],
        **dict(zip((r.TOMO_SIZE_X, r.TOMO_SIZE_Y, r.TOMO_SIZE_Z), ([n] * SERIES for n in (image, image, FLAT)), strict=True)),
    }
    write_star(root / "tomograms.star", [StarBlock.loop(r.GLOBAL, table)])
    half = np.array([image / 2 - BOX, image / 2 - BOX, FLAT / 2]) * PIXEL * 0.7
    columns = {
        r.TOMO_NAME: sorted(names[row % SERIES] for row in range(particles)),
        **dict(zip(r.CENTRED, (rng.uniform(-1, 1, (particles, 3)) * half).T, strict=True)),
        **dict(zip(r.SUBTOMOGRAM_ANGLES, matrix_to_euler(random_matrices(particles, rng)).T, strict=True)),
    }
    write_particles(root / "particles.star", ParticleSet.create(columns))


def options_of(root: Path, threads: int, stack2d: bool, device: str = "cpu") -> Any:
    """Options of the job."""
    from napari_subtomo.options.extract import ExtractOptions

    return ExtractOptions(
        **{"from": "tilts", "particles": root / "particles.star", "tomograms": root / "tomograms.star"},
        **{"box_size": BOX, "crop_size": CROP, "stack2d": stack2d, "threads": threads, "device": device},
    )


def job_seconds(root: Path, options: Any, repeats: int) -> tuple[float, float]:
    """Shortest wall time of the job in s, each time in a new folder, and the processor time of that run."""
    from napari_subtomo.extract import run
    from napari_subtomo.io.project import JobFolder, Project
    from napari_subtomo.progress import Silent

    best = (np.inf, np.inf)
    for _ in range(repeats):
        folder = root / "Extract/job001"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        begun, processor = time.perf_counter(), time.process_time()
        run(options, JobFolder(Project(root), folder), Silent())
        best = min(best, (time.perf_counter() - begun, time.process_time() - processor))
    return best


def profile(root: Path, options: Any, number: int) -> dict[str, float]:
    """Processor milliseconds a particle of each step, on one thread; reading is shared by the particles of a series."""
    from napari_subtomo.extract.tilt_worker import TiltCutter, TiltPlan
    from napari_subtomo.io.mrc import write_mrc
    from napari_subtomo.io.particles import read_particles
    from napari_subtomo.io.tomograms import read_tomograms
    from napari_subtomo.numerics.slices import slice_insertion
    from napari_subtomo.tilts.plan import see
    from napari_subtomo.tilts.squares import cut_squares
    from napari_subtomo.tilts.stacks import stack_images
    from napari_subtomo.tilts.volumes import pseudo_subtomogram

    tomograms, particles = read_tomograms(root / "tomograms.star"), read_particles(root / "particles.star")
    rows = np.flatnonzero(np.asarray(particles.tomo_names) == tomograms.names[0])
    spent: dict[str, float] = {}

    def clock(name: str, work: Callable[[], Any], share: int = number) -> Any:
        begun = time.process_time()
        result = work()
        spent[name] = spent.get(name, 0) + 1e3 * (time.process_time() - begun) / share
        return result

    positions = particles.positions(tomograms)[rows]
    seen = clock(
        "finding particles",
        lambda: see(tomograms[tomograms.names[0]], tomograms.tilt_series(tomograms.names[0]), positions, margin=CROP / 2),
        len(rows),
    )
    clock("reading images", lambda: seen.images.load(range(TILTS), np.inf, root), len(rows))
    plan = TiltPlan(seen, rows, tuple(f"p{row}" for row in rows), particles.frames[rows])
    cutter = TiltCutter(plan, options, root, "cpu")
    maker, binning = cutter.maker, cutter.maker.binning
    for particle in range(number):
        tilts = np.flatnonzero(seen.visible[particle])
        corners, places = binning.corners(seen.places[particle, tilts])
        images = [seen.images[tilt] for tilt in tilts]
        squares = clock("cutting squares", lambda i=images, c=corners: cut_squares(i, c, binning.side))
        values = clock("FFT and shift", lambda s=squares, p=places: binning.transform(s, p))
        transfer = clock("CTF and dose", lambda t=tilts, p=particle: maker.modulation.at(t, seen.defocus_offsets[p, t]))
        values = clock("CTF and dose", lambda v=values, t=transfer: v * (t * maker.sign))
        if options.stack2d:
            image = clock("inverse FFT and circle", lambda v=values: stack_images(v, CROP))
            clock("writing", lambda a=image: write_mrc(root / "x.mrcs", a, PIXEL, float16=True, stack=True))
            continue
        axes = cutter.axes[particle, tilts]
        insertion = clock("insertion: weights", lambda a=axes: slice_insertion(a, BOX, CROP))
        data, weights = clock("insertion: sums, circle and FFT", lambda i=insertion, v=values, t=transfer: pseudo_subtomogram(i, v, t))
        clock("writing", lambda a=data: write_mrc(root / "x.mrc", a, PIXEL, float16=True))
        clock("writing", lambda a=weights: write_mrc(root / "x.mrc", a, PIXEL, float16=True))
    return {name: round(value, 3) for name, value in spent.items()}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--particles", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--image", type=int, default=1024, help="edge of the images in px")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", default=str(RESULT), help="JSON file; empty for none")
    given = parser.parse_args()
    result: dict[str, Any] = {
        "particles": given.particles,
        "tilts": TILTS,
        "box": BOX,
        "crop": CROP,
        "image": given.image,
        "threads": given.threads,
        "device": given.device,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors",
        "numpy": np.__version__,
    }
    with tempfile.TemporaryDirectory() as text:
        root = Path(text)
        make_project(root, given.particles, given.image)
        for kind, stack2d in (("2D", True), ("3D", False)):
            options = options_of(root, given.threads, stack2d, given.device)
            load = os.getloadavg()[0]
            seconds, processor = job_seconds(root, options, given.repeats)
            steps = profile(root, replace_threads(options), min(50, given.particles // SERIES))
            result[kind] = {
                "seconds": round(seconds, 2),
                "processor_seconds": round(processor, 2),
                "particles_per_second": round(given.particles / seconds, 1),
                "relion_particles_per_second": round(RELION[kind], 1),
                "load_before": round(load, 2),
                "profile_ms_per_particle": steps,
            }
            rate = f"{given.particles / seconds:.0f} particles/s (RELION 5.0.1: {RELION[kind]:.0f})"
            print(f"{kind}: {seconds:.2f} s ({processor:.2f} s of processors), {rate}; load before {load:.1f}")
            total = sum(steps.values())
            for name, value in steps.items():
                print(f"    {name:32s} {value:7.3f} ms  {100 * value / total:3.0f} %")
    if given.out:
        Path(given.out).write_text(json.dumps(result, indent=1) + "\n")
    return 0


def replace_threads(options: Any) -> Any:
    """The options on the processor, for the profile."""
    return options.model_copy(update={"device": "cpu", "threads": 1})


if __name__ == "__main__":
    raise SystemExit(main())
