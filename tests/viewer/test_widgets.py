"""Docks and tasks with Qt but without a canvas."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager

from napari_subtomo.errors import InputError, JobCancelled
from napari_subtomo.io import relion as r
from napari_subtomo.io.particles import read_particles
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.view import open_session, view_of
from napari_subtomo.widgets.kept import UNSAVED, KeptParticles
from napari_subtomo.widgets.task import Task, run_with_dialog

pytestmark = pytest.mark.gui


# --- tasks -----------------------------------------------------------------------------------------------------------------------


def fails(error: BaseException) -> Any:
    def work(_: Reporter) -> None:
        raise error

    return work


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), InputError("Expected a file."), KeyboardInterrupt("x")])
def test_every_error_of_a_worker_arrives_also_a_runtime_error(qtbot: Any, error: BaseException) -> None:
    task: Task[None] = Task(fails(error))
    with qtbot.waitSignal(task.failed, timeout=5000) as heard:
        task.start()
    assert heard.args == [error]


def test_a_task_reports_progress_and_its_result_in_the_windows_thread(qtbot: Any) -> None:
    threads: list[Any] = []

    def work(reporter: Reporter) -> int:
        reporter.stage("counting", 3)
        for _ in range(3):
            reporter.advance()
        return 42

    task: Task[int] = Task(work)
    steps: list[tuple[str, int, int]] = []
    task.progressed.connect(lambda *step: steps.append(step))
    task.finished.connect(lambda _: threads.append(threading.current_thread()))
    with qtbot.waitSignal(task.finished, timeout=5000) as heard:
        task.start()
    assert heard.args == [42]
    assert steps[0] == ("counting", 0, 3)
    assert steps[-1] == ("counting", 3, 3)
    assert threads == [threading.main_thread()]


def test_thousands_of_steps_a_second_are_told_a_few_times(qtbot: Any) -> None:
    def work(reporter: Reporter) -> None:
        reporter.stage("many", 200_000)
        for _ in range(200_000):
            reporter.advance()

    task: Task[None] = Task(work)
    steps: list[Any] = []
    task.progressed.connect(lambda *step: steps.append(step))
    with qtbot.waitSignal(task.finished, timeout=20000):
        task.start()
    assert len(steps) < 100


def test_a_cancelled_task_stops_at_its_next_step(qtbot: Any) -> None:
    entered = threading.Event()

    def work(reporter: Reporter) -> None:
        reporter.stage("endless")
        while True:
            entered.set()
            reporter.advance()

    task: Task[None] = Task(work)
    with qtbot.waitSignal(task.cancelled, timeout=5000):
        task.start()
        assert entered.wait(5)
        task.cancel()


def test_a_dialog_hands_back_the_result_and_raises_what_was_raised(qtbot: Any) -> None:
    assert run_with_dialog("working", lambda _: "done") == "done"
    with pytest.raises(RuntimeError, match="CUDA"):
        run_with_dialog("working", fails(RuntimeError("CUDA error")))
    with pytest.raises(JobCancelled):
        run_with_dialog("working", fails(JobCancelled("Stopped.")))


# --- the dock --------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def dock(qtbot: Any) -> Any:
    made = KeptParticles(ViewerModel())
    qtbot.addWidget(made.native)
    return made


def opened(qtbot: Any, dock: Any, path: Path) -> Any:
    dock.open(path)
    qtbot.waitUntil(lambda: dock.open_button.enabled, timeout=10000)
    view = view_of(dock._viewer)
    assert view is not None, dock.status.value
    return view


def test_the_dock_opens_a_project_and_shows_it_in_the_form(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    assert dock.source.choices == ("Select/job005", "Class3D/job004, iteration 2", "particles.star")
    assert dock.source.value == "Select/job005"
    assert dock.tomogram.choices == ("TS_01", "TS_02")
    assert dock.tomogram.value == view.session.shown == "TS_01"
    assert dock.colour_by.value == r.CLASS_NUMBER
    assert dock.diameter.value == view.session.diameter
    assert "class 1: 2 of 4" in dock.legend.value
    assert "rejected: 2 of 4" in dock.legend.value


def test_choices_stay_when_layers_come_and_go(qtbot: Any, dock: Any, project: Any) -> None:
    opened(qtbot, dock, project.root)
    dock.reset_choices()
    assert dock.tomogram.choices == ("TS_01", "TS_02")
    assert dock.colour_by.value == r.CLASS_NUMBER


def test_the_form_drives_the_view(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    dock.tomogram.value = "TS_02"
    assert view.session.shown == "TS_02"
    dock.previous.changed.emit(True)
    assert view.session.shown == dock.tomogram.value == "TS_01"
    dock.colour_by.value = r.RANDOM_SUBSET
    assert view.session.colour_by == r.RANDOM_SUBSET
    dock.rejected.value = "hidden"
    assert view.session.rejected == "hidden"
    dock.diameter.value = 120.0
    np.testing.assert_allclose(view.state.sizes[view.state.features["kept"]], 12.0)
    dock.arrows.value = False
    assert not layers.find_layer(dock._viewer, layers.ORIENTATIONS).visible


def test_another_source_can_be_chosen(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    dock.source.value = "particles.star"
    qtbot.waitUntil(lambda: view.session.title == "particles.star", timeout=10000)
    assert view.session.totals() == (12, 0)


def test_the_form_follows_keys_and_files_opened_elsewhere(dock: Any, project: Any) -> None:
    view = open_session(dock._viewer, load_session(project.root))
    assert dock.tomogram.value == "TS_01"
    view.step(1)
    assert dock.tomogram.value == "TS_02"


def test_errors_of_opening_are_told_in_the_dock_and_as_a_notification(qtbot: Any, dock: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    dock.open(tmp_path / "empty")
    qtbot.waitUntil(lambda: "found neither" in dock.status.value, timeout=10000)
    assert "found neither" in notification_manager.records[-1].message
    assert dock.open_button.enabled


def test_a_runtime_error_while_reading_reaches_the_user(qtbot: Any, dock: Any, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_subtomo.widgets.kept.load_session", lambda *_: fails(RuntimeError("CUDA error 700"))(None))
    dock.open(project.root)
    qtbot.waitUntil(lambda: "CUDA error 700" in dock.status.value, timeout=10000)


def test_saving_writes_the_job_and_again_into_the_same_folder(qtbot: Any, dock: Any, project: Any) -> None:
    opened(qtbot, dock, project.root)
    folder = project.root / "Picks" / "job006"
    assert Path(dock.target.value) == folder
    dock.save_button.changed.emit(True)
    assert "8 particles saved" in dock.status.value
    assert (folder / "particles.star").read_bytes() == project.kept.read_bytes()
    points = layers.find_layer(dock._viewer, layers.PARTICLES)
    points.add([[5.0, 6.0, 7.0]])
    dock.save_button.changed.emit(True)
    assert read_particles(folder / "particles.star").n == 9
    assert "1 added" in dock.status.value
    assert not view_of(dock._viewer).session.edited


def test_saving_over_a_job_is_refused_with_a_sentence(qtbot: Any, dock: Any, project: Any) -> None:
    opened(qtbot, dock, project.root)
    before = project.kept.read_bytes()
    dock.save(project.kept.parent)
    assert "new or empty folder" in dock.status.value
    assert project.kept.read_bytes() == before


def test_unsaved_edits_are_not_dropped_at_the_first_try(qtbot: Any, dock: Any, project: Any) -> None:
    view = opened(qtbot, dock, project.root)
    layers.find_layer(dock._viewer, layers.PARTICLES).add([[5.0, 6.0, 7.0]])
    dock.open(project.root)
    assert dock.status.value == UNSAVED
    assert view.session.edited
    dock.open(project.root)
    qtbot.waitUntil(lambda: not view.session.edited, timeout=10000)


def test_without_a_project_buttons_say_what_to_do(dock: Any) -> None:
    dock.following.changed.emit(True)
    assert "Choose a project folder" in dock.status.value
    dock.save_button.changed.emit(True)
    assert "Choose a project folder" in dock.status.value
