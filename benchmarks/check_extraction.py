"""Faults planted in simulated extractions: does `check-extraction` catch each of them, and does a sound set pass?

    python benchmarks/check_extraction.py                          # seeds 101-120, figures into benchmarks/check_extraction.json
    python benchmarks/check_extraction.py --seeds 1-4 --out "" --faults sound "wrong hand"

Every seed is a project of its own: two tomograms of 384 px, a complex of 180 Å with detail to 12 Å, 31 tilts, poses as after a
refinement. A fault is planted in the files, the particles are extracted with it, and checked. For each fault there is one check whose
business it is; that it fails is "caught". A sound set must not fail in any. Seeds 1-14 served for choosing thresholds.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

PIXEL, DIAMETER, WIDTH = 5.0, 180.0, 384
BOX, CROP = 72, 54
KINDS = {"2D stacks": {"source": "tilts"}, "3D": {"source": "tilts", "stack2d": False}, "tomogram": {"source": "tomogram"}}
RESULT = Path(__file__).with_suffix(".json")
CHECKS = ("signal", "centre", "box", "contrast", "hand", "wedge", "pixels")


@dataclass(frozen=True)
class Fault:
    """A fault: the check that should fail for it, what it does to the files, and options of extraction and check."""

    check: str
    particles: Callable[[Any, np.random.Generator], Any] | None = None
    tomograms: Callable[[Any], Any] | None = None
    series: Callable[[Any], Any] | None = None
    extract: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    want: str = "fail"
    cut: Mapping[str, Any] = field(default_factory=dict)


def shifted(pixels: float, in_tomogram: bool = False) -> Callable[[Any, np.random.Generator], Any]:
    """All picks moved by a number of pixels, along an axis of the particles or of the tomogram."""

    def change(particles: Any, rng: np.random.Generator) -> Any:
        direction = rng.standard_normal(3)
        move = direction / np.linalg.norm(direction) * pixels * PIXEL
        moves = np.broadcast_to(move, (particles.n, 3)) if in_tomogram else particles.orientations @ move
        return particles.with_coordinates(particles.coordinates() + moves)

    return change


def anywhere(particles: Any, rng: np.random.Generator) -> Any:
    """Picks at random places with random orientations."""
    from napari_subtomo.geometry.orientations import random_matrices

    largest = np.abs(particles.coordinates()).max(axis=0)
    moved = particles.with_coordinates(rng.uniform(-largest, largest, (particles.n, 3)))
    return moved.with_poses(random_matrices(particles.n, rng), np.zeros((particles.n, 3)))


def fresh(particles: Any, rng: np.random.Generator) -> Any:
    """Picks with errors of 8 degrees and 8 Å, as before any refinement."""
    from napari_subtomo.geometry.orientations import rotation_vectors_to_matrices

    turns = rotation_vectors_to_matrices(rng.standard_normal((particles.n, 3)) * 8 / np.sqrt(3))
    moved = particles.with_coordinates(particles.coordinates() + rng.standard_normal((particles.n, 3)) * 8)
    return moved.with_poses(particles.angles @ turns, np.zeros((particles.n, 3)))


def column(label: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], Any]:
    """A numeric column of a table changed."""
    return lambda block: block.with_column(label, change(block.floats(label)))


def faults() -> dict[str, Fault]:
    """All faults by name."""
    from napari_subtomo.io import relion as r

    def wider(block: Any) -> Any:
        return block.with_column(r.TILT_SERIES_PIXEL_SIZE, block.floats(r.TILT_SERIES_PIXEL_SIZE) * 1.03)

    return {
        "sound": Fault("", want=""),
        "fresh picks (8°, 8 Å off)": Fault("", particles=fresh, want=""),
        "6 particles": Fault("signal", want="cannot tell", cut={"count": 6}),
        "off-centre 8 px (particles' axes)": Fault("centre", particles=shifted(8)),
        "off-centre 8 px (tomogram's axes)": Fault("centre", particles=shifted(8, True)),
        "inverted contrast": Fault("contrast", extract={"invert": False}),
        "wrong hand": Fault("hand", tomograms=lambda t: t.with_column(r.TOMO_HAND, ["1"] * len(t))),
        "box 36 px": Fault("box", extract={"box_size": 36, "crop_size": 36}),
        "pixel size + 3 %": Fault("pixels", tomograms=wider),
        "tilt angles of the other sign": Fault("wedge", series=column(r.TOMO_Y_TILT, lambda a: -a)),
        "tilt angles + 10°": Fault("wedge", series=column(r.TOMO_Y_TILT, lambda a: a + 10)),
        "picks at random places": Fault("signal", particles=anywhere),
    }


def simulate(folder: Path, seed: int, particles: int, snr: float, **more: Any) -> None:
    """A project with truth: a made-up complex with detail, two tomograms."""
    from napari_subtomo.io.mrc import write_mrc
    from napari_subtomo.simulate import make_sample
    from napari_subtomo.simulate.densities import build_complex, render

    complex_ = build_complex(DIAMETER, 0.1, seed)
    box = 2 * round(0.75 * DIAMETER / PIXEL)
    residues = np.concatenate([complex_.core, complex_.domain])
    residues -= residues.mean(axis=0)  # a centred set is one whose mass is centred
    write_mrc(folder / "complex.mrc", render(residues, box, PIXEL, b_factor=300.0), PIXEL)
    options = {
        "map": (folder / "complex.mrc",), "tomograms": 2, "particles": particles, "false_fraction": 0.0, "diameter": DIAMETER,
        "pixel_size": PIXEL, "width": WIDTH, "thickness": 700.0, "tilt_step": 4.0, "prior_error": 1.5, "position_error": 1.5,
        "snr": snr, "crowding": 0.3, "threads": 2,
    }  # fmt: skip
    make_sample(folder / "project", seed, **{**options, **more})


def plant(project: Path, fault: Fault, seed: int, name: str) -> None:
    """Write particles.star, tomograms.star and tilt series with a fault beside the sound ones, under names of their own."""
    from napari_subtomo.io import relion as r
    from napari_subtomo.io.optimisation import write_optimisation_set
    from napari_subtomo.io.particles import read_particles, write_particles
    from napari_subtomo.io.star import StarFile, read_star, write_star

    particles = read_particles(project / "particles.star")
    if "count" in fault.cut:
        particles = particles.select(np.arange(fault.cut["count"]))
    if fault.particles:
        particles = fault.particles(particles, np.random.default_rng([seed, 77]))
    star = read_star(project / "tomograms.star")
    table = star.first
    if fault.tomograms:
        table = fault.tomograms(table)
        if fault.check == "pixels":
            particles = particles.with_optics({r.TILT_SERIES_PIXEL_SIZE: [f"{PIXEL * 1.03}"]})
    if fault.series:
        cells = []
        for cell in table.texts(r.TOMO_TILT_SERIES_STAR_FILE):
            block = fault.series(read_star(project / cell).first)
            cells.append(f"{name}/{Path(cell).name}")
            write_star(project / cells[-1], StarFile((block,)))
        table = table.with_column(r.TOMO_TILT_SERIES_STAR_FILE, cells)
    write_star(project / name / "tomograms.star", StarFile((table,)))
    write_particles(project / name / "particles.star", particles)
    write_optimisation_set(project / name / "set.star", particles=f"{name}/particles.star", tomograms=f"{name}/tomograms.star")


def one(project: Path, fault: Fault, seed: int, name: str, kind: str) -> Any:
    """Plant, extract and check; the findings."""
    from napari_subtomo.check.job import check
    from napari_subtomo.extract import run as extract
    from napari_subtomo.io.optimisation import resolve_inputs
    from napari_subtomo.io.project import JobFolder, Project
    from napari_subtomo.options.check_extraction import CheckExtractionOptions
    from napari_subtomo.options.extract import ExtractOptions
    from napari_subtomo.progress import Silent

    home = Project(project)
    plant(project, fault, seed, name)
    folder = JobFolder(home, project / "Extract" / f"{name}_{kind.replace(' ', '')}")
    folder.path.mkdir(parents=True, exist_ok=True)
    given = {"optimisation_set": project / name / "set.star", "box_size": BOX, "crop_size": CROP, **KINDS[kind], **fault.extract}
    done = extract(ExtractOptions(**given), folder, Silent())
    options = {"diameter": DIAMETER, "resolution": 12.0, "box_before_crop": given["box_size"], **fault.options}
    options = CheckExtractionOptions(optimisation_set=done.outputs["optimisation_set"], **options)
    particles, tomograms, _ = resolve_inputs(options, home)
    return check(options, particles, tomograms, home, folder.path, Silent())


def outcome(fault: Fault, found: Any) -> str:
    """What is counted of a fault: caught, missed or cannot tell; of a sound set how many checks passed, failed and could not tell."""
    if fault.check:
        status = found[fault.check].status
        return {fault.want: "caught", "cannot tell": "cannot tell"}.get(status, "missed")
    wrong = [name for name in CHECKS if found[name].status == "fail"]
    return f"false alarm: {', '.join(wrong)}" if wrong else "no alarm"


def main(words: Sequence[str] | None = None) -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="101-120")
    parser.add_argument("--faults", nargs="*")
    parser.add_argument("--kinds", nargs="*", default=["2D stacks"], choices=list(KINDS))
    parser.add_argument("--particles", type=int, default=45, help="in each of the two tomograms")
    parser.add_argument("--snr", type=float, default=0.1)
    parser.add_argument("--minutes", type=float, default=9.0, help="no new seed is begun after this time")
    parser.add_argument("--out", default=str(RESULT))
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args(words)
    first, _, last = given.seeds.partition("-")
    begun, rows = time.monotonic(), []
    table = {name: fault for name, fault in faults().items() if not given.faults or name in given.faults}
    for seed in range(int(first), int(last or first) + 1):
        if time.monotonic() - begun > 60 * given.minutes:
            break
        with tempfile.TemporaryDirectory() as place:
            clock = time.monotonic()
            simulate(Path(place), seed, given.particles, given.snr)
            simulated = time.monotonic() - clock
            for number, (name, fault) in enumerate(table.items()):
                for kind in given.kinds:
                    clock = time.monotonic()
                    found = one(Path(place) / "project", fault, seed, f"f{number}", kind)
                    row = {"seed": seed, "fault": name, "kind": kind, "outcome": outcome(fault, found), "particles": found.sample.n}
                    row |= {"verdicts": {v.name: v.status for v in found.verdicts}, "seconds": round(time.monotonic() - clock, 2)}
                    row["numbers"] = _figures(found)
                    rows.append(row)
                    if given.verbose:
                        letters = " ".join(f"{v.name}:{v.status[:4]}" for v in found.verdicts)
                        print(
                            f"{seed:4d} {name:<34} {kind:<9} {row['outcome']:<12} {row['seconds']:5.1f} s  {letters}  {row['numbers']}",
                            flush=True,
                        )
            if given.verbose:
                print(f"{seed:4d} simulated in {simulated:.1f} s", flush=True)
    _print(rows, list(table), given.kinds)
    if given.out:
        settings = {"particles": 2 * given.particles, "snr": given.snr, "pixel": PIXEL, "diameter": DIAMETER, "box": BOX, "crop": CROP}
        content = {"settings": settings, "seconds": round(time.monotonic() - begun), "runs": rows}
        Path(given.out).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _figures(found: Any) -> dict[str, Any]:
    signal, hand, wedge = (dict(found[name].numbers) for name in ("signal", "hand", "wedge"))
    centre = dict(found["centre"].numbers)
    places = [value for value in centre.values() if isinstance(value, dict)]
    figures = {
        "signal_z": signal[f"{signal['band']}_z"], "contrast_z": found["contrast"].numbers["z"], "hand_z": hand.get("z"),
        "turn": wedge.get("turn"), "turn_error": wedge.get("turn_error"), "match": wedge.get("match"),
        "tilt_z": [value for key, value in wedge.items() if key.startswith("z, ")],
        "centre": [round(float(np.linalg.norm(p["shift"])), 1) for p in places], "centre_error": [p["error"] for p in places],
        "kept": found["box"].numbers.get("kept"), "coarse": signal["coarse_correlation"],
    }  # fmt: skip
    return figures


def _print(rows: Sequence[Mapping[str, Any]], names: Sequence[str], kinds: Sequence[str]) -> None:
    print(f"{'fault':<36}{'kind':<11}{'n':>4}  outcome")
    for name in names:
        for kind in kinds:
            found = [row["outcome"] for row in rows if row["fault"] == name and row["kind"] == kind]
            counts = {text: found.count(text) for text in dict.fromkeys(found)}
            print(f"{name:<36}{kind:<11}{len(found):>4}  {', '.join(f'{count} {text}' for text, count in counts.items())}")


if __name__ == "__main__":
    main()
