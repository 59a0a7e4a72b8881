"""Slices of Gaussians at known places against their transforms on paper, in the cases that a tidy sample does not have."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.tilt_cases import PLACES, WIDTH, images_of, stacks
from helpers.tilt_world import POINTS, Series, TiltWorld, expected, gaussian
from scipy.spatial.transform import Rotation

from napari_subtomo.io import relion
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles

RNG = np.random.default_rng(11)
OBJECT = np.column_stack([POINTS, np.full(len(POINTS), WIDTH)])

CASES: dict[str, Series] = {
    "plain": Series(),
    "hand +1 and a defocus slope": Series(hand=1.0, slope=1.5),
    "tilt about x, shifts": Series(x_tilt=RNG.uniform(-8, 8, 7), shifts=RNG.uniform(-40, 40, (7, 2))),
    "strong astigmatism": Series(defocus=np.column_stack([np.full(7, 24000.0), np.full(7, 16000.0), RNG.uniform(-90, 90, 7)])),
    "rows in no order": Series(y_tilt=np.array([15.0, -45, 30, 0, -15, 45, -30]), dose=np.array([3.0, 18, 9, 0, 6, 15, 12])),
    "odd sizes of images": Series(image=(201, 187)),
    "odd sizes of the tomogram": Series(size_xyz=(201, 181, 61)),
    "phase plate and scale": Series(phase=np.full(7, 80.0), scale=np.linspace(0.5, 1, 7)),
    "a name that looks like a number": Series(name="01e3"),
}


def error(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.sqrt(np.mean((ours - theirs) ** 2) / np.mean(theirs**2)))


@pytest.mark.parametrize("name", CASES)
def test_slices_are_those_of_the_formulas(world: TiltWorld, name: str) -> None:
    series = CASES[name]
    world.add(series, images_of(series))
    world.particles([series.name] * 2, PLACES)
    world.extract(box_size=48, circle_crop=False)
    for stack, position in zip(stacks(world), PLACES, strict=True):
        assert stack.shape == (7, 48, 48)
        for tilt, image in enumerate(stack):
            assert error(image, expected(series, position, OBJECT, tilt, 48, 1.0)) < 2e-3


@pytest.mark.parametrize("binning", [1.5, 1.37, 2.2])
def test_a_real_valued_binning_gives_the_pixel_it_says(world: TiltWorld, binning: float) -> None:
    series = CASES["tilt about x, shifts"]
    world.add(series, images_of(series))
    world.particles([series.name] * 2, PLACES)
    world.extract(box_size=32, binning=binning, circle_crop=False)
    particles = read_particles(world.root / "Extract/job001/particles.star")
    assert particles.pixel_size == pytest.approx(5 * binning, abs=1e-5)
    for stack, position in zip(stacks(world), PLACES, strict=True):
        for tilt, image in enumerate(stack):
            assert error(image, expected(series, position, OBJECT, tilt, 32, binning)) < 4e-3


def test_a_grey_level_under_everything_stays_at_the_origin_of_fourier_space(world: TiltWorld) -> None:
    """A box that is no whole number of pixels does not smear the mean of an image over its frequencies."""
    series = Series()
    world.add(series, [np.full((180, 200), 1000.0, np.float32)] * 7)
    world.particles([series.name], PLACES[:1])
    world.extract(box_size=32, binning=1.37, circle_crop=False)
    (stack,) = stacks(world)
    assert np.ptp(stack, axis=(1, 2)).max() < 1e-3 * np.abs(stack).max()


def test_a_bfactor_of_the_dose_takes_the_place_of_the_curve(world: TiltWorld) -> None:
    series = Series(row={relion.CTF_BFACTOR_PER_DOSE: 4.0})
    world.add(series, images_of(series))
    world.particles([series.name] * 2, PLACES)
    world.extract(box_size=48, circle_crop=False)
    for stack, position in zip(stacks(world), PLACES, strict=True):
        for tilt, image in enumerate(stack):
            assert error(image, expected(series, position, OBJECT, tilt, 48, 1.0, bfactor=4.0)) < 2e-3
    assert any("B-factor per dose: TS_01" in text for text in world.listener.messages)


def test_depth_changes_defocus_by_the_hand(world: TiltWorld) -> None:
    """The check above would pass if the depth did not matter: it does."""
    series = Series()
    deep = expected(series, np.array([0, 0, 400.0]), OBJECT, 3, 48, 1.0)
    series.hand = 1.0
    assert error(deep, expected(series, np.array([0, 0, 400.0]), OBJECT, 3, 48, 1.0)) > 0.02


def test_offsets_are_folded_or_kept_and_frames_honoured(world: TiltWorld) -> None:
    """o in the frame S: the particle is at c - S·o, and RELION's frame angles are those of the transposed rotation."""
    series = Series()
    angles, origins = np.array([[20.0, 50, -70], [130, 100, 15]]), np.array([[12.0, -7, 20], [-9.5, 14, 3]])
    frames = Rotation.from_euler("ZYZ", angles, degrees=True).inv()
    coordinates = PLACES + frames.apply(origins)
    world.add(series, images_of(series))
    columns = {**dict(zip(relion.SUBTOMOGRAM_ANGLES, angles.T, strict=True)), **dict(zip(relion.ORIGINS, origins.T, strict=True))}
    world.particles([series.name] * 2, coordinates, **columns)
    world.extract("Extract/folded", box_size=48, circle_crop=False)
    folded = read_particles(world.root / "Extract/folded/particles.star")
    np.testing.assert_allclose(folded.positions(), PLACES, atol=1e-4)
    assert not folded.origins.any()
    np.testing.assert_allclose(folded.frames, frames.as_matrix(), atol=1e-5)
    for stack, position in zip(stacks(world, "Extract/folded"), PLACES, strict=True):
        assert error(stack[5], expected(series, position, OBJECT, 5, 48, 1.0)) < 2e-3
    world.extract("Extract/kept", box_size=48, circle_crop=False, fold_offsets=False)
    kept = read_particles(world.root / "Extract/kept/particles.star")
    np.testing.assert_allclose(kept.origins, origins, atol=1e-5)
    np.testing.assert_allclose(kept.positions(), PLACES, atol=1e-4)
    moved = np.column_stack([POINTS, np.full(len(POINTS), WIDTH)])
    moved[:, :3] -= frames.apply(origins)[0]
    assert error(stacks(world, "Extract/kept")[0][5], expected(series, coordinates[0], moved, 5, 48, 1.0)) < 2e-3


