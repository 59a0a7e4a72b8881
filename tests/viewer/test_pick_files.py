"""Spheres and their particles to files and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from napari.components import ViewerModel

from napari_subtomo.io.annotations import Annotations, read_annotations, write_annotations
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.jobs.runner import run_job
from napari_subtomo.options.pick import PickOptions
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking.files import import_picks, tomograms_of
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.spheres import Sphere, count, lattice
from napari_subtomo.viewer.saving import next_folder, save_annotations
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.view import open_session


def fresh(project: Any) -> Session:
    """The project's tomograms without particles."""
    return load_session(project.tomograms)


def test_particles_on_spheres_are_those_of_the_pick_job(project: Any) -> None:
    spheres = (Sphere.at("TS_01", (10, -20, 5), 120), Sphere.at("TS_02", (0, 0, 0), 90), Sphere.at("TS_01", (100, 50, 0), 70.5))
    texts = tuple(",".join([s.tomogram, *map(repr, s.centre), repr(s.radius)]) for s in spheres)
    options = PickOptions(tomograms=project.tomograms, sphere=texts, units="angstrom", spacing=25, seed=11)
    folder, _ = run_job("pick", options, project=Project(project.root))
    view = open_session(ViewerModel(), replace(fresh(project), spheres=spheres))
    picker = Picker(view)
    picker.set_spacing(25, 11)
    added = picker.add_particles(range(3))
    assert added == read_particles(folder.file("particles.star")).n == sum(count(s.radius, 25) for s in spheres)
    saved = save_annotations(view.session, project.root / "Picks" / "job099")
    assert saved.path.read_bytes() == folder.file("particles.star").read_bytes()
    for name in ("TS_01", "TS_02"):
        ours = saved.path.parent / "annotations" / f"{name}_spheres.star"
        assert ours.read_bytes() == folder.file(f"annotations/{name}_spheres.star").read_bytes()
    assert picker.add_particles([1]) == 0  # they are there already


def test_a_hundred_cycles_of_opening_and_saving_spheres_change_nothing(project: Any) -> None:
    folder = project.root / "Picks" / "job006"
    spheres = (Sphere.at("TS_01", (1 / 3, -20, 5e-4), 121.234567), Sphere.at("TS_02", (0.1, 0.2, 0.3), 77.7))
    view = open_session(ViewerModel(), replace(fresh(project), spheres=spheres))
    picker = Picker(view)
    picker.spacing = 40.0
    picker.add_particles([0, 1])
    save_annotations(view.session, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path.name for path in files} >= {"TS_01_spheres.star", "TS_01_particles.star", "particles.star"}
    first = [path.read_bytes() for path in files]
    for _ in range(100):
        save_annotations(load_session(folder / "particles.star"), folder, overwrite=True)
    assert [path.read_bytes() for path in files] == first
    again = load_session(folder / "particles.star").spheres
    np.testing.assert_allclose([s.radius for s in again], [s.radius for s in spheres], atol=1e-5)


def test_saving_twice_keeps_the_edits(project: Any) -> None:
    view = open_session(ViewerModel(), load_session(project.kept))
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    points.add([[5.0, 5.0, 5.0]])
    folder = project.root / "Picks" / "job006"
    save_annotations(view.session, folder)
    first = (folder / "particles.star").read_bytes()
    view.update(saved=view.session.table)
    save_annotations(view.session, folder, overwrite=True)
    assert (folder / "particles.star").read_bytes() == first
    assert read_particles(folder / "particles.star").n == 9


def test_particles_on_a_sphere_added_to_a_file_keep_their_orientations(project: Any) -> None:
    session = load_session(project.kept)
    view = open_session(ViewerModel(), replace(session, spheres=(Sphere.at("TS_02", (0, 0, 0), 80),)))
    picker = Picker(view)
    picker.spacing = 40.0
    n = picker.add_particles([0])
    saved = save_annotations(view.session, project.root / "Picks" / "job006")
    particles = read_particles(saved.path)
    expected = lattice(view.session.spheres, [0], 40.0, 1)[2]
    np.testing.assert_allclose(particles.orientations[-n:], expected, atol=1e-6)
    np.testing.assert_allclose(particles.orientations[:-n], session.sets[0].orientations, atol=0)


def test_tomograms_without_picks_are_saved(project: Any) -> None:
    saved = save_annotations(fresh(project), project.root / "Picks" / "job006")
    assert saved.particles == 0
    assert read_particles(saved.path).n == 0
    again = load_session(saved.path)
    assert again.totals() == (0, 0)


