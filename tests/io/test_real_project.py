"""The HIV-1 tutorial project of RELION 5 (EMPIAR-10164) is read as it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.io.project import Project, find_project
from napari_subtomo.io.star import format_star, read_star
from napari_subtomo.io.tomograms import read_tomograms


@pytest.fixture
def hiv(shared: Path) -> Path:
    """The project's folder."""
    return shared / "data" / "relion5_hiv_project"


def test_the_kept_particles_load_and_land_where_the_law_puts_them(hiv: Path):
    """Three rows, worked out by hand: v = (c/1.35 + N/2)/7.407407 with N = (4000, 4000, 2000), read off as z, y, x."""
    particles = read_particles(hiv / "Picks/job019/particles.star")
    assert particles.n == 9442
    assert dict(zip(*np.unique(np.array(particles.tomo_names), return_counts=True), strict=True)) == {
        "TS_01": 1960, "TS_03": 1871, "TS_43": 2521, "TS_45": 1672, "TS_54": 1418,
    }  # fmt: skip
    tomograms = read_tomograms(hiv / "CtfRefine/job037/tomograms.star", Project(hiv))
    cells = {
        2: ("TS_54", ("-338.125230", "1965.895933", "505.855938")),
        4990: ("TS_01", ("-2370.343008", "49.390959", "180.677666")),
        9440: ("TS_03", ("-428.479295", "-971.259715", "-409.318682")),
    }
    positions = particles.positions()
    for row, (name, texts) in cells.items():
        assert particles.tomo_names[row] == name
        x, y, z = (float(text) for text in texts)
        voxel = tomograms[name].frame.voxels_zyx(positions[row])
        by_hand = ((z / 1.35 + 1000) / 7.407407, (y / 1.35 + 2000) / 7.407407, (x / 1.35 + 2000) / 7.407407)
        np.testing.assert_allclose(voxel, by_hand, rtol=0, atol=1e-9)
    # the first of them once more in plain digits: -338.12523/10 + 270 etc., as 1.35 Å · 7.407407 is 10 Å to 5e-8
    np.testing.assert_allclose(tomograms["TS_54"].frame.voxels_zyx(positions[2]), [185.585594, 466.589593, 236.187477], atol=3e-5)


def test_saving_the_kept_particles_changes_no_cell_and_then_no_byte(hiv: Path, tmp_path: Path):
    source = hiv / "Picks/job019/particles.star"
    lines = [line.split("\t") for line in source.read_text().splitlines() if line.startswith("TS_")]
    path = tmp_path / "particles.star"
    write_particles(path, read_particles(source))
    once = path.read_bytes()
    written = [line.split() for line in path.read_text().splitlines() if line.strip().startswith("TS_")]
    assert written == lines
    write_particles(path, read_particles(path))
    assert path.read_bytes() == once


def test_all_files_of_the_project_survive(hiv: Path):
    for path in sorted(hiv.rglob("*.star")):
        star = read_star(path)
        text = format_star(star)
        if "starfile" not in path.read_text()[:80]:
            assert text == path.read_text(), path
        assert [dict(b.columns) for b in star] == [dict(b.columns) for b in read_star(path)]


def test_sets_and_tomograms_of_the_project_are_understood(hiv: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    picks = read_optimisation_set(hiv / "Picks/job019/optimisation_set.star")
    assert (picks.particles, picks.tomograms) == ("Picks/job019/particles.star", "Denoise/job008/tomograms.star")
    extract = read_optimisation_set(hiv / "Extract/job031/optimisation_set.star")
    assert extract.trajectories == "Polish/job030/motion.star"
    assert find_project(hiv / "Picks/job019/optimisation_set.star").root == hiv
    tomograms = read_tomograms(hiv / "CtfRefine/job037/tomograms.star")
    assert tomograms.project.root == hiv
    tomogram = tomograms["TS_01"]
    assert tomogram.display_path == hiv / "Denoise/job008/tomograms/rec_TS_01.mrc"
    paths, warning = tomogram.extraction_paths()
    assert [p.name for p in paths] == ["rec_TS_01_half1.mrc", "rec_TS_01_half2.mrc"]
    assert warning is not None
    series = tomograms.tilt_series("TS_01")
    assert len(series) == 40
    assert series.y_tilt.min() < -55
    assert series.has_ctf


def test_real_ribosomes_of_relion4_find_their_places(shared: Path):
    folder = shared / "data" / "real_ribosomes_2dstacks"
    stem = "warptools_test_4-tomos_10-ptcls_box-32_angpix-12"
    particles, tomograms = read_particles(folder / f"{stem}.star"), read_tomograms(folder / f"{stem}_tomograms.star", Project(folder))
    assert (particles.dialect, particles.n, particles.is_2d_stacks, particles.pixel_size) == ("relion4", 40, True, 12.0)
    # WarpTools counts pixels of the exported images: as unbinned pixels all particles would crowd into a corner of the tomogram
    expected = np.array([494.521, 564.065, 28.146]) * 12.0 - np.array([2200, 3000, 700]) * 1.667
    np.testing.assert_allclose(particles.coordinates(tomograms)[0], expected, rtol=0, atol=1e-9)
    assert len(tomograms.tilt_series("Unt_083.tomostar")) == 37
