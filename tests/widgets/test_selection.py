"""The dock "Subset selection" with Qt, without a canvas."""

from __future__ import annotations

import gc
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.small_project import PIXEL, SmallProject, write_iteration
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QDialog, QTableWidget

from napari_subtomo import duplicates
from napari_subtomo.cli.main import main
from napari_subtomo.io import relion as r
from napari_subtomo.io.class_files import read_classes
from napari_subtomo.io.particles import read_particles
from napari_subtomo.select.auto import proposals_of
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.saving import save_annotations
from napari_subtomo.viewer.view import open_session, view_events, view_of
from napari_subtomo.widgets.gallery import CHECKED, NUMBER
from napari_subtomo.widgets.panels.selection import NO_CLASSES, SelectionPanel
from napari_subtomo.widgets.showing import UNSAVED

pytestmark = pytest.mark.gui


@pytest.fixture
def dock(qtbot: Any) -> Iterator[Any]:
    made = SelectionPanel(ViewerModel())
    made.resize(400, 750)
    qtbot.addWidget(made)
    made.show()
    yield made
    qtbot.waitUntil(lambda: not busy(made), timeout=10000)


def busy(dock: Any) -> bool:
    workers = (dock._reading, dock._overlay.worker, dock._layers, dock._proposing, dock._saver.worker, dock.form.duplicates.worker)
    return any(worker.running for worker in workers)


def settle(qtbot: Any, dock: Any) -> None:
    qtbot.wait(80)  # the slider of iterations rests that long
    qtbot.waitUntil(lambda: not busy(dock), timeout=15000)


@pytest.fixture
def loaded(qtbot: Any, dock: Any, project: SmallProject) -> Any:
    open_session(dock._viewer, load_session(project.data))
    settle(qtbot, dock)
    return dock


def place(dock: Any, number: int) -> QPoint:
    cards = dock.form.cards
    point: QPoint = cards.visualRect(cards.cards.index(cards.cards.order.index(number))).center()
    return point


def click(qtbot: Any, dock: Any, number: int, modifier: Any = Qt.KeyboardModifier.NoModifier) -> None:
    qtbot.mouseClick(dock.form.cards.viewport(), Qt.MouseButton.LeftButton, modifier, place(dock, number))


