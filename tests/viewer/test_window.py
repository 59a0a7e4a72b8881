"""A real window: files opened as a user opens them, menus, keys and the dock."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_subtomo.errors import InputError, JobCancelled
from napari_subtomo.io.particles import read_particles
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.show import open_project, present
from napari_subtomo.viewer.view import view_of

pytestmark = [
    pytest.mark.gui,
    pytest.mark.skipif(os.environ.get("QT_QPA_PLATFORM") == "offscreen", reason="a canvas needs a screen (a virtual one is enough)"),
]
PLUGIN = "napari-subtomo"


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    return make_napari_viewer()


def menu_texts(menu: Any) -> list[str]:
    return [action.text().replace("&", "") for action in menu.actions()]


def test_the_docks_and_the_sample_are_in_the_menus(viewer: Any) -> None:
    from app_model.backends.qt import QModelMenu

    own = next(
        menu for menu in viewer.window.plugins_menu.findChildren(QModelMenu) if menu.title().replace("&", "") == "Subtomogram analysis"
    )
    own.rebuild()
    docks = ["Project", "Picking", "Extraction", "Average", "3D classification", "Subset selection"]
    assert [text for text in menu_texts(own) if text] == docks
    samples = next(menu for menu in viewer.window.file_menu.findChildren(QModelMenu) if "Open Sample" in menu.title().replace("&", ""))
    samples.rebuild()
    assert "Two species in two tomograms (simulated) (Subtomogram analysis)" in menu_texts(samples)


def test_the_menu_action_opens_the_dock_and_it_opens_a_project(viewer: Any, project: Any, qtbot: Any) -> None:
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command("napari-subtomo.project").result()
    dock = viewer.window._wrapped_dock_widgets["Project (Subtomogram analysis)"].widget()
    dock.open(project.root)
    qtbot.waitUntil(lambda: view_of(viewer) is not None, timeout=10000)
    assert [layer.name for layer in viewer.layers] == ["TS_01", "Particles", "Orientations"]
    assert dock.form.tomograms.currentItem().text(0) == "TS_01"
    dock.form.following.click()
    assert viewer.layers[0].name == "TS_02"


DOCKS = ["project", "picking", "extraction", "average", "classification", "selection"]


def open_docks(viewer: Any, qtbot: Any) -> list[Any]:
    from napari._app_model import get_app_model

    for name in DOCKS:
        get_app_model().commands.execute_command(f"napari-subtomo.{name}").result()
        qtbot.wait(50)  # a dock joins the others once napari has placed it
    return list(viewer.window._wrapped_dock_widgets.values())


def test_the_docks_are_tabs_and_the_newest_is_in_front(make_napari_viewer: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1400, 900)
    docks = open_docks(viewer, qtbot)
    window = viewer.window._qt_window
    assert len(docks) == len(window.tabifiedDockWidgets(docks[0])) + 1 == len(DOCKS)
    assert (window.width(), window.height()) == (1400, 900)
    qtbot.waitUntil(lambda: not docks[-1].visibleRegion().isEmpty())
    assert [dock.windowTitle() for dock in docks] == ["Project", "Picking", "Extract", "Average", "Classify", "Select"]
    docks[0].hide()
    docks[0].show()  # as napari's menu does
    qtbot.waitUntil(lambda: not docks[0].visibleRegion().isEmpty())


def test_a_dock_that_is_closed_is_deleted_and_listens_no_more(viewer: Any, project: Any, qtbot: Any) -> None:
    from qtpy.compat import isalive

    view = open_project(project.root, show=False, viewer=viewer)
    assert view is not None
    widgets = [dock.widget() for dock in open_docks(viewer, qtbot)]
    for dock in list(viewer.window._wrapped_dock_widgets.values()):
        dock.destroyOnClose()
    qtbot.waitUntil(lambda: not any(isalive(widget) for widget in widgets))
    view.step(1)  # nobody who is gone is told of it


def test_a_star_file_opened_by_the_user_is_followed(viewer: Any, project: Any) -> None:
    viewer.open(str(project.kept), plugin=PLUGIN)
    view = view_of(viewer)
    assert view is not None
    assert len(viewer.layers) == 3
    assert viewer.layers.selection.active is viewer.layers["Particles"]
    view.step(1)
    assert viewer.layers[0].name == "TS_02"
    viewer.open(str(project.data), plugin=PLUGIN)
    assert len(viewer.layers) == 3
    again = view_of(viewer)
    assert again is not None
    assert again.session.title == "Class3D/job004, iteration 2"


def test_edits_are_not_lost_by_opening_another_file(viewer: Any, project: Any) -> None:
    viewer.open(str(project.kept), plugin=PLUGIN)
    viewer.layers["Particles"].add([[5.0, 6.0, 7.0]])
    with pytest.raises(InputError, match="not saved"):
        viewer.open(str(project.data), plugin=PLUGIN)
    assert len(viewer.layers["Particles"].data) == 7  # four kept, two rejected, one new


def test_saving_the_selected_layer_writes_particles(viewer: Any, project: Any, tmp_path: Path) -> None:
    viewer.open(str(project.kept), plugin=PLUGIN)
    view_of(viewer).step(1)  # type: ignore[union-attr]
    viewer.layers.selection = {viewer.layers["Particles"]}
    written = viewer.layers.save(str(tmp_path / "kept.star"), selected=True, plugin=PLUGIN)
    assert written == [str(tmp_path / "kept.star")]
    assert (tmp_path / "kept.star").read_bytes() == project.kept.read_bytes()


def test_points_picked_on_a_tomogram_are_saved_as_its_particles(viewer: Any, project: Any, tmp_path: Path) -> None:
    viewer.open(str(project.tomograms), plugin=PLUGIN)
    mine = viewer.add_points([[160.0, 200.0, 240.0], [170.0, 200.0, 240.0]], name="mine")  # world Å, scale 1
    viewer.layers.selection = {mine}
    viewer.layers.save(str(tmp_path / "mine.star"), selected=True, plugin=PLUGIN)
    particles = read_particles(tmp_path / "mine.star")
    assert set(particles.tomo_names) == {"TS_01"}
    np.testing.assert_allclose(particles.positions(), [[0, 0, 0], [0, 0, 10]], atol=1e-6)


def test_the_canvas_shows_the_class_colour_where_the_particle_is(make_napari_viewer: Any, project: Any, qtbot: Any) -> None:
    viewer = make_napari_viewer(show=True)
    view = open_project(project.data, show=False, viewer=viewer)
    assert view is not None
    layers.find_layer(viewer, layers.ORIENTATIONS).visible = False  # type: ignore[union-attr]
    layers.find_layer(viewer, layers.TOMOGRAM).visible = False  # type: ignore[union-attr]
    viewer.canvas.overlays.text.visible = False
    viewer.canvas.overlays.scale_bar.visible = False
    viewer.dims.point = tuple(view.state.voxel_size * view.state.points_zyx[0])
    viewer.reset_view()
    qtbot.wait(100)
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3] / 255
    colour = view.state.face_colours[0, :3]
    seen = np.argwhere(np.abs(picture - colour).max(axis=-1) < 0.08)
    assert len(seen) > 20  # its rim
    height, width = picture.shape[:2]
    centre_yx = np.asarray([height, width]) / 2
    offset = (view.state.points_zyx[0, 1:] * view.state.voxel_size - np.asarray(viewer.scene.camera.center)[1:]) * viewer.scene.camera.zoom
    distance = np.linalg.norm(seen - (centre_yx + offset), axis=1)
    radius = view.state.sizes[0] / 2 * view.state.voxel_size * viewer.scene.camera.zoom
    assert np.median(distance) == pytest.approx(radius, rel=0.15)


def test_the_key_steps_to_the_next_tomogram(viewer: Any, project: Any, qtbot: Any) -> None:
    from qtpy.QtCore import Qt

    view = open_project(project.root, show=False, viewer=viewer)
    assert view is not None
    qtbot.keyClick(viewer.window._qt_viewer.canvas.native, Qt.Key.Key_BracketRight)
    assert view.session.shown == "TS_02"


def test_the_sample_opens_behind_a_dialog_and_the_window_stays_alive(viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qtpy.QtCore import QTimer

    import napari_subtomo.simulate as simulate

    whole, ticks = simulate.make_sample, []
    monkeypatch.setenv("SUBTOMO_CACHE", str(tmp_path))
    small = {"width": 192, "tomograms": 1, "particles": 3, "tilt_step": 20.0}
    monkeypatch.setattr(simulate, "make_sample", lambda folder, **more: whole(folder, **small, **more))
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start(20)
    viewer.open_sample(PLUGIN, "two-species")
    timer.stop()
    assert len(ticks) > 5  # the event loop ran while the sample was made
    assert [layer.name for layer in viewer.layers] == ["TS_01", "Particles", "Orientations"]
    assert view_of(viewer) is not None


def test_cancelling_the_sample_is_said_and_adds_nothing(viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication, QProgressDialog, QPushButton

    import napari_subtomo.simulate as simulate

    def endless(folder: Path, reporter: Any) -> None:
        reporter.stage("endless")
        for _ in range(3000):
            time.sleep(0.01)
            reporter.advance()

    def press() -> None:
        dialog = next(widget for widget in QApplication.topLevelWidgets() if isinstance(widget, QProgressDialog) and widget.isVisible())
        dialog.findChild(QPushButton).click()

    monkeypatch.setenv("SUBTOMO_CACHE", str(tmp_path))
    monkeypatch.setattr(simulate, "make_sample", endless)
    QTimer.singleShot(300, press)
    with pytest.raises(JobCancelled, match="cancelled"):
        viewer.open_sample(PLUGIN, "two-species")
    assert len(viewer.layers) == 0
    assert list(tmp_path.iterdir()) == []


def test_open_shows_a_window_with_the_dock(project: Any, monkeypatch: pytest.MonkeyPatch, make_napari_viewer: Any) -> None:
    import napari

    made: list[Any] = []
    monkeypatch.setattr(napari, "Viewer", lambda **settings: made.append(make_napari_viewer(**settings)) or made[-1])
    monkeypatch.setattr(napari, "run", lambda: None)
    assert present(project.root) == []
    (viewer,) = made
    assert viewer.title == "Select/job005 - napari-subtomo"
    assert "Project (Subtomogram analysis)" in viewer.window._wrapped_dock_widgets
    assert len(viewer.layers) == 3


def test_without_a_display_open_makes_pictures(project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert [path.suffix for path in present(project.root, tmp_path)] == [".png"] * 4
