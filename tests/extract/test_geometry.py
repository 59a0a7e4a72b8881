"""Where boxes are cut, and what the table says about them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.extract_world import FULL, blobs

from napari_subtomo.errors import GeometryError, OptionError
from napari_subtomo.extract.resample import Resampling, resample
from napari_subtomo.geometry.frames import Frame
from napari_subtomo.geometry.orientations import euler_to_matrix
from napari_subtomo.geometry.projection import tilt_matrix
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.numerics.rotate import rotate_volume
from napari_subtomo.numerics.wedge import make_wedge

PIXEL, BINNING = 1.35, 7.407407
SIZE = (520, 460, 400)  # unbinned, no two alike, no multiples of the binning
FRAME_ANGLES, ANGLES = (31.0, 62.0, -75.0), (-120.0, 40.0, 15.0)
COORDINATE = np.array([20.3, -14.9, 11.7])
ORIGIN = np.array([13.1, -8.2, 21.4])


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def place_particle(world, tilts=FULL):
    """A tomogram with one dark particle, and its row with frame, angles, origins and priors."""
    frame = Frame(SIZE, PIXEL, BINNING)
    s, a = euler_to_matrix(FRAME_ANGLES), euler_to_matrix(ANGLES)
    position = COORDINATE - s @ ORIGIN
    shape = frame.file_shape_zyx()
    volume = -blobs(shape, frame.voxel_size, frame.voxels_zyx(position), s @ a, width=22.0)
    world.tomogram("TS_1", volume, size_xyz=SIZE, pixel=PIXEL, binning=BINNING, tilts=tilts)
    world.particles(
        ["TS_1"],
        COORDINATE[None],
        **{label: [value] for label, value in zip(relion.ORIGINS, ORIGIN, strict=True)},
        **{label: [value] for label, value in zip(relion.SUBTOMOGRAM_ANGLES, FRAME_ANGLES, strict=True)},
        **{label: [value] for label, value in zip(relion.ANGLES, ANGLES, strict=True)},
        **{label: [value] for label, value in zip(relion.ANGLE_PRIORS[1:], (90.0, 0.0), strict=True)},
    )
    return position, s @ a


@pytest.mark.parametrize(("ratio", "box"), [(1.0, 34), (1.5, 24), (1.37, 26)])
def test_a_crop_turned_back_is_the_density(world, ratio, box):
    position, orientation = place_particle(world)
    result = world.extract(box_size=box, binning=BINNING * ratio, tomogram_ctf="corrected", normalize=False, float16=False)
    written = read_particles(result.outputs["particles"])
    np.testing.assert_allclose(written.positions()[0], position, atol=1e-5)
    np.testing.assert_allclose(written.orientations[0], orientation, atol=1e-6)
    voxel = PIXEL * BINNING * ratio
    assert written.pixel_size == pytest.approx(voxel, rel=1e-5)

    # undo the filter of the statistic; the tilts go all round, so nothing is missing within the Nyquist sphere
    wedge = make_wedge(box, tilt_matrix(0 * FULL, FULL, 0 * FULL))
    data = np.fft.rfftn(np.fft.ifftshift(read_mrc(world.root / written.image_paths[0])))
    transform = np.where(wedge.filter > 0, data / np.maximum(wedge.filter, 1e-6), 0)
    crop = np.fft.fftshift(np.fft.irfftn(transform, s=(box,) * 3, axes=(0, 1, 2)))
    turned = rotate_volume(crop, written.angles[0].T)
    truth = blobs((box,) * 3, voxel, np.full(3, box // 2), np.eye(3), width=22.0)
    assert correlation(turned, truth) > 0.99
    np.testing.assert_allclose(np.polyfit(truth.ravel(), turned.ravel(), 1)[0], 1, atol=0.03)
    assert correlation(turned, truth[::-1]) < 0.8  # the other hand


def test_the_table_holds_the_same_pose_without_frame_and_origin(world):
    position, orientation = place_particle(world)
    result = world.extract(box_size=24, binning=BINNING)
    written = read_particles(result.outputs["particles"])
    np.testing.assert_allclose(written.coordinates()[0], position, atol=1e-5)
    assert not written.origins.any()
    np.testing.assert_allclose(written.frames[0], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(written.angles[0], orientation, atol=1e-6)
    # tilt 90 and psi 0 in the old frame point along S·x
    prior = [written.floats(label)[0] for label in relion.ANGLE_PRIORS[1:]]
    expected = euler_to_matrix(FRAME_ANGLES) @ euler_to_matrix((0, 90, 0))[:, 2]
    np.testing.assert_allclose(euler_to_matrix((0, *prior))[:, 2], expected, atol=1e-6)
    assert any("axes of the tomograms" in text for text in world.listener.messages)


def test_angles_without_a_frame_stay_as_text(world):
    world.tomogram("T", np.random.default_rng(0).standard_normal((40, 40, 40)).astype(np.float32))
    world.particles(["T"], np.zeros((1, 3)), rlnAngleRot=["1.50"], rlnAngleTilt=["7e1"], rlnAnglePsi=["-3"])
    written = read_particles(world.extract(box_size=16).outputs["particles"])
    assert [written.texts(label)[0] for label in relion.ANGLES] == ["1.50", "7e1", "-3"]


def test_a_box_of_the_tomograms_sampling_on_a_voxel_is_that_piece_of_it():
    rng = np.random.default_rng(2)
    volume = rng.standard_normal((60, 60, 60)).astype(np.float32)
    resampling = Resampling(16, 1.0)
    centre = np.array([30.0, 29.0, 31.0])
    start = resampling.start(centre)
    piece = volume[tuple(slice(s, s + resampling.side) for s in start)]
    np.testing.assert_allclose(resample(piece, resampling.matrices(centre)), volume[22:38, 21:37, 23:39], atol=2e-5)


@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.718])
def test_resampling_is_band_limited_interpolation(ratio):
    """A smooth function is read off between voxels, one that oscillates beyond the new Nyquist frequency vanishes."""
    resampling = Resampling(20, ratio)
    centre = np.array([50.3, 49.6, 51.45])
    start = resampling.start(centre)
    grid = np.meshgrid(*[s + np.arange(resampling.side) for s in start], indexing="ij")
    wanted = np.meshgrid(*[c + (np.arange(20) - 10) * ratio for c in centre], indexing="ij")

    def wave(axes, per_sample):
        return np.cos(2 * np.pi * per_sample / ratio * (axes[0] + 0.5 * axes[1] - 0.3 * axes[2]))

    slow = resample(wave(grid, 0.2).astype(np.float32), resampling.matrices(centre))
    np.testing.assert_allclose(slow, wave(wanted, 0.2), atol=0.02)
    if ratio > 1.4:
        fast = resample(wave(grid, 0.65).astype(np.float32), resampling.matrices(centre))
        assert np.abs(fast).max() < 0.05


def test_boxes_that_touch_the_border_fit_and_those_beyond_do_not():
    fits = Resampling(16, 1.0).fits(np.array([[8.0, 8, 8], [7.4, 8, 8], [8, 8, 12.5], [8, 8, 12.6]]), (16, 16, 20))
    assert fits.tolist() == [True, False, True, False]


def test_a_box_larger_than_the_tomogram_is_refused_in_one_sentence(world):
    world.tomogram("T", np.random.default_rng(0).standard_normal((20, 60, 60)).astype(np.float32))
    world.particles(["T"], np.zeros((1, 3)))
    with pytest.raises(GeometryError, match=r"Expected a box that fits .*\(60 x 60 x 20 px in T at binning 1\), found 32 px; use"):
        world.extract(box_size=32)
    assert not (world.root / "Extract/job001/Subtomograms").exists()


def test_a_binning_below_the_tomograms_is_refused(world):
    world.tomogram("T", np.random.default_rng(0).standard_normal((40, 40, 40)).astype(np.float32), size_xyz=(80, 80, 80), binning=2.0)
    world.particles(["T"], np.zeros((1, 3)))
    with pytest.raises(OptionError, match="Expected a binning of at least 2, that of the tomogram T, found 1"):
        world.extract(box_size=16)


def test_a_larger_box_for_the_ctf_may_reach_out_of_the_tomogram(world):
    world.tomogram("T", np.random.default_rng(0).standard_normal((24, 60, 60)).astype(np.float32))
    world.particles(["T"], np.zeros((1, 3)))
    result = world.extract(box_size=40, crop_size=20)
    assert result.numbers["particles"] == 1
    assert read_mrc(world.root / read_particles(result.outputs["particles"]).image_paths[0]).shape == (20, 20, 20)
