"""Where particles are, in every RELION version, and that edits touch nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.errors import FileFormatError, GeometryError, InputError
from napari_subtomo.geometry.orientations import angular_distance, euler_to_matrix, random_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import parse_star, read_star, write_star
from napari_subtomo.io.tomograms import TomogramSet, read_tomograms


def text_file(path: Path, text: str) -> Path:
    """Write `text` and hand the path back."""
    path.write_text(text)
    return path


def tomograms(tmp_path: Path, sizes: str = "101 202 303", pixel: float = 1.35) -> TomogramSet:
    """One tomogram of odd and unequal sizes, binning 7.407."""
    path = text_file(
        tmp_path / "tomograms.star",
        "data_global\nloop_\n_rlnTomoName\n_rlnTomoTiltSeriesPixelSize\n_rlnTomoTomogramBinning\n_rlnTomoSizeX\n_rlnTomoSizeY\n_rlnTomoSizeZ\n"
        f"01 {pixel} 7.407407 {sizes}\n",
    )
    return read_tomograms(path, Project(tmp_path))


RELION4 = "data_particles\nloop_\n_rlnTomoName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n01 50.5 101 151.5\n01 0 10 20\n"
RELION31 = (
    "data_optics\nloop_\n_rlnOpticsGroup\n_rlnImagePixelSize\n_rlnImageSize\n2 5.4 64\n\n"
    "data_particles\nloop_\n_rlnMicrographName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n_rlnOriginXAngst\n_rlnOriginYAngst\n"
    "_rlnOriginZAngst\n_rlnOpticsGroup\n_rlnImageName\n_rlnCtfImage\n01 10 20 30 1.5 -2 3 2 a.mrc a_ctf.mrc\n"
)


def test_the_law_holds_on_what_relion_folded_in(golden: Path):
    """c - S·o of the input is the centred coordinate that RELION's extraction wrote, to the digits it prints."""
    before, after = read_particles(golden / "particles.star"), read_particles(golden / "Extract2d/particles.star")
    moved = before.floats("rlnTomoSubtomogramTilt") != 0
    assert moved[0::2].all()
    assert not moved[1::2].any()
    assert np.abs(before.origins).max() > 5
    assert np.abs(before.positions() - before.coordinates()).max() > 5
    np.testing.assert_allclose(before.positions(), after.coordinates(), rtol=0, atol=6e-6)
    assert not after.origins.any()
    np.testing.assert_allclose(before.orientations, after.orientations, atol=2e-7)


def test_the_frame_matters_to_the_law(golden: Path):
    """Without the subtomogram frame the rows that have one would be off by up to 20 Å."""
    before, after = read_particles(golden / "particles.star"), read_particles(golden / "Extract2d/particles.star")
    naive = np.abs(before.coordinates() - before.origins - after.coordinates()).max(axis=1)
    assert (naive[0::2] > 0.5).all()
    assert (naive[1::2] < 6e-6).all()


def test_orientations_with_frames_are_those_of_the_simulation(golden: Path):
    """S·A maps the reference into the tomogram: off the truth by the noise that was added (about 8 degrees), with and without a frame."""
    truth = read_star(golden / "truth.star")["particles"]
    wanted = euler_to_matrix(np.stack([truth.floats(label) for label in relion.ANGLES], axis=-1))
    assert angular_distance(read_particles(golden / "particles.star").orientations, wanted).max() < 15


@pytest.mark.parametrize("run", ["Class3D_2d", "Class3D_3d"])
def test_the_sign_of_origins_is_relion_s(golden: Path, run: str):
    """RELION's refinement writes origins that bring particles nearer to the simulated places; with the other sign they move away."""
    truth = read_particles(golden / "truth.star").coordinates()
    start, refined = read_particles(golden / "particles.star"), read_particles(golden / run / "run_it004_data.star")

    def error(positions: np.ndarray) -> float:
        return float(np.median(np.linalg.norm(positions - truth, axis=1)))

    flipped = 2 * refined.coordinates() - refined.positions()
    assert error(refined.positions()) < 0.6 * error(start.positions()) < error(flipped)


def test_what_relion_extracted_is_described(golden: Path):
    flat, solid = read_particles(golden / "Extract2d_bin2_f16/particles.star"), read_particles(golden / "Extract3d_bin2_f16/particles.star")
    assert (flat.is_2d_stacks, solid.is_2d_stacks) == (True, False)
    assert (solid.pixel_size, solid.box_size, solid.n) == (20.0, 16, 24)
    assert solid.image_paths[0] == "Extract3d_bin2_f16/Subtomograms/TS_01/1_data.mrc"
    assert solid.ctf_paths[0] == "Extract3d_bin2_f16/Subtomograms/TS_01/1_weights.mrc"
    assert flat.ctf_paths == ("",) * 24
    assert set(solid.half_sets.tolist()) == {1, 2}
    assert set(solid.optics_groups.tolist()) == {1}
    assert set(solid.class_numbers.tolist()) == {0}
    assert set(read_particles(golden / "Class3D_3d/run_it004_data.star").class_numbers.tolist()) == {1, 2}
    assert solid.groups == solid.tomo_names == ("TS_01",) * 24
    assert solid.names[:2] == ("TS_01/1", "TS_01/2")