def test_a_sphere_that_was_deleted_leaves_an_empty_file(project: Any) -> None:
    sphere = (Sphere.at("TS_01", (0, 0, 0), 100),)
    session = replace(fresh(project), spheres=(), saved_spheres=sphere)
    assert session.edited
    saved = save_annotations(session, project.root / "Picks" / "job006")
    assert len(read_annotations(saved.path.parent / "annotations" / "TS_01_spheres.star")) == 0


def test_a_hundred_cycles_of_edited_particles_are_the_same_from_the_second_on_and_nothing_moves(project: Any) -> None:
    view = open_session(ViewerModel(), load_session(project.kept))
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    moved = points.data.copy()
    moved[0] += [1 / 3, 0.1, -2 / 7]
    points.data = moved
    points.add([[5.123456789, 6.1, 7.2]])
    points.selected_data = {2}
    points.remove_selected()
    folder = project.root / "Picks" / "job006"
    save_annotations(view.session, folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    save_annotations(load_session(folder / "particles.star"), folder, overwrite=True)
    second, positions = [path.read_bytes() for path in files], load_session(folder / "particles.star").table.positions
    for _ in range(99):
        save_annotations(load_session(folder / "particles.star"), folder, overwrite=True)
    assert [path.read_bytes() for path in files] == second
    now = load_session(folder / "particles.star").table.positions
    np.testing.assert_array_equal(now, positions)
    alive = view.session.table.alive & view.session.kept
    np.testing.assert_allclose(now, view.session.table.positions[alive], atol=1e-5)


def test_annotations_that_are_opened_as_relion_writes_them_stay_where_they_are(project: Any) -> None:
    """Without row ids and particles.star, as RELION's picker leaves them: a hundred cycles of import and saving."""
    session = fresh(project)
    points = np.random.default_rng(8).uniform(1, 30, (9, 3)).round(6)
    start = project.root / "annotations" / "TS_01_particles.star"
    write_annotations(start.parent, Annotations("TS_01", points))
    path, texts = start, []
    for cycle in range(100):
        picks = import_picks(path, tomograms_of(session), "TS_02")
        table = session.table.with_added(picks.tomograms, picks.positions, picks.orientations)
        saved = save_annotations(replace(session, table=table, kept=np.ones(9, dtype=bool)), project.root / "Picks" / f"job{cycle + 6:03d}")
        path = saved.path.parent / "annotations" / "TS_01_particles.star"
        texts.append((saved.path.read_bytes(), path.read_bytes()))
    assert set(texts[1:]) == {texts[1]}
    np.testing.assert_allclose(read_annotations(path).points_zyx, points, atol=1e-6)


def test_a_tomogram_whose_picks_were_undone_after_saving_has_none_in_its_file(project: Any) -> None:
    session = fresh(project)
    view = open_session(ViewerModel(), session)
    picker = Picker(view)
    view.step(1)
    picker.click(np.array([8.0, 8.0, 8.0]))
    folder = project.root / "Picks" / "job006"
    first = view.session
    save_annotations(first, folder)
    view.update(saved=first.table, saved_spheres=first.spheres)
    assert len(read_annotations(folder / "annotations" / "TS_02_particles.star")) == 1
    view.editor.undo()
    save_annotations(view.session, folder, overwrite=True)
    assert len(read_annotations(folder / "annotations" / "TS_02_particles.star")) == 0


def test_picks_in_a_volume_that_no_star_file_describes_are_saved_and_opened_again(project: Any, tmp_path: Path) -> None:
    lone = tmp_path / "alone" / "grid 7.mrc"
    lone.parent.mkdir()
    lone.write_bytes((project.root / "tomograms" / "TS_01.mrc").read_bytes())
    view = open_session(ViewerModel(), load_session(lone))
    picker = Picker(view)
    picker.spacing = 40.0
    picker.click(np.array([8.25, 9.5, 10.75]))
    picker.add_sphere(Sphere.at("grid 7", (0, 10, 0), 80))
    picker.add_particles([0])
    saved = save_annotations(view.session, next_folder(view.session))
    again = load_session(saved.path)
    np.testing.assert_allclose(again.table.positions, view.session.table.positions, atol=1e-5)
    np.testing.assert_allclose(again.tomogram.frame.voxels_zyx(again.table.positions[0]), [8.25, 9.5, 10.75], atol=1e-6)
    assert again.tomogram.tomogram_path == lone
    assert again.spheres[0].radius == 80