def hover(dock: Any, point: QPoint) -> None:
    viewport = dock.form.cards.viewport()
    position, none = QPointF(point), Qt.MouseButton.NoButton
    event = QMouseEvent(QEvent.Type.MouseMove, position, QPointF(viewport.mapToGlobal(point)), none, none, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(viewport, event)


def trigger(dock: Any, number: int, text: str) -> None:
    menu = dock.class_menu(number)
    next(action for action in menu.actions() if action.text() == text).trigger()
    menu.deleteLater()


def kept_classes(session: Any) -> set[int]:
    return set(session.table.classes[session.kept].tolist())


# --- what it shows ---------------------------------------------------------------------------------------------------------------


def test_an_empty_dock_says_what_to_do(dock: Any) -> None:
    assert "Open a project" in dock.status.text()
    dock.save()
    assert "Open a project" in dock.status.text()


def test_a_project_fills_the_gallery(loaded: Any) -> None:
    form = loaded.form
    assert form.job.currentText() == "Class3D/job004"
    assert [form.iteration.itemText(i) for i in range(form.iteration.count())] == ["0", "1", "2"]
    assert form.iteration.currentText() == "2"
    assert form.cards.cards.order == (1, 2, 3)
    assert form.total.text() == "0 of 12 particles in 0 classes"
    assert form.save_button.text() == "Save selected classes → Select/job006"
    assert not form.save_button.isEnabled()
    assert not form.show_button.isVisible()


def test_everything_fits_into_a_dock_of_400_by_750(loaded: Any) -> None:
    inner = loaded.form.widget()
    assert inner.minimumSizeHint().width() <= 384
    assert inner.minimumSizeHint().height() <= 750


def test_every_control_has_a_tooltip(loaded: Any) -> None:
    form, duplicates = loaded.form, loaded.form.duplicates
    controls = [form.job, form.browse_button, form.slider, form.iteration, form.sort, form.reverse, form.low, form.high, form.automatic]
    controls += [form.plane, form.picture_size, form.total, form.all_button, form.save_button, form.copy_button, form.show_button]
    controls += [duplicates.preview_button, duplicates.remove_button, duplicates.copy_button]
    controls += [widget.native for widget in (duplicates.distance, duplicates.score, duplicates.rule)]
    assert all(control.toolTip() for control in controls)


def test_order_plane_and_grey_scale_change_the_pictures(qtbot: Any, loaded: Any) -> None:
    form, cards = loaded.form, loaded.form.cards.cards

    def picture() -> Any:
        return cards.data(cards.index(0), Qt.ItemDataRole.DecorationRole).toImage()

    form.reverse.setChecked(True)
    assert cards.order == (3, 2, 1)
    form.sort.setCurrentText("class number")
    form.reverse.setChecked(False)
    assert cards.order == (1, 2, 3)
    before, centre = picture(), (12, 12)
    automatic = form.high.text()
    form.high.selectAll()
    qtbot.keyClicks(form.high, "1000")
    qtbot.keyClick(form.high, Qt.Key.Key_Return)
    assert not form.automatic.isChecked()
    assert picture().pixelColor(*centre).red() < before.pixelColor(*centre).red()
    form.automatic.setChecked(True)
    assert form.high.text() == automatic
    assert picture() == before
    form.plane.setCurrentIndex(2)
    assert picture().size() == before.size()


def test_missing_maps_are_named(qtbot: Any, dock: Any, project: SmallProject) -> None:
    (project.data.parent / "run_it002_class002.mrc").unlink()
    open_session(dock._viewer, load_session(project.data))
    settle(qtbot, dock)
    assert "run_it002_class002.mrc" in dock.status.text()
    assert not {action.text(): action for action in dock.class_menu(2).actions()}["Open map as layer"].isEnabled()


def test_a_project_without_classification_says_so(qtbot: Any, dock: Any, project: SmallProject) -> None:
    import shutil

    shutil.rmtree(project.root / "Class3D")
    open_session(dock._viewer, load_session(project.picks))
    settle(qtbot, dock)
    assert dock.status.text() == NO_CLASSES


def test_relions_classification_opens_by_any_of_its_files(qtbot: Any, dock: Any, golden: Path) -> None:
    dock.open(golden / "Class3D_3d" / "run_it001_optimiser.star")
    settle(qtbot, dock)
    assert dock.form.iteration.currentText() == "1"
    assert dock.gallery.n_particles == 24
    dock.open(golden / "Class3D_3d" / "nothing_model.star")
    assert "found nothing" in notification_manager.records[-1].message


# --- choosing --------------------------------------------------------------------------------------------------------------------


def test_a_click_keeps_the_particles_of_a_class_on_the_tomogram(qtbot: Any, loaded: Any) -> None:
    view = view_of(loaded._viewer)
    click(qtbot, loaded, 2)
    assert loaded.form.total.text() == "4 of 12 particles in 1 class"
    assert kept_classes(view.session) == {2}
    assert view.session.totals() == (4, 8)
    points = layers.find_layer(loaded._viewer, layers.PARTICLES)
    assert int(points.features["kept"].sum()) == view.session.counts("TS_01")[0] == 2
    click(qtbot, loaded, 2)
    assert view.session.totals() == (12, 0)


def test_shift_chooses_a_range_and_keys_do_all_of_it(qtbot: Any, loaded: Any) -> None:
    cards = loaded.form.cards
    click(qtbot, loaded, 1)
    click(qtbot, loaded, 3, Qt.KeyboardModifier.ShiftModifier)
    assert loaded.choice.numbers == {1, 2, 3}
    click(qtbot, loaded, 2, Qt.KeyboardModifier.ControlModifier)
    assert loaded.choice.numbers == {1, 3}
    qtbot.keyClick(cards, Qt.Key.Key_A)
    assert loaded.choice.numbers == {1, 2, 3}
    qtbot.keyClick(cards, Qt.Key.Key_A)
    assert loaded.choice.numbers == frozenset()
    cards.setCurrentIndex(cards.cards.index(0))
    qtbot.keyClick(cards, Qt.Key.Key_Right)
    qtbot.keyClick(cards, Qt.Key.Key_Space)
    number = cards.currentIndex().data(NUMBER)
    assert number == 2
    assert loaded.choice.numbers == {2}
    assert cards.currentIndex().data(CHECKED)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_proposal_ticks_classes_and_says_why(qtbot: Any, loaded: Any, project: SmallProject, elsewhere: bool) -> None:
    """Whether the particles shown are those of the classification, or others."""
    wanted = proposals_of(read_classes(loaded.gallery.optimiser, loaded.gallery.project), loaded.gallery.project)
    keep = {one.number for one in wanted if one.keep}
    assert keep and keep != {one.number for one in wanted}, "a sample of which some classes stay and some don't"
    if elsewhere:
        view_of(loaded._viewer).show(load_session(project.picks))
    else:
        click(qtbot, loaded, next(one.number for one in wanted if not one.keep))
    settle(qtbot, loaded)
    qtbot.mouseClick(loaded.form.propose_button, Qt.MouseButton.LeftButton)
    settle(qtbot, loaded)
    assert loaded.choice.numbers == keep == kept_classes(view_of(loaded._viewer).session)
    said = loaded.status.toolTip() or loaded.status.text()
    assert said.splitlines() == [one.reason for one in wanted]


def test_a_chosen_card_has_a_red_border_and_others_have_none(qtbot: Any, loaded: Any) -> None:
    def red(number: int) -> bool:
        cards = loaded.form.cards
        rect = cards.visualRect(cards.cards.index(cards.cards.order.index(number)))
        colour = cards.viewport().grab().toImage().pixelColor(rect.center().x(), rect.bottom() - 3)
        return bool(colour.red() > 200 and colour.green() < 100)

    click(qtbot, loaded, 1)
    assert red(1)
    assert not red(2)


def test_hover_lights_up_a_class_and_leaving_ends_it(loaded: Any) -> None:
    view, cards = view_of(loaded._viewer), loaded.form.cards
    hover(loaded, place(loaded, 2))
    assert view.session.hover_class == 2
    hover(loaded, place(loaded, 3))
    assert view.session.hover_class == 3
    QApplication.sendEvent(cards, QEvent(QEvent.Type.Leave))
    assert view.session.hover_class is None


def test_hover_does_nothing_where_class_numbers_mean_something_else(qtbot: Any, loaded: Any, project: SmallProject) -> None:
    view = view_of(loaded._viewer)
    view.show(load_session(project.picks))
    hover(loaded, place(loaded, 2))
    assert view.session.hover_class is None
    view.show(load_session(project.kept.parent))  # a selection from this very iteration
    hover(loaded, place(loaded, 3))
    assert view.session.hover_class == 3


def test_clicking_while_other_particles_are_shown_brings_the_classification_where_the_user_is(
    qtbot: Any, loaded: Any, project: SmallProject
) -> None:
    view = view_of(loaded._viewer)
    view.show(load_session(project.picks).showing("TS_02"))
    view.viewer.dims.point = (33.0, 0.0, 0.0)
    assert loaded.form.show_button.isVisible()
    click(qtbot, loaded, 1)
    settle(qtbot, loaded)
    assert view.session.title == "Class3D/job004, iteration 2"
    assert view.session.shown == "TS_02"
    assert view.viewer.dims.point[0] == pytest.approx(33.0, abs=10.0)  # the slice of 10 Å that was looked at
    assert kept_classes(view.session) == {1}
    assert not loaded.form.show_button.isVisible()


def test_another_iteration_is_shown_on_the_tomogram_too_and_keeps_the_choice(qtbot: Any, loaded: Any) -> None:
    view = view_of(loaded._viewer)
    click(qtbot, loaded, 3)
    loaded.form.slider.setValue(0)
    settle(qtbot, loaded)
    assert loaded.gallery.iteration == 0
    assert view.session.title == "Class3D/job004, iteration 0"
    assert kept_classes(view.session) == {3}
    assert loaded.choice.numbers == {3}


def test_edits_by_hand_are_not_lost_by_clicking_and_showing_asks_twice(qtbot: Any, loaded: Any, project: SmallProject) -> None:
    view = view_of(loaded._viewer)
    view.show(load_session(project.picks))
    layers.find_layer(loaded._viewer, layers.PARTICLES).add([[5.0, 6.0, 7.0]])
    click(qtbot, loaded, 1)
    settle(qtbot, loaded)
    assert view.session.title == "particles.star"
    assert view.session.edited
    assert "not saved" in loaded.status.text()
    loaded.form.show_button.click()
    assert UNSAVED in loaded.status.text()
    hover(loaded, place(loaded, 2))
    loaded.form.show_button.click()
    settle(qtbot, loaded)
    assert view.session.title == "Class3D/job004, iteration 2"


# --- the menu --------------------------------------------------------------------------------------------------------------------


def test_metadata_of_a_class(qtbot: Any, loaded: Any) -> None:
    trigger(loaded, 2, "Show metadata this class")
    dialog = loaded.findChild(QDialog)
    table = dialog.findChild(QTableWidget)
    cells = {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount())}
    assert cells["Particles"] == "4 of 12"
    assert float(cells[f"_{r.CLASS_DISTRIBUTION}"]) == 0.3
    assert float(cells[f"_{r.ESTIMATED_RESOLUTION} (Å)"]) == 28.0
    dialog.close()


