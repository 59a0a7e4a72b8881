"""The dock of picking without a canvas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.picking import mouse
from helpers.picking_dock import errors, finish
from napari.components import ViewerModel

from napari_subtomo.viewer import layers
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking import drawing
from napari_subtomo.viewer.picking.spheres import Sphere, count
from napari_subtomo.viewer.view import open_session
from napari_subtomo.widgets.panels.picking import NOTHING, PickingPanel

pytestmark = pytest.mark.gui


def test_without_a_project_the_dock_says_what_to_do(panel: PickingPanel) -> None:
    assert panel.caption.text() == NOTHING
    assert not panel.tools.isEnabled()
    assert not panel.save_button.isEnabled()
    panel.import_file(Path("nothing.star"))
    assert NOTHING in errors()


def test_it_fits_beside_the_viewer(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    open_session(viewer, load_session(project.root))
    panel.axes.buttons["oblique"].click()
    qtbot.wait(20)
    scroll = panel.findChildren(type(panel.layout().itemAt(0).widget()))[0]
    assert scroll.widget().minimumSizeHint().width() <= 400
    assert scroll.widget().minimumSizeHint().height() <= 750


def test_every_control_tells_what_it_does(panel: PickingPanel) -> None:
    controls = [*panel.tools.buttons.values(), *panel.axes.buttons.values(), panel.slab, panel.arrows, panel.face_view, panel.look_at]
    controls += [panel.spheres, panel.radius, panel.spacing, panel.seed, panel.make, panel.add_one, panel.add_all, panel.delete]
    controls += [panel.undo, panel.redo, panel.imports, panel.target.native, panel.save_button, panel.only_near, *panel.normals]
    controls += [panel.recovery.which, panel.recovery.recover_button, panel.recovery.discard_button]
    assert [control for control in controls if not control.toolTip()] == []


def test_slab_axes_and_arrows_reach_the_viewer(panel: PickingPanel, viewer: ViewerModel, project: Any) -> None:
    view = open_session(viewer, load_session(project.root))
    panel.slab.setValue(120)
    assert view.session.slab == 120
    assert viewer.dims.thickness == (120.0,) * 3
    panel.axes.buttons["YZ"].click()
    assert viewer.dims.order == (2, 0, 1)
    viewer.dims.order = (1, 0, 2)
    assert panel.axes.buttons["XZ"].isChecked()
    panel.arrows.click()
    assert not layers.find_layer(viewer, layers.ORIENTATIONS).visible  # type: ignore[union-attr]
    assert not panel.plane_box.isVisible()
    panel.axes.buttons["oblique"].click()
    assert panel.plane_box.isVisible()
    viewer.scene.camera.angles = (10, 30, 60)
    panel.face_view.click()
    image: Any = layers.find_layer(viewer, layers.TOMOGRAM)
    np.testing.assert_allclose(image.plane.normal, viewer.scene.camera.view_direction, atol=1e-6)
    for axis, button in enumerate(panel.normals):
        button.click()
        assert tuple(image.plane.normal) == tuple(np.eye(3)[axis])
    image.plane.normal = (0.6, 0.0, 0.8)
    panel.look_at.click()
    np.testing.assert_allclose(viewer.scene.camera.view_direction, (0.6, 0.0, 0.8), atol=1e-6)


def test_the_box_of_orientations_follows_the_eye_of_the_layer(panel: PickingPanel, viewer: ViewerModel, project: Any) -> None:
    open_session(viewer, load_session(project.root))
    arrows: Any = layers.find_layer(viewer, layers.ORIENTATIONS)
    arrows.visible = False
    assert not panel.arrows.isChecked()
    panel.arrows.click()
    assert arrows.visible


def test_only_particles_near_the_plane(panel: PickingPanel, viewer: ViewerModel, project: Any) -> None:
    open_session(viewer, load_session(project.root))
    points: Any = layers.find_layer(viewer, layers.PARTICLES)
    panel.axes.buttons["oblique"].click()
    panel.slab.setValue(60)
    panel.only_near.click()
    assert 0 < (points.border_color[:, 3] > 0).sum() < 6
    panel.only_near.click()
    assert (points.border_color[:, 3] > 0).all()


def test_tools_are_those_of_napari_and_their_buttons_follow(panel: PickingPanel, viewer: ViewerModel, project: Any) -> None:
    open_session(viewer, load_session(project.root))
    particles: Any = layers.find_layer(viewer, layers.PARTICLES)
    for tool, mode in (("points", "add"), ("select", "select"), ("move", "pan_zoom")):
        panel.tools.buttons[tool].click()
        assert (str(particles.mode), viewer.layers.selection.active) == (mode, particles)
    particles.mode = "select"
    assert panel.tools.buttons["select"].isChecked()
    panel.tools.buttons["rim"].click()
    assert viewer.layers.selection.active is layers.find_layer(viewer, drawing.CLICKS)
    panel.tools.buttons["sphere"].click()
    assert viewer.layers.selection.active is layers.find_layer(viewer, drawing.HANDLES)
    viewer.layers.selection.active = layers.find_layer(viewer, layers.TOMOGRAM)
    assert panel.tools.buttons["move"].isChecked()


def test_clicks_and_drags_of_a_mouse_are_counted_and_undone(panel: PickingPanel, viewer: ViewerModel, project: Any) -> None:
    view = open_session(viewer, load_session(project.tomograms))
    viewer.dims.point = (160.0, 0.0, 0.0)
    panel.radius.setValue(50)
    panel.spacing.setValue(20)
    panel.tools.buttons["sphere"].click()
    mouse(view, [16, 20, 24])
    assert panel.count.text() == f"{count(50, 20)} particles"
    mouse(view, [16, 20, 29], [16, 20, 30], [16, 20, 32])  # the diamond on the rim
    assert (panel.radius.value(), panel.count.text()) == (80, f"{count(80, 20)} particles")
    assert panel.unsaved.text() == "2 edits not saved"
    panel.undo.click()
    assert (panel.radius.value(), panel.count.text()) == (50, f"{count(50, 20)} particles")
    mouse(view, [16, 5, 5])  # another sphere
    assert panel.spheres.count() == 2
    panel.spheres.setCurrentRow(0)
    assert panel._picker is not None and panel._picker.chosen == 0
    panel.seed.setValue(7)
    panel.add_one.click()
    assert view.session.totals() == (count(50, 20), 0)
    panel.add_all.click()
    assert view.session.totals() == (2 * count(50, 20), 0)
    panel.delete.click()
    assert panel.spheres.count() == 1
    assert not panel.add_one.isEnabled()


def test_a_key_that_cannot_do_its_work_is_told_in_the_dock(panel: PickingPanel, viewer: ViewerModel, project: Any) -> None:
    open_session(viewer, load_session(project.root))
    viewer.cursor.position = (160.0, 200.0, 240.0)
    {str(key): call for key, call in viewer.keymap.items()}["R"](viewer)
    assert "chosen sphere" in panel.status.text()
    assert "chosen sphere" in errors()[-1]


def test_another_tomogram_shows_its_own_spheres(panel: PickingPanel, viewer: ViewerModel, project: Any) -> None:
    view = open_session(viewer, load_session(project.root))
    assert panel._picker is not None
    panel._picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 50))
    view.step(1)
    assert (panel.spheres.count(), panel.caption.text()) == (0, "TS_02: 4 particles, 0 spheres")
    panel._picker.add_sphere(Sphere.at("TS_02", (0, 0, 0), 70))
    assert "r = 70 Å" in panel.spheres.item(0).text()
    panel.undo.click()
    panel.undo.click()
    assert view.session.shown == "TS_01"  # where the edit was made
    assert panel.spheres.count() == 0


def test_an_edit_that_could_not_be_journalled_is_told(
    panel: PickingPanel, viewer: ViewerModel, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = open_session(viewer, load_session(project.root))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(view.editor.journal, "write", full)
    assert panel._picker is not None
    panel._picker.click(np.array([8.0, 8.0, 8.0]))
    assert "not in the edit journal" in panel.unsaved.text()
    assert "No space left" in panel.unsaved.text()


def test_rim_clicks_are_counted_and_made_a_sphere(panel: PickingPanel, viewer: ViewerModel, project: Any) -> None:
    open_session(viewer, load_session(project.root))
    panel.tools.buttons["rim"].click()
    picker = panel._picker
    assert picker is not None
    for place in ([16, 20, 30], [16, 26, 24], [16, 20, 18]):
        assert not panel.make.isEnabled()
        picker.click(np.asarray(place, dtype=float))
    assert panel.count.text().startswith("3 rim clicks: circle in one plane, r = 60 ± 0 Å")
    panel.make.click()
    assert panel.spheres.count() == 1
    panel.delete.click()
    assert panel.spheres.count() == 0
    panel.undo.click()
    assert panel.spheres.count() == 1


def test_closing_the_dock_leaves_the_viewer_alone(qtbot: Any, viewer: ViewerModel, project: Any) -> None:
    view = open_session(viewer, load_session(project.root))
    before = [layer.name for layer in viewer.layers], set(viewer.keymap), len(viewer.mouse_drag_callbacks)
    panel = PickingPanel(viewer)
    qtbot.addWidget(panel)
    panel.tools.buttons["sphere"].click()
    finish(qtbot, panel)
    panel.close()
    assert ([layer.name for layer in viewer.layers], set(viewer.keymap), len(viewer.mouse_drag_callbacks)) == before
    view.step(1)
    open_session(ViewerModel(), load_session(project.root))
    assert panel._picker is None


def test_a_dock_that_napari_deletes_lets_go_of_the_viewer(qtbot: Any, viewer: ViewerModel, project: Any) -> None:
    view = open_session(viewer, load_session(project.root))
    before = [layer.name for layer in viewer.layers], set(viewer.keymap), len(viewer.mouse_drag_callbacks)
    panel = PickingPanel(viewer)
    panel.tools.buttons["sphere"].click()
    finish(qtbot, panel)
    panel.deleteLater()
    qtbot.waitUntil(lambda: panel._picker is None, timeout=5000)
    assert ([layer.name for layer in viewer.layers], set(viewer.keymap), len(viewer.mouse_drag_callbacks)) == before
    view.step(1)
    viewer.dims.order = (1, 0, 2)
