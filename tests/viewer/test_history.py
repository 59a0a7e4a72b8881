"""Undo and redo of every edit."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers.picking import content
from scipy.spatial.transform import Rotation

from napari_subtomo.viewer import layers
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking import drawing
from napari_subtomo.viewer.picking.delta import Delta, between
from napari_subtomo.viewer.picking.files import Imported
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.spheres import Sphere, count
from napari_subtomo.viewer.picking.unsaved import read_journal
from napari_subtomo.viewer.view import ProjectView


def _add(view: ProjectView, picker: Picker, points: Any) -> None:
    points.add([[10.0, 20.0, 30.0]])


def _click(view: ProjectView, picker: Picker, points: Any) -> None:
    picker.use("points")
    picker.click(np.array([8.0, 9.0, 10.0]))


def _move(view: ProjectView, picker: Picker, points: Any) -> None:
    moved = points.data.copy()
    moved[[1, 3]] += [1 / 3, 2, 0]
    points.data = moved


def _delete(view: ProjectView, picker: Picker, points: Any) -> None:
    points.selected_data = {0, 2, 5}
    points.remove_selected()


def _delete_all(view: ProjectView, picker: Picker, points: Any) -> None:
    points.selected_data = set(range(len(points.data)))
    points.remove_selected()


def _paste(view: ProjectView, picker: Picker, points: Any) -> None:
    view.viewer.dims.ndisplay = 3  # in slices napari 0.9 cannot paste
    points.selected_data = {0, 2}
    points._copy_data()
    points._paste_data()
    _ = view.session  # napari does not tell of it


def _sphere(view: ProjectView, picker: Picker, points: Any) -> None:
    picker.use("sphere")
    picker.click(np.array([16.0, 20.0, 24.0]))


def _rim(view: ProjectView, picker: Picker, points: Any) -> None:
    picker.use("rim")
    for place in ([16, 20, 30], [16, 26, 24], [16, 20, 18]):
        picker.click(np.asarray(place, dtype=float))
    picker.following()


def _given(view: ProjectView, picker: Picker) -> None:
    """A sphere that is there before the edit, chosen."""
    picker.choose(0)


def _resize(view: ProjectView, picker: Picker, points: Any) -> None:
    _given(view, picker)
    picker.set_radius(75.0)


def _reach(view: ProjectView, picker: Picker, points: Any) -> None:
    _given(view, picker)
    picker.reach(np.array([16.0, 20.0, 33.0]))


def _drag(view: ProjectView, picker: Picker, points: Any) -> None:
    picker.use("sphere")
    handles: Any = layers.find_layer(view.viewer, drawing.HANDLES)
    moved = handles.data.copy()
    moved[0] += [0, 3, 1]
    handles.data = moved


def _delete_sphere(view: ProjectView, picker: Picker, points: Any) -> None:
    _given(view, picker)
    picker.delete_sphere()


def _lattice(view: ProjectView, picker: Picker, points: Any) -> None:
    assert picker.add_particles([0]) > 0


def _import(view: ProjectView, picker: Picker, points: Any) -> None:
    axes = Rotation.random(3, random_state=1).as_matrix()
    axes[2] = np.nan
    picks = Imported(("TS_01", "TS_02", "TS_02"), np.arange(9.0).reshape(3, 3), axes)
    assert picker.add_imported(picks) == (3, 0)
    assert picker.add_imported(picks) == (0, 0)  # they are there


def _import_spheres(view: ProjectView, picker: Picker, points: Any) -> None:
    picks = Imported((), np.zeros((0, 3)), np.zeros((0, 3, 3)), (Sphere.at("TS_02", (1, 2, 3), 40), Sphere.at("TS_01", (0, 0, 0), 60)))
    assert picker.add_imported(picks) == (0, 1)  # one of them is there


EDITS: dict[str, Callable[[ProjectView, Picker, Any], None]] = {
    function.__name__.strip("_"): function
    for function in (
        *(_add, _click, _move, _delete, _delete_all, _paste, _sphere, _rim, _resize, _reach, _drag, _delete_sphere, _lattice),
        *(_import, _import_spheres),
    )
}


@pytest.mark.parametrize("name", EDITS)
def test_each_edit_is_one_step_of_undo_and_one_of_the_journal(name: str, view: ProjectView, picker: Picker) -> None:
    picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 60))
    picker.choose(None)
    before, edits = content(view.session), view.editor.history.unsaved
    EDITS[name](view, picker, layers.find_layer(view.viewer, layers.PARTICLES))
    after = content(view.session)
    assert after != before
    assert view.editor.history.unsaved == edits + 1
    assert view.editor.undo()
    assert content(view.session) == before
    assert view.editor.redo()
    assert content(view.session) == after
    assert view.editor.journal.path is not None
    _, history = read_journal(view.editor.journal.path)
    again = load_session(view.session.project)
    for delta in history.done:
        again = delta.forward(again)
    assert content(again) == after


def test_every_edit_can_be_undone_and_done_again(view: ProjectView, picker: Picker) -> None:
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    states = [content(view.session)]

    def done() -> None:
        states.append(content(view.session))
        assert states[-1] != states[-2]

    points.add([[10.0, 20.0, 30.0]])
    done()
    moved = points.data.copy()
    moved[1] += [0, 2, 0]
    points.data = moved
    done()
    points.selected_data = {0, 2}
    points.remove_selected()
    done()
    picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 60))
    done()
    picker.set_radius(75.0)
    done()
    assert picker.add_particles([0]) == count(75, 20)
    done()
    view.step(1)
    picker.use("move")
    picker.click(np.array([8.0, 8.0, 8.0]))
    done()
    assert view.editor.history.unsaved == len(states) - 1 == 7
    assert view.editor.sentence == "7 edits not saved"
    for state in reversed(states[:-1]):
        assert view.editor.undo()
        assert content(view.session) == state
    assert not view.editor.undo()
    assert not view.session.edited
    assert view.editor.sentence == ""
    for state in states[1:]:
        assert view.editor.redo()
        assert content(view.session) == state
    assert not view.editor.redo()
    assert view.session.shown == "TS_02"


def test_a_new_edit_ends_what_could_be_done_again(view: ProjectView) -> None:
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    for place in (5.0, 6.0, 7.0):
        points.add([[place, 5.0, 5.0]])
    view.editor.undo()
    view.editor.undo()
    points.add([[8.0, 5.0, 5.0]])
    assert not view.editor.redo()
    assert view.editor.history.unsaved == 2
    np.testing.assert_allclose(view.session.tomogram.frame.voxels_zyx(view.session.table.positions[-2:])[:, 0], [5, 8])


def test_selecting_classes_is_no_edit_and_survives_an_undo(view: ProjectView) -> None:
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    points.add([[5.0, 5.0, 5.0]])
    kept = view.session.kept.copy()
    kept[:3] = ~kept[:3]
    view.update(kept=kept)
    assert view.editor.history.unsaved == 1
    view.editor.undo()
    np.testing.assert_array_equal(view.session.kept, kept[:-1])


def test_edits_count_from_what_was_saved(view: ProjectView) -> None:
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    points.add([[5.0, 5.0, 5.0]])
    saved = view.session
    points.add([[6.0, 5.0, 5.0]])
    view.update(saved=saved.table, saved_spheres=saved.spheres)  # it was edited again while it was being saved
    assert view.editor.history.unsaved == 1
    view.editor.undo()
    assert view.editor.history.unsaved == 0
    assert not view.session.edited
    view.editor.undo()
    assert view.editor.history.unsaved == 1
    points.add([[7.0, 5.0, 5.0]])  # the saved state cannot be reached any more: one edit back, and another one
    assert view.editor.history.unsaved == 2


def test_an_edit_is_the_same_after_json() -> None:
    rng = np.random.default_rng(2)
    axes = np.concatenate([Rotation.random(1, random_state=1).as_matrix(), np.full((1, 3, 3), np.nan)])
    sphere = Sphere.at("a b", (0.1, 1 / 3, -2e-7), 1 / 7)
    delta = Delta(
        4, np.array([1]), rng.normal(size=(1, 3)), rng.normal(size=(1, 3)), np.array([0]), np.array([2]), ("a", "ü"),
        rng.normal(size=(2, 3)), axes, (), (sphere,),
    )  # fmt: skip
    again = Delta.from_json(json.loads(json.dumps(delta.to_json(), allow_nan=False)))
    for name in delta.__dataclass_fields__:
        np.testing.assert_equal(getattr(again, name), getattr(delta, name))


def test_a_table_of_another_file_is_no_edit(project: Any) -> None:
    assert between(load_session(project.kept), load_session(project.kept)) is None
