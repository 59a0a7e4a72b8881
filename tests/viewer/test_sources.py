"""Finding what there is in a folder, and reading it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_subtomo.errors import FileMissingError, InputError
from napari_subtomo.io import relion as r
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star, write_star
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.overlay import resolve
from napari_subtomo.viewer.sources import find_sources


def kinds(root: Path) -> list[tuple[str, str]]:
    return [(source.kind, source.title) for source in find_sources(Project(root))]


def test_selections_come_before_classifications_before_particles(project: Any) -> None:
    assert kinds(project.root) == [
        ("selection", "Select/job005"),
        ("classification", "Class3D/job004, iteration 2"),
        ("particles", "particles.star"),
    ]


def test_the_highest_job_number_is_the_newest_also_beyond_job999(project: Any) -> None:
    for number in ("job010", "job1002"):
        shutil.copytree(project.kept.parent, project.root / "Select" / number)
    assert [title for kind, title in kinds(project.root) if kind == "selection"] == ["Select/job1002", "Select/job010", "Select/job005"]


def test_an_iteration_that_is_being_written_is_not_shown(project: Any) -> None:
    shutil.copy(project.data, project.data.with_name("run_it003_data.star"))
    assert ("classification", "Class3D/job004, iteration 2") in kinds(project.root)


def test_a_project_shows_kept_and_rejected_particles_of_its_selection(project: Any) -> None:
    session = load_session(project.root)
    assert session.title == "Select/job005"
    assert session.totals() == (8, 4)
    assert session.names == ("TS_01", "TS_02")
    kept = set(session.table.names[session.kept].tolist())
    assert kept == set(read_particles(project.kept).names)


def test_without_a_rejected_file_the_rest_of_the_classification_is_rejected(project: Any) -> None:
    project.rejected.unlink()
    session = load_session(project.root)
    assert session.totals() == (8, 4)
    assert set(session.table.classes[~session.kept].tolist()) == {2}


def test_particles_of_the_empty_class_count_as_rejected(project: Any) -> None:
    model = project.data.with_name("run_it002_model.star")
    star = read_star(model)
    write_star(model, star.replace(star[r.MODEL_GENERAL].with_values({r.EMPTY_CLASS: 2})))
    session = load_session(project.root / "Class3D" / "job004")
    assert session.totals() == (8, 4)
    assert set(session.table.classes[~session.kept].tolist()) == {2}


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("Class3D/job004", "Class3D/job004, iteration 2"),
        ("Class3D/job004/run_it001_optimiser.star", "Class3D/job004, iteration 1"),
        ("Class3D/job004/run_it000_model.star", "Class3D/job004, iteration 0"),
        ("Class3D/job004/run_it001_data.star", "Class3D/job004, iteration 1"),
        ("Select/job005/particles.star", "Select/job005"),
        ("Select/job005/particles_rejected.star", "Select/job005/particles_rejected.star"),
        ("particles.star", "particles.star"),
        ("tomograms.star", "tomograms"),
    ],
)
def test_every_kind_of_file_opens_in_its_project(project: Any, name: str, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root.parent)
    session = load_session(project.root / name)
    assert session.title == title
    assert session.project == project.root
    assert resolve(session).voxel_size == 10.0


def test_drawn_diameter_is_that_of_the_classification_else_of_the_box_else_the_spacing(project: Any) -> None:
    assert load_session(project.data).diameter == 90.0
    assert load_session(project.kept).diameter == pytest.approx(0.6 * 24 * 5.0)
    bare = read_particles(project.picks)
    write_particles(project.picks, type(bare).create({label: bare.texts(label) for label in (r.TOMO_NAME, *r.CENTRED)}))
    first = bare.coordinates()[:6]
    nearest = np.sort(np.linalg.norm(first[:, None] - first[None], axis=-1), axis=1)[:, 1]
    assert load_session(project.picks).diameter == pytest.approx(min(200.0, float(np.median(nearest))))


def test_the_tomogram_file_that_names_volumes_is_preferred(project: Any) -> None:
    folder = project.root / "Old" / "job001"
    folder.mkdir(parents=True)
    star = read_star(project.tomograms)
    write_star(folder / "tomograms.star", star)
    write_star(project.tomograms, star.replace(star.first.without(r.TOMO_RECONSTRUCTED, r.TOMO_BINNING)))
    session = load_session(project.root)
    assert session.tomogram_set is not None
    assert session.tomogram_set.path == folder / "tomograms.star"


@pytest.mark.parametrize("name", ["nothing", "empty", "particles_without_tomograms"])
def test_errors_say_what_was_looked_for(project: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    if name == "empty":
        path.mkdir()
    if name == "particles_without_tomograms":
        path.mkdir()
        shutil.copy(project.picks, path / "particles.star")
        path = path / "particles.star"
    wanted = {"nothing": "found nothing at", "empty": "tomograms.star or job folders", "particles_without_tomograms": "tomogram set"}[name]
    with pytest.raises(FileMissingError if name == "nothing" else InputError, match=wanted):
        load_session(path)


def test_a_golden_classification_of_relion_opens(golden: Path) -> None:
    session = load_session(golden)
    assert session.title == "Class3D_3d, iteration 4"
    assert session.totals() == (24, 0)
    assert session.diameter == 260.0
    state = resolve(session)
    assert [(entry.label, entry.total) for entry in state.legend] == [("class 1", 12), ("class 2", 12)]


def test_three_rows_of_the_hiv_picks_land_where_the_formula_puts_them(shared: Path) -> None:
    session = load_session(shared / "data" / "relion5_hiv_project" / "Picks" / "job019" / "particles.star")
    assert session.totals() == (9442, 0)
    rows = (shared / "data" / "relion5_hiv_project" / "Picks" / "job019" / "particles.star").read_text().splitlines()
    rows = [line.split("\t") for line in rows if line.startswith("TS_")]
    for place in (0, 4711, 9441):
        name, *cells = rows[place]
        state = resolve(session.showing(name))
        drawn = state.points_zyx[state.rows.tolist().index(place)]
        size, pixel, binning = (4000, 4000, 2000), 1.35, 7.407407
        voxels = [(float(cell) / pixel + n / 2) / binning for cell, n in zip(cells, size, strict=True)]
        np.testing.assert_allclose(drawn, [voxels[2], voxels[1], voxels[0]], atol=1e-6)


def test_star_files_of_something_else_are_refused_by_what_they_hold(golden: Path) -> None:
    with pytest.raises(InputError, match="found data_general, data_fsc"):
        load_session(golden / "PostProcess" / "postprocess.star")


def test_an_optimisation_set_whose_particles_are_missing_names_them(shared: Path) -> None:
    with pytest.raises(FileMissingError, match=r"Extract/job031/particles\.star"):
        load_session(shared / "data" / "relion5_hiv_project" / "Extract" / "job031" / "optimisation_set.star")
