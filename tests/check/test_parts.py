"""The parts of the checks against numbers computed in another way, and what they say where files are missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_subtomo.check.box import share_kept, spread
from napari_subtomo.check.pixels import check_pixels
from napari_subtomo.check.sample import choose_rows, crop_half
from napari_subtomo.check.signal import common
from napari_subtomo.check.wedge import BINS, Directions, plane_directions, turn_of
from napari_subtomo.errors import SubtomoError
from napari_subtomo.geometry.projection import tilt_matrix
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.tomograms import read_tomograms
from napari_subtomo.jobs.runner import run_job
from napari_subtomo.options.check_extraction import CheckExtractionOptions


def test_particles_are_taken_evenly_from_the_tomograms_and_from_the_front() -> None:
    rows = choose_rows(["a"] * 6 + ["b"] * 2 + ["a"] * 2, 5)
    assert rows.tolist() == [0, 1, 2, 6, 7]
    assert choose_rows(["a", "b"], 300).tolist() == [0, 1]


def test_a_half_transform_is_cropped_as_the_full_one() -> None:
    volume = np.random.default_rng(0).standard_normal((12, 12, 12))
    full = np.fft.fftshift(np.fft.fftn(volume))[3:9, 3:9, 3:9]
    np.testing.assert_allclose(crop_half(np.fft.rfftn(volume), 6)[..., :3], np.fft.ifftshift(full)[..., :3])


def test_pairs_of_noise_have_a_z_of_standard_deviation_one_whatever_its_distribution() -> None:
    rng = np.random.default_rng(1)
    z = []
    for _ in range(200):
        noise = rng.standard_normal((25, 80)) + 1j * rng.standard_normal((25, 80))
        noise *= rng.gamma(1.0, size=(25, 1)) * rng.standard_normal((25, 80)) ** 2
        z.append(common(noise.astype(np.complex64)).z)
    assert abs(np.mean(z)) < 0.2 and 0.8 < np.std(z) < 1.2


def test_what_is_common_is_measured() -> None:
    rng = np.random.default_rng(2)
    shared = rng.standard_normal(4000) + 1j * rng.standard_normal(4000)
    noise = rng.standard_normal((60, 4000)) + 1j * rng.standard_normal((60, 4000))
    found = common((0.5 * shared + noise).astype(np.complex64))
    assert found.mean == pytest.approx(0.2, abs=0.01)  # 0.25 / 1.25
    assert found.z > 20


def test_the_ctf_moves_signal_by_lambda_defocus_k() -> None:
    assert spread(1 / 10, 30000.0, 300.0, 0.0) == pytest.approx(0.019687 * 3000, rel=1e-3)
    assert spread(0.1, 30000.0, 300.0, 2.7) == pytest.approx(0.019687 * 3000 - 2.7e7 * 0.019687**3 * 1e-3, rel=1e-3)


def test_a_box_of_diameter_and_twice_the_spread_keeps_everything() -> None:
    assert share_kept(200, 300, 50) == 1.0
    assert share_kept(200, 200, 0) == 1.0
    rng = np.random.default_rng(3)
    points = rng.uniform(-100, 100, (200_000, 3))
    points = points[np.linalg.norm(points, axis=1) < 100][:, :2]
    kept = np.mean(np.hypot(points[:, 0] + 60, points[:, 1]) < 120)
    assert share_kept(200, 240, 60) == pytest.approx(kept, abs=0.01)


def test_the_plane_of_a_tilt_lies_at_its_angle_whatever_the_axis_in_the_image() -> None:
    angles = np.array([-60.0, -3.0, 0.0, 45.0])
    matrices = np.stack([tilt_matrix(0.0, angle, 85.0) for angle in angles])
    np.testing.assert_allclose(plane_directions(matrices, np.array([0.0, 1.0, 0.0])), angles, atol=1e-9)


@pytest.mark.parametrize("shift", [-12.0, 0.0, 7.0])
def test_directions_that_are_turned_are_found_so(shift: float) -> None:
    tilts = (np.arange(-50.0, 61, 3),)
    middle = (np.arange(BINS) + 0.5) * 180 / BINS - 90
    truth = Directions("tomograms", middle, np.zeros((1, BINS)), tilts).expected(shift)
    power = truth + 0.05 * np.random.default_rng(4).standard_normal((8, BINS))
    turn = turn_of(Directions("tomograms", middle, power, tilts))
    assert turn.shift == pytest.approx(shift, abs=1.0) and turn.error < 1.0
    assert turn.match > 0.9


def extraction(bench: Any, project: Path) -> Path:
    """The sound 3D extraction of the tests of faults, or a new one."""
    from napari_subtomo.options.extract import ExtractOptions

    folder, _ = run_job(
        "extract",
        ExtractOptions(optimisation_set=project / "optimisation_set.star", box_size=72, crop_size=54, stack2d=True),
        project=Project(project),
    )
    return folder.path


def test_the_job_writes_verdicts_pictures_and_text_and_knows_the_box_from_the_record(bench: Any, project: Path) -> None:
    folder = extraction(bench, project)
    options = CheckExtractionOptions(optimisation_set=folder / "optimisation_set.star", diameter=180, count=24)
    check, result = run_job("check-extraction", options, project=Project(project))
    assert check.path.parent.name == "Check" and result.numbers["particles"] == 24
    content = json.loads((check.path / "checks.json").read_text())
    assert len(content["checks"]) == 7 and content["particle_set"] == Project(project).name(folder / "particles.star")
    box = next(one for one in content["checks"] if one["name"] == "box")
    assert box["numbers"]["box"] == 360 and "job_record.json" in box["numbers"]["box_from"]
    for one in content["checks"]:
        assert one["sentence"] in " ".join(result.summary)
        if one["picture"]:
            assert (check.path / one["picture"]).read_bytes()[:4] == b"\x89PNG"
    assert {one["name"] for one in content["checks"] if one["picture"]} == {"signal", "centre", "contrast", "hand", "wedge"}
    assert (check.path / "checks.txt").read_text().count("Rule:") == 7


def test_without_tilt_images_and_tomograms_stacks_are_used_and_the_rest_says_why_not(bench: Any, project: Path, tmp_path: Path) -> None:
    home = tmp_path / "project"
    folder = extraction(bench, project)
    for part in ("tilt_series", folder.relative_to(project)):
        shutil.copytree(project / part, home / part)
    shutil.copy(project / "tomograms.star", home)
    options = CheckExtractionOptions(particles=home / folder.relative_to(project) / "particles.star", tomograms=home / "tomograms.star")
    check, _ = run_job("check-extraction", options, project=Project(home))
    found = {one["name"]: one for one in json.loads((check.path / "checks.json").read_text())["checks"]}
    assert found["hand"]["numbers"]["source"] == "2D stacks"
    assert found["hand"]["numbers"]["z"] > 2  # weaker than from tilt images: what the CTF took is divided back, damped
    assert "2D stacks have no wedge of their own" in found["wedge"]["sentence"]
    assert found["wedge"]["numbers"]["z, angles of the other sign"] < 0


def test_headers_that_say_nothing_cannot_tell(golden: Path, tmp_path: Path) -> None:
    shutil.copytree(golden / "Extract2d_bin2_f16", tmp_path / "Extract2d_bin2_f16")
    shutil.copytree(golden / "tilt_series", tmp_path / "tilt_series")
    shutil.copy(golden / "tomograms.star", tmp_path)
    project = Project(tmp_path)
    particles = read_particles(tmp_path / "Extract2d_bin2_f16/particles.star")
    tomograms = read_tomograms(tmp_path / "tomograms.star", project)
    assert check_pixels(particles, tomograms, project).status == "pass"  # RELION's own headers
    for path in (tmp_path / "Extract2d_bin2_f16").rglob("*.mrcs"):
        content = bytearray(path.read_bytes())
        content[40:52] = bytes(12)
        path.write_bytes(bytes(content))
    assert check_pixels(particles, tomograms, project).status == "cannot tell"


def test_particles_that_were_never_extracted_are_refused_in_one_sentence(project: Path) -> None:
    options = CheckExtractionOptions(optimisation_set=project / "optimisation_set.star")
    with pytest.raises(SubtomoError, match="extract the particles first"):
        run_job("check-extraction", options, project=Project(project))
