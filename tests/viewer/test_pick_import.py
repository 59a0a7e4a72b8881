"""Picks from files of other programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_subtomo.errors import InputError
from napari_subtomo.io.particles import read_particles
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking.files import import_picks, tomograms_of
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.spheres import Sphere
from napari_subtomo.viewer.saving import save_annotations
from napari_subtomo.viewer.view import open_session


def test_particles_points_and_spheres_are_imported(project: Any, tmp_path: Path) -> None:
    session = load_session(project.tomograms)
    assert session.tomogram_set is not None
    particles = import_picks(project.kept, session.tomogram_set, "TS_01")
    original = read_particles(project.kept)
    np.testing.assert_allclose(particles.positions, original.positions())
    np.testing.assert_allclose(particles.orientations, original.orientations)
    (tmp_path / "points.csv").write_text("x,y,z\n24,20,16\n")
    points = import_picks(tmp_path / "points.csv", session.tomogram_set, "TS_02")
    assert points.tomograms == ("TS_02",)
    np.testing.assert_allclose(points.positions, [[0, 0, 0]], atol=1e-9)
    folder = project.root / "Picks" / "job006"
    spheres = (Sphere.at("TS_02", (0, 0, 0), 100),)
    save_annotations(replace(session, spheres=spheres), folder)
    found = import_picks(folder / "annotations" / "TS_02_spheres.star", session.tomogram_set, "TS_01")
    assert found.spheres == spheres


def test_a_csv_with_radii_holds_spheres(project: Any, tmp_path: Path) -> None:
    tomograms = tomograms_of(load_session(project.tomograms))
    (tmp_path / "spheres.csv").write_text("x,y,z,radius\n24,20,16,7.5\n")
    (sphere,) = import_picks(tmp_path / "spheres.csv", tomograms, "TS_02").spheres
    assert (sphere.tomogram, sphere.radius) == ("TS_02", 75)
    np.testing.assert_allclose(sphere.centre, (0, 0, 0), atol=1e-9)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x,y\n1,2\n", "columns x, y, z"),
        ("x,y,z\n1,2,three\n", "row 1, column z"),
        ("x,y,z,tomogram\n1,2,3,TS_09\n", "tomogram TS_09"),
        ("x,y,z,tomogram,radius\n1,2,3,TS_01,-4\n", "positive radius"),
        ("", "empty file"),
    ],
)
def test_a_file_that_cannot_be_imported_is_said_in_one_sentence(project: Any, tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "picks.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        import_picks(tmp_path / "picks.csv", tomograms_of(load_session(project.tomograms)), "TS_01")


def test_what_is_there_already_is_not_added_again(project: Any) -> None:
    view = open_session(ViewerModel(), load_session(project.kept))
    assert view.session.tomogram_set is not None
    picker, n = Picker(view), len(view.session.table)
    picks = import_picks(project.picks, view.session.tomogram_set, "TS_01")
    assert picker.add_imported(picks) == (len(picks.tomograms) - n, 0)
    assert picker.outside(0) == 0
