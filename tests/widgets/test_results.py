"""The views of results: they keep what they show while they read, ignore what is stale, and leave nothing behind."""

from __future__ import annotations

import gc
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.small_project import SmallProject
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QColor, QMouseEvent, QPalette, QWheelEvent
from qtpy.QtWidgets import QApplication, QScrollArea, QWidget

from napari_subtomo.errors import InputError
from napari_subtomo.io.project import Project
from napari_subtomo.widgets.results import ClassificationView, FscView, MontageView
from napari_subtomo.widgets.results.base import ResultView

pytestmark = pytest.mark.gui

JOBS = {MontageView: "Extract3d_bin2_f16", FscView: "Reconstruct", ClassificationView: "Class3D_3d"}


def wait(qtbot: Any, view: ResultView) -> None:
    """Until the view has nothing to read."""
    qtbot.waitUntil(lambda: "task" not in view._running, timeout=20_000)


@pytest.fixture
def make(qtbot: Any) -> Iterator[Callable[[type[ResultView]], Any]]:
    def new(kind: type[ResultView]) -> ResultView:
        view = kind()
        qtbot.addWidget(view)
        view.resize(360, 300)
        view.show()
        return view

    yield new


def showing(qtbot: Any, view: Any, root: Path, folder: str) -> Any:
    view.show_job(root / folder, Project(root))
    wait(qtbot, view)
    return view


def test_a_montage_shows_the_mean_first_and_a_click_picks_a_particle(qtbot: Any, make: Any, golden: Path) -> None:
    view = showing(qtbot, make(MontageView), golden, "Extract3d_bin2_f16")
    assert view.caption.text().endswith("24 of 24 subtomograms, box 16 px, 20.0 Å/px")
    tiles = view.grid.tiles
    assert len(tiles) == 25 and tiles[0].key == "" and tiles[1].key == "TS_01/1"
    assert not view.others.isVisible()  # there are no others
    grid, picked = view.grid, []
    view.picked.connect(picked.append)
    layout = grid._grid()
    for index in (0, 5):
        qtbot.mouseClick(grid, Qt.MouseButton.LeftButton, pos=grid._place(index, layout).center())
    assert picked == [tiles[5].key]
    qtbot.mouseMove(grid, grid._place(2, layout).center())
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Down, Qt.Key.Key_Return):
        qtbot.keyClick(grid, key)
    assert picked[1] in {tile.key for tile in tiles[1:]}
    last = grid._place(24, layout)
    assert last.right() < grid.width() and last.bottom() < grid.height()


def test_others_are_others(qtbot: Any, make: Any, shared: Path) -> None:
    root = shared / "data" / "real_ribosomes_2dstacks"
    view = showing(qtbot, make(MontageView), root, ".")
    first = {tile.key for tile in view.grid.tiles}
    assert view.others.isVisible()
    view.others.click()
    wait(qtbot, view)
    second = {tile.key for tile in view.grid.tiles}
    assert len(second) == 25 and first != second
    showing(qtbot, view, root, ".")
    assert {tile.key for tile in view.grid.tiles} == second  # the same job again keeps the choice


def test_the_fsc_has_its_resolutions_in_the_title_and_sections_beside_it(qtbot: Any, make: Any, golden: Path) -> None:
    view = showing(qtbot, make(FscView), golden, "Reconstruct")
    assert "154.3 Å at 0.143" in view.title.text() and "without a mask" in view.kind.text()
    assert [tile.lines for tile in view.grid.tiles] == [("xy",), ("xz",), ("yz",)]
    for height in (260, 420):
        view.resize(360, height)
        QApplication.processEvents()
        grid = view.grid._grid()
        lowest = view.grid._place(2, grid).bottom() + view.grid._caption
        assert grid.columns == 1 and 44 <= grid.side <= 84 and lowest <= view.grid.height() and view.height() == height
    assert [label for _, label in view.plot._canvas.bottom._tickLevels[0]][-1] == "20"
    showing(qtbot, view, golden, "PostProcess")
    assert set(view.plot._items) == {"corrected", "masked", "unmasked", "randomised"}
    assert not view.grid.isVisible() and "map itself" in view.status.text()
    for name in ("corrected", "masked", "unmasked"):
        assert name in view.plot.legend.text()


