"""Work beside the window: the only thread, progress and cancel code of the docks.

A plain thread and Qt signals, not superqt's workers: those swallow every RuntimeError, and the errors of a GPU are RuntimeErrors.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from qtpy.QtCore import QEventLoop, QObject, Qt, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QProgressDialog, QWidget

from napari_subtomo.errors import JobCancelled
from napari_subtomo.progress import Reporter

Result = TypeVar("Result")

#: Seconds between two reports to the window; more of them make it stutter.
PULSE = 0.1


class Task(QObject, Generic[Result]):
    """One function in a thread of its own; exactly one of `finished`, `failed` and `cancelled` comes, in the window's thread.

    Parameters
    ----------
    function : callable
        Gets a `Reporter`; what it returns comes with `finished`, any exception with `failed`.
    parent : QObject, optional
    """

    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    progressed = Signal(str, int, int)  # stage, steps done, steps in all (0: unknown)

    def __init__(self, function: Callable[[Reporter], Result], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._function = function
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """Ask the function to stop at its next report."""
        self._stop.set()

    def wait(self, seconds: float) -> None:
        """Wait for the thread to end, at most so long."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    @property
    def running(self) -> bool:
        """Whether the thread is alive."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            result = self._function(_SignalReporter(self, self._stop))
        except JobCancelled:
            self._say("cancelled")
        except BaseException as error:  # whatever it is, the user must hear of it
            self._say("failed", error)
        else:
            self._say("finished", result)

    def _say(self, signal: str, *values: Any) -> None:
        try:
            getattr(self, signal).emit(*values)
        except RuntimeError:
            return  # the window was closed meanwhile: nobody is left to tell


class _SignalReporter:
    """A reporter that turns stages and steps into the task's signal, at most ten times a second."""

    def __init__(self, task: Task[Any], stop: threading.Event) -> None:
        self._task = task
        self._stop = stop
        self._name, self._done, self._total = "", 0, 0
        self._last = 0.0

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Begin a stage."""
        self._name, self._done, self._total = name, 0, total or 0
        self._tell(always=True)

    def advance(self, steps: int = 1) -> None:
        """Count steps."""
        self._done += steps
        self._tell(always=self._done == self._total)
        self.check()

    def message(self, text: str) -> None:
        """Not shown: the job folder's log has it."""

    def warn(self, text: str) -> None:
        """Show a warning with the progress."""
        self._task._say("progressed", text, self._done, self._total)

    def event(self, kind: str, **data: Any) -> None:
        """Not shown: the job folder's events have it."""

    def check(self) -> None:
        """Stop here if that was asked for."""
        if self._stop.is_set():
            raise JobCancelled("Stopped.")

    def _tell(self, always: bool) -> None:
        now = time.monotonic()
        if always or now - self._last >= PULSE:
            self._last = now
            self._task._say("progressed", self._name, self._done, self._total)


def run_with_dialog(title: str, function: Callable[[Reporter], Result], parent: QWidget | None = None) -> Result:
    """Run a function in a thread and wait for it behind a progress dialog; the window stays alive and the user can cancel.

    Raises
    ------
    JobCancelled
        The user cancelled.
    Exception
        Whatever the function raised.
    """
    dialog = QProgressDialog(title, "Cancel", 0, 0, parent)
    dialog.setWindowTitle("napari-subtomo")
    dialog.setWindowModality(Qt.WindowModality.WindowModal)
    dialog.setMinimumDuration(0)
    dialog.setMinimumWidth(420)
    dialog.setAutoClose(False)
    dialog.setAutoReset(False)
    loop = QEventLoop()
    outcome: dict[str, Any] = {}
    task: Task[Result] = Task(function)

    def progress(stage: str, done: int, total: int) -> None:
        dialog.setLabelText(f"{title}\n{stage}")
        dialog.setMaximum(total)
        dialog.setValue(done)

    def end(name: str, value: Any = None) -> None:
        outcome[name] = value
        loop.quit()

    task.progressed.connect(progress)
    task.finished.connect(lambda value: end("result", value))
    task.failed.connect(lambda error: end("error", error))
    task.cancelled.connect(lambda: end("cancelled"))
    dialog.canceled.connect(task.cancel)
    dialog.show()
    task.start()
    loop.exec()
    dialog.close()
    dialog.deleteLater()
    if "result" in outcome:
        result: Result = outcome["result"]
        return result
    raise outcome.get("error") or JobCancelled(f"{title}: cancelled.")
