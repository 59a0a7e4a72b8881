"""What the result views have in common: they read a job folder beside the window and keep what they show until the new is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_subtomo.errors import JobCancelled
from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.results.pictures import job_title
from napari_subtomo.widgets.status import StatusLine, sentence
from napari_subtomo.widgets.task import Task


@dataclass(frozen=True)
class _Outcome:
    """What a reading gave."""

    number: int
    result: Any = None
    error: Exception | None = None


class ResultView(QWidget):
    """A view of one job folder.

    Subclasses read in `_read`, which runs in a thread and touches no widget, and show in `_show`.
    """

    #: an exception: the folder could not be read; its sentence stands in the view
    failed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._folder: Path | None = None
        self._project: Project | None = None
        self._shown: Path | None = None
        self._again = False
        self._running: dict[str, Task[Any]] = {}
        self._numbers, self._current = count(), -1
        self.status = StatusLine(parent=self)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.setMinimumWidth(280)

    def show_job(self, folder: Path, project: Project) -> None:
        """Read a job folder and show it; while it is read the former content stays.

        Parameters
        ----------
        folder : Path
        project : Project
        """
        task = self._running.get("task")
        if task is not None and folder == self._folder:
            self._again = True  # what is being read may be older than what the caller knows of
            return
        self._folder, self._project = folder, project
        self._start()

    def clear(self) -> None:
        """Show nothing, and stop reading."""
        _cancel(self._running)
        self._folder = self._project = self._shown = None
        self._again = False
        self.status.say("")
        self._blank()

    def _start(self) -> None:
        """Read; a task that reads something else is told to stop, and its result is not shown."""
        if self._folder is None or self._project is None:
            return
        _cancel(self._running)
        self._again = False
        if self._shown is None:
            self.status.say(f"Reading {job_title(self._folder, self._project)} …")
        number = next(self._numbers)
        read = partial(self._read, self._folder, self._project, **self._arguments())
        task: Task[_Outcome] = Task(partial(_work, number, read), self)
        task.finished.connect(self._finish)
        self._running["task"], self._current = task, number
        task.start()

    def _finish(self, outcome: _Outcome) -> None:
        if outcome.number != self._current or "task" not in self._running:
            return  # of another folder than the one that is wanted now
        del self._running["task"]
        if self._folder != self._shown:
            self._blank()
        if outcome.error is None:
            self._shown = self._folder
            self.status.say("")
            self._show(outcome.result)
        else:
            self._shown = self._folder if self._folder == self._shown else None
            self.status.warn(sentence(outcome.error))
            self.failed.emit(outcome.error)
        if self._again:
            self._start()

    def _arguments(self) -> dict[str, Any]:
        """What `_read` gets besides folder and project, taken when the reading begins."""
        return {}

    @staticmethod
    def _read(folder: Path, project: Project, reporter: Reporter) -> Any:
        raise AssertionError("made by subclasses")

    def _show(self, result: Any) -> None:
        raise AssertionError("made by subclasses")

    def _blank(self) -> None:
        raise AssertionError("made by subclasses")


def _work(number: int, read: Callable[[Reporter], Any], reporter: Reporter) -> _Outcome:
    """Read in a thread; errors of any kind come back as a value that tells which reading they belong to."""
    try:
        return _Outcome(number, read(reporter))
    except JobCancelled:
        raise
    except Exception as error:
        return _Outcome(number, error=error)


class Line(QLabel):
    """A text that wraps, makes no dock wider and takes no room while it is empty."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.say("")

    def say(self, text: str) -> None:
        """Show a text; "" hides the line."""
        self.setText(text)
        self.setVisible(bool(text))


def small_font(font: QFont) -> QFont:
    """The font for captions and axes, made from that of the text."""
    small = QFont(font)
    small.setPointSizeF(max(0.85 * font.pointSizeF(), 7.0))
    return small


def _cancel(running: dict[str, Task[Any]], *_: object) -> None:
    task = running.pop("task", None)
    if task is not None:
        task.cancel()
