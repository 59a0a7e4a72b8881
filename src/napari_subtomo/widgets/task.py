"""Work beside the window: the only thread, progress and cancel code of the docks.

A plain thread, not superqt's workers: those swallow every RuntimeError, and the errors of a GPU are RuntimeErrors. A task is no Qt object
either: one that is deleted while its own signal is delivered, or in a thread, crashes Qt. What threads have to say goes through a queue.
"""

from __future__ import annotations

import atexit
import queue
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from psygnal import EmitLoopError, Signal
from qtpy.compat import isalive
from qtpy.QtCore import QEventLoop, QObject, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QProgressDialog, QWidget

from napari_subtomo.errors import JobCancelled
from napari_subtomo.progress import Reporter

Result = TypeVar("Result")

#: Seconds between two reports to the window; more of them make it stutter.
PULSE = 0.1
#: Seconds that the end of the program waits for threads that have been asked to stop.
FAREWELL = 3.0


def alive(thing: QObject) -> bool:
    """Whether Qt has not deleted the thing, whose Python part outlives it."""
    return bool(isalive(thing))  # type: ignore[no-untyped-call]


class Task(Generic[Result]):
    """One function in a thread of its own; exactly one of `finished`, `failed` and `cancelled` comes, in the window's thread.

    Made and started in the window's thread.

    Parameters
    ----------
    function : callable
        Gets a `Reporter`; what it returns comes with `finished`, any exception with `failed`.
    owner : QObject, optional
        When it is deleted the function is stopped at its next report, and no signal comes any more.
    """

    finished = Signal(object)
    failed = Signal(object)
    cancelled = Signal()
    progressed = Signal(str, int, int)  # stage, steps done, steps in all (0: unknown)

    def __init__(self, function: Callable[[Reporter], Result], owner: QObject | None = None) -> None:
        self._owner = weakref.ref(owner) if owner is not None else None
        self._stop = threading.Event()
        self._over = False
        self._post = _post_office()
        self._thread = threading.Thread(target=_work, args=(function, weakref.ref(self), self._stop, self._post), daemon=True)

    def start(self) -> None:
        """Begin."""
        self._post.underway.add(self)
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
        """Whether its end is still to come."""
        return self._thread.ident is not None and not self._over

    @property
    def orphaned(self) -> bool:
        """Whether its owner is gone."""
        if self._owner is None:
            return False
        owner = self._owner()
        return owner is None or not alive(owner)

    def _deliver(self, signal: str, values: tuple[Any, ...]) -> None:
        """In the window's thread."""
        if signal != "progressed":
            self._thread.join()  # what the thread still holds must not be freed in it
            self._over = True
            self._post.underway.discard(self)
        if not self.orphaned:
            getattr(self, signal).emit(*values)


class _PostOffice(QObject):
    """Brings what threads say into the window's thread; lives as long as the process, so that a thread can always write to it."""

    wake = QtSignal()

    def __init__(self) -> None:
        super().__init__()
        self._letters: queue.SimpleQueue[tuple[weakref.ref[Task[Any]], str, tuple[Any, ...]]] = queue.SimpleQueue()
        self.underway: set[Task[Any]] = set()  # held until their end is delivered
        self.wake.connect(self._read, Qt.ConnectionType.QueuedConnection)
        self._closed = False
        atexit.register(self.close)  # before Qt is taken down, which was set up before

    def close(self) -> None:
        """The program ends: threads are stopped, and a late one must not touch Qt, which may be gone by then."""
        self._closed = True
        until = time.monotonic() + FAREWELL
        for task in list(self.underway):
            task.cancel()
        for task in list(self.underway):
            task.wait(max(0.0, until - time.monotonic()))

    def send(self, task: weakref.ref[Task[Any]], signal: str, *values: Any) -> None:
        """From any thread."""
        if self._closed:
            return
        self._letters.put((task, signal, values))
        self.wake.emit()

    def _read(self) -> None:
        reference, signal, values = self._letters.get()
        task = reference()
        if task is None:
            return
        try:
            task._deliver(signal, values)
        except EmitLoopError as error:
            raise (error.__cause__ or error) from None


_office: list[_PostOffice] = []


def _post_office() -> _PostOffice:
    if not _office:
        _office.append(_PostOffice())
    return _office[0]


def _work(function: Callable[[Reporter], Any], task: weakref.ref[Task[Any]], stop: threading.Event, post: _PostOffice) -> None:
    """In the thread."""
    try:
        result = function(_SignalReporter(task, stop, post))
    except JobCancelled:
        post.send(task, "cancelled")
    except BaseException as error:  # whatever it is, the user must hear of it
        post.send(task, "failed", error)
    else:
        post.send(task, "finished", result)


class _SignalReporter:
    """A reporter that turns stages and steps into the task's signal, at most ten times a second."""

    def __init__(self, task: weakref.ref[Task[Any]], stop: threading.Event, post: _PostOffice) -> None:
        self._task, self._stop, self._post = task, stop, post
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
        self._post.send(self._task, "progressed", text, self._done, self._total)

    def event(self, kind: str, **data: Any) -> None:
        """Not shown: the job folder's events have it."""

    def check(self) -> None:
        """Stop here if that was asked for."""
        task = self._task()
        if self._stop.is_set() or task is None or task.orphaned:
            raise JobCancelled("Stopped.")

    def _tell(self, always: bool) -> None:
        now = time.monotonic()
        if always or now - self._last >= PULSE:
            self._last = now
            self._post.send(self._task, "progressed", self._name, self._done, self._total)


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
