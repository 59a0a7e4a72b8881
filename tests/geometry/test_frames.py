"""The coordinate law: facts of RELION's `ParticleSet::getPosition` (conventions worked out by hand)."""

import numpy as np
import pytest

from napari_subtomo.errors import GeometryError
from napari_subtomo.geometry.frames import Frame, matrices_zyx, reverse_axes

HIV = Frame((4000, 4000, 2000), 1.35, 7.407407)


def test_a_particle_at_the_centre_of_a_4000_px_tomogram_at_binning_7_407_is_drawn_at_voxel_270():
    np.testing.assert_allclose(HIV.voxels_zyx([0, 0, 0]), [135, 270, 270], atol=2e-5)


def test_a_position_off_centre_lands_where_relion_puts_it():
    np.testing.assert_allclose(HIV.voxels_zyx([1234.5, -678.9, 321.0]), [167.100, 202.110, 393.450], atol=5e-4)


@pytest.mark.parametrize("size", [(4000, 4000, 2000), (3711, 3838, 1199), (5, 6, 7)])
@pytest.mark.parametrize("binning", [1.0, 2.0, 7.407407])
def test_there_and_back_is_the_identity_for_even_odd_and_non_cubic_sizes(size, binning):
    frame = Frame(size, 1.35, binning)
    positions = np.random.default_rng(1).uniform(-2000, 2000, (50, 3))
    for _ in range(100):
        positions_back = frame.positions(frame.voxels_zyx(positions))
        np.testing.assert_allclose(positions_back, positions, atol=1e-9)
        positions = positions_back


def test_the_centre_is_half_the_size_as_a_real_number():
    assert Frame((5, 6, 7), 2.0).unbinned([0, 0, 0]).tolist() == [2.5, 3.0, 3.5]


def test_the_first_voxel_centre_is_zero():
    assert Frame((10, 20, 30), 2.0).positions([0, 0, 0]).tolist() == [-10, -20, -30]


def test_axes_are_reversed_once():
    assert reverse_axes([[1, 2, 3]]).tolist() == [[3, 2, 1]]
    matrix = np.arange(9.0).reshape(3, 3)
    vector = np.array([1.0, 2.0, 5.0])
    np.testing.assert_allclose(matrices_zyx(matrix) @ reverse_axes(vector), reverse_axes(matrix @ vector))


@pytest.mark.parametrize("bad", [{"size_xyz": (0, 5, 5)}, {"pixel_size": 0}, {"binning": np.nan}, {"pixel_size": -1.0}])
def test_a_frame_without_sense_is_refused(bad):
    with pytest.raises(GeometryError, match="positive"):
        Frame(**{"size_xyz": (4, 4, 4), "pixel_size": 1.0, "binning": 1.0} | bad)


def test_file_shape_of_real_space_back_projection():
    assert Frame((4092, 4092, 2000), 1.0, 8.1).file_shape_zyx() == (246, 505, 505)
