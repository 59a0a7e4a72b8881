"""The job: which images, which particles, which files; and that a second run only does what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import strict_cupy
from helpers.tilt_cases import PLACES, images_of, stacks
from helpers.tilt_world import Series, TiltWorld

from napari_subtomo.errors import DeviceError, FileFormatError, FileMissingError, GeometryError, InputError, OptionError
from napari_subtomo.extract.dropped import REASON_LABEL
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import mrc_header, read_mrc, write_mrc
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.star import StarBlock, read_star, write_star
from napari_subtomo.io.trajectories import read_trajectories
from napari_subtomo.tilts.images import TiltImages


def noise(seed: int = 1, n: int = 7, shape: tuple[int, int] = (180, 200)) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).normal(100, 10, (n, *shape)).astype(np.float32))


@pytest.fixture
def filled(world: TiltWorld) -> TiltWorld:
    """One series of noise with four particles."""
    world.add(Series(), noise())
    world.particles(["TS_01"] * 4, [*PLACES, [0, 0, 0], [50, -60, 20]])
    return world


# --- images ------------------------------------------------------------------------------------------------------------------


def test_stacks_tiff_and_float16_give_what_plain_files_give(filled: TiltWorld) -> None:
    import tifffile

    root, images = filled.root, [np.round(image).astype(np.float32) for image in noise()]
    write_mrc(root / "stack.mrcs", np.stack(images), 5.0, stack=True)
    write_mrc(root / "half.mrc", images[3], 5.0, float16=True)
    tifffile.imwrite(root / "short.tif", np.flipud(images[1]).astype(np.int16), compression="zlib")
    tifffile.imwrite(root / "pages.tif", np.stack([np.flipud(images[0]), np.flipud(images[2])]))
    cells = ["1@stack.mrcs", "short.tif", "2@pages.tif", "half.mrc", "5@stack.mrcs", "6@stack.mrcs", "7@stack.mrcs"]
    filled.series.clear()
    filled.add(Series(), images)
    filled.extract("Extract/plain")
    filled.series.clear()
    filled.add(Series(), images, names=cells)
    filled.extract("Extract/mixed")
    for one, other in zip(stacks(filled, "Extract/plain"), stacks(filled, "Extract/mixed"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_each_image_is_read_once_and_what_does_not_fit_into_memory_is_mapped(filled: TiltWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    import tifffile

    images = noise()
    tifffile.imwrite(filled.root / "a.tif", np.flipud(images[2]))
    cells = [f"images/TS_01_{tilt:02d}.mrc" if tilt != 2 else "a.tif" for tilt in range(7)]
    filled.extract("Extract/kept")
    read: list[int] = []
    original = TiltImages._read
    monkeypatch.setattr(TiltImages, "_read", lambda self, tilt: (read.append(tilt), original(self, tilt))[1])
    filled.extract("Extract/once", max_dose=10)
    assert sorted(read) == [0, 1, 2, 3]  # exposures 0, 3, 6, 9
    filled.series.clear()
    filled.add(Series(), images, names=cells)
    monkeypatch.setattr("napari_subtomo.extract.tilt_worker._SHARE", 0.0)
    filled.extract("Extract/mapped")
    for one, other in zip(stacks(filled, "Extract/kept"), stacks(filled, "Extract/mapped"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert {path.name for path in (filled.root / "Extract/mapped").iterdir() if path.is_file()} == {
        "particles.star", "optimisation_set.star", "montage.png",
    }  # fmt: skip


def test_auto_takes_the_tilt_images_that_are_there_and_says_why(filled: TiltWorld) -> None:
    filled.extract()
    assert "Extracting from the tilt images (--from tilts): all 7 images of 1 tilt series are there." in filled.listener.messages
    (filled.root / "images/TS_01_03.mrc").unlink()
    filled.listener.messages.clear()
    with pytest.raises(InputError, match="reconstructed volume"):  # there is no tomogram either
        filled.extract("Extract/job002")
    assert "TS_01_03.mrc of TS_01 cannot be found" in filled.listener.messages[0]
    assert "--from tomogram" in filled.listener.messages[0]
    with pytest.raises(FileMissingError, match=r"TS_01_03\.mrc of TS_01 cannot be found"):
        filled.extract("Extract/job003", source="tilts")


# --- particles ---------------------------------------------------------------------------------------------------------------


def test_visible_frames_follow_margin_and_dose_and_boxes_may_reach_beyond(world: TiltWorld) -> None:
    """In a tilt of 0 about an axis along y a particle lies where its x and y are: 18 px from the right edge, 8 and 7.9 from the others."""
    zero = Series(z_rot=np.zeros(7), y_tilt=np.zeros(7), dose=np.arange(7.0) * 10)
    places = [[(200 - 18 - 100) * 5.0, 0, 0], [0, (8.1 - 90) * 5.0, 0], [0, (7.9 - 90) * 5.0, 0], [0, 0, 5000.0]]
    ramp = np.add.outer(1000.0 * np.arange(180), np.arange(200)).astype(np.float32)
    world.add(zero, [ramp] * 7)
    world.particles(["TS_01"] * 4, places)
    result = world.extract(box_size=40, crop_size=16, max_dose=35, circle_crop=False)
    particles = read_particles(result.outputs["particles"])
    assert particles.names == ("TS_01/1", "TS_01/2", "TS_01/4")  # outside of the tomogram is legal
    assert set(particles.texts(relion.VISIBLE_FRAMES)) == {"[1,1,1,1,0,0,0]"}
    dropped = read_particles(result.outputs["dropped"])
    assert dropped.names == ("TS_01/3",) and dropped.texts(REASON_LABEL) == ("no tilt image shows it",)
    assert mrc_header(world.root / particles.image_paths[0]).shape == (4, 16, 16)
    # the box of the first reaches two pixels beyond the right edge: those repeat the last column
    padded = np.pad(ramp, ((0, 0), (0, 8)), mode="edge")
    world.series.clear()
    world.add(Series(z_rot=np.zeros(7), y_tilt=np.zeros(7), dose=np.arange(7.0) * 10, shifts=np.tile([-20.0, 0], (7, 1))), [padded] * 7)
    world.extract("Extract/padded", box_size=40, crop_size=16, max_dose=35, circle_crop=False)
    np.testing.assert_allclose(stacks(world)[0], stacks(world, "Extract/padded")[0], rtol=1e-4, atol=1e-2)


def test_particles_with_too_few_frames_are_dropped(world: TiltWorld) -> None:
    world.add(Series(), noise())
    far = np.array([[440.0, 0, 250.0]])  # leaves the images at high tilts
    world.particles(["TS_01"] * 3, np.vstack([PLACES, far]))
    visible = [text.count("1") for text in read_particles(world.extract().outputs["particles"]).texts(relion.VISIBLE_FRAMES)]
    assert visible[:2] == [7, 7] and 0 < visible[2] < 7
    result = world.extract("Extract/job002", min_frames=7)
    assert result.numbers["particles"] == 2 and result.numbers["dropped"] == 1
    assert any("fewer than 7 tilt images show it" in text for text in world.listener.warnings)
    with pytest.raises(GeometryError, match=r"Expected a box that fits into the tilt images \(200 x 180 px at binning 1\), found 400 px"):
        world.extract("Extract/job003", box_size=400)


def test_particles_whose_images_hold_nan_are_dropped(world: TiltWorld) -> None:
    images = noise()
    images[2] = images[2].copy()
    x, y, _ = Series().places(PLACES[0], 2)
    for image in images:
        image.flags.writeable = True
    world.add(Series(), images)
    images[2][int(y), int(x)] = np.nan
    header = mrc_header(world.root / "images/TS_01_02.mrc")
    with (world.root / "images/TS_01_02.mrc").open("r+b") as file:
        file.seek(header.offset)
        file.write(images[2].astype("<f4").tobytes())
    world.particles(["TS_01"] * 2, PLACES)
    result = world.extract()
    assert read_particles(result.outputs["particles"]).names == ("TS_01/2",)
    assert "NaN" in read_particles(result.outputs["dropped"]).texts(REASON_LABEL)[0]
    assert not (world.root / "Extract/job001/Subtomograms/TS_01/1_stack2d.mrcs").exists()


# --- trajectories ------------------------------------------------------------------------------------------------------------


def motion_file(root: Path, names: list[str], moves: np.ndarray) -> Path:
    blocks = [StarBlock.loop(name, dict(zip(relion.ORIGINS, move.T, strict=True))) for name, move in zip(names, moves, strict=True)]
    write_star(root / "motion.star", [StarBlock.list(relion.GENERAL, {relion.PARTICLE_NUMBER: len(names)}), *blocks])
    return root / "motion.star"


def test_trajectories_move_particles_in_their_images_and_are_passed_on(world: TiltWorld) -> None:
    moves = np.random.default_rng(5).uniform(-15, 15, (2, 7, 3))
    series = Series()
    images = []
    for tilt in range(7):
        images.append(images_of(series, PLACES + moves[:, tilt])[tilt])
    world.add(series, images_of(series))
    world.particles(["TS_01"] * 2, PLACES)
    world.extract("Extract/still", box_size=48)
    world.series.clear()
    world.add(series, images)
    motion = motion_file(world.root, ["TS_01/1", "TS_01/2"], moves)
    world.extract("Extract/moved", box_size=48, trajectories=motion)
    for one, other in zip(stacks(world, "Extract/still"), stacks(world, "Extract/moved"), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3 * np.abs(one).max())
    assert read_optimisation_set(world.root / "Extract/moved/optimisation_set.star").trajectories == "motion.star"
    with pytest.raises(FileFormatError, match=r"Expected a trajectory of the particle TS_01/2"):
        world.extract("Extract/other", trajectories=motion_file(world.root, ["TS_01/1"], moves[:1]))


def test_trajectories_of_dropped_particles_are_left_out(world: TiltWorld) -> None:
    world.add(Series(), noise())
    world.particles(["TS_01"] * 3, [PLACES[0], [9000, 0, 0], PLACES[1]])
    motion = motion_file(world.root, ["TS_01/1", "TS_01/2", "TS_01/3"], np.zeros((3, 7, 3)))
    world.extract(trajectories=motion)
    named = read_optimisation_set(world.root / "Extract/job001/optimisation_set.star").trajectories
    assert named == "Extract/job001/motion.star"
    left = read_trajectories(world.root / named)
    assert list(left.blocks) == ["TS_01/1", "TS_01/3"]
    assert read_star(world.root / named)[relion.GENERAL].texts(relion.PARTICLE_NUMBER) == ("2",)


# --- refusals ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optics", "found"),
    [
        ({relion.ODD_ZERNIKE: ["[0,0,0.3,0,0,0]"]}, "antisymmetrical aberrations"),
        ({relion.EVEN_ZERNIKE: ["[0,0,0,1e-3]"]}, "symmetrical aberrations"),
        ({relion.BEAM_TILT[1]: [0.2]}, "beam tilt"),
        ({relion.MAGNIFICATION_MATRIX[0]: [1.01]}, "anisotropic magnification"),
    ],
)
def test_aberrations_are_refused(world: TiltWorld, optics: dict[str, Any], found: str) -> None:
    world.add(Series(), noise())
    given = {relion.OPTICS_GROUP: [1], relion.OPTICS_GROUP_NAME: ["optics1"]}
    world.particles(["TS_01"] * 2, PLACES, {**given, **optics})
    with pytest.raises(InputError, match=f"optics group optics1 without .*{found}"):
        world.extract()
    zeros = {relion.ODD_ZERNIKE: ["[0,0,0]"], relion.MAGNIFICATION_MATRIX[0]: [1.0], relion.MAGNIFICATION_MATRIX[1]: [0.0]}
    world.particles(["TS_01"] * 2, PLACES, {**given, **zeros})
    assert world.extract().numbers["particles"] == 2


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"columns": {relion.TOMO_DEFORMATION_COEFFICIENTS: ["[0,0.1]"] * 7}}, InputError, "without deformations for TS_01"),
        ({"columns": {relion.DEFOCUS_U: None, relion.DEFOCUS_V: None}}, InputError, "Expected the defocus of every tilt"),
        ({"row": {relion.VOLTAGE: "N/A"}}, InputError, "Expected the voltage of the tomogram TS_01"),
        ({"row": {relion.CTF_BFACTOR_PER_DOSE: -4}}, FileFormatError, "Expected a B-factor per dose of 0 or more"),
    ],
)
def test_series_that_cannot_be_extracted_right_are_refused(
    world: TiltWorld, change: dict[str, Any], error: type[Exception], words: str
) -> None:
    world.add(Series(**change), noise())
    world.particles(["TS_01"] * 2, PLACES)
    with pytest.raises(error, match=words):
        world.extract(source="tilts")
    assert not (world.root / "Extract/job001/particles.star").exists()


def test_deformations_of_zero_are_fine(world: TiltWorld) -> None:
    world.add(Series(columns={relion.TOMO_DEFORMATION_COEFFICIENTS: ["[0,0]"] * 7}), noise())
    world.particles(["TS_01"] * 2, PLACES)
    assert world.extract().numbers["particles"] == 2


def test_images_of_different_sizes_and_wrong_sections_are_refused(filled: TiltWorld) -> None:
    write_mrc(filled.root / "images/TS_01_04.mrc", np.zeros((180, 190), np.float32), 5.0)
    with pytest.raises(GeometryError, match="Expected images of one size in the tilt series TS_01, found 190 x 180, 200 x 180 px"):
        filled.extract()
    write_mrc(filled.root / "images/TS_01_04.mrc", np.zeros((3, 180, 200), np.float32), 5.0)
    with pytest.raises(FileFormatError, match=r"Expected one image in .*TS_01_04\.mrc, found 3 images"):
        filled.extract()


def test_options_that_only_tomograms_fulfil(filled: TiltWorld) -> None:
    for options in ({"output_format": "relion31"}, {"use_denoised": True}):
        with pytest.raises(OptionError, match="Expected --from tomogram for"):
            filled.extract(source="tilts", **options)
    with pytest.raises(OptionError, match="binning of at least 1"):
        filled.extract(binning=0.5)
    with pytest.raises(OptionError, match="--from tilts"):
        filled.extract(source="tomogram", fold_offsets=False)


def test_without_doses_images_are_not_weighted_and_a_maximum_dose_is_refused(world: TiltWorld) -> None:
    world.add(Series(columns={relion.MICROGRAPH_PRE_EXPOSURE: None}), noise())
    world.particles(["TS_01"] * 2, PLACES)
    world.extract()
    assert any("not weighted by dose" in text for text in world.listener.warnings)
    with pytest.raises(InputError, match="exposure before each image"):
        world.extract("Extract/job002", max_dose=20)


# --- files -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack2d", [True, False])
def test_a_second_run_does_only_what_is_missing(filled: TiltWorld, stack2d: bool) -> None:
    first = filled.extract(stack2d=stack2d)
    files = sorted((filled.root / "Extract/job001/Subtomograms").rglob("*.mrc*"))
    assert len(files) == 4 * (1 if stack2d else 2) and first.numbers["skipped"] == 0
    content = [path.read_bytes() for path in files]
    files[-1].write_bytes(content[-1][:2000])  # cut off
    files[0].unlink()
    (files[0].parent / ".left.tmp").write_text("")
    others = slice(1, -1) if stack2d else slice(2, -2)  # files of particles of which nothing is missing
    times = [path.stat().st_mtime_ns for path in files[others]]
    again = filled.extract(stack2d=stack2d)
    assert again.numbers["skipped"] == 2
    assert [path.read_bytes() for path in files] == content
    assert [path.stat().st_mtime_ns for path in files[others]] == times
    assert not list((filled.root / "Extract/job001").rglob("*.tmp"))
    assert filled.extract(stack2d=stack2d, invert=False).numbers["skipped"] == 0  # other numbers
    other = filled.extract(stack2d=not stack2d)
    assert other.numbers["skipped"] == 0 and len(list((filled.root / "Extract/job001/Subtomograms").rglob("*.mrc*"))) == 12 - len(files)


def test_contrast_scale_and_circle(filled: TiltWorld) -> None:
    filled.extract("Extract/a", circle_crop=False)
    filled.extract("Extract/b", circle_crop=False, invert=False)
    filled.extract("Extract/c")
    for a, b, c in zip(*(stacks(filled, f"Extract/{job}") for job in "abc"), strict=True):
        np.testing.assert_allclose(a, -b, atol=1e-6)
        y, x = np.mgrid[:32, :32] - 16
        assert not c[:, np.hypot(x, y) >= 16].any()
        inner = np.hypot(x, y) < 10
        outside = np.hypot(x, y) > 16
        np.testing.assert_allclose(c[:, inner], a[:, inner] - a[:, outside].mean(axis=1)[:, None], atol=1e-5)


def test_particles_that_were_extracted_before_lose_what_no_longer_holds(filled: TiltWorld) -> None:
    filled.extract("Extract/three", stack2d=False)
    second = filled.extract("Extract/two", particles=filled.root / "Extract/three/particles.star")
    table = read_particles(second.outputs["particles"])
    assert table.is_2d_stacks and not table.has(relion.CTF_IMAGE) and table.optics is not None
    assert table.optics.ints(relion.IMAGE_DIMENSIONALITY).tolist() == [2]
    third = filled.extract("Extract/again", particles=second.outputs["particles"], stack2d=False)
    assert not read_particles(third.outputs["particles"]).has(relion.VISIBLE_FRAMES)


def test_float16_that_loses_digits_is_said(world: TiltWorld) -> None:
    world.add(Series(), [image * np.float32(1e-6) for image in noise()])
    world.particles(["TS_01"] * 2, PLACES)
    world.extract(float16=True)
    assert any("--no-float16" in text for text in world.listener.warnings)


@pytest.mark.parametrize("options", [{}, {"stack2d": False}, {"binning": 1.3}], ids=["stacks", "volumes", "real binning"])
def test_a_gpu_writes_what_the_processor_writes(filled: TiltWorld, options: dict[str, Any]) -> None:
    filled.extract("Extract/here", crop_size=24, **options)
    with strict_cupy.installed():
        filled.extract("Extract/there", crop_size=24, device="cuda:1", threads=2, **options)
    here, there = (sorted((filled.root / f"Extract/{name}/Subtomograms").rglob("*.mrc*")) for name in ("here", "there"))
    assert len(here) == len(there) > 3
    for one, other in zip(here, there, strict=True):
        a, b = read_mrc(one), read_mrc(other)
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(a).max())


def test_a_gpu_that_is_not_there_is_said(filled: TiltWorld) -> None:
    with pytest.raises(DeviceError):
        filled.extract(device="cuda:7")
