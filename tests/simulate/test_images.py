"""Images are projections: the slice theorem, sub-pixel places, contrast, edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_subtomo.numerics.rotate import rotate_volume
from napari_subtomo.simulate.densities import build_complex, render
from napari_subtomo.simulate.images import Exposure, Image, Optics, Slicer, tilt_image, transfer

OPTICS = Optics(300, 2.7, 0.1, 10.0)
PLAIN = Exposure(30000, 30000, 0, 0, 1)


def density() -> Image:
    return render(build_complex(200.0, 0.12, 3).core, 32, 10.0)


def projection(slicer: Slicer, matrix: np.ndarray, place: tuple[float, float], size: int = 48) -> Image:
    """Image without CTF."""
    image = np.zeros((size, size), np.float32)
    slicer.add(image, slicer.slices(matrix[None]), np.array([place]))
    return image


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_a_slice_of_the_transform_is_the_projection_along_z() -> None:
    volume = density()
    image = projection(Slicer(volume, 48), np.eye(3), (24, 24))
    expected = np.pad(volume.sum(axis=0), 8)
    np.testing.assert_allclose(image, expected, atol=0.007 * expected.max())


def test_turning_the_particle_turns_the_projection() -> None:
    volume = density()
    matrix = Rotation.from_euler("xyz", [20, -50, 70], degrees=True).as_matrix()
    image = projection(Slicer(volume, 48), matrix, (24, 24))
    expected = np.pad(rotate_volume(volume, matrix).sum(axis=0), 8)
    assert correlation(image, expected) > 0.999
    np.testing.assert_allclose(image, expected, atol=0.02 * expected.max())
    assert correlation(projection(Slicer(volume, 48), matrix.T, (24, 24)), expected) < 0.95


def test_places_are_exact_to_a_fraction_of_a_pixel() -> None:
    slicer = Slicer(density(), 48)
    middle = projection(slicer, np.eye(3), (24.0, 24.0))
    moved = projection(slicer, np.eye(3), (26.3, 23.45))
    ramp = np.fft.fftfreq(48)
    expected = np.fft.ifft2(np.fft.fft2(middle) * np.exp(-2j * np.pi * (ramp[None, :] * 2.3 - ramp[:, None] * 0.55))).real
    np.testing.assert_allclose(moved, expected, atol=0.01 * middle.max())


def test_particles_at_the_edge_are_cut_and_beyond_it_leave_nothing() -> None:
    slicer = Slicer(density(), 48)
    whole = projection(slicer, np.eye(3), (60, 60), 120)
    np.testing.assert_allclose(projection(slicer, np.eye(3), (5, 43), 48), whole[17:65, 55:103], atol=1e-5)
    assert not projection(slicer, np.eye(3), (-40, 20), 48).any()


def test_particles_add_up() -> None:
    slicers = [Slicer(density(), 48), Slicer(0.5 * density(), 48)]
    matrices, places, offsets = np.stack([np.eye(3)] * 2), np.array([[20.0, 22.0], [40.0, 45.0]]), np.array([100.0, -300.0])
    both = tilt_image((64, 64), slicers, np.array([0, 1]), matrices, places, offsets, OPTICS, PLAIN)
    first = tilt_image((64, 64), slicers, np.array([0, -1]), matrices, places, offsets, OPTICS, PLAIN)
    second = tilt_image((64, 64), slicers, np.array([-1, 1]), matrices, places, offsets, OPTICS, PLAIN)
    np.testing.assert_allclose(both, first + second, atol=1e-5)


def test_protein_is_dark() -> None:
    slicer = Slicer(density(), 64)
    clean = projection(slicer, np.eye(3), (32, 32), 64)
    image = tilt_image((64, 64), [slicer], np.array([0]), np.eye(3)[None], np.array([[32.0, 32.0]]), np.zeros(1), OPTICS, PLAIN)
    assert correlation(image, clean) < -0.3


def test_each_particle_has_the_ctf_of_its_own_depth_and_the_dose_and_scale_of_its_image() -> None:
    slicer = Slicer(density(), 64)
    plain = transfer(slicer, OPTICS, PLAIN, np.array([0.0, 500.0]))
    deeper = transfer(slicer, OPTICS, Exposure(30500, 30500, 0, 0, 1), np.zeros(1))
    np.testing.assert_allclose(plain[1], deeper[0])
    assert np.abs(plain[0] - plain[1]).max() > 0.05
    late = transfer(slicer, OPTICS, Exposure(30000, 30000, 0, 60, 0.5), np.zeros(1))[0]
    k = np.hypot(slicer.kx, slicer.ky) / 10.0
    seen = (np.abs(plain[0]) > 0.1) & (k > 0)
    np.testing.assert_allclose(late[seen] / plain[0][seen], 0.5 * np.exp(-30 / (0.245 * k[seen] ** -1.665 + 2.81)), rtol=1e-6)


@pytest.mark.parametrize("patch", [40, 48, 64])
def test_the_size_of_the_patch_does_not_matter(patch: int) -> None:
    volume = density()
    expected = np.pad(volume.sum(axis=0), 8)
    np.testing.assert_allclose(projection(Slicer(volume, patch), np.eye(3), (24, 24)), expected, atol=0.007 * expected.max())
