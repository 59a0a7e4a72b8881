"""Poses three ways: means over neighbours on the grid, peaks between its poses, and peaks that may lie beyond its edge.

    python benchmarks/peaks.py            # seeds 101 to 112; about ten minutes
    python benchmarks/peaks.py --seeds 1 2 3 --json mine.json

Simulated particles of two species with empty places among them, classified in memory: a box of 16 px with few, wide steps, and a box of 24
px with a grid that holds the particles, at several SNR. Medians over the true particles of each sample, means over the samples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from accuracy import rounded, write
from chain import fingerprint

from napari_subtomo.em import peaks
from napari_subtomo.em.engine import initial_state, iterate
from napari_subtomo.em.start import rand_index
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.progress import Silent

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from helpers import em_files, em_world  # noqa: E402

#: of `em/peaks.py`: without a radius there is no step from the mean, and where no point is at the edge nothing keeps the peak inside
WAYS: dict[str, dict[str, float]] = {"means": {"FARTHEST": 0.0}, "peaks beyond the edge": {"EDGE": np.inf}, "peaks": {}}
WIDE = {name: value for name, value in em_files.OPTIONS.items() if name != "device"}
HELD = {"local_range": 15.0, "angular_step": 7.5, "offset_range": 2.0, "offset_step": 1.0, "classes": 2, "folds": 3, "iterations": 6}
#: name: of the sample, of the classification
SAMPLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "box 16, wide steps": ({"n": 16, "count": 24, "empty": 6, "snr": 1.0, "species": 2, "error": 5.0, "domain": 2.0}, WIDE),
    **{
        f"box 24, SNR {snr:g}": ({"n": 24, "count": 24, "empty": 6, "snr": snr, "species": 2, "error": 6.0, "domain": 2.0}, HELD)
        for snr in (0.02, 0.1, 1.0)
    },
}


def main(words: list[str] | None = None) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(101, 113)))
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args(words)
    report: dict[str, Any] = {"code": fingerprint(), "seeds": options.seeds, "samples": {}}
    print(f"{'sample':22}{'poses':24}{'index':>8}{'degrees':>9}{'px':>8}   given: degrees, px")
    for sample, (made, asked) in SAMPLES.items():
        rows = report["samples"][sample] = {}
        for way, constants in WAYS.items():
            with changed(constants):
                rows[way] = row = mean([one(seed, made, asked) for seed in options.seeds])
            given = f"{row['given_degrees']:9.2f}{row['given_px']:7.2f}"
            print(f"{sample:22}{way:24}{row['index']:8.2f}{row['degrees']:9.2f}{row['px']:8.2f}   {given}", flush=True)
    write(options.json, json.dumps(rounded(report), indent=1) + "\n")
    return 0


def one(seed: int, made: dict[str, Any], asked: dict[str, Any]) -> dict[str, float]:
    """A sample."""
    world = em_world.simulate(**made, seed=seed)
    if made["n"] == 16:
        world.given_offsets = world.offsets + np.random.default_rng(seed).normal(size=world.offsets.shape) * 0.5
    setup = em_world.setup(world, **asked)
    state = list(iterate(setup, initial_state(setup), Silent()))[-1][0]
    there = world.labels > 0

    def degrees(orientations: np.ndarray) -> float:
        return float(np.median(angular_distance(orientations, world.orientations)[there]))

    def px(offsets: np.ndarray) -> float:
        return float(np.median(np.linalg.norm(offsets - world.offsets, axis=1)[there]))

    return {
        "index": rand_index(state.labels, world.labels),
        "degrees": degrees(state.orientations),
        "px": px(state.offsets),
        "given_degrees": degrees(world.given_orientations),
        "given_px": px(world.given_offsets),
    }


def mean(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of each figure."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


@contextmanager
def changed(constants: dict[str, float]) -> Iterator[None]:
    """Constants of `em/peaks.py` for a while."""
    before = {name: getattr(peaks, name) for name in constants}
    try:
        for name, value in constants.items():
            setattr(peaks, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(peaks, name, value)


if __name__ == "__main__":
    sys.exit(main())
