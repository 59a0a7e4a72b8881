"""Annotation files are those of RELION's picker and do not drift."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile

from napari_subtomo.errors import FileFormatError, InputError
from napari_subtomo.geometry.frames import Frame
from napari_subtomo.io.annotations import Annotations, annotation_path, find_annotations, read_annotations, tomo_name_of, write_annotations


def test_the_picker_s_own_reader_finds_xyz_voxels_and_text_names(tmp_path: Path):
    path = write_annotations(tmp_path / "annotations", Annotations("TS_01", np.array([[1.5, 2.25, 3.125], [4, 5, 6]])))
    assert path.name == "TS_01_particles.star"
    table = starfile.read(path)
    assert list(table.columns) == ["rlnTomoName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"]
    np.testing.assert_array_equal(table.iloc[:, 1:].to_numpy(), [[3.125, 2.25, 1.5], [6, 5, 4]])
    assert list(table["rlnTomoName"]) == ["TS_01", "TS_01"]


def test_spheres_carry_their_radius(tmp_path: Path):
    path = write_annotations(tmp_path, Annotations("01", np.array([[1.0, 2, 3]]), np.array([40.5])))
    assert path.name == "01_spheres.star"
    assert float(starfile.read(path)["rlnSphereRadius"].iloc[0]) == 40.5
    back = read_annotations(path)
    assert (back.kind, back.tomo_name) == ("spheres", "01")
    assert back.radii is not None
    np.testing.assert_array_equal(back.radii, [40.5])
    np.testing.assert_array_equal(back.points_zyx, [[1, 2, 3]])


@pytest.mark.parametrize("name", ["01", "1e3", "TS 1", "a_b_c"])
def test_names_come_back_from_the_file_name(tmp_path: Path, name: str):
    path = write_annotations(tmp_path, Annotations(name, np.zeros((2, 3))))
    assert tomo_name_of(path) == name
    assert read_annotations(path).tomo_name == name


def test_an_empty_tomogram_is_legal(tmp_path: Path):
    for radii in None, np.zeros(0):
        path = write_annotations(tmp_path, Annotations("t", np.zeros((0, 3)), radii))
        back = read_annotations(path)
        assert (len(back), back.tomo_name, back.points_zyx.shape) == (0, "t", (0, 3))
        assert len(starfile.read(path, always_dict=True)) >= 0
    assert [p.name for p in find_annotations(tmp_path, "spheres")] == ["t_spheres.star"]


def test_a_hundred_cycles_move_nothing(tmp_path: Path):
    """RELION's own picker moves picks by one unbinned pixel in each cycle; this does not."""
    frame = Frame((3999, 4001, 2001), 1.35, 7.407407)
    positions = np.random.default_rng(5).uniform(-2000, 2000, (50, 3))
    start, texts = positions, []
    for _ in range(100):
        path = write_annotations(tmp_path, Annotations("t", frame.voxels_zyx(positions)))
        texts.append(path.read_text().split("\n", 3)[-1])
        positions = frame.positions(read_annotations(path).points_zyx)
    assert np.abs(positions - start).max() < 1e-5
    assert len(set(texts[1:])) == 1


def test_broken_annotations_are_refused(tmp_path: Path):
    path = tmp_path / "t_particles.star"
    path.write_text("data_\nloop_\n_rlnTomoName\n_rlnCoordinateX\n_rlnCoordinateY\nt 1 2\n")
    with pytest.raises(FileFormatError, match="_rlnCoordinateZ"):
        read_annotations(path)
    with pytest.raises(InputError, match="finite positions"):
        write_annotations(tmp_path, Annotations("u", np.array([[np.nan, 0, 0]])))
    with pytest.raises(InputError, match="without '/'"):
        annotation_path(tmp_path, "a/b", "particles")
    assert [p.name for p in tmp_path.iterdir()] == ["t_particles.star"]
