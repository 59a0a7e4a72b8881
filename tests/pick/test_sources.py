"""Reading points and spheres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.errors import InputError, SubtomoError
from napari_subtomo.io import relion
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.pick import parse_spheres, read_points, read_spheres

# the vector of RELION's rule: N=(4000,4000,2000), p=1.35, b=7.407407
POSITION = (1234.5, -678.9, 321.0)
VOXEL = (393.450, 202.110, 167.100)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_voxels_become_centred_angstrom_by_relions_rule(tmp_path: Path, tomograms: TomogramSet) -> None:
    path = written(tmp_path / "p.csv", f"x,y,z,tomogram\n{VOXEL[0]},{VOXEL[1]},{VOXEL[2]},01\n270,270,135,01\n")
    picks = read_points(path, tomograms)
    np.testing.assert_allclose(picks.positions[0], POSITION, atol=0.01)
    np.testing.assert_allclose(picks.positions[1], 0, atol=1e-3)
    assert picks.tomo_names == ("01", "01")


def test_units_can_be_unbinned_pixels_or_centred_angstrom(tmp_path: Path, tomograms: TomogramSet) -> None:
    path = written(tmp_path / "p.csv", "x,y,z,tomo\n2001,2000,1000,01\n")
    np.testing.assert_allclose(read_points(path, tomograms, "pixels").positions, [[1.35, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(read_points(path, tomograms, "angstrom").positions, [[2001, 2000, 1000]])


@pytest.mark.parametrize(
    "text",
    [
        "x,y,z,tomogram\n1,2,3,TS 1.mrc\n",
        "Tomogram;Z;X;Y\nTS 1.mrc;3;1;2\n",
        "name\tz\ty\tx\nTS 1.mrc\t3\t2\t1\n",
        '# from a table\nx, y, z, "tomo_name"\n1, 2, 3, TS 1.mrc\n\n',
        "index,axis-0,axis-1,axis-2,tomogram\n0,3,2,1,TS 1.mrc\n",
        "\ufeffrlnCoordinateX,rlnCoordinateY,rlnCoordinateZ,rlnTomoName\n1,2,3,TS 1.mrc\n",
    ],
)
def test_csv_dialects_and_napari_axes_give_the_same_point(tmp_path: Path, tomograms: TomogramSet, text: str) -> None:
    picks = read_points(written(tmp_path / "p.csv", text), tomograms, "angstrom")
    assert picks.tomo_names == ("TS 1.mrc",)
    np.testing.assert_array_equal(picks.positions, [[1, 2, 3]])


def test_three_columns_of_numbers_need_no_names_but_a_tomogram(tmp_path: Path, tomograms: TomogramSet) -> None:
    path = written(tmp_path / "p.txt", "1 2 3\n4.5 5 6\n")
    assert read_points(path, tomograms, "angstrom", "01").tomo_names == ("01", "01")
    with pytest.raises(InputError, match="add a column tomogram or give --tomogram"):
        read_points(path, tomograms, "angstrom")
    assert read_points(path, tomograms.select(["TS 1.mrc"]), "angstrom").tomo_names == ("TS 1.mrc",) * 2


def test_an_annotation_file_names_its_tomogram_by_its_file_name(tmp_path: Path, tomograms: TomogramSet) -> None:
    block = StarBlock.loop("", dict(zip(relion.COORDINATES, ([270.0], [270.0], [135.0]), strict=True)))
    write_star(tmp_path / "01_particles.star", [block])
    picks = read_points(tmp_path / "01_particles.star", tomograms)
    assert picks.tomo_names == ("01",)
    np.testing.assert_allclose(picks.positions, 0, atol=1e-3)


def test_centred_coordinates_of_a_particle_file_are_angstrom_whatever_the_units(tmp_path: Path, tomograms: TomogramSet) -> None:
    columns = {relion.TOMO_NAME: ["01"]} | dict(zip(relion.CENTRED, ([1.0], [2.0], [3.0]), strict=True))
    write_star(tmp_path / "p.star", [StarBlock.loop(relion.OPTICS, {relion.OPTICS_GROUP: [1]}), StarBlock.loop(relion.PARTICLES, columns)])
    np.testing.assert_array_equal(read_points(tmp_path / "p.star", tomograms, "voxels").positions, [[1, 2, 3]])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "found an empty file"),
        ("x,y,tomogram\n1,2,01\n", "Expected the columns x, y, z"),
        ("x,y,z,tomogram\n1,nan,3,01\n", "finite number in row 1, column y"),
        ("x,y,z,tomogram\n1,2,3,01\n1,2,3o,01\n", "finite number in row 2, column z .* found '3o'"),
        ("x,y,z,tomogram\n1,2,3,1\n", "Expected the tomogram 1 in"),
        ("x,y,z,tomogram\n1,2,01\n", "Expected 4 values in row 1"),
        ("1,1,2,3\n", "names of the columns"),
    ],
)
def test_bad_csv_files_say_what_is_wrong_where(tmp_path: Path, tomograms: TomogramSet, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_points(written(tmp_path / "p.csv", text), tomograms)


def test_missing_files_binary_files_and_folders_are_refused(tmp_path: Path, tomograms: TomogramSet) -> None:
    with pytest.raises(SubtomoError, match="found nothing there"):
        read_points(tmp_path / "no.csv", tomograms)
    (tmp_path / "b.csv").write_bytes(b"\x00\xff\xfe\x81" * 10)
    with pytest.raises(InputError):
        read_points(tmp_path / "b.csv", tomograms)
    with pytest.raises(InputError, match="--annotations"):
        read_points(tmp_path, tomograms)


def test_spheres_come_with_centre_and_radius_in_one_unit(tmp_path: Path, tomograms: TomogramSet) -> None:
    text = "TS 1.mrc,50,72,30,40"
    spheres = parse_spheres([text], tomograms)
    voxel = 1.35 * 7.407407
    np.testing.assert_allclose(spheres.radii, 40 * voxel)
    np.testing.assert_allclose(spheres.positions, np.array([[50, 72, 30]]) * voxel - np.array([500, 720, 300]) * 1.35)
    np.testing.assert_allclose(parse_spheres([text], tomograms, "pixels").radii, 40 * 1.35)
    np.testing.assert_allclose(parse_spheres([text], tomograms, "angstrom").radii, 40)
    star = StarBlock.loop("", {relion.TOMO_NAME: ["TS 1.mrc"], relion.SPHERE_RADIUS: [40.0]})
    for label, value in zip(relion.COORDINATES, (50.0, 72.0, 30.0), strict=True):
        star = star.with_column(label, [value])
    write_star(tmp_path / "s.star", [star])
    again = read_spheres(tmp_path / "s.star", tomograms)
    np.testing.assert_allclose(again.positions, spheres.positions)
    np.testing.assert_allclose(again.radii, spheres.radii)


@pytest.mark.parametrize("text", ["01,1,2,3", "01", "", "01,1,2,3,x", "01;1;2;3;4"])
def test_a_sphere_of_another_form_is_refused(tomograms: TomogramSet, text: str) -> None:
    with pytest.raises(InputError, match="NAME,X,Y,Z,R"):
        parse_spheres([text], tomograms)


@pytest.mark.parametrize("text", ["01,1,2,3,0", "01,1,2,3,-4", "01,nan,2,3,4", "01,1,2,3,inf"])
def test_a_sphere_needs_a_centre_and_a_positive_radius(tomograms: TomogramSet, text: str) -> None:
    with pytest.raises(InputError, match=r"positive radius for sphere 1 \(01\)"):
        parse_spheres([text], tomograms)


def test_a_sphere_file_without_radii_is_refused(tmp_path: Path, tomograms: TomogramSet) -> None:
    with pytest.raises(InputError, match="Expected radii"):
        read_spheres(written(tmp_path / "p.csv", "x,y,z,tomogram\n1,2,3,01\n"), tomograms)
