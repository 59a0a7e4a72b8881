"""The Project dock, with Qt but without a canvas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.view import open_session, view_of
from napari_subtomo.widgets.panels.project import ProjectPanel
from napari_subtomo.widgets.showing import UNSAVED

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(qtbot: Any) -> Any:
    made = ProjectPanel(ViewerModel())
    qtbot.addWidget(made)
    return made


def quiet(qtbot: Any, dock: Any) -> None:
    """Wait until nothing is being read."""
    qtbot.waitUntil(lambda: not (dock._opening.running or dock._listing.running or dock._neighbours.busy), timeout=10000)


def opened(qtbot: Any, dock: Any, path: Path) -> Any:
    dock.open(path)
    qtbot.waitUntil(lambda: not dock._opening.running, timeout=10000)
    view = view_of(dock._viewer)
    assert view is not None, dock.status.text()
    return view


def texts(box: Any) -> list[str]:
    return [box.itemText(place) for place in range(box.count())]


def drop(dock: Any, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    dock.dropEvent(
        QDropEvent(QPointF(QPoint(5, 5)), Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    )


# --- opening ---------------------------------------------------------------------------------------------------------------------


def test_a_project_is_opened_and_shown_in_the_form(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    form = dock.form
    assert texts(form.source) == ["Select/job005", "Class3D/job004, iteration 2", "particles.star"]
    assert form.source.currentText() == "Select/job005"
    assert form.tomograms.rows() == [("TS_01", "4", "2"), ("TS_02", "4", "2")]
    assert form.tomograms.currentItem().text(0) == view.session.shown == "TS_01"
    assert form.colour_by.currentText() == r.CLASS_NUMBER
    assert form.diameter.value() == view.session.diameter
    assert form.legend.text() == "class 1: 2 of 4\nclass 3: 2 of 4\nrejected: 2 of 4"
    assert dock.status.text() == ""


@pytest.mark.parametrize("what", ["tomograms", "picks", "data", "kept"])
def test_every_kind_of_star_file_opens_when_it_is_dropped(qtbot: Any, dock: Any, project: Any, what: str) -> None:
    drop(dock, getattr(project, what))
    qtbot.waitUntil(lambda: view_of(dock._viewer) is not None, timeout=10000)
    assert len(dock.form.tomograms.rows()) == 2


def test_a_volume_without_any_star_file_opens_with_the_voxel_of_its_header(qtbot: Any, dock: Any, tmp_path: Path) -> None:
    path = tmp_path / "alone.mrc"
    write_mrc(path, np.random.default_rng(0).normal(size=(20, 30, 40)).astype(np.float32), 7.5)
    drop(dock, path)
    qtbot.waitUntil(lambda: view_of(dock._viewer) is not None, timeout=10000)
    image = layers.find_layer(dock._viewer, layers.TOMOGRAM)
    np.testing.assert_allclose(image.scale, [7.5] * 3)
    assert [str(unit) for unit in image.units] == ["angstrom"] * 3
    assert dock._viewer.canvas.overlays.scale_bar.visible
    assert dock.form.path.text() == str(path)


def test_a_volume_of_the_project_is_gone_to_and_not_opened_alone(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    dock.open(project.root / "tomograms" / "TS_02.mrc")
    assert view.session.shown == "TS_02"
    assert len(dock.form.tomograms.rows()) == 2


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("odd.star", "data_nothing\n\nloop_\n_rlnSomething #1\n1\n2\n", "found data_nothing"),
        ("broken.star", "\x00\x01no star at all", "broken.star"),
        ("notes.txt", "hello", "an MRC volume, found notes.txt"),
        ("empty.star", "", "empty.star"),
        ("cut.mrc", "x" * 100, "cut.mrc"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_sentence(
    qtbot: Any, dock: Any, tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    (tmp_path / name).write_text(content)
    drop(dock, tmp_path / name)
    qtbot.waitUntil(lambda: "✖" in dock.status.text(), timeout=10000)
    assert sentence in dock.status.text()
    assert "Expected" in dock.status.text()
    assert "\n" not in dock.status.text()
    assert notification_manager.records[-1].message in dock.status.text()
    assert dock.form.file_button.isEnabled()
    assert view_of(dock._viewer) is None


def test_several_dropped_files_are_refused(dock: Any, project: Any) -> None:
    drop(dock, project.kept, project.rejected)
    assert "found 2" in dock.status.text()


def test_a_runtime_error_while_reading_reaches_the_user(qtbot: Any, dock: Any, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("CUDA error 700")

    monkeypatch.setattr("napari_subtomo.widgets.panels.project.load_session", fails)
    dock.open(project.root)
    qtbot.waitUntil(lambda: "CUDA error 700" in dock.status.text(), timeout=10000)


def test_edits_of_a_window_that_was_closed_are_told_of(
    qtbot: Any, dock: Any, project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    former = open_session(ViewerModel(), load_session(project.root))
    points: Any = layers.find_layer(former.viewer, layers.PARTICLES)
    points.add([[10.0, 20.0, 30.0]])
    former.close()
    opened(qtbot, dock, project.root)
    qtbot.waitUntil(lambda: "1 edit was never saved here: open the dock Picking" in dock.status.text(), timeout=10000)


def test_unsaved_edits_are_not_dropped_at_the_first_try(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    layers.find_layer(dock._viewer, layers.PARTICLES).add([[5.0, 6.0, 7.0]])
    dock.open(project.root)
    assert UNSAVED in dock.status.text()
    assert view.session.edited
    dock.open(project.root)
    qtbot.waitUntil(lambda: not view.session.edited, timeout=10000)


# --- what is shown, and how ------------------------------------------------------------------------------------------------------


def test_the_form_drives_the_view(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    form = dock.form
    form.tomograms.setCurrentItem(form.tomograms.topLevelItem(1))
    assert view.session.shown == "TS_02"
    assert not form.following.isEnabled()
    form.previous.click()
    assert view.session.shown == "TS_01"
    form.colour_by.setCurrentText(r.RANDOM_SUBSET)
    assert view.session.colour_by == r.RANDOM_SUBSET
    form.rejected.setCurrentText("hidden")
    assert view.session.rejected == "hidden"
    form.diameter.setValue(120.0)
    np.testing.assert_allclose(view.state.sizes[view.state.kept], 12.0)
    vectors = layers.find_layer(dock._viewer, layers.ORIENTATIONS)
    form.arrows.setChecked(False)
    assert not vectors.visible
    vectors.visible = True  # the eye in the layer list
    assert form.arrows.isChecked()


def test_the_form_follows_keys_and_files_opened_elsewhere(dock: Any, project: Any) -> None:
    view = open_session(dock._viewer, load_session(project.root))
    assert dock.form.tomograms.currentItem().text(0) == "TS_01"
    view.step(1)
    assert dock.form.tomograms.currentItem().text(0) == "TS_02"


def test_another_set_can_be_chosen_and_the_tomogram_stays(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    view.step(1)
    place = texts(dock.form.source).index("particles.star")
    dock.form.source.setCurrentIndex(place)
    dock.form.source.activated.emit(place)
    qtbot.waitUntil(lambda: view.session.title == "particles.star", timeout=10000)
    assert view.session.totals() == (12, 0)
    assert view.session.shown == "TS_02"


def test_a_line_of_the_legend_lights_up_its_particles(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    line = dock.form.legend.lines[0]
    line.entered.emit(line.name)
    lit = view.state.face_colours[:, 3] == 1
    assert view.state.features["class"][lit].tolist() == [1.0, 1.0]
    line.left.emit()
    assert (view.state.face_colours[view.state.kept, 3] == 1).all()


def test_a_column_without_classes_lights_up_too(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    dock.form.colour_by.setCurrentText(r.RANDOM_SUBSET)
    dock.form.legend.hovered.emit("2")
    halves = view.session.sets[0].half_sets
    lit = view.state.face_colours[:, 3] == 1
    assert lit.sum() == 2
    assert all(halves[view.session.table.row[row]] == 2 for row in view.state.rows[lit])


def test_new_jobs_are_offered(qtbot: Any, dock: Any, project: Any) -> None:
    opened(qtbot, dock, project.root)
    folder = project.root / "Select" / "job009"
    folder.mkdir()
    (folder / "particles.star").write_bytes(project.kept.read_bytes())
    desk_of(dock._viewer).produce(Product("select", folder, {"particles": folder / "particles.star"}))
    qtbot.waitUntil(lambda: "Select/job009" in texts(dock.form.source), timeout=10000)


def test_neighbours_are_opened_beforehand_and_broken_ones_are_left_for_later(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    qtbot.waitUntil(lambda: not view.unopened(), timeout=10000)
    quiet(qtbot, dock)
    broken = project.root / "tomograms" / "TS_02.mrc"
    broken.write_bytes(broken.read_bytes()[:2000])
    dock.open(project.picks)  # the same project: volumes that are open stay open
    quiet(qtbot, dock)
    assert "✖" not in dock.status.text()


# --- the grey scale --------------------------------------------------------------------------------------------------------------


def test_the_grey_scale_and_the_layer_follow_each_other(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    image, grey = layers.find_layer(dock._viewer, layers.TOMOGRAM), dock.form.grey
    assert grey.low.value() == pytest.approx(image.contrast_limits[0], abs=0.01)
    grey.low.setValue(-0.5)
    grey.high.setValue(9.0)  # beyond the slider
    assert image.contrast_limits == [-0.5, 9.0]
    assert image.contrast_limits_range[1] == 9.0
    image.contrast_limits = (0.0, 2.0)
    assert grey.slider.value() == (0.0, 2.0)
    grey.slider.setValue((0.25, 1.5))
    assert image.contrast_limits == [0.25, 1.5]
    grey.low.setValue(5.0)  # black above white is no scale
    assert grey.low.value() == 0.25
    grey.auto.click()
    np.testing.assert_allclose(image.contrast_limits, view.volume.contrast_limits)


def test_a_chosen_grey_scale_is_carried_to_the_next_tomogram_in_proportion(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    first = view.volume.contrast_limits
    middle = sum(first) / 2
    image = layers.find_layer(dock._viewer, layers.TOMOGRAM)
    image.contrast_limits = (middle, first[1])
    view.step(1)
    second = view.volume.contrast_limits
    np.testing.assert_allclose(image.contrast_limits, (sum(second) / 2, second[1]))


# --- saving and closing ----------------------------------------------------------------------------------------------------------


def test_saving_writes_the_job_and_again_into_the_same_folder(qtbot: Any, dock: Any, project: Any) -> None:
    opened(qtbot, dock, project.root)
    folder = project.root / "Picks" / "job006"
    assert Path(dock.form.target.text()) == folder
    dock.form.save_button.click()
    assert "8 particles saved" in dock.status.text()
    assert (folder / "particles.star").read_bytes() == project.kept.read_bytes()
    layers.find_layer(dock._viewer, layers.PARTICLES).add([[5.0, 6.0, 7.0]])
    dock.form.save_button.click()
    assert read_particles(folder / "particles.star").n == 9
    assert "1 added" in dock.status.text()
    assert not view_of(dock._viewer).session.edited


def test_saving_over_a_job_is_refused_with_a_sentence(qtbot: Any, dock: Any, project: Any) -> None:
    opened(qtbot, dock, project.root)
    before = project.kept.read_bytes()
    dock.save(project.kept.parent)
    assert "new or empty folder" in dock.status.text()
    assert project.kept.read_bytes() == before


def test_a_closed_dock_hears_nothing(qtbot: Any, project: Any) -> None:
    viewer = ViewerModel()
    dock = ProjectPanel(viewer)
    view = opened(qtbot, dock, project.root)
    quiet(qtbot, dock)
    dock.deleteLater()
    qtbot.waitUntil(lambda: len(view.changed) == 1, timeout=5000)  # the editor's own
    view.step(1)
    open_session(ViewerModel(), load_session(project.root))


def test_every_control_has_a_tooltip(dock: Any) -> None:
    from qtpy.QtWidgets import QAbstractSpinBox, QCheckBox, QComboBox, QLineEdit, QPushButton, QTreeWidget

    for kind in (QComboBox, QPushButton, QCheckBox, QAbstractSpinBox, QTreeWidget):
        for control in dock.form.findChildren(kind):
            assert control.toolTip() or control.text() == "Save", control
    for edit in dock.form.findChildren(QLineEdit):
        assert edit.toolTip() or edit.parent().toolTip()
