"""The dock of picking without a canvas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.picking import content
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.QtCore import Qt

from napari_subtomo.io.annotations import read_annotations
from napari_subtomo.io.particles import read_particles
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking.spheres import Sphere, count
from napari_subtomo.viewer.view import open_session, view_of
from napari_subtomo.widgets.panels.picking import NOTHING, PickingPanel

pytestmark = pytest.mark.gui


@pytest.fixture(autouse=True)
def state_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBTOMO_STATE", str(tmp_path / "state"))


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(qtbot: Any, viewer: ViewerModel) -> Any:
    panel = PickingPanel(viewer)
    qtbot.addWidget(panel)
    panel.resize(400, 750)
    panel.show()
    return panel


def finish(qtbot: Any, panel: PickingPanel) -> None:
    """Wait for what runs beside the window."""
    qtbot.waitUntil(lambda: not any(task is not None and task.running for task in (panel._task, panel._search)), timeout=10000)
    qtbot.wait(20)


def errors() -> list[str]:
    return [str(notice.message) for notice in notification_manager.records]


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
    controls += [panel.undo, panel.redo, panel.imports, panel.target.native, panel.save_button]
    assert [control for control in controls if not control.toolTip()] == []


def test_a_sphere_becomes_particles_and_files_that_other_docks_hear_of(
    panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any
) -> None:
    view = open_session(viewer, load_session(project.tomograms))
    assert panel.caption.text() == "TS_01: 0 particles, 0 spheres"
    panel.tools.buttons["sphere"].click()
    assert panel._picker is not None
    panel._picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 300))
    assert panel.spheres.count() == 1
    panel.spacing.setValue(60)
    assert panel.count.text() == "323 particles"
    panel.radius.setValue(150)
    assert panel.count.text() == f"{count(150, 60)} particles"
    assert "r = 150 Å" in panel.spheres.item(0).text()
    panel.radius.setValue(300)
    assert panel.unsaved.text() == "3 edits not saved"
    panel.add_one.click()
    assert panel.status.text() == "⚠ 323 particles added, 299 of them outside of the tomogram."
    assert panel.caption.text() == "TS_01: 323 particles, 1 sphere"
    panel.add_all.click()
    assert "already" in panel.status.text()
    panel.undo.click()
    assert view.session.totals() == (0, 0)
    panel.redo.click()
    assert view.session.totals() == (323, 0)
    assert panel.unsaved.text() == "4 edits not saved"
    heard: list[Product] = []
    desk_of(viewer).produced.connect(heard.append)
    folder = Path(str(panel.target.value))
    panel.save_button.click()
    finish(qtbot, panel)
    assert folder == project.root / "Picks" / "job006"
    assert panel.unsaved.text() == "All edits saved"
    assert panel.status.text().startswith("323 particles (323 added) saved to")
    assert [(product.job, product.folder) for product in heard] == [("pick", folder)]
    assert read_particles(heard[0].outputs["particles"]).n == 323
    assert len(read_annotations(heard[0].outputs["annotations"] / "TS_01_spheres.star")) == 1
    assert not (project.root / ".subtomo").exists()
    panel.undo.click()
    panel.save(folder)
    finish(qtbot, panel)
    assert read_particles(folder / "particles.star").n == 0


def test_a_folder_with_files_is_an_error_in_the_dock_and_in_napari(
    panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any
) -> None:
    open_session(viewer, load_session(project.root))
    panel.save(project.kept.parent)
    finish(qtbot, panel)
    assert "new or empty folder" in panel.status.text()
    assert "new or empty folder" in errors()[-1]


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
    assert not panel.plane_row.isVisible()
    panel.axes.buttons["oblique"].click()
    assert panel.plane_row.isVisible()
    viewer.scene.camera.angles = (10, 30, 60)
    panel.face_view.click()
    image: Any = layers.find_layer(viewer, layers.TOMOGRAM)
    np.testing.assert_allclose(image.plane.normal, viewer.scene.camera.view_direction, atol=1e-6)
    image.plane.normal = (0.6, 0.0, 0.8)
    panel.look_at.click()
    np.testing.assert_allclose(viewer.scene.camera.view_direction, (0.6, 0.0, 0.8), atol=1e-6)


def test_rim_clicks_are_counted_and_made_a_sphere(panel: PickingPanel, viewer: ViewerModel, project: Any) -> None:
    open_session(viewer, load_session(project.root))
    panel.tools.buttons["rim"].click()
    picker = panel._picker
    assert picker is not None
    for place in ([16, 20, 30], [16, 26, 24], [16, 20, 18]):
        assert not panel.make.isEnabled()
        picker.click(np.asarray(place, dtype=float))
    assert panel.count.text().startswith("3 rim clicks: circle in this slice, r = 60 ± 0 Å")
    panel.make.click()
    assert panel.spheres.count() == 1
    panel.delete.click()
    assert panel.spheres.count() == 0
    panel.undo.click()
    assert panel.spheres.count() == 1


def test_particles_of_a_file_are_added_in_one_edit(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    view = open_session(viewer, load_session(project.tomograms))
    panel.import_file(project.kept)
    finish(qtbot, panel)
    assert panel.status.text() == "8 particles imported."
    assert view.session.totals() == (8, 0)
    assert len(layers.find_layer(viewer, layers.ORIENTATIONS).data) == 4  # type: ignore[union-attr]
    panel.undo.click()
    assert view.session.totals() == (0, 0)
    panel.import_file(project.root / "nothing.csv")
    finish(qtbot, panel)
    assert "nothing there" in panel.status.text()


def test_edits_of_a_closed_window_are_offered_and_recovered(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    former = open_session(ViewerModel(), load_session(project.root))
    points: Any = layers.find_layer(former.viewer, layers.PARTICLES)
    points.add([[10.0, 20.0, 30.0]])
    points.add([[11.0, 20.0, 30.0]])
    before = content(former.session)
    former.close()
    assert not panel.recovery.isVisible()
    panel._look_for_unsaved()  # as at the next start
    finish(qtbot, panel)
    assert panel.recovery.isVisible()
    assert "2 edits of Select/job005 in project" in panel.recovery.text.text()
    qtbot.mouseClick(panel.recovery.recover_button, Qt.MouseButton.LeftButton)
    finish(qtbot, panel)
    view = view_of(viewer)
    assert view is not None
    assert content(view.session) == before
    assert panel.unsaved.text() == "2 edits not saved"
    finish(qtbot, panel)
    assert not panel.recovery.isVisible()
    assert len(list((project.root / ".subtomo").iterdir())) == 1
    panel.undo.click()
    panel.undo.click()
    assert panel.unsaved.text() == "All edits saved"


def test_edits_can_be_discarded(panel: PickingPanel, project: Any, qtbot: Any) -> None:
    former = open_session(ViewerModel(), load_session(project.root))
    layers.find_layer(former.viewer, layers.PARTICLES).add([[10.0, 20.0, 30.0]])  # type: ignore[union-attr]
    former.close()
    panel._look_for_unsaved()
    finish(qtbot, panel)
    panel.recovery.discard_button.click()
    finish(qtbot, panel)
    assert not panel.recovery.isVisible()
    assert not (project.root / ".subtomo").exists()


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
