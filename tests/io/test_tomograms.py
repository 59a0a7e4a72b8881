"""Tomogram sets: names as text, what to show and what to extract from, tilt series of RELION 5 and 4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.errors import FileFormatError, FileMissingError, GeometryError, InputError
from napari_subtomo.io import relion
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star
from napari_subtomo.io.tomograms import read_tomograms, write_tomograms

FULL = (
    "data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\n_rlnTomoTomogramBinning\n_rlnTomoSizeX\n_rlnTomoSizeY\n_rlnTomoSizeZ\n"
    "_rlnTomoHand\n_rlnTomoReconstructedTomogram\n_rlnTomoReconstructedTomogramHalf1\n_rlnTomoReconstructedTomogramHalf2\n"
    "_rlnTomoReconstructedTomogramDenoised\n_private\n"
    "01 1.35 7.407407 4000 4000 2000 1.0 rec.mrc h1.mrc h2.mrc den.mrc 1e3\n"
    "1e3 1.35 7.407407 4001 4000 1999 -1.00000 N/A h1.mrc h2.mrc N/A x\n"
    '"TS 1" 1.35 N/A 4000 4000 2000 -1 "" None N/A den.mrc y\n'
)


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A set with every kind of volume missing somewhere."""
    (tmp_path / "tomograms.star").write_text(FULL)
    return tmp_path / "tomograms.star"


def test_names_are_text_and_cells_are_optional(full: Path):
    tomograms = read_tomograms(full, Project(full.parent))
    assert tomograms.names == ("01", "1e3", "TS 1")
    first, second, third = tomograms
    assert first.size_xyz == (4000, 4000, 2000)
    assert (first.pixel_size, first.binning, first.hand, second.hand) == (1.35, 7.407407, 1.0, -1.0)
    assert first.tomogram_path == full.parent / "rec.mrc"
    assert third.binning is None
    assert third.tomogram_path is None
    assert third.half_paths is None
    assert tomograms["1e3"].denoised_path is None
    with pytest.raises(InputError, match="Expected the tomogram 1000"):
        tomograms["1000"]


def test_the_denoised_volume_is_shown_and_never_extracted_from(full: Path):
    folder = full.parent
    first, second, third = read_tomograms(full, Project(folder))
    assert first.display_path == folder / "den.mrc"
    assert first.extraction_paths() == ((folder / "rec.mrc",), None)
    assert second.display_path == folder / "h1.mrc"
    paths, warning = second.extraction_paths()
    assert paths == (folder / "h1.mrc", folder / "h2.mrc")
    assert "added" in str(warning)
    with pytest.raises(InputError, match="found only a denoised one"):
        third.extraction_paths()
    paths, warning = third.extraction_paths(denoised=True)
    assert paths == (folder / "den.mrc",)
    assert "noise" in str(warning)
    with pytest.raises(InputError, match="denoised volume of the tomogram 1e3"):
        second.extraction_paths(denoised=True)


def test_odd_sizes_are_warned_of(full: Path):
    (warning,) = read_tomograms(full, Project(full.parent)).warnings
    assert "1e3" in warning
    assert "x, z" in warning
    assert "4001 x 4000 x 1999" in warning


def test_a_missing_size_or_pixel_is_an_error_only_where_it_is_needed():
    with pytest.raises(GeometryError, match="its size in pixels for the tomogram t"):
        _ = Tomogram("t", pixel_size=1.0).frame
    with pytest.raises(GeometryError, match="tilt-series pixel size for the tomogram t"):
        _ = Tomogram("t", size_xyz=(2, 2, 2)).frame
    assert Tomogram("t", size_xyz=(2, 4, 6), pixel_size=1.0).frame.binning == 1.0


def test_the_frame_of_a_row_puts_the_centre_of_a_4000_px_tomogram_at_voxel_270(full: Path):
    frame = read_tomograms(full, Project(full.parent))["01"].frame
    np.testing.assert_allclose(frame.voxels_zyx([[0, 0, 0]]), [[135, 270, 270]], atol=1e-4)


def test_changing_one_cell_leaves_the_rest_and_new_columns_are_not_available_elsewhere(full: Path):
    tomograms = read_tomograms(full, Project(full.parent))
    changed = tomograms.with_values("1e3", {relion.TOMO_RECONSTRUCTED: "new.mrc", "rlnTomoNew": 5})
    write_tomograms(full, changed)
    back = read_star(full)["global"]
    assert back.texts(relion.TOMO_RECONSTRUCTED) == ("rec.mrc", "new.mrc", "")
    assert back.texts("rlnTomoNew") == ("N/A", "5", "N/A")
    for label in set(tomograms.table.labels) - {relion.TOMO_RECONSTRUCTED}:
        assert back.texts(label) == tomograms.table.texts(label)
    assert read_tomograms(full, Project(full.parent)).select(["TS 1", "01"]).names == ("01", "TS 1")


