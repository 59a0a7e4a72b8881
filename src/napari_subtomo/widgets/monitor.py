"""A job folder on the screen: progress, remaining time and state, whoever runs the job and wherever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_subtomo.jobs.follow import Follower, JobState
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.sources import iterations
from napari_subtomo.widgets.task import Task

#: Milliseconds between two looks at a running job, and at one that is over (it may be run again from elsewhere).
PULSE, SLOW_PULSE = 400, 3000
#: Quick looks at a job that is over: one that is just being resumed looks the same at first.
QUICK_LOOKS = 15


class Monitor(QObject):
    """Looks at one job folder again and again, in a thread: a folder may lie on a slow disk.

    Parameters
    ----------
    parent : QObject, optional
    """

    #: JobState, at every look that found something new
    changed = Signal(object)
    #: number of the last iteration of a classification whose files are whole
    iterated = Signal(int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._follower: Follower | None = None
        self._state: JobState | None = None
        self._iteration, self._looks = -1, 0
        self._task: Task[Any] | None = None
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)

    @property
    def folder(self) -> Path | None:
        """The folder that is followed."""
        return self._follower.folder if self._follower is not None else None

    @property
    def state(self) -> JobState:
        """What is known of it."""
        return self._state or JobState()

    def follow(self, folder: Path | None) -> None:
        """Follow another folder; None: nothing."""
        self._follower = Follower(folder) if folder is not None else None
        self._state, self._iteration, self._looks = None, -1, 0
        if folder is None:
            self._timer.stop()
        else:
            self._timer.start(PULSE)
            self._look()

    def stop(self) -> None:
        """Look no more."""
        self.follow(None)

    def _look(self) -> None:
        follower = self._follower
        if follower is None or (self._task is not None and self._task.running):
            return

        def look(_: Reporter) -> tuple[Follower, JobState, int]:
            whole = iterations(follower.folder).keys() & iterations(follower.folder, "optimiser").keys()
            return follower, follower.poll(), max(whole, default=-1)

        self._task = Task(look, self)
        self._task.finished.connect(self._seen)
        self._task.start()

    def _seen(self, found: tuple[Follower, JobState, int]) -> None:
        follower, state, iteration = found
        if follower is not self._follower:
            return
        self._looks = self._looks + 1 if state.over else 0
        self._timer.setInterval(SLOW_PULSE if self._looks > QUICK_LOOKS else PULSE)
        if state != self._state:
            self._state = state
            self.changed.emit(state)
        if iteration != self._iteration:
            self._iteration = iteration
            self.iterated.emit(iteration)


class ProgressView(QWidget):
    """A bar with the stage and the time that is left, and a line above it that says how the job is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line, self.bar = QLabel(), QProgressBar()
        self.line.setWordWrap(True)
        self.bar.setTextVisible(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.line)
        layout.addWidget(self.bar)
        self.clear()

    def clear(self) -> None:
        """Nothing is followed."""
        self.line.clear()
        self.hide()

    def show_state(self, name: str, state: JobState) -> None:
        """Show the state of the job called `name`."""
        self.setVisible(True)
        self.line.setText(
            f"{name}: {STATUS.get(state.status, state.status)}" + (f" · {state.stage}" if state.stage and not state.over else "")
        )
        self.bar.setVisible(state.status in ("running", "paused"))
        self.bar.setMaximum(state.total or 0)
        self.bar.setValue(min(state.done, state.total) if state.total else 0)
        self.bar.setFormat(progress_text(state))


STATUS = {"waiting": "starting …", "dead": "its process ended without a word; Resume goes on with it"}


def progress_text(state: JobState) -> str:
    """ "12 of 160 particles · 0:40 left"."""
    if not state.total:
        return ""
    text = f"{state.done} of {state.total} {state.unit}".rstrip()
    left = state.eta_seconds
    return text + (f" · {clock(left)} left" if left is not None and state.status == "running" else "")


def clock(seconds: float) -> str:
    """ "0:07", "12:30", "1:02:30"."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
