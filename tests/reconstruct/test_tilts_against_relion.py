"""Averages from tilt images against `relion_tomo_reconstruct_particle` of RELION 5.0.1 on the same particles and images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.extract_world import Listener

from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.io.mrc import mrc_header, read_mrc, write_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.tomograms import read_tomograms
from napari_subtomo.numerics.fourier import centred_fft, radial_mean
from napari_subtomo.numerics.fsc import fsc
from napari_subtomo.numerics.planes import PlaneSums
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.progress import Silent
from napari_subtomo.reconstruct import run
from napari_subtomo.reconstruct.from_tilts import TiltAverage
from napari_subtomo.reconstruct.gridded import solve_planes

BOXES = {"source": "tilts", "box_size": 48, "crop_size": 32, "binning": 1.0, "device": "cpu"}
HALVES = {"half1": 1, "half2": 2}


def error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Root mean square of the difference relative to theirs."""
    return float(np.sqrt(np.mean((ours - theirs) ** 2) / np.mean(theirs**2)))


def weights_error(sums: PlaneSums, path: Path) -> float:
    """Against a file in centred layout; the plane at its edge, which RELION fills by mirroring, says nothing new."""
    n = sums.box
    return error(np.fft.fftshift(sums.weights, axes=(0, 1))[:, :, : n // 2], read_mrc(path)[:, :, n // 2 :])


def options(root: Path, particles: str = "Extract2d/particles.star") -> ReconstructOptions:
    return ReconstructOptions(particles=root / particles, tomograms=root / "tomograms.star", **BOXES)


@pytest.fixture(scope="module")
def original(shared: Path) -> Path:
    root = shared / "golden/relion5"
    if not (root / "images").is_dir():
        pytest.skip(f"the tilt images are not in {root}")
    return root


@pytest.fixture(scope="module")
def sums(original: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, PlaneSums]:
    """Of each half."""
    chosen, particles = options(original), read_particles(original / "Extract2d/particles.star")
    work = TiltAverage(chosen, particles, read_tomograms(original / "tomograms.star"), None, tmp_path_factory.mktemp("sums"), Silent())
    return work.sums(particles.half_sets, "cpu", Silent())


@pytest.mark.parametrize("particles", ["Extract2d/particles.star", "particles.star"])
def test_maps_are_those_of_relion(original: Path, golden: Path, tmp_path: Path, particles: str) -> None:
    """From extracted particles, whose coordinates took up the origins to six digits, and from those that they were extracted from."""
    result = run(options(original, particles), JobFolder(Project(original), tmp_path), Silent())
    for name in ("merged", "half1", "half2"):
        ours, theirs = read_mrc(result.outputs[name]), read_mrc(golden / "Reconstruct" / f"{name}.mrc")
        curve = fsc(ours, theirs)
        assert curve[1:13].min() > 0.99  # to 0.8 of Nyquist; the mean of the map, shell 0, is near 0
        power = [radial_mean(np.abs(centred_fft(m)) ** 2)[1:16] for m in (ours, theirs)]
        assert np.abs(np.sqrt(power[0] / power[1]) - 1).max() < 0.05
        assert error(ours, theirs) < (1e-5 if particles.startswith("Extract2d") else 1e-4)
        assert mrc_header(result.outputs[name]).voxel_size == pytest.approx(10, abs=1e-4)


def test_sums_and_whole_maps_are_those_of_relion(original: Path, sums: dict[int, PlaneSums]) -> None:
    for name, half in HALVES.items():
        assert weights_error(sums[half], original / f"Reconstruct/weight_{name}.mrc") < 1e-5
        whole = solve_planes(sums[half], symmetry_matrices("C1"))
        assert error(whole, read_mrc(original / f"Reconstruct/{name}_full.mrc")) < 1e-5


def test_weights_are_those_of_relion_in_every_clone(golden: Path, tmp_path: Path) -> None:
    """They do not depend on the images, so images of zeros will do; RELION's are kept in float16."""
    for name in ("tomograms.star", "particles.star"):
        shutil.copy(golden / name, tmp_path)
    shutil.copytree(golden / "tilt_series", tmp_path / "tilt_series")
    for tilt in range(41):
        write_mrc(tmp_path / f"images/TS_01_{tilt:02d}.mrc", np.zeros((256, 256), np.float32), 10.0)
    particles, tomograms = read_particles(tmp_path / "particles.star"), read_tomograms(tmp_path / "tomograms.star")
    listener = Listener()
    work = TiltAverage(options(tmp_path, "particles.star"), particles, tomograms, None, tmp_path, listener)
    assert "24 particles in 39.4 tilt images each, box 48 px of 10 Å (binning 1), cropped to 32 px, symmetry C1" in work.sentence
    sums = work.sums(particles.half_sets, "cpu", listener)[1]
    assert weights_error(sums, golden / "Reconstruct/weight_half1.mrc") < 1e-3
