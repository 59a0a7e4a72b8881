"""Tools, clicks and keys on a viewer without a window."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers.picking import mouse
from napari.components import ViewerModel

from napari_subtomo.viewer import layers
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking import drawing
from napari_subtomo.viewer.picking.keys import Bindings
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.slab import show_axes
from napari_subtomo.viewer.picking.spheres import Sphere, count
from napari_subtomo.viewer.view import ProjectView, open_session


def test_alt_click_adds_a_particle_whatever_is_active(view: ProjectView, picker: Picker) -> None:
    bindings = Bindings(picker)
    view.viewer.layers.selection.active = layers.find_layer(view.viewer, layers.TOMOGRAM)
    mouse(view, [16, 20, 24], modifiers=("Alt",))
    np.testing.assert_allclose(view.session.table.positions[-1], [0, 0, 0], atol=1e-9)
    mouse(view, [16, 20, 24])
    mouse(view, [16, 20, 24], [16, 30, 30], modifiers=("Alt",))  # a drag is no click
    mouse(view, [16, 20, 1000], modifiers=("Alt",))  # outside
    assert len(view.session.table) == 13
    bindings.close()
    mouse(view, [16, 20, 24], modifiers=("Alt",))
    assert len(view.session.table) == 13


def test_a_click_in_3d_lands_on_the_plane(view: ProjectView, picker: Picker) -> None:
    Bindings(picker)
    show_axes(view.viewer, "oblique")
    image: Any = layers.find_layer(view.viewer, layers.TOMOGRAM)
    image.plane.position, image.plane.normal = (16, 20, 24), (1, 0.5, 0)
    picker.use("points")
    assert layers.find_layer(view.viewer, layers.PARTICLES).mode == "pan_zoom"  # type: ignore[union-attr]
    mouse(view, [-50, 22, 24], direction=[1.0, 0.0, 0.0])
    voxels = view.session.tomogram.frame.voxels_zyx(view.session.table.positions[-1])
    np.testing.assert_allclose(voxels, [15, 22, 24], atol=1e-9)


def test_a_sphere_is_clicked_dragged_and_sized(view: ProjectView, picker: Picker) -> None:
    Bindings(picker)
    view.viewer.dims.point = (160.0, 0.0, 0.0)
    picker.radius = 50.0
    picker.use("sphere")
    mouse(view, [16, 20, 24])
    (sphere,) = view.session.spheres
    np.testing.assert_allclose(sphere.centre, [0, 0, 0], atol=1e-9)
    assert (sphere.radius, picker.chosen, picker.count) == (50, 0, count(50, 20))
    heard: list[int] = []
    picker.changed.connect(lambda: heard.append(picker.count))
    preview: Any = layers.find_layer(view.viewer, drawing.LATTICE)
    assert len(preview.data) == count(50, 20)
    mouse(view, [16, 20, 29], [16, 20, 30], [16, 20, 32])  # the diamond on the rim
    assert view.session.spheres[0].radius == pytest.approx(80)
    assert len(preview.data) == count(80, 20) == heard[-1]
    mouse(view, [16, 20, 24], [16, 20, 25], [16, 23, 24])  # the cross
    np.testing.assert_allclose(view.session.spheres[0].centre, [0, 30, 0], atol=1e-9)
    assert view.editor.history.unsaved == 3
    view.viewer.cursor.position = (160.0, 230.0, 300.0)
    {str(key): call for key, call in view.viewer.keymap.items()}["R"](view.viewer)
    assert view.session.spheres[0].radius == pytest.approx(60)
    handles: Any = layers.find_layer(view.viewer, drawing.HANDLES)
    handles.selected_data = {0, 1}
    handles.remove_selected()
    assert view.session.spheres == ()


def test_the_lattice_follows_a_drag_before_it_ends(view: ProjectView, picker: Picker) -> None:
    picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 50))
    picker.use("sphere")
    handles: Any = layers.find_layer(view.viewer, drawing.HANDLES)
    with handles.events.data.blocker():
        handles.data[1] = handles.data[0] + [0, 0, 7]
    picker.follow_drag()
    assert (picker.count, picker.radius) == (count(70, 20), pytest.approx(70))
    preview: Any = layers.find_layer(view.viewer, drawing.LATTICE)
    assert len(preview.data) == count(70, 20)
    assert view.session.spheres[0].radius == 50


def test_rim_clicks_make_a_sphere_with_n_and_are_taken_back_with_undo(view: ProjectView, picker: Picker) -> None:
    Bindings(picker)
    keys = {str(key): call for key, call in view.viewer.keymap.items()}
    picker.use("rim")
    for place in ([16, 20, 30], [16, 26, 24], [16, 20, 18], [16, 5, 5]):
        mouse(view, place)
    keys["Ctrl+Z"](view.viewer)
    assert len(picker.clicks) == 3
    assert picker.fit is not None and picker.fit.radius == pytest.approx(60)
    preview: Any = layers.find_layer(view.viewer, drawing.LATTICE)
    assert len(preview.data) == count(60, 20)
    assert view.session.spheres == ()
    keys["N"](view.viewer)
    assert view.session.spheres[0].radius == pytest.approx(60)
    assert len(picker.clicks) == 0
    keys["Ctrl+Z"](view.viewer)
    assert view.session.spheres == ()
    keys["Ctrl+Shift+Z"](view.viewer)
    assert len(view.session.spheres) == 1


def test_what_a_key_cannot_do_is_told(view: ProjectView, picker: Picker) -> None:
    Bindings(picker)
    heard: list[str] = []
    picker.failed.connect(lambda error: heard.append(str(error)))
    keys = {str(key): call for key, call in view.viewer.keymap.items()}
    view.viewer.cursor.position = (160.0, 200.0, 240.0)
    keys["R"](view.viewer)
    picker.use("rim")
    mouse(view, [16, 20, 30])
    keys["N"](view.viewer)
    assert ["chosen sphere" in heard[0], "rim" in heard[1]] == [True, True]


def test_the_tool_follows_the_mode_that_napari_is_in(view: ProjectView, picker: Picker) -> None:
    particles: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    for mode, tool in (("add", "points"), ("select", "select"), ("pan_zoom", "move")):
        particles.mode = mode
        assert picker.tool == tool
    picker.use("sphere")
    view.viewer.layers.selection.active = particles
    assert picker.tool == "move"


def test_a_tool_that_works_on_a_layer_is_laid_down_with_it(view: ProjectView, picker: Picker) -> None:
    image, particles = (layers.find_layer(view.viewer, role) for role in (layers.TOMOGRAM, layers.PARTICLES))
    for tool, left in (("points", "move"), ("select", "move"), ("sphere", "move"), ("rim", "rim")):
        view.viewer.layers.selection.active = particles
        picker.use(tool)  # type: ignore[arg-type]
        view.viewer.layers.selection.active = image
        assert picker.tool == left


def test_rim_clicks_stay_in_their_tomogram(view: ProjectView, picker: Picker) -> None:
    picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 50))
    picker.use("rim")
    picker.click(np.array([16.0, 20.0, 30.0]))
    assert picker.chosen is None  # the next sphere begins
    clicks: Any = layers.find_layer(view.viewer, drawing.CLICKS)
    assert len(clicks.data) == 1
    view.update(slab=40.0)
    assert len(picker.clicks) == 1
    view.step(1)
    assert len(picker.clicks) == len(clicks.data) == 0


def test_other_files_in_the_same_view_choose_no_sphere(view: ProjectView, picker: Picker, project: Any) -> None:
    heard: list[bool] = []
    picker.elsewhere.connect(lambda: heard.append(True))
    picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 50))
    view.step(1)
    view.step(-1)
    assert (picker.chosen, heard) == (None, [])
    picker.choose(0)
    other = load_session(project.tomograms)
    view.show(replace(other, spheres=(Sphere.at("TS_01", (0, 0, 0), 70),)))
    assert (picker.chosen, heard) == (None, [True])


def test_the_radius_shown_is_that_of_the_chosen_sphere_whatever_changed_it(view: ProjectView, picker: Picker) -> None:
    picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 50))
    picker.use("sphere")
    handles: Any = layers.find_layer(view.viewer, drawing.HANDLES)
    moved = handles.data.copy()
    moved[1] = moved[0] + [0, 0, 9]
    handles.data = moved
    assert picker.radius == pytest.approx(90)
    picker.undo()
    assert picker.radius == pytest.approx(50)


def test_keys_of_relions_picker_do_the_same_here(view: ProjectView, picker: Picker) -> None:
    Bindings(picker)
    viewer = view.viewer
    keys = {str(key): call for key, call in viewer.keymap.items()}
    image: Any = layers.find_layer(viewer, layers.TOMOGRAM)
    viewer.cursor.position = (160.0, 200.0, 240.0)
    keys["A"](viewer)  # a point under the pointer
    np.testing.assert_allclose(view.session.table.positions[-1], [0, 0, 0], atol=1e-9)
    keys["X"](viewer)
    assert tuple(image.plane.normal) == (1, 0, 0)  # in slices there is no plane to turn
    show_axes(viewer, "oblique")
    for key, normal in (("X", (0, 0, 1)), ("Y", (0, 1, 0))):
        keys[key](viewer)
        assert tuple(image.plane.normal) == normal
    viewer.scene.camera.angles = (10, 30, 60)
    keys["O"](viewer)
    np.testing.assert_allclose(image.plane.normal, viewer.scene.camera.view_direction, atol=1e-6)
    assert {"[", "]", "N", "R"} <= set(keys)
    keys["]"](viewer)
    assert view.session.shown == "TS_02"


def test_handles_have_no_least_size_where_none_is_in_the_slice(view: ProjectView, picker: Picker) -> None:
    """napari draws one point of size zero in a corner then, which a least size would make visible."""
    picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 150))
    picker.use("sphere")
    handles: Any = layers.find_layer(view.viewer, drawing.HANDLES)
    clicks: Any = layers.find_layer(view.viewer, drawing.CLICKS)
    view.viewer.dims.point = (160.0, 0.0, 0.0)
    assert (handles.canvas_size_limits, clicks.canvas_size_limits[0]) == (drawing.HANDLE_SIZE, 0)
    view.viewer.dims.point = (30.0, 0.0, 0.0)
    assert len(handles._view_indices) == 1  # the diamond lies in every slice of its sphere
    view.step(1)
    assert len(handles._view_indices) == 0
    assert handles.canvas_size_limits[0] == 0


def test_particles_that_were_moved_stay_selected(view: ProjectView, picker: Picker) -> None:
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    points.selected_data = {1, 2}
    moved = points.data.copy()
    moved[[1, 2]] += [0, 1, 0]
    points.data = moved
    assert view.editor.history.unsaved == 1
    assert set(points.selected_data) == {1, 2}
    view.step(1)
    assert not points.selected_data


def test_the_first_particles_of_a_lattice_are_drawn_as_large_as_they_fit(project: Any) -> None:
    view = open_session(ViewerModel(), load_session(project.tomograms))
    picker = Picker(view)
    picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 100))
    assert view.session.diameter == 200
    picker.add_particles([0])
    assert view.session.diameter == 60
    picker.set_spacing(30, 1)
    picker.add_particles([0])
    assert view.session.diameter == 60


def test_closing_takes_layers_and_keys_away(view: ProjectView) -> None:
    before = [layer.name for layer in view.viewer.layers], set(view.viewer.keymap)
    picker = Picker(view)
    bindings = Bindings(picker)
    picker.use("sphere")
    picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 50))
    assert len(view.viewer.layers) == 7
    bindings.close()
    picker.close()
    assert ([layer.name for layer in view.viewer.layers], set(view.viewer.keymap)) == before
    view.update(spheres=())
    assert len(view.viewer.layers) == 3


def test_what_is_drawn_of_a_large_sphere_does_not_lengthen_the_sliders(view: ProjectView, picker: Picker) -> None:
    before = view.viewer.dims.range
    picker.use("sphere")
    picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 190))
    preview: Any = layers.find_layer(view.viewer, drawing.LATTICE)
    assert 0 < len(preview.data) < count(190, 20)
    assert view.viewer.dims.range == before
    assert picker.add_particles([0]) == count(190, 20)
    assert 0 < picker.outside(count(190, 20)) <= count(190, 20) - len(preview.data)