def test_a_classification_grows_in_place(qtbot: Any, make: Any, project: SmallProject) -> None:
    source, folder = project.data.parent, project.root / "Class3D" / "job009"
    folder.mkdir()
    view = make(ClassificationView)
    showing(qtbot, view, project.root, "Class3D/job009")
    assert view.status.text() == "Waiting for the first iteration of Class3D/job009."
    seen = []
    for number in range(3):
        for path in source.glob(f"run_it{number:03d}*"):
            shutil.copy(path, folder)
        showing(qtbot, view, project.root, "Class3D/job009")
        assert f"iteration {number}" in view.title.text() and not view.status.isVisible()
        item = view.plot._items["class 1"]
        assert item.getData()[0].tolist() == list(range(number + 1))
        seen.append((id(view.plot), id(item)))
    assert len(set(seen)) == 1
    for index in range(view.tabs.count()):
        view.tabs.setCurrentIndex(index)
        assert any(unit in view.plot.legend.text() for unit in ("(%)", "(°)", "(Å)"))


def test_the_mouse_reads_values_and_the_wheel_scrolls_the_dock(qtbot: Any, make: Any, golden: Path) -> None:
    view = showing(qtbot, make(ClassificationView), golden, "Class3D_3d")
    canvas = view.plot._canvas
    legend = view.plot.legend.text()
    place = canvas.mapFromScene(canvas.box.mapViewToScene(canvas.box.viewRect().center()))
    viewport = canvas.viewport()  # the event itself: where the real pointer is moved to, another window may lie
    here, on_screen = QPoint(place).toPointF(), QPoint(viewport.mapToGlobal(place)).toPointF()
    button, held, modifiers = Qt.MouseButton.NoButton, Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(viewport, QMouseEvent(QEvent.Type.MouseMove, here, on_screen, button, held, modifiers))
    qtbot.waitUntil(lambda: "iteration 1, class" in view.plot.legend.text())
    assert view.plot.legend.text().count("%") == 2  # that of the axis and that of the value
    canvas.leaveEvent(QEvent(QEvent.Type.Leave))
    assert view.plot.legend.text() == legend
    before = canvas.box.viewRange()
    wheel = QWheelEvent(here, here, QPoint(), QPoint(0, -120), held, modifiers, Qt.ScrollPhase.NoScrollPhase, False)
    canvas.wheelEvent(wheel)
    assert not wheel.isAccepted() and canvas.box.viewRange() == before


def test_plots_take_the_colours_of_the_theme(qtbot: Any, make: Any, golden: Path) -> None:
    view = showing(qtbot, make(ClassificationView), golden, "Class3D_3d")
    for colour in ("#F0F1F2", "#3B3A39"):
        palette = QPalette(view.palette())
        palette.setColor(QPalette.ColorRole.WindowText, QColor(colour))
        view.setPalette(palette)
        qtbot.waitUntil(lambda colour=colour: view.plot._canvas.bottom.textPen().color() == QColor(colour))
        view.setStyleSheet(f"QWidget {{ color: {QColor(colour).lighter(110).name()}; }}")
        qtbot.waitUntil(lambda colour=colour: view.plot._canvas.left.textPen().color() == QColor(QColor(colour).lighter(110).name()))
        view.setStyleSheet("")


@pytest.mark.parametrize("kind", list(JOBS))
def test_what_cannot_be_read_is_said_and_the_view_goes_on(qtbot: Any, make: Any, golden: Path, tmp_path: Path, kind: type) -> None:
    view, errors = make(kind), []
    view.failed.connect(errors.append)
    (tmp_path / "job001").mkdir()
    (tmp_path / "job001" / "run_it000_model.star").write_text("data_model_general\n\n_rlnPixelSize 5\n")
    showing(qtbot, view, tmp_path, "job001")
    assert len(errors) == 1 and isinstance(errors[0], InputError)
    assert str(errors[0]) in view.status.text()
    showing(qtbot, view, golden, JOBS[kind])
    assert view.grid.tiles and not view.status.isVisible()
    view.clear()
    assert not view.grid.tiles and view.status.text() == "" and len(errors) == 1


