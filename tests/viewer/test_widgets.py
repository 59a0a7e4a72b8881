"""Tasks beside the window."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from napari_subtomo.errors import InputError, JobCancelled
from napari_subtomo.progress import Reporter
from napari_subtomo.widgets.task import Task, run_with_dialog

pytestmark = pytest.mark.gui


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