def test_a_volume_of_slices_lies_along_the_frame(world: TiltWorld) -> None:
    """A point off the particle is found in the 3D box where the frame puts it, bright, at index n // 2 plus its offset."""
    tilts = np.arange(-75.0, 76, 5)
    n = len(tilts)
    flat = {"x_tilt": np.zeros(n), "z_rot": np.full(n, 85.0), "shifts": np.zeros((n, 2)), "scale": np.ones(n), "phase": np.zeros(n)}
    series = Series(y_tilt=tilts, defocus=np.tile([20000.0, 20000.0, 0.0], (n, 1)), dose=np.zeros(n), **flat)
    angle = np.array([40.0, 65, -30])
    frame = Rotation.from_euler("ZYZ", angle, degrees=True).inv()
    offset = np.array([30.0, -20.0, 15.0])  # Å, in the box
    shape, position = (180, 200), PLACES[0]
    images = []
    for tilt in range(n):  # dark protein with its CTF
        centre = series.places(position + frame.apply(offset), tilt)
        image = gaussian(shape, centre[0], centre[1], 1.6)
        k_x, k_y = np.meshgrid(np.fft.rfftfreq(200, 5.0), np.fft.fftfreq(180, 5.0))
        images.append(-np.fft.irfft2(np.fft.rfft2(image) * series.transfer(k_x, k_y, tilt, centre[2]), s=shape).astype(np.float32))
    world.add(series, images)
    world.particles([series.name], [position], **dict(zip(relion.SUBTOMOGRAM_ANGLES, angle[:, None], strict=True)))
    world.extract(box_size=40, crop_size=32, stack2d=False)
    particles = read_particles(world.root / "Extract/job001/particles.star")
    data, both = (read_mrc(world.root / path[0]) for path in (particles.image_paths, particles.ctf_paths))
    weights = both[:32]
    sharp = np.fft.fftshift(
        np.fft.irfftn(np.fft.rfftn(np.fft.ifftshift(data)) / (weights + 0.1 * weights.mean()), s=data.shape, axes=(0, 1, 2))
    )
    z, y, x = np.unravel_index(np.argmax(sharp), sharp.shape)
    assert np.abs((np.array([x, y, z]) - 16) * 5.0 - offset).max() <= 3.0
    assert sharp.max() > 3 * -sharp.min()
    assert not particles.is_2d_stacks and not particles.has(relion.VISIBLE_FRAMES)
