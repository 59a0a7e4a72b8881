"""What the result views have in common: they read a job folder beside the window and keep what they show until the new is there."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.results.pictures import job_title
from napari_subtomo.widgets.status import StatusLine, sentence
from napari_subtomo.widgets.task import Task


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
        self.status = StatusLine(parent=self)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        self.setMinimumWidth(280)
        # the closure must not hold the view: it is called when the view is gone
        self.destroyed.connect(partial(_cancel, self._running))

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
        task: Task[Any] = Task(partial(self._read, self._folder, self._project, **self._arguments()), self)
        task.finished.connect(partial(self._finish, task))
        task.failed.connect(partial(self._fail, task))
        self._running["task"] = task
        task.start()

    def _finish(self, task: Task[Any], result: Any) -> None:
        if not self._is_current(task):
            return
        if self._folder != self._shown:
            self._blank()
        self._shown = self._folder
        self.status.say("")
        self._show(result)
        if self._again:
            self._start()

    def _fail(self, task: Task[Any], error: BaseException) -> None:
        if not self._is_current(task):
            return
        if self._folder != self._shown:
            self._blank()
            self._shown = None
        self.status.warn(sentence(error))
        self.failed.emit(error)
        if self._again:
            self._start()

    def _is_current(self, task: Task[Any]) -> bool:
        if self._running.get("task") is not task:
            return False
        del self._running["task"]
        return True

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