@pytest.mark.parametrize("kind", list(JOBS))
def test_a_stale_result_is_ignored_and_the_former_stays(qtbot: Any, make: Any, golden: Path, monkeypatch: Any, kind: type) -> None:
    view = showing(qtbot, make(kind), golden, JOBS[kind])
    shown, gate, original = view.grid.tiles, threading.Event(), kind._read

    def slow(folder: Path, *args: Any, **arguments: Any) -> Any:
        if folder.name == "slow":
            gate.wait(10)
            raise RuntimeError("CUDA error: this came too late")
        return original(folder, *args, **arguments)

    monkeypatch.setattr(kind, "_read", staticmethod(slow))
    errors: list[BaseException] = []
    view.failed.connect(errors.append)
    view.show_job(golden / "slow", Project(golden))
    stale = view._running["task"]
    QApplication.processEvents()
    assert view.grid.tiles is shown  # while the other is read
    view.show_job(golden / JOBS[kind], Project(golden))
    gate.set()
    wait(qtbot, view)
    qtbot.waitUntil(lambda: not stale.running)
    QApplication.processEvents()
    assert errors == [] and not view.status.isVisible()
    view.show_job(golden / "slow", Project(golden))  # now it is wanted, and it fails
    wait(qtbot, view)
    assert [type(error) for error in errors] == [RuntimeError] and "CUDA error" in view.status.text()


def test_asked_twice_for_the_same_job_it_reads_once_more(qtbot: Any, make: Any, golden: Path, monkeypatch: Any) -> None:
    view, calls, gate, original = make(ClassificationView), [], threading.Event(), ClassificationView._read

    def counted(*args: Any, **arguments: Any) -> Any:
        calls.append(args)
        gate.wait(10)
        return original(*args, **arguments)

    monkeypatch.setattr(ClassificationView, "_read", staticmethod(counted))
    for _ in range(5):
        view.show_job(golden / "Class3D_3d", Project(golden))
    gate.set()
    wait(qtbot, view)
    assert len(calls) == 2 and view.progress is not None


@pytest.mark.parametrize("kind", list(JOBS))
@pytest.mark.parametrize("reading", [False, True], ids=["shown", "still reading"])
def test_a_closed_view_leaves_nothing_behind(qtbot: Any, golden: Path, kind: type, reading: bool) -> None:
    showing(qtbot, warm := kind(), golden, JOBS[kind])  # what is made once a program is there from now on
    _delete(warm)
    del warm
    gc.collect()
    widgets, threads = set(QApplication.topLevelWidgets()), threading.active_count()
    host = QScrollArea()
    view = kind()
    host.setWidget(view)
    host.show()
    view.show_job(golden / JOBS[kind], Project(golden))
    if not reading:
        wait(qtbot, view)
    gone = weakref.ref(view)
    _delete(host)
    del view, host
    qtbot.waitUntil(lambda: threading.active_count() <= threads, timeout=10_000)
    QApplication.processEvents()
    gc.collect()
    assert gone() is None
    assert set(QApplication.topLevelWidgets()) - widgets == set()


def test_a_reading_that_ends_after_its_view_was_deleted_is_dropped(qtbot: Any, golden: Path, monkeypatch: Any) -> None:
    gate, original = threading.Event(), FscView._read

    def slow(*args: Any) -> Any:
        gate.wait(10)
        return original(*args)

    monkeypatch.setattr(FscView, "_read", staticmethod(slow))
    view = FscView()
    view.show_job(golden / "Reconstruct", Project(golden))
    task = view._running["task"]
    _delete(view)  # while `view` still names it
    gate.set()
    qtbot.waitUntil(lambda: not task.running)
    QApplication.processEvents()  # an error in a slot would fail the test
    assert "task" in view._running  # nobody was told


def _delete(widget: QWidget) -> None:
    widget.close()
    widget.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
    time.sleep(0)
