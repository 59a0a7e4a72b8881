"""Tasks of a dock: the newest counts, and a dock that is gone hears nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from napari_subtomo.progress import Reporter
from napari_subtomo.widgets.status import StatusLine
from napari_subtomo.widgets.task import Task

Result = TypeVar("Result")


class Worker:
    """Runs one task at a time; a newer one stops the older one, whose result is dropped.

    Parameters
    ----------
    status : StatusLine
        Shows progress and errors.
    changed : callable, optional
        Called when a task begins and when it is over.
    """

    def __init__(self, status: StatusLine, changed: Callable[[], None] | None = None) -> None:
        self._status = status
        self._changed = changed or _nothing
        self._task: Task[Any] | None = None

    @property
    def running(self) -> bool:
        """Whether a result is still to come."""
        return self._task is not None

    def run(self, function: Callable[[Reporter], Result], done: Callable[[Result], None], cancelled: str = "Cancelled.") -> None:
        """Begin; `done` gets the result in the window's thread."""
        self.cancel()
        task: Task[Result] = Task(function, self._status)
        self._task = task
        task.finished.connect(lambda result: self._end(task, lambda: done(result)))
        task.failed.connect(lambda error: self._end(task, lambda: self._status.fail(error)))
        task.cancelled.connect(lambda: self._end(task, lambda: self._status.say(cancelled)))
        task.progressed.connect(lambda *step: self._progress(task, *step))
        self._changed()
        task.start()

    def say(self, text: str) -> None:
        """Show a line."""
        self._status.say(text)

    def cancel(self) -> None:
        """Ask the task to stop; a result that comes all the same is dropped when a newer task has begun."""
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Stop, and say nothing any more."""
        self.cancel()
        self._task = None

    def _end(self, task: Task[Any], then: Callable[[], None]) -> None:
        if task is self._task:
            self._task = None
            then()
            self._changed()

    def _progress(self, task: Task[Any], stage: str, done: int, total: int) -> None:
        if task is self._task:
            self._status.say(f"{stage} … {done} of {total}" if total else f"{stage} …")


def _nothing() -> None:
    """Nobody wants to know."""