def test_map_and_surface_open_as_layers_with_the_voxel_size(qtbot: Any, loaded: Any) -> None:
    trigger(loaded, 1, "Open map as layer")
    settle(qtbot, loaded)
    image = loaded._viewer.layers[-1]
    assert image.name == "Class3D/job004, iteration 2, class 1"
    np.testing.assert_allclose(image.scale, PIXEL)
    trigger(loaded, 1, "Open surface as layer")
    settle(qtbot, loaded)
    surface = loaded._viewer.layers[-1]
    np.testing.assert_allclose(surface.scale, PIXEL)
    np.testing.assert_allclose(surface.extent.world.mean(axis=0), loaded._viewer.dims.point, atol=PIXEL)
    assert "3D" in loaded.status.text()


def test_saving_from_the_menu_needs_a_choice(loaded: Any) -> None:
    actions = {action.text(): action for action in loaded.class_menu(1).actions()}
    assert not actions["Save selected classes"].isEnabled()
    loaded.pick(1)
    actions = {action.text(): action for action in loaded.class_menu(1).actions()}
    assert actions["Save selected classes"].isEnabled()


# --- saving ----------------------------------------------------------------------------------------------------------------------


def test_saving_writes_what_the_command_line_writes_and_shows_it(qtbot: Any, loaded: Any, project: SmallProject) -> None:
    produced: list[Product] = []
    desk_of(loaded._viewer).produced.connect(produced.append)
    view = view_of(loaded._viewer)
    view.step(1)
    loaded.pick(1)
    loaded.pick(3)
    loaded.form.copy_button.click()
    line = QApplication.clipboard().text()
    loaded.form.save_button.click()
    settle(qtbot, loaded)
    ours = project.root / "Select" / "job006"
    assert main([*shlex.split(line)[1:], "-o", str(project.root / "Select" / "job040")]) == 0
    theirs = project.root / "Select" / "job040"
    for name in ("particles.star", "particles_rejected.star"):
        assert (ours / name).read_bytes() == (theirs / name).read_bytes()
    for name in ("class_averages.star", "optimisation_set.star"):
        assert (ours / name).read_text() == (theirs / name).read_text().replace("job040", "job006")
    assert view.session.title == "Select/job006"
    assert view.session.shown == "TS_02"
    assert view.session.totals() == (read_particles(ours / "particles.star").n, 4)
    assert [(product.job, product.folder) for product in produced] == [("select", ours)]
    assert produced[0].outputs["particles"] == ours / "particles.star"
    assert "8 of 12 particles kept" in loaded.status.text()


