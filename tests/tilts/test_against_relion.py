"""What is extracted from tilt images against what RELION 5.0.1 extracted from the same."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_subtomo.extract import run
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import mrc_header, read_mrc, write_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import read_star, write_star
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Silent

CASES: dict[str, dict[str, Any]] = {
    "Extract2d": {"box_size": 48, "crop_size": 32, "float16": False},
    "Extract3d": {"box_size": 48, "crop_size": 32, "float16": False, "stack2d": False},
    "Extract2d_bin2_f16": {"box_size": 24, "crop_size": 16, "binning": 2, "max_dose": 60},
    "Extract3d_bin2_f16": {"box_size": 24, "crop_size": 16, "binning": 2, "max_dose": 60, "stack2d": False},
}
TEXTS = (
    *(relion.TOMO_NAME, relion.TOMO_PARTICLE_NAME, relion.VISIBLE_FRAMES, relion.OPTICS_GROUP_NAME),
    *(relion.IMAGE_NAME, relion.CTF_IMAGE),
)
IMAGES = (12, 20, 27)  # those of the tilt images that come with the tests
FIRST = 10  # row of the first image up to 60 e/Å²


def extract(root: Path, job: str, **options: Any) -> ParticleSet:
    folder = JobFolder(Project(root), root / job)
    folder.path.mkdir(parents=True)
    paths = {"particles": root / "particles.star", "tomograms": root / "tomograms.star"}
    return read_particles(run(ExtractOptions(**paths, source="tilts", **options), folder, Silent()).outputs["particles"])


def error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Root mean square of the difference relative to theirs."""
    return float(np.sqrt(np.mean((ours - theirs) ** 2) / np.mean(theirs**2)))


def same_tables(ours: ParticleSet, theirs: ParticleSet, job: str, case: str) -> None:
    """Columns in RELION's order, numbers as it prints them, texts and paths equal."""
    assert ours.is_2d_stacks == theirs.is_2d_stacks
    assert ours.optics is not None and theirs.optics is not None
    for mine, golden in ((ours.table, theirs.table), (ours.optics, theirs.optics)):
        assert mine.labels == golden.labels
        for label in golden.labels:
            texts = [text.replace(case, job) for text in golden.texts(label)]
            if label in TEXTS:
                assert list(mine.texts(label)) == texts
                continue
            printed = 10.0 ** -np.array([len(text.partition(".")[2]) for text in texts])
            assert np.all(np.abs(mine.floats(label) - golden.floats(label)) <= 0.51 * printed + 1e-9), label


@pytest.fixture
def blank(golden: Path, tmp_path: Path) -> Path:
    """The project with images of zeros, for what does not depend on them."""
    root = tmp_path / "project"
    shutil.copytree(golden / "tilt_series", root / "tilt_series")
    for name in ("tomograms.star", "particles.star"):
        shutil.copy(golden / name, root)
    zeros = np.zeros((256, 256), np.float32)
    for tilt in range(41):
        write_mrc(root / f"images/TS_01_{tilt:02d}.mrc", zeros, 10.0)
    return root


@pytest.mark.parametrize("case", CASES)
def test_tables_are_those_of_relion(golden: Path, blank: Path, case: str) -> None:
    ours = extract(blank, "Extract/job001", **CASES[case])
    same_tables(ours, read_particles(golden / case / "particles.star"), "Extract/job001", case)
    written = read_star(blank / "Extract/job001/optimisation_set.star").first
    assert written.texts(relion.TOMO_PARTICLES_FILE) == ("Extract/job001/particles.star",)
    assert written.texts(relion.TOMO_TOMOGRAMS_FILE) == ("tomograms.star",)


def test_weights_and_multiplicities_are_those_of_relion(golden: Path, blank: Path) -> None:
    case = "Extract3d_bin2_f16"
    ours = extract(blank, "Extract/job001", **CASES[case])
    for number in range(1, 25):
        mine = read_mrc(blank / f"Extract/job001/Subtomograms/TS_01/{number}_weights.mrc")
        theirs = read_mrc(golden / f"{case}/Subtomograms/TS_01/{number}_weights.mrc")
        assert mine.shape == theirs.shape == (32, 16, 9)
        assert error(mine[:16], theirs[:16]) < 1e-3 and error(mine[16:], theirs[16:]) < 1e-3
    header = mrc_header(blank / ours.image_paths[0])
    assert header.mode == 12 and header.shape == (16, 16, 16)


def test_images_are_those_of_relion_in_the_tilts_that_come_with_the_tests(golden: Path, blank: Path) -> None:
    for tilt in IMAGES:
        shutil.copy(golden.parent / f"tilt_images/TS_01_{tilt:02d}.mrc", blank / "images")
    path = blank / "tilt_series/TS_01.star"
    table = read_star(path)
    write_star(path, table.replace(table["TS_01"].rows(list(IMAGES))))
    case = "Extract2d_bin2_f16"
    ours = extract(blank, "Extract/job001", **CASES[case])
    for number, image in enumerate(ours.image_paths, start=1):
        theirs = read_mrc(golden / f"{case}/Subtomograms/TS_01/{number}_stack2d.mrcs")[[tilt - FIRST for tilt in IMAGES]]
        assert error(read_mrc(blank / image), theirs) < 2e-3  # both sides are rounded to float16


@pytest.mark.parametrize("case", CASES)
def test_every_file_is_that_of_relion(shared: Path, tmp_path: Path, case: str) -> None:
    original = shared / "golden/relion5"
    if not (original / "images").is_dir():
        pytest.skip(f"the tilt images are not in {original}")
    root = tmp_path / "project"
    root.mkdir()
    for name in ("tilt_series", "tomograms.star", "particles.star", "images"):
        (root / name).symlink_to(original / name)
    ours = extract(root, "Extract/job001", **CASES[case])
    theirs = read_particles(original / case / "particles.star")
    same_tables(ours, theirs, "Extract/job001", case)
    bound = 1e-3 if "f16" in case else 1e-5
    for mine, golden in zip(ours.image_paths, theirs.image_paths, strict=True):
        assert error(read_mrc(root / mine), read_mrc(original / golden)) < bound
    for mine, golden in zip(ours.ctf_paths, theirs.ctf_paths, strict=True):
        if mine:
            a, b = read_mrc(root / mine), read_mrc(original / golden)
            assert error(a[: len(a) // 2], b[: len(a) // 2]) < bound and error(a[len(a) // 2 :], b[len(a) // 2 :]) < bound