def test_relion_s_own_set_and_tilt_series_are_read(golden: Path):
    tomograms = read_tomograms(golden / "RecTomo/tomograms.star")
    assert tomograms.project.root == golden
    tomogram = tomograms["TS_01"]
    assert (tomogram.size_xyz, tomogram.binning, tomogram.optics_group) == ((256, 256, 96), 2.0, "optics1")
    assert (tomogram.voltage, tomogram.cs, tomogram.amplitude_contrast, tomogram.hand) == (300.0, 2.7, 0.1, -1.0)
    assert tomogram.tomogram_path == golden / "RecTomo/tomograms/rec_TS_01.mrc"
    series = tomograms.tilt_series("TS_01")
    assert len(series) == 41
    np.testing.assert_array_equal(series.y_tilt, np.arange(-60, 61, 3))
    np.testing.assert_array_equal(series.z_rot, 85)
    np.testing.assert_allclose(series.scale, np.cos(np.radians(series.y_tilt)), atol=1e-6)
    assert (series.dose[0], series.defocus_u[0], series.has_ctf) == (117, 37879.628982, True)
    assert series.image_paths[3] == golden / "images/TS_01_03.mrc"
    assert not series.phase_shift.any()
    assert not series.x_shift.any()


def test_the_tilt_series_table_must_be_called_as_the_tomogram(tmp_path: Path):
    (tmp_path / "t.star").write_text(
        FULL.split("\n01")[0].replace("_private", "_rlnTomoTiltSeriesStarFile") + "\n01 1 1 2 2 2 1 a b c d ts.star\n"
    )
    (tmp_path / "ts.star").write_text("data_1\nloop_\n_rlnTomoYTilt\n0\n")
    tomograms = read_tomograms(tmp_path / "t.star", Project(tmp_path))
    with pytest.raises(FileFormatError, match=r"table data_01 in .*ts\.star, found data_1"):
        tomograms.tilt_series("01")
    (tmp_path / "ts.star").write_text("data_01\nloop_\n_rlnMicrographName\na.mrc\n")
    with pytest.raises(FileFormatError, match="aligned tilt angles"):
        tomograms.tilt_series("01")
    (tmp_path / "ts.star").unlink()
    with pytest.raises(FileMissingError, match=r"ts\.star"):
        tomograms.tilt_series("01")


def test_projection_matrices_of_relion4_become_angles(tmp_path: Path):
    """Rows of Rz(30) Ry(-20) Rx(5), written out by hand."""
    x, y, z = np.radians([5.0, -20.0, 30.0])
    rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    rows = ["[" + ",".join(f"{v:.9f}" for v in (*row, 0)) + "]" for row in rz @ ry @ rx]
    (tmp_path / "t.star").write_text(
        "data_global\nloop_\n_rlnTomoName\n_rlnTomoFrameCount\nA 1\n\n"
        "data_A\nloop_\n_rlnTomoProjX\n_rlnTomoProjY\n_rlnTomoProjZ\n_rlnTomoProjW\n" + " ".join(rows) + " [0,0,0,1]\n"
    )
    series = read_tomograms(tmp_path / "t.star", Project(tmp_path)).tilt_series("A")
    np.testing.assert_allclose([series.x_tilt[0], series.y_tilt[0], series.z_rot[0]], [5, -20, 30], atol=1e-6)
    assert np.isnan(series.x_shift).all()
    assert not series.has_ctf


def test_broken_sets_are_refused(tmp_path: Path, golden: Path):
    path = tmp_path / "t.star"
    path.write_text("data_global\nloop_\n_rlnTomoName\n_a\nA 1\nA 2\n")
    with pytest.raises(FileFormatError, match="found A 2 times"):
        read_tomograms(path)
    with pytest.raises(FileFormatError, match="table of tomograms"):
        read_tomograms(golden / "Class3D_2d/run_it004_model.star")
    path.write_text(FULL.replace("01 1.35 7.407407 4000", "01 1.35 7.407407 many"))
    with pytest.raises(FileFormatError, match=r"number in row 1, column _rlnTomoSizeX .*t\.star, found 'many'"):
        list(read_tomograms(path))