def test_picks_without_optics_names_and_angles_have_relion_s_defaults(tmp_path: Path):
    star = "data_particles\nloop_\n_rlnTomoName\n_rlnCenteredCoordinateXAngst\n_rlnCenteredCoordinateYAngst\n_rlnCenteredCoordinateZAngst\n"
    picks = read_particles(text_file(tmp_path / "p.star", star + "01 1 2 3\n1e3 4 5 6\n01 7 8 9\n"))
    assert picks.tomo_names == ("01", "1e3", "01")
    assert picks.names == ("01/1", "1e3/1", "01/2")
    np.testing.assert_array_equal(picks.positions(), [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    np.testing.assert_array_equal(picks.orientations, np.broadcast_to(np.eye(3), (3, 3, 3)))
    assert picks.optics is None
    assert picks.half_sets.tolist() == [0, 0, 0]
    with pytest.raises(FileFormatError, match="extract the particles first"):
        _ = picks.pixel_size
    with pytest.raises(FileFormatError, match="extract the particles first"):
        _ = picks.box_size


def test_relion4_counts_unbinned_pixels_from_the_corner(tmp_path: Path):
    particles = read_particles(text_file(tmp_path / "p.star", RELION4))
    assert particles.dialect == "relion4"
    # N/2 = (50.5, 101, 151.5): the first particle sits at the centre, the second one at (u - N/2)·1.35
    np.testing.assert_allclose(particles.positions(tomograms(tmp_path)), [[0, 0, 0], [-68.175, -122.85, -177.525]], atol=1e-9)


def test_relion31_counts_image_pixels_and_subtracts_origins(tmp_path: Path):
    particles = read_particles(text_file(tmp_path / "p.star", RELION31))
    assert particles.dialect == "relion31"
    assert (particles.pixel_size, particles.box_size, particles.is_2d_stacks) == (5.4, 64, False)
    expected = np.array([[10, 20, 30]]) * 5.4 - np.array([101, 202, 303]) / 2 * 1.35 - [1.5, -2, 3]
    np.testing.assert_allclose(particles.positions(tomograms(tmp_path)), expected, atol=1e-9)


def test_relion31_coordinates_follow_the_micrograph_s_pixel_where_it_is_told(tmp_path: Path):
    text = RELION31.replace("_rlnImageSize\n2 5.4 64", "_rlnImageSize\n_rlnMicrographPixelSize\n2 5.4 64 2.7")
    particles = read_particles(text_file(tmp_path / "p.star", text))
    expected = np.array([[10, 20, 30]]) * 2.7 - np.array([101, 202, 303]) / 2 * 1.35 - [1.5, -2, 3]
    np.testing.assert_allclose(particles.positions(tomograms(tmp_path)), expected, atol=1e-9)


@pytest.mark.parametrize(("text", "version"), [(RELION4, "RELION 4"), (RELION31, "RELION 3.1")])
def test_older_coordinates_need_tomogram_sizes(tmp_path: Path, text: str, version: str):
    particles = read_particles(text_file(tmp_path / "p.star", text))
    with pytest.raises(GeometryError, match=f"sizes for the {version} coordinates"):
        particles.positions()
    with pytest.raises(GeometryError, match="its size in pixels for the tomogram 01"):
        particles.positions(tomograms(tmp_path, sizes="-999 -999 -999"))
    other = text_file(tmp_path / "other.star", (tmp_path / "tomograms.star").read_text().replace("\n01 ", "\n02 "))
    with pytest.raises(InputError, match="Expected the tomogram 01"):
        particles.positions(read_tomograms(other, Project(tmp_path)))


def test_relion30_origins_are_pixels(tmp_path: Path):
    labels = ("MicrographName", "OriginX", "OriginY", "OriginZ", "DetectorPixelSize", "Magnification")
    text = "data_\nloop_\n" + "".join(f"_rln{label}\n" for label in labels) + "t 1 2 3 5.0 10000\n"
    np.testing.assert_allclose(read_particles(text_file(tmp_path / "p.star", text)).origins, [[5, 10, 15]])


@pytest.mark.parametrize("bad", ["nan", "inf", "abc", "N/A"])
def test_a_bad_coordinate_is_named_by_file_row_and_column(tmp_path: Path, golden: Path, bad: str):
    particles = read_particles(golden / "particles.star")
    column = list(particles.texts(relion.CENTRED_Y))
    column[4] = bad
    write_particles(tmp_path / "bad.star", particles.with_columns({relion.CENTRED_Y: column}))
    with pytest.raises(
        FileFormatError, match=rf"number in row 5, column _{relion.CENTRED_Y} of table data_particles of .*bad\.star, found '{bad}'"
    ):
        read_particles(tmp_path / "bad.star").positions()


def test_a_file_without_particles_is_refused(tmp_path: Path, golden: Path):
    with pytest.raises(FileFormatError, match="data_particles"):
        read_particles(golden / "Class3D_2d/run_it004_model.star")
    with pytest.raises(FileFormatError, match="_rlnTomoName"):
        read_particles(text_file(tmp_path / "p.star", "data_particles\nloop_\n_a\n_b\n1 2\n"))


def test_an_optics_group_that_is_not_there_is_named(tmp_path: Path):
    particles = read_particles(text_file(tmp_path / "p.star", RELION31.replace("2 5.4 64", "1 5.4 64")))
    with pytest.raises(FileFormatError, match="optics group 2"):
        _ = particles.pixel_size


def test_sets_of_two_pixel_sizes_are_refused(tmp_path: Path):
    text = RELION31.replace("2 5.4 64", "2 5.4 64\n1 2.7 64") + "01 1 1 1 0 0 0 1 b.mrc b_ctf.mrc\n"
    with pytest.raises(GeometryError, match=r"one pixel size for all particles, found 2\.7, 5\.4"):
        _ = read_particles(text_file(tmp_path / "p.star", text)).pixel_size


def test_poses_come_back_as_they_were_given(tmp_path: Path, golden: Path):
    particles = read_particles(golden / "particles.star")
    rng = np.random.default_rng(3)
    angles, origins = random_matrices(particles.n, rng), rng.normal(0, 10, (particles.n, 3))
    write_particles(tmp_path / "p.star", particles.with_poses(angles, origins))
    back = read_particles(tmp_path / "p.star")
    np.testing.assert_allclose(back.angles, angles, atol=1e-7)
    np.testing.assert_allclose(back.origins, origins, atol=1e-6)
    np.testing.assert_array_equal(back.frames, particles.frames)
    for label in set(particles.table.labels) - {*relion.ANGLES, *relion.ORIGINS}:
        assert back.texts(label) == particles.texts(label)
    assert back.table.labels == particles.table.labels


def test_row_ids_follow_selection_and_edits(golden: Path):
    particles = read_particles(golden / "Extract3d/particles.star")
    chosen = particles.select([5, 2, 9]).with_columns({"rlnClassNumber": [1, 2, 3]}).select(np.array([True, False, True]))
    assert chosen.row_ids is not None
    assert chosen.row_ids.tolist() == [5, 9]
    assert chosen.names == ("TS_01/6", "TS_01/10")
    assert chosen.class_numbers.tolist() == [1, 3]
    assert chosen.optics is not None
    assert chosen.with_optics({"rlnImagePixelSize": 12.5}).row_ids is chosen.row_ids


def test_selecting_nothing_leaves_a_legal_file(tmp_path: Path, golden: Path):
    write_particles(tmp_path / "none.star", read_particles(golden / "particles.star").select([]))
    empty = read_particles(tmp_path / "none.star")
    assert (empty.n, empty.positions().shape, empty.orientations.shape) == (0, (0, 3), (0, 3, 3))


def test_a_set_is_made_and_given_optics_in_relion_s_order(tmp_path: Path):
    columns = {relion.TOMO_NAME: ["01", "TS 1"], **{label: [1.0, -2.0] for label in relion.CENTRED}}
    particles = ParticleSet.create(columns, are_2d_stacks=False)
    particles = particles.with_optics({relion.OPTICS_GROUP: 1, relion.IMAGE_PIXEL_SIZE: 2.7, relion.IMAGE_SIZE: 48})
    write_particles(tmp_path / "p.star", particles)
    back = read_particles(tmp_path / "p.star")
    assert back.star.names == ("general", "optics", "particles")
    assert (back.tomo_names, back.pixel_size, back.box_size) == (("01", "TS 1"), 2.7, 48)
    assert back.with_2d_stacks(True).is_2d_stacks


def test_new_coordinates_replace_those_of_older_versions(tmp_path: Path):
    particles = read_particles(text_file(tmp_path / "p.star", RELION4))
    moved = particles.with_coordinates([[1, 2, 3], [4, 5, 6]])
    assert not any(moved.has(label) for label in relion.COORDINATES)
    assert moved.dialect == "relion5"
    np.testing.assert_array_equal(moved.coordinates(), [[1, 2, 3], [4, 5, 6]])


def test_other_tables_and_unknown_columns_are_kept(tmp_path: Path):
    text = RELION31 + "\ndata_note\n_subtomoThing 01\n"
    star = parse_star(text)
    write_star(tmp_path / "p.star", star)
    write_particles(tmp_path / "q.star", read_particles(tmp_path / "p.star").select([0]))
    assert (tmp_path / "q.star").read_text() == (tmp_path / "p.star").read_text()
