"""Back-projection puts densities where they were, on their own grey scale."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_subtomo.data.tomogram import TiltSeries
from napari_subtomo.errors import GeometryError
from napari_subtomo.geometry.frames import Frame
from napari_subtomo.geometry.projection import project
from napari_subtomo.simulate.backproject import backproject, tilt_spacing

BLOB = 3.0  # sigma in pixels
POINTS = np.array([[170.0, -210.0, 60.0], [-240.0, 120.0, -85.0], [15.0, 40.0, 0.0]])  # Å


def series(tilts: Any, z_rot: float = 85.0, x_tilt: float = 0.0, shift: float = 0.0) -> TiltSeries:
    n = len(tilts)
    zeros = np.zeros(n)
    shifts = shift * np.random.default_rng(1).standard_normal((2, n))
    return TiltSeries(
        "a", np.full(n, x_tilt), np.asarray(tilts, float), np.full(n, z_rot), *shifts, zeros, zeros, zeros, zeros, zeros + 1, zeros
    )


def blobs(one: TiltSeries, frame: Frame, size: tuple[int, int]) -> np.ndarray:
    """Projections of Gaussian balls of unit height."""
    x, y = np.arange(size[0]), np.arange(size[1])
    images = np.zeros((len(one), size[1], size[0]), np.float32)
    for t, places in enumerate(project(POINTS, one, frame, size)):
        for px, py, _ in places:
            ball = np.exp(-((y[:, None] - py) ** 2 + (x - px) ** 2) / (2 * BLOB**2))
            images[t] += (BLOB * np.sqrt(2 * np.pi) * ball).astype(np.float32)
    return images


def balls(frame: Frame, shape: tuple[int, ...]) -> np.ndarray:
    """The density whose projections `blobs` are."""
    total = np.zeros(shape)
    for voxel in frame.voxels_zyx(POINTS):
        factors = (np.exp(-((np.arange(n) - v) ** 2) * frame.binning**2 / (2 * BLOB**2)) for n, v in zip(shape, voxel, strict=True))
        total += np.einsum("i,j,k->ijk", *factors)
    return total


@pytest.mark.parametrize("binning", [1.0, 1.7, 2.0])
@pytest.mark.parametrize("size", [(96, 96, 48), (100, 90, 44)])
def test_blobs_come_back_at_the_voxels_of_relions_rule(binning: float, size: tuple[int, int, int]) -> None:
    frame = Frame(size, 8.0, binning)
    one = series(np.arange(-60, 61, 3.0), shift=20.0)
    volume = backproject(blobs(one, frame, (97, 104)), one, frame)
    assert volume.shape == frame.file_shape_zyx()
    expected = balls(frame, volume.shape)
    # the missing wedge blurs both sides alike, so the peak of the cross-correlation tells the shift
    peak = np.fft.fftshift(np.fft.ifftn(np.fft.fftn(volume) * np.fft.fftn(expected).conj()).real)
    centre = tuple(n // 2 for n in peak.shape)
    assert np.unravel_index(int(peak.argmax()), peak.shape) == centre
    for axis in range(3):
        left, right = (np.roll(peak, shift, axis=axis)[centre] for shift in (1, -1))
        assert abs(right - left) / (2 * (2 * peak[centre] - left - right)) < 0.03 / binning


def test_a_full_turn_of_tilts_gives_back_the_density() -> None:
    frame = Frame((96, 96, 64), 8.0)
    one = series(np.arange(-89, 90, 2.0), z_rot=0.0)
    volume = backproject(blobs(one, frame, (96, 96)), one, frame)
    expected = balls(frame, volume.shape)
    assert np.corrcoef(volume.ravel(), expected.ravel())[0, 1] > 0.97
    near = expected > 0.5
    assert np.polyfit(expected[near], volume[near], 1)[0] == pytest.approx(1, abs=0.1)


def test_contrast_is_kept() -> None:
    frame = Frame((96, 96, 48), 8.0)
    one = series(np.arange(-60, 61, 5.0))
    dark = backproject(-blobs(one, frame, (96, 96)), one, frame)
    z, y, x = np.rint(frame.voxels_zyx(POINTS[2])).astype(int)
    assert dark[z, y, x] < -0.3
    np.testing.assert_allclose(dark, -backproject(blobs(one, frame, (96, 96)), one, frame), atol=1e-4)


def test_the_order_of_the_images_does_not_matter() -> None:
    frame = Frame((64, 64, 32), 8.0)
    tilts = np.arange(-60, 61, 6.0)
    order = np.random.default_rng(0).permutation(len(tilts))
    images = np.random.default_rng(2).standard_normal((len(tilts), 64, 64)).astype(np.float32)
    sorted_, mixed = series(tilts), series(tilts[order])
    np.testing.assert_allclose(backproject(images, sorted_, frame), backproject(images[order], mixed, frame), atol=1e-5)


def test_noise_stays_white_between_the_directions_of_the_tilts() -> None:
    # r-weighting: a Fourier voxel seen by m images holds their mean, so m times its power does not depend on where it lies
    frame = Frame((128, 128, 64), 8.0)
    tilts = np.arange(-60, 61, 3.0)
    images = np.random.default_rng(4).standard_normal((len(tilts), 128, 128)).astype(np.float32)
    volume = backproject(images, series(tilts, z_rot=90.0), frame)[:, 16:-16, 16:-16]
    power = np.abs(np.fft.fftn(volume)) ** 2
    kz, ky, kx = np.meshgrid(*(np.fft.fftfreq(n) for n in volume.shape), indexing="ij")
    angle = np.degrees(np.arctan2(kz, np.abs(kx)))
    across = np.hypot(kx, kz)
    rings = [power[(np.abs(angle) < 50) & (across >= low) & (across < low + 0.05) & (np.abs(ky) < 0.3)].mean() for low in (0.1, 0.15, 0.2)]
    growth = np.array(rings) / np.array([0.125, 0.175, 0.225])  # m falls as 1 / across
    np.testing.assert_allclose(growth / growth.mean(), 1, atol=0.12)
    assert power[(np.abs(angle) > 70) & (across > 0.1)].mean() < 0.05 * power[(np.abs(angle) < 50) & (across > 0.1)].mean()


def test_spacing_is_the_distance_to_the_neighbours_whatever_the_order() -> None:
    np.testing.assert_allclose(np.degrees(tilt_spacing([10.0, 0.0, 4.0])), [6, 4, 5])
    assert tilt_spacing([0.0]).tolist() == [1]


def test_an_x_tilt_is_refused() -> None:
    with pytest.raises(GeometryError, match="X tilt"):
        backproject(np.zeros((3, 64, 64), np.float32), series([-3, 0, 3.0], x_tilt=1.0), Frame((64, 64, 32), 8.0))
