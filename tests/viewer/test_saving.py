"""Edits by hand, and kept particles back to files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion as r
from napari_subtomo.io.annotations import read_annotations
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import read_particles
from napari_subtomo.viewer.edits import absorb
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.overlay import resolve
from napari_subtomo.viewer.saving import kept_particles, next_folder, save_annotations, save_particles
from napari_subtomo.viewer.session import Session


def edited(session: Session, rows: Any, points: Any) -> Session:
    return absorb(session, resolve(session), np.asarray(rows, dtype=np.int64), np.asarray(points, dtype=np.float64))


def changed_cells(before: Path, after: Path) -> dict[tuple[int, str], tuple[str, str]]:
    a, b = read_particles(before).table, read_particles(after).table
    assert a.labels == b.labels
    return {
        (row, label): (x, y) for label in a.labels for row, (x, y) in enumerate(zip(a.texts(label), b.texts(label), strict=False)) if x != y
    }


def test_points_that_were_not_touched_leave_the_session_as_it_is(project: Any) -> None:
    session = load_session(project.root)
    state = resolve(session)
    assert absorb(session, state, state.rows, state.points_zyx) is session
    assert not session.edited


def test_saving_without_edits_writes_the_file_again(project: Any, tmp_path: Path) -> None:
    saved = save_particles(load_session(project.root), tmp_path / "again.star")
    assert (tmp_path / "again.star").read_bytes() == project.kept.read_bytes()
    assert (saved.particles, saved.moved, saved.added, saved.removed) == (8, 0, 0, 0)


def test_saving_hiv_picks_is_text_identical(shared: Path, tmp_path: Path) -> None:
    picks = shared / "data" / "relion5_hiv_project" / "Picks" / "job019" / "particles.star"
    save_particles(load_session(picks), tmp_path / "once.star")
    save_particles(load_session(picks), tmp_path / "twice.star")
    assert (tmp_path / "once.star").read_bytes() == (tmp_path / "twice.star").read_bytes()
    first, again = read_particles(picks).table, read_particles(tmp_path / "once.star").table
    assert first.columns == again.columns


def test_a_moved_particle_changes_its_coordinates_and_nothing_else(project: Any, tmp_path: Path) -> None:
    session = load_session(project.kept)
    state = resolve(session)
    points = state.points_zyx.copy()
    points[1] += [0.5, -2.0, 3.0]
    after = edited(session, state.rows, points)
    assert after.edited
    saved = save_particles(after, tmp_path / "moved.star")
    cells = changed_cells(project.kept, tmp_path / "moved.star")
    assert set(cells) == {(1, label) for label in r.CENTRED}
    shift = [float(cells[1, label][1]) - float(cells[1, label][0]) for label in r.CENTRED]
    np.testing.assert_allclose(shift, [30.0, -20.0, 5.0], atol=2e-6)  # xyz, at 10 Å a voxel
    assert (saved.moved, saved.added, saved.removed) == (1, 0, 0)


def test_a_deleted_particle_is_gone_and_the_others_keep_their_text(project: Any, tmp_path: Path) -> None:
    session = load_session(project.kept)
    state = resolve(session)
    keep = [0, 2, 3]
    after = edited(session, state.rows[keep], state.points_zyx[keep])
    saved = save_particles(after, tmp_path / "fewer.star")
    before, now = read_particles(project.kept), read_particles(tmp_path / "fewer.star")
    assert saved.removed == 1
    assert now.names == tuple(name for i, name in enumerate(before.names) if i != 1)
    for label in before.table.labels:
        assert now.texts(label) == tuple(text for i, text in enumerate(before.texts(label)) if i != 1)


def test_a_new_point_is_a_particle_of_the_shown_tomogram_without_images(project: Any, tmp_path: Path) -> None:
    session = load_session(project.kept).showing("TS_02")
    state = resolve(session)
    centre = [16.0, 20.0, 24.0]
    after = edited(session, [*state.rows, -1], [*state.points_zyx, centre])
    save_particles(after, tmp_path / "more.star")
    now = read_particles(tmp_path / "more.star")
    assert now.n == 9
    assert now.tomo_names[-1] == "TS_02"
    np.testing.assert_allclose(now.positions()[-1], [0, 0, 0], atol=1e-6)
    assert now.texts(r.IMAGE_NAME)[-1] == "None"
    assert now.texts(r.CLASS_NUMBER)[-1] == "0"
    assert len(set(now.names)) == 9
    assert changed_cells(project.kept, tmp_path / "more.star") == {}


def test_a_copied_point_is_a_new_particle_and_the_original_stays(project: Any) -> None:
    session = load_session(project.kept)
    state = resolve(session)
    after = edited(session, [*state.rows, state.rows[0]], [*state.points_zyx, state.points_zyx[0] + 1])
    assert after.totals() == (9, 4)
    np.testing.assert_array_equal(after.table.positions[0], session.table.positions[0])


def test_rejected_particles_are_not_saved(project: Any) -> None:
    particles, _ = kept_particles(load_session(project.root))
    assert set(particles.class_numbers.tolist()) == {1, 3}


def test_a_tomogram_can_be_emptied(project: Any, tmp_path: Path) -> None:
    session = load_session(project.root)
    after = edited(session, [], np.zeros((0, 3)))
    saved = save_annotations(after, tmp_path / "project" / "Picks" / "job006")
    assert saved.particles == 4
    assert set(read_particles(saved.path).tomo_names) == {"TS_02"}
    annotations = saved.path.parent / "annotations"
    assert len(read_annotations(annotations / "TS_01_particles.star")) == 0
    assert len(read_annotations(annotations / "TS_02_particles.star")) == 4


def test_annotations_are_voxels_of_the_drawn_points_and_the_job_names_its_files(project: Any) -> None:
    session = load_session(project.root)
    folder = next_folder(session)
    assert folder == project.root / "Picks" / "job006"
    save_annotations(session, folder)
    found = read_annotations(folder / "annotations" / "TS_01_particles.star")
    state = resolve(session)
    np.testing.assert_allclose(found.points_zyx, state.points_zyx[state.features["kept"]], atol=1e-5)
    named = read_optimisation_set(folder / "optimisation_set.star")
    assert (named.particles, named.tomograms) == ("Picks/job006/particles.star", "tomograms.star")
    assert (folder / "particles.star").read_bytes() == project.kept.read_bytes()


def test_saving_into_a_folder_with_files_is_refused(project: Any) -> None:
    session = load_session(project.root)
    before = sorted(project.kept.parent.iterdir())
    with pytest.raises(InputError, match="new or empty folder"):
        save_annotations(session, project.kept.parent)
    assert sorted(project.kept.parent.iterdir()) == before


def test_a_hundred_cycles_of_opening_and_saving_move_nothing(project: Any) -> None:
    first = project.kept.read_bytes()
    session = load_session(project.kept)
    state = resolve(session)
    moved = edited(session, state.rows, state.points_zyx + 0.25)
    save_particles(moved, project.kept)
    second = project.kept.read_bytes()
    assert second != first
    for _ in range(100):
        save_particles(load_session(project.kept), project.kept)
    assert project.kept.read_bytes() == second


def test_edits_count_as_saved_until_the_next_one(project: Any) -> None:
    session = load_session(project.root)
    state = resolve(session)
    after = edited(session, state.rows, state.points_zyx + 1)
    saved = replace(after, saved=after.table)
    assert after.edited
    assert not saved.edited
    again = resolve(saved)
    assert edited(saved, again.rows, again.points_zyx + 1).edited