def test_the_job_number_moves_on_after_saving(qtbot: Any, loaded: Any) -> None:
    loaded.pick(2)
    loaded.form.save_button.click()
    settle(qtbot, loaded)
    assert loaded.form.save_button.text() == "Save selected classes → Select/job007"


def test_saving_asks_before_edits_are_lost(qtbot: Any, loaded: Any, project: SmallProject) -> None:
    layers.find_layer(loaded._viewer, layers.PARTICLES).add([[5.0, 6.0, 7.0]])
    loaded.pick(1)
    loaded.form.save_button.click()
    assert UNSAVED in loaded.status.text()
    assert not (project.root / "Select" / "job006").exists()
    loaded.form.save_button.click()
    settle(qtbot, loaded)
    assert (project.root / "Select" / "job006" / "particles.star").is_file()


def test_errors_of_the_job_reach_the_user_runtime_errors_too(qtbot: Any, loaded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("CUDA error 700")

    monkeypatch.setattr("napari_subtomo.widgets.class_saving.run_and_load", fail)
    loaded.pick(1)
    loaded.form.save_button.click()
    settle(qtbot, loaded)
    assert "CUDA error 700" in loaded.status.text()
    assert "CUDA error 700" in notification_manager.records[-1].message
    assert loaded.form.save_button.isEnabled()


def test_saving_can_be_cancelled_and_leaves_no_half_written_selection(
    qtbot: Any, loaded: Any, project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    import napari_subtomo.select.job as job

    def wait_for_cancel(*args: Any) -> Any:
        reporter = args[-1]
        while True:
            reporter.advance()

    monkeypatch.setattr(job, "_write_maps", wait_for_cancel)
    loaded.pick(1)
    loaded.form.save_button.click()
    assert loaded.form.save_button.text() == "Cancel"
    loaded.form.save_button.click()
    settle(qtbot, loaded)
    assert loaded.status.text() == "Cancelled."
    assert (project.root / "Select" / "job006" / "RELION_JOB_EXIT_ABORTED").exists()
    assert view_of(loaded._viewer).session.title.startswith("Class3D")


# --- duplicates ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def selection(qtbot: Any, loaded: Any, project: SmallProject) -> Any:
    view_of(loaded._viewer).show(load_session(project.kept.parent))
    loaded.form.duplicates.distance.value = 150.0
    return loaded


def test_a_preview_marks_and_takes_the_marks_away_again(qtbot: Any, selection: Any, project: SmallProject) -> None:
    box, view = selection.form.duplicates, view_of(selection._viewer)
    before = view.session.kept
    files = sorted(project.root.rglob("*"))
    box.preview_button.click()
    settle(qtbot, selection)
    kept, _ = view.session.totals()
    assert kept < 8
    assert f"{8 - kept} of 8 would be removed." in box.count.text()
    assert sorted(project.root.rglob("*")) == files
    box.distance.value = 1.0
    settle(qtbot, selection)
    assert box.count.text().startswith("0 of 8")
    box.preview_button.click()
    np.testing.assert_array_equal(view.session.kept, before)
    assert box.count.text() == ""


def test_the_count_of_the_preview_makes_room_for_itself(qtbot: Any, selection: Any) -> None:
    from superqt import QCollapsible

    box = selection.form.duplicates
    selection.findChild(QCollapsible).expand(animate=False)
    box.preview_button.click()
    settle(qtbot, selection)
    qtbot.wait(20)
    for widget in (box.distance.native, box.score.native, box.rule.native, box.count):
        assert widget.height() >= widget.minimumSizeHint().height()


def test_removing_runs_the_job_and_shows_what_stays(qtbot: Any, selection: Any, project: SmallProject) -> None:
    box, view = selection.form.duplicates, view_of(selection._viewer)
    box.score.value = r.MAX_VALUE_PROB_DISTRIBUTION
    box.preview_button.click()
    settle(qtbot, selection)
    expected = view.session.totals()[0]
    box.remove_button.click()
    settle(qtbot, selection)
    written = read_particles(project.root / "Select" / "job006" / "particles.star")
    assert written.n == expected == view.session.totals()[0]
    assert view.session.title == "Select/job006"
    assert desk_of(selection._viewer).latest("particles", "remove-duplicates") == project.root / "Select" / "job006" / "particles.star"
    assert not box.previewing


def test_what_is_saved_during_a_preview_is_the_selection_itself(qtbot: Any, selection: Any, tmp_path: Path) -> None:
    selection.form.duplicates.preview_button.click()
    settle(qtbot, selection)
    session = view_of(selection._viewer).session
    assert session.totals()[0] < 8
    save_annotations(session, tmp_path / "saved")
    assert read_particles(tmp_path / "saved" / "particles.star").n == 8


def test_removing_duplicates_can_be_cancelled(qtbot: Any, selection: Any, project: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = threading.Event()

    def endless(options: Any, folder: Any, reporter: Any) -> Any:
        while True:
            entered.set()
            reporter.check()

    monkeypatch.setattr(duplicates, "run", endless)
    box = selection.form.duplicates
    box.remove_button.click()
    assert entered.wait(5)
    assert box.remove_button.text() == "Cancel"
    box.remove_button.click()
    settle(qtbot, selection)
    assert selection.status.text() == "Cancelled."
    assert box.remove_button.text() == "Remove duplicates"
    assert (project.root / "Select" / "job006" / "RELION_JOB_EXIT_ABORTED").exists()


def test_a_choice_that_was_not_saved_has_no_duplicates_to_remove(qtbot: Any, loaded: Any) -> None:
    loaded.form.duplicates.preview_button.click()
    settle(qtbot, loaded)
    assert "save the selected classes first" in loaded.status.text()
    assert not loaded.form.duplicates.preview_button.isChecked()


# --- jobs that run ---------------------------------------------------------------------------------------------------------------


def test_a_running_classification_is_followed_from_its_last_iteration_only(qtbot: Any, loaded: Any, project: SmallProject) -> None:
    particles, folder = read_particles(project.data), project.data.parent
    loaded.pick(1)
    write_iteration(folder, "Class3D/job004", 3, particles)
    desk_of(loaded._viewer).iterated.emit(folder, 3)
    settle(qtbot, loaded)
    assert loaded.gallery.iteration == 3
    assert loaded.choice.numbers == {1}
    loaded.form.slider.setValue(1)
    settle(qtbot, loaded)
    write_iteration(folder, "Class3D/job004", 4, particles)
    desk_of(loaded._viewer).iterated.emit(folder, 4)
    settle(qtbot, loaded)
    assert loaded.gallery.iteration == 1


def test_a_classification_opened_elsewhere_is_taken_up_with_its_iteration(qtbot: Any, loaded: Any, project: SmallProject) -> None:
    view_of(loaded._viewer).show(load_session(project.data.with_name("run_it001_data.star")))
    settle(qtbot, loaded)
    assert loaded.gallery.iteration == 1
    assert loaded.form.slider.value() == 1


def test_new_iterations_on_the_tomogram_keep_the_choice_and_leave_an_earlier_iteration_that_is_looked_at(
    qtbot: Any, loaded: Any, project: SmallProject
) -> None:
    particles, folder, view = read_particles(project.data), project.data.parent, view_of(loaded._viewer)
    loaded.pick(2)
    view.show(load_session(write_iteration(folder, "Class3D/job004", 3, particles)))
    settle(qtbot, loaded)
    assert loaded.gallery.iteration == 3
    assert kept_classes(view.session) == {2}
    loaded.form.slider.setValue(0)
    settle(qtbot, loaded)
    view.show(load_session(write_iteration(folder, "Class3D/job004", 4, particles)))
    settle(qtbot, loaded)
    assert loaded.gallery.iteration == 0


def test_a_broken_classification_is_told_once_and_not_at_every_hover(qtbot: Any, dock: Any, project: SmallProject) -> None:
    for model in project.data.parent.glob("*_model.star"):
        model.write_text("data_model_general\n")
    view = open_session(dock._viewer, load_session(project.picks))
    settle(qtbot, dock)
    told = len(notification_manager.records)
    assert "model_classes" in dock.status.text()
    view.update(hover_class=1)
    settle(qtbot, dock)
    assert len(notification_manager.records) == told


def test_a_finished_classification_is_opened_or_offered(qtbot: Any, loaded: Any, project: SmallProject) -> None:
    particles = read_particles(project.data)
    desk = desk_of(loaded._viewer)
    for number in (8, 9):
        write_iteration(project.root / "Class3D" / f"job00{number}", f"Class3D/job00{number}", 1, particles)
    desk.produce(Product("classify", project.root / "Class3D" / "job008", {}))
    settle(qtbot, loaded)
    assert loaded.form.job.currentText() == "Class3D/job008"
    loaded.pick(1)
    settle(qtbot, loaded)
    desk.produce(Product("classify", project.root / "Class3D" / "job009", {}))
    settle(qtbot, loaded)
    assert loaded.form.job.currentText() == "Class3D/job008"
    assert "Class3D/job009 has finished" in loaded.status.text()
    assert loaded.form.job.itemText(0) == "Class3D/job009"


# --- the end ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [True, False])
def test_a_deleted_dock_hears_nothing_and_leaves_no_signals(qtbot: Any, project: SmallProject, held: bool) -> None:
    viewer = ViewerModel()
    view = open_session(viewer, load_session(project.data))
    desk = desk_of(viewer)

    def listeners() -> list[int]:
        return [len(signal) for signal in (view.changed, desk.iterated, desk.produced)]

    before, opened = listeners(), len(view_events.opened)
    dock: Any = SelectionPanel(viewer)
    assert listeners() == [n + 1 for n in before]
    assert len(view_events.opened) == opened + 1
    dock.deleteLater()  # while it reads
    if not held:
        del dock
    qtbot.wait(50)
    gc.collect()
    assert listeners() == before
    assert len(view_events.opened) <= opened  # docks of other tests may have gone as well
    view.step(1)
    view.update(hover_class=2)
    desk.iterated.emit(project.data.parent, 2)
    desk.produce(Product("classify", project.data.parent, {}))
    qtbot.wait(50)
    assert view.session.shown == "TS_02"
