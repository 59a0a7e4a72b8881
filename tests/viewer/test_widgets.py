"""Tasks beside the window."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from qtpy.QtCore import QObject

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
    heard: list[Any] = []
    task.failed.connect(heard.append)
    task.start()
    qtbot.waitUntil(lambda: not task.running, timeout=5000)
    assert heard == [error]


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
    heard: list[Any] = []
    task.finished.connect(heard.append)
    task.start()
    qtbot.waitUntil(lambda: not task.running, timeout=5000)
    assert heard == [42]
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
    task.start()
    qtbot.waitUntil(lambda: not task.running, timeout=20000)
    assert len(steps) < 100


def test_a_cancelled_task_stops_at_its_next_step(qtbot: Any) -> None:
    entered = threading.Event()

    def work(reporter: Reporter) -> None:
        reporter.stage("endless")
        while True:
            entered.set()
            reporter.advance()

    task: Task[None] = Task(work)
    heard: list[str] = []
    task.cancelled.connect(lambda: heard.append("cancelled"))
    task.start()
    assert entered.wait(5)
    task.cancel()
    qtbot.waitUntil(lambda: not task.running, timeout=5000)
    assert heard == ["cancelled"]


@pytest.mark.parametrize("how", ["by Qt", "by Python"])
def test_a_task_whose_owner_is_deleted_stops_and_says_nothing(qtbot: Any, how: str) -> None:
    entered, left = threading.Event(), threading.Event()

    def work(reporter: Reporter) -> None:
        try:
            while True:
                entered.set()
                reporter.check()
        finally:
            left.set()

    owner = QObject()
    task: Task[None] = Task(work, owner)
    heard: list[Any] = []
    task.cancelled.connect(lambda: heard.append("cancelled"))
    task.start()
    assert entered.wait(5)
    if how == "by Qt":
        owner.deleteLater()
    else:
        del owner
    qtbot.waitUntil(lambda: not task.running, timeout=5000)
    assert left.is_set()
    assert heard == []


def test_a_task_may_be_forgotten_in_its_own_signal(qtbot: Any) -> None:
    tasks: dict[str, Task[int]] = {}
    numbers: list[int] = []

    def again(number: int) -> None:
        numbers.append(number)
        tasks.clear()
        gc.collect()
        if number < 8:
            start(number + 1)

    def start(number: int) -> None:
        tasks["one"] = Task(lambda _: number)
        tasks["one"].finished.connect(lambda value: again(value))
        tasks["one"].start()

    start(1)
    qtbot.waitUntil(lambda: len(numbers) == 8, timeout=60000)  # collecting takes long in a full process
    assert numbers == list(range(1, 9))


def test_a_dialog_hands_back_the_result_and_raises_what_was_raised(qtbot: Any) -> None:
    assert run_with_dialog("working", lambda _: "done") == "done"
    with pytest.raises(RuntimeError, match="CUDA"):
        run_with_dialog("working", fails(RuntimeError("CUDA error")))
    with pytest.raises(JobCancelled):
        run_with_dialog("working", fails(JobCancelled("Stopped.")))
