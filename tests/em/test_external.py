"""An outside program makes the references: what it is given is what ours are made of, what comes back is used, and it may go wrong."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import em_files
from helpers import em_world as world_of
from helpers.em_world import World, simulate

from napari_subtomo.em.engine import initial_state, one_iteration
from napari_subtomo.em.external import BLUSH, External, external_of, external_references
from napari_subtomo.em.maximisation import Maximiser
from napari_subtomo.em.statistics import Sums
from napari_subtomo.errors import FileMissingError, JobCancelled, JobError, OptionError
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import read_star
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.rotate import PaddedGrid
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

PAGE = Path(__file__).resolve().parents[2] / "docs" / "external-reconstruction.md"
RELION = "relion_external_reconstruct"
N, FOLDS, SHELLS, PIXEL = 24, 3, 13, 10.0
NOISE = np.linspace(300.0, 20.0, SHELLS)

# What goes wrong, after the program of the page where that is imported.
BROKEN = {
    "fails": "print('no such device')\nsys.exit(3)",
    "writes nothing": "pass",
    "is too small": "write(np.zeros((4, 4, 4), np.float32))",
    "is not finite": "write(np.full((16, 16, 16), np.nan, np.float32))",
}
WRITE = """
import sys, time
import mrcfile, numpy as np
value = dict(line.split() for line in open(sys.argv[-1]) if len(line.split()) == 2 and line.startswith("_rln"))
def write(volume):
    with mrcfile.new(value["_rlnExtReconsResult"]) as file:
        file.set_data(volume)
"""


def command(tmp_path: Path, text: str) -> str:
    """A program of this text, as a command line."""
    path = tmp_path / "program.py"
    path.write_text(text)
    return shlex.join([sys.executable, str(path)])


@pytest.fixture
def divides(tmp_path: Path) -> str:
    """The program of the documentation, which divides and does nothing else."""
    match = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert match is not None
    return command(tmp_path, match[1])


def folder_of(tmp_path: Path) -> JobFolder:
    (tmp_path / "Class3D/job001").mkdir(parents=True)
    return JobFolder(Project(tmp_path), tmp_path / "Class3D/job001")


def sums(grid: PaddedGrid, classes: int, weights: tuple[float, float] = (50.0, 500.0)) -> Sums:
    """Sums of similar densities by fold and class, with weights that differ from node to node and have an empty wedge."""
    rng = np.random.default_rng(3)
    shape = FOLDS, classes, *grid.shape
    maps = [world_of.render(world_of.density(grid.n, seed=1 + c), grid.n) for c in range(classes)]
    wide = np.abs(np.fft.fftfreq(grid.edge, 1 / grid.edge))
    wedge = wide[:, None, None] <= 2 * np.hypot(wide[None, :, None], np.arange(grid.shape[2])[None, None])
    denominator = (rng.uniform(*weights, shape) * wedge).astype(np.float32)
    numerator = np.stack([np.stack([grid.transform(m) for m in maps]) for _ in range(FOLDS)])
    noise = rng.normal(size=(FOLDS, classes, grid.n, grid.n, grid.n)).astype(np.float32) * 0.05
    numerator = (numerator + np.stack([[grid.transform(m) for m in fold] for fold in noise])) * denominator
    return Sums(numerator.astype(np.complex64), denominator)


def made(external: External, maximiser: Maximiser, given: Sums, shrink_to: str) -> tuple[np.ndarray, np.ndarray]:
    """Our references and those of a program from the same sums."""
    options = ClassifyOptions(reference="none.mrc", mask_diameter=160, shrink_to=shrink_to, regularisation=2.0)
    ours = maximiser.references(given, NOISE, options.regularisation, shrink_to)
    theirs = external_references(external, maximiser, given, NOISE, options, PIXEL, 1, Silent())
    print("noise", theirs.map_noise[:,:10] / np.maximum(ours.map_noise[:,:10],1e-9))
    return ours.maps, theirs.maps


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """R.m.s. of the difference in units of the r.m.s. of the first."""
    return float(np.sqrt(((a - b) ** 2).sum() / (a**2).sum()))


@pytest.mark.parametrize("limit", [None, 6])
@pytest.mark.parametrize("classes", [1, 2])
def test_a_program_that_divides_makes_our_own_references(tmp_path: Path, divides: str, classes: int, limit: int | None) -> None:
    grid = PaddedGrid(N, limit=limit)
    maximiser = Maximiser(grid, soft_sphere(N, 8, 2), limit or 9, SHELLS)
    external = External(tuple(shlex.split(divides)), folder_of(tmp_path), 160.0)
    ours, theirs = made(external, maximiser, sums(grid, classes), "consensus")
    assert difference(ours, theirs) < 2e-3
    assert difference(ours, np.roll(ours, 1, axis=0)) > 5 * difference(ours, theirs)  # no fold has that of another
    kept = read_mrc(external.folder.file("run_it001_class001_external_reconstruct.mrc"))
    assert kept == pytest.approx(theirs[:, 0].mean(0), abs=1e-6)
    assert len(list(external.folder.path.glob("*external_reconstruct*"))) == classes


@pytest.mark.parametrize("classes", [1, 2])
def test_particles_that_stay_in_one_orientation_get_no_envelope(tmp_path: Path, divides: str, classes: int) -> None:
    grid = PaddedGrid(N, 1, exact=True)
    maximiser = Maximiser(grid, soft_sphere(N, 8, 2), 9, SHELLS)
    external = External(tuple(shlex.split(divides)), folder_of(tmp_path), 160.0)
    ours, theirs = made(external, maximiser, sums(grid, classes), "consensus")
    print(difference(ours, theirs))
    assert difference(ours, theirs) < 0.03


def test_a_class_of_its_own_is_sent_once_for_all_folds(tmp_path: Path, divides: str) -> None:
    maximiser = Maximiser(PaddedGrid(N), soft_sphere(N, 8, 2), 9, SHELLS)
    external = External(tuple(shlex.split(divides)), folder_of(tmp_path), 160.0)
    ours, theirs = made(external, maximiser, sums(maximiser.grid, 2), "own")
    said = external.folder.file("run.out").read_text()
    assert said.count(".star") == 2
    assert np.array_equal(theirs[0], theirs[2])
    print(difference(ours, theirs))


@pytest.mark.skipif(shutil.which(RELION) is None, reason=f"{RELION} is not installed")
@pytest.mark.parametrize("classes", [1, 2])
def test_relions_own_program_agrees(tmp_path: Path, classes: int) -> None:
    maximiser = Maximiser(PaddedGrid(N), soft_sphere(N, 8, 2), 9, SHELLS)
    words = shutil.which(RELION), "--skip_gridding"
    path = tmp_path / "relion"
    path.write_text(f"#!/bin/sh\n{shlex.quote(words[0])} \"$1\" --skip_gridding\n")
    path.chmod(0o755)
    external = External((str(path),), folder_of(tmp_path), 160.0)
    ours, theirs = made(external, maximiser, sums(maximiser.grid, classes), "consensus")
    print(difference(ours, theirs))
    iterated = replace(external, words=(words[0],))
    ours, other = made(iterated, maximiser, sums(maximiser.grid, classes), "consensus")
    print("iterated", difference(ours, other), (ours*other).sum()/(ours**2).sum())
