"""Maps of outside programs against ours, from the same sums, and all against the truth; RELION 3.1's program on the path.

    python benchmarks/external.py --seeds 101 105

A sample: particles of one species with known orientations in memory, box 24, missing wedges of ±60° in two directions; one iteration with
one class and two folds. Programs: the one of docs/external-reconstruction.md, and relion_external_reconstruct with and without iterations
of its weights. Error: r.m.s. difference within the mask in units of the truth, which is cut at the same shell.
`--box N` times one call of each instead. Results go to benchmarks/external.json.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from helpers import em_files, em_world  # noqa: E402

from napari_subtomo.em.engine import initial_state, one_iteration  # noqa: E402
from napari_subtomo.em.external import External, external_references  # noqa: E402
from napari_subtomo.em.maximisation import Maximiser  # noqa: E402
from napari_subtomo.em.statistics import Sums  # noqa: E402
from napari_subtomo.io.project import JobFolder, Project  # noqa: E402
from napari_subtomo.numerics.fourier import lowpass  # noqa: E402
from napari_subtomo.numerics.masks import soft_sphere  # noqa: E402
from napari_subtomo.numerics.padded_grid import PaddedGrid  # noqa: E402
from napari_subtomo.options.classify import ClassifyOptions  # noqa: E402
from napari_subtomo.progress import Silent  # noqa: E402

SAMPLES = {"40 particles, SNR 0.1": (40, 0.1), "200 particles, SNR 1": (200, 1.0)}
BOX = 24
Map = npt.NDArray[np.floating]


def programs(folder: Path) -> dict[str, tuple[str, ...]]:
    """Their command lines; RELION's wants the name of the file before its options."""
    relion = shutil.which("relion_external_reconstruct")
    if relion is None:
        sys.exit("Expected relion_external_reconstruct of RELION 3.1 on the path (Debian's package relion), found none.")
    plain = folder / "relion_skip_gridding"
    plain.write_text(f'#!/bin/sh\nexec {shlex.quote(relion)} "$1" --skip_gridding\n')
    plain.chmod(0o755)
    page = tuple(shlex.split(em_files.dividing_program(folder)))
    return {"page": page, "RELION, --skip_gridding": (str(plain),), "RELION": (relion,)}


def error(volume: Map, truth: Map) -> float:
    """R.m.s. of the difference in units of the truth."""
    return float(np.sqrt(((volume - truth) ** 2).sum() / (truth**2).sum()))


def compare(seed: int, count: int, snr: float, folder: Path) -> dict[str, list[float]]:
    """Of every program: difference from our map, error against the truth."""
    world = em_world.simulate(n=BOX, count=count, snr=snr, species=1, error=0.0, offset=0.0, seed=seed)
    setup = em_world.setup(world, classes=1, iterations=1, folds=2, empty_class=False)
    state = initial_state(setup)
    ours = one_iteration(setup, state, Silent())[0].maps[0, 0]
    last = min(setup.lattice.last_shell, state.last_shell + 3)
    truth = lowpass(world.maps[0], em_world.PIXEL, BOX * em_world.PIXEL / (last + 0.5)) * setup.maximiser.mask
    found = {"ours": [0.0, error(ours, truth)]}
    for name, words in programs(folder).items():
        external = External(words, JobFolder(Project(folder), folder), setup.options.mask_diameter, keep=False)
        theirs = one_iteration(replace(setup, external=external), state, Silent())[0].maps[0, 0]
        found[name] = [error(theirs, ours), error(theirs, truth)]
    return found


def timed(box: int, folder: Path) -> dict[str, float]:
    """Seconds for one map of a box, files included."""
    maximiser = Maximiser(PaddedGrid(box), soft_sphere(box, box * 0.35, 5), box // 3, box // 2 + 1)
    density = em_world.render(em_world.density(box), box)
    weight = np.random.default_rng(1).uniform(100, 200, maximiser.grid.shape).astype(np.float32)
    sums = Sums((maximiser.grid.transform(density) * weight)[None, None], weight[None, None])
    options = ClassifyOptions(reference=Path("none.mrc"), mask_diameter=7.0 * box)
    found = {}
    for name, words in programs(folder).items():
        external, began = External(words, JobFolder(Project(folder), folder), 7.0 * box, keep=False), time.monotonic()
        external_references(external, maximiser, sums, np.ones(box // 2 + 1), options, 10.0, 1, Silent())
        found[name] = round(time.monotonic() - began, 2)
    return found


def main(words: list[str] | None = None) -> int:
    """Compare or time, print, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs=2, default=(1, 3), metavar=("FIRST", "LAST"))
    parser.add_argument("--box", type=int)
    parser.add_argument("--json", type=Path, default=HERE / "external.json")
    asked = parser.parse_args(words)
    kept = json.loads(asked.json.read_text()) if asked.json.is_file() else {}
    with tempfile.TemporaryDirectory() as text:
        if asked.box:
            kept[f"seconds, box {asked.box}"] = timed(asked.box, Path(text))
            print(asked.box, kept[f"seconds, box {asked.box}"])
        else:
            seeds = range(asked.seeds[0], asked.seeds[1] + 1)
            for name, sample in SAMPLES.items():
                rows = {seed: compare(seed, *sample, Path(text)) for seed in seeds}
                kept[name] = rows
                for program in rows[seeds[0]]:
                    values = np.array([rows[seed][program] for seed in seeds])
                    low, high = values.min(0), values.max(0)
                    print(f"{name}: {program}: from ours {low[0]:.5f} … {high[0]:.5f}, from the truth {low[1]:.4f} … {high[1]:.4f}")
    asked.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
