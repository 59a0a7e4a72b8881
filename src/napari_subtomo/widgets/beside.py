"""A second job on what a dock's job made: a button that runs it, its progress, and its result in a tab beside that of the first."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QTabWidget, QVBoxLayout, QWidget

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.jobs import launch
from napari_subtomo.jobs.follow import JobState
from napari_subtomo.options.base import JobOptions
from napari_subtomo.viewer.settings import settings
from napari_subtomo.widgets.monitor import Monitor, ProgressView
from napari_subtomo.widgets.results.base import ResultView
from napari_subtomo.widgets.running import Run


class SecondJob(QWidget):
    """A view of what the first job made, and beside it what the second one says of it.

    Parameters
    ----------
    first : QWidget
        The view of the first job; it becomes the first tab.
    view : ResultView
        Of the second job.
    parent : QWidget
    """

    #: an exception: the job could not be run, or not be read
    failed = Signal(object)

    job: ClassVar[str]
    #: of the button, its tooltip, and the two tabs
    words: ClassVar[tuple[str, str, str, str]]

    def __init__(self, first: QWidget, view: ResultView, parent: QWidget) -> None:
        super().__init__(parent)
        self._folder: Path | None = None
        self._project: Project | None = None
        self._run: Run | None = None
        self.monitor = Monitor(self)
        text, tip, *titles = self.words
        self.button = QPushButton(text)
        self.button.setToolTip(tip)
        self.progress = ProgressView()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        for widget, title in zip((first, view), titles, strict=True):
            self.tabs.addTab(widget, title)
        self._result = view
        row = QHBoxLayout()
        row.addWidget(self.button)
        row.addWidget(self.progress, 1)
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.tabs, 1)
        self.button.clicked.connect(self.start)
        view.failed.connect(self.failed)
        self.monitor.changed.connect(self._changed)
        self.clear()

    def ready(self, folder: Path) -> bool:
        """Whether the first job's folder holds what the second one needs."""
        raise AssertionError("made by subclasses")

    def former(self, folder: Path, project: Project) -> Path | None:
        """The newest second job on this folder."""
        raise AssertionError("made by subclasses")

    def options(self, folder: Path) -> JobOptions:
        """Of the second job."""
        raise AssertionError("made by subclasses")

    def show_first(self, folder: Path, project: Project) -> None:
        """Offer the second job on a folder, and show the newest one there is."""
        again = folder == self._folder
        if not again:
            self.clear()
        self._folder, self._project = folder, project
        running = again and self.monitor.folder is not None and not self.monitor.state.over
        self.button.setEnabled(not running and self.ready(folder))
        if again:
            return
        former = self.former(folder, project)
        if former is not None:
            self._show(former)

    def clear(self) -> None:
        """Nothing to work on; a job that runs, runs on."""
        self._folder = self._project = None
        self.monitor.stop()
        self.progress.clear()
        self.button.setEnabled(False)
        self._result.clear()
        self._offer(False)

    def start(self) -> None:
        """Run the second job."""
        if self._folder is None or self._project is None:
            return
        try:
            folder = launch.next_folder(self.job, self._project)
            self._run = Run(folder, self)
            self._run.failed.connect(self._run_failed)
            self._run.start(self.job, self.options(self._folder), self._project, settings().run_in)
        except (SubtomoError, OSError) as error:
            self.failed.emit(error)
            return
        self.button.setEnabled(False)
        self.monitor.follow(folder)
        self.progress.show_state(self._project.name(folder), JobState())

    def _offer(self, second: bool) -> None:
        """Show tabs, if there is something in the second one."""
        self.tabs.setTabVisible(1, second)
        bar = self.tabs.tabBar()
        if bar is not None:
            bar.setVisible(second)

    def close_down(self) -> None:
        """The dock is closed: look no more; a job in a process of its own runs on."""
        for stop in (self.monitor.stop, *([self._run.close] if self._run is not None else [])):
            with suppress(RuntimeError):
                stop()

    def _run_failed(self, error: BaseException) -> None:
        self.progress.clear()
        self.button.setEnabled(self._folder is not None)
        self.failed.emit(error)

    def _changed(self, state: JobState) -> None:
        folder = self.monitor.folder
        if folder is None or self._project is None:
            return
        self.progress.show_state(self._project.name(folder), state)
        if state.over:
            self.button.setEnabled(True)
            self.progress.clear()
        if state.status == "finished":
            self._show(folder)
            self.tabs.setCurrentIndex(1)
        elif state.status == "failed" and state.error:
            self.failed.emit(SubtomoError(state.error))

    def _show(self, folder: Path) -> None:
        assert self._project is not None
        self._offer(True)
        self._result.show_job(folder, self._project)
