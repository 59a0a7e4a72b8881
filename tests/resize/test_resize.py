"""`resize-map` on files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from napari_subtomo.cli.main import main
from napari_subtomo.errors import FileFormatError, InputError
from napari_subtomo.io import relion
from napari_subtomo.io.maps import MapFile, misfit, read_fitting, read_map
from napari_subtomo.io.mrc import mrc_header, read_mrc, write_mrc
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.options.resize import ResizeOptions
from napari_subtomo.progress import Silent
from napari_subtomo.resize import run


@pytest.fixture
def job(tmp_path: Path) -> JobFolder:
    folder = tmp_path / "ResizeMap" / "job001"
    folder.mkdir(parents=True)
    return JobFolder(Project(tmp_path), folder)


def ball(n: int, pixel: float, radius: float = 60.0, offset: float = 0.0) -> np.ndarray:
    """A smooth ball (Å) moved along x."""
    axis = (np.arange(n) - n // 2) * pixel
    r2 = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + (axis[None, None, :] - offset) ** 2
    return np.exp(-r2 / (2 * (radius / 2) ** 2)).astype(np.float32)


def resize(job: JobFolder, *maps: Path, **options: object):
    return run(ResizeOptions(maps=maps, **options), job, Silent())


@pytest.mark.parametrize(
    ("n", "pixel", "new_n", "new_pixel"), [(32, 10.0, 40, 7.5), (33, 10.0, 48, 6.1), (48, 5.4, 25, 8.1), (31, 8.1, 31, 10.0)]
)
def test_box_and_pixel_size_are_those_asked_for_and_the_density_stays_in_its_place(
    job: JobFolder, tmp_path: Path, n: int, pixel: float, new_n: int, new_pixel: float
) -> None:
    write_mrc(tmp_path / "map.mrc", ball(n, pixel, offset=40.0), pixel)
    result = resize(job, tmp_path / "map.mrc", box_size=new_n, pixel_size=new_pixel)
    header = mrc_header(result.outputs["map"])
    assert header.shape == (new_n,) * 3 and header.voxel_size == pytest.approx(new_pixel, rel=1e-6)
    expected = ball(new_n, new_pixel, offset=40.0)
    radius = np.linalg.norm(np.indices(expected.shape) - new_n // 2, axis=0) * new_pixel
    inside = radius < min(n * pixel, new_n * new_pixel) / 2 - 10
    assert np.abs(read_mrc(result.outputs["map"]) - expected)[inside].max() < 5e-3
    assert result.numbers == {"box": new_n, "pixel_size": new_pixel}


def test_without_a_box_the_extent_stays_and_the_box_is_even(job: JobFolder, tmp_path: Path) -> None:
    write_mrc(tmp_path / "map.mrc", ball(33, 10.0), 10.0)
    header = mrc_header(resize(job, tmp_path / "map.mrc", pixel_size=7.3).outputs["map"])
    assert header.shape == (46, 46, 46)  # 330 Å are 45.2 px
    assert header.voxel_size == pytest.approx(7.3)


def test_a_new_box_alone_changes_no_value(job: JobFolder, tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((16, 16, 16)).astype(np.float32)
    write_mrc(tmp_path / "map.mrc", values, 4.0)
    found = read_mrc(resize(job, tmp_path / "map.mrc", box_size=20).outputs["map"])
    assert np.array_equal(found[2:18, 2:18, 2:18], values) and np.count_nonzero(found) == values.size
    assert mrc_header(job.file("map.mrc")).voxel_size == pytest.approx(4.0)


def test_a_disparity_of_precision_changes_the_header_alone_unless_that_is_switched_off(job: JobFolder, tmp_path: Path) -> None:
    values = ball(24, 1.24453, radius=8.0)
    write_mrc(tmp_path / "map.mrc", values, 1.24453)
    result = resize(job, tmp_path / "map.mrc", pixel_size=1.244)
    assert np.array_equal(read_mrc(result.outputs["map"]), values)
    assert mrc_header(result.outputs["map"]).voxel_size == pytest.approx(1.244, rel=1e-6)
    assert "values unchanged" in result.summary[0]
    result = resize(job, tmp_path / "map.mrc", pixel_size=1.244, fix_pixel_size=False)
    assert not np.array_equal(read_mrc(result.outputs["map"]), values)
    assert np.abs(read_mrc(result.outputs["map"]) - ball(24, 1.244, radius=8.0)).max() < 1e-3


def test_a_header_is_corrected_without_touching_values(job: JobFolder, tmp_path: Path) -> None:
    values = ball(24, 8.1)
    write_mrc(tmp_path / "map.mrc", values, 1.0)
    result = resize(job, tmp_path / "map.mrc", input_pixel_size=8.1)
    assert np.array_equal(read_mrc(result.outputs["map"]), values)
    assert mrc_header(result.outputs["map"]).voxel_size == pytest.approx(8.1)


def test_particles_or_a_map_are_an_example(job: JobFolder, tmp_path: Path) -> None:
    write_mrc(tmp_path / "a.mrc", ball(32, 10.0), 10.0)
    optics = {relion.OPTICS_GROUP: [1], relion.IMAGE_PIXEL_SIZE: [8.1], relion.IMAGE_SIZE: [36]}
    particles = ParticleSet.create({relion.TOMO_NAME: ["T"], relion.OPTICS_GROUP: [1]}, optics, are_2d_stacks=False)
    write_particles(tmp_path / "particles.star", particles)
    assert read_map(resize(job, tmp_path / "a.mrc", like=tmp_path / "particles.star").outputs["a"]).grid == "36 px at 8.1 Å"
    write_mrc(tmp_path / "b.mrc", ball(20, 12.0), 12.0)
    found = read_map(resize(job, tmp_path / "a.mrc", like=tmp_path / "b.mrc", box_size=24).outputs["a"])
    assert found.grid == "24 px at 12 Å"


def test_a_mask_stays_between_0_and_1(job: JobFolder, tmp_path: Path) -> None:
    write_mrc(tmp_path / "mask.mrc", soft_sphere(32, 9, 0.5), 10.0)
    write_mrc(tmp_path / "map.mrc", ball(32, 10.0) * 3, 10.0)
    plain = read_mrc(resize(job, tmp_path / "mask.mrc", pixel_size=6.7).outputs["mask"])
    assert plain.max() > 1.01  # what a sharp edge does when it is resampled
    kept = read_mrc(resize(job, tmp_path / "mask.mrc", pixel_size=6.7, mask=True).outputs["mask"])
    assert kept.min() >= 0 and kept.max() <= 1
    assert kept.sum() * 6.7**3 == pytest.approx(soft_sphere(32, 9, 0.5).sum() * 10**3, rel=0.02)
    with pytest.raises(InputError, match=r"Expected a mask with values 0 to 1, found .* to 3 in .*map\.mrc"):
        resize(job, tmp_path / "map.mrc", pixel_size=6.7, mask=True)


def test_what_is_not_known_is_not_guessed(job: JobFolder, tmp_path: Path) -> None:
    write_mrc(tmp_path / "map.mrc", ball(16, 10.0), 0.0)
    with pytest.raises(InputError, match="--input-pixel-size"):
        resize(job, tmp_path / "map.mrc", pixel_size=5.0)
    assert not job.file("map.mrc").exists()
    import mrcfile

    write_mrc(tmp_path / "skewed.mrc", ball(16, 10.0), 10.0)
    with mrcfile.open(tmp_path / "skewed.mrc", mode="r+") as file:
        file.voxel_size = (10.0, 10.0, 12.0)
    with pytest.raises(FileFormatError, match="found 10 x 10 x 12 Å"):
        resize(job, tmp_path / "skewed.mrc", pixel_size=5.0)


def test_options_that_ask_for_nothing_or_for_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="expected a change"):
        ResizeOptions(maps=(tmp_path / "a.mrc",))
    with pytest.raises(ValidationError, match=r"found a\.mrc twice"):
        ResizeOptions(maps=(tmp_path / "a.mrc", tmp_path / "b" / "a.mrc"), box_size=20)


def test_the_command_that_an_error_names_mends_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words between the grave accents of the sentence, run as they are; a name with a space stays one word."""
    import shlex

    monkeypatch.chdir(tmp_path)
    write_mrc("my mask.mrc", soft_sphere(20, 6, 3), 12.0)
    error = misfit(read_map(Path("my mask.mrc")), "mask", 24, 10.0, mask=True)
    words = shlex.split(str(error).split("`")[1])
    assert words[0] == "napari-subtomo"
    assert main([*words[1:], "-o", "ResizeMap/job001"]) == 0
    assert read_fitting(tmp_path / "ResizeMap/job001/my mask.mrc", "mask", 24, 10.0).fits(24, 10.0)


def test_a_map_fits_up_to_the_precision_of_headers() -> None:
    cube = np.zeros((8, 8, 8), np.float32)
    assert MapFile(Path("a"), cube, 1.00003).fits(8, 1.0) and MapFile(Path("a"), cube, None).fits(8, 1.0)
    assert not MapFile(Path("a"), cube, 1.001).fits(8, 1.0) and not MapFile(Path("a"), cube, 1.0).fits(10, 1.0)
