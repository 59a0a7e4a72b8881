"""The button "Check…" of the Extraction dock: runs check-extraction on what was just extracted and shows its verdicts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QTabWidget, QVBoxLayout, QWidget

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.jobs import launch
from napari_subtomo.jobs.follow import JobState
from napari_subtomo.options.check_extraction import CheckExtractionOptions
from napari_subtomo.viewer.results.checks import check_of
from napari_subtomo.viewer.settings import settings
from napari_subtomo.widgets.monitor import Monitor, ProgressView
from napari_subtomo.widgets.results.checks import ChecksView
from napari_subtomo.widgets.running import Run

JOB = "check-extraction"


class Checking(QWidget):
    """A view of extracted particles, and beside it what a check of them says.

    Parameters
    ----------
    particles : QWidget
        The view of the particles; it becomes the first tab.
    parent : QWidget
    """

    #: an exception: the check could not be run, or not be read
    failed = Signal(object)

    def __init__(self, particles: QWidget, parent: QWidget) -> None:
        super().__init__(parent)
        self._folder: Path | None = None
        self._project: Project | None = None
        self._diameter = -1.0
        self._run: Run | None = None
        self.monitor = Monitor(self)
        self.button = QPushButton("Check …")
        self.button.setToolTip(
            "Is the extraction right? Signal, centre, box, contrast, hand, tilt angles and pixel sizes of the first few hundred particles."
        )
        self.progress = ProgressView()
        self.view = ChecksView()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self.tabs.addTab(particles, "Particles")
        self.tabs.addTab(self.view, "Checks")
        row = QHBoxLayout()
        row.addWidget(self.button)
        row.addWidget(self.progress, 1)
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.tabs, 1)
        self.button.clicked.connect(self.start)
        self.view.failed.connect(self.failed)
        self.monitor.changed.connect(self._changed)
        self.clear()

    def show_extraction(self, folder: Path, project: Project) -> None:
        """Offer a check of an extraction, and show the newest one there is."""
        again = folder == self._folder
        if not again:
            self.clear()
        self._folder, self._project = folder, project
        running = again and self.monitor.folder is not None and not self.monitor.state.over
        self.button.setEnabled(not running and (folder / "optimisation_set.star").is_file() and (folder / "particles.star").is_file())
        if again:
            return
        former = check_of(folder, project)
        if former is not None:
            self._show(former)

    def clear(self) -> None:
        """Nothing to check; a check that runs, runs on."""
        self._folder = self._project = None
        self.monitor.stop()
        self.progress.clear()
        self.button.setEnabled(False)
        self.view.clear()
        self._offer(False)

    def set_diameter(self, diameter: float) -> None:
        """Largest extent of the particle in Å; 0 or less: unknown."""
        self._diameter = diameter if diameter > 0 else -1.0

    def start(self) -> None:
        """Run the check."""
        if self._folder is None or self._project is None:
            return
        try:
            folder = launch.next_folder(JOB, self._project)
            options = CheckExtractionOptions(optimisation_set=self._folder / "optimisation_set.star", diameter=self._diameter)
            self._run = Run(folder, self)
            self._run.failed.connect(self._run_failed)
            self._run.start(JOB, options, self._project, settings().run_in)
        except (SubtomoError, OSError) as error:
            self.failed.emit(error)
            return
        self.button.setEnabled(False)
        self.monitor.follow(folder)
        self.progress.show_state(self._project.name(folder), JobState())

    def _offer(self, checks: bool) -> None:
        """Show tabs, if there is something in the second one."""
        self.tabs.setTabVisible(1, checks)
        bar = self.tabs.tabBar()
        if bar is not None:
            bar.setVisible(checks)

    def close_down(self) -> None:
        """The dock is closed: look no more; a check in a process of its own runs on."""
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
        self.view.show_job(folder, self._project)
