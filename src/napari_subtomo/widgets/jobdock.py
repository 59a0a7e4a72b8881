"""What the docks of jobs share: form, Run, Pause, Cancel, Resume, progress, and the results of whatever job folder they follow."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QApplication, QComboBox, QHBoxLayout, QLabel, QPushButton, QSplitter, QVBoxLayout, QWidget

from napari_subtomo.errors import InputError, SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.jobs import launch
from napari_subtomo.jobs.commandline import shown
from napari_subtomo.jobs.follow import JobState
from napari_subtomo.jobs.record import read_record
from napari_subtomo.jobs.registry import get_job
from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.prefill import jobs_of, prefill
from napari_subtomo.viewer.settings import settings
from napari_subtomo.viewer.view import ProjectView, own_viewer, view_events, view_of
from napari_subtomo.widgets.dock import Dock
from napari_subtomo.widgets.jobform import JobForm
from napari_subtomo.widgets.monitor import Monitor, ProgressView
from napari_subtomo.widgets.running import Run
from napari_subtomo.widgets.status import StatusLine, help_button

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_subtomo.viewer.session import Session

NO_PROJECT = "Open a project first: Plugins > Subtomogram analysis > Project."
STOPPING = "Stopping …"
#: Height of the form beside results, px.
SMALL_FORM = 270


class JobDock(Dock):
    """A dock that runs one kind of job and follows any of its folders.

    Parameters
    ----------
    napari_viewer : ViewerModel
    """

    job: ClassVar[str]
    page: ClassVar[str]

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = own_viewer(napari_viewer)
        self._spec = get_job(self.job)
        self._project: Project | None = None
        self._view: ProjectView | None = None
        self._run: Run | None = None
        self._told: set[tuple[Path, float | None]] = set()  # ends of jobs that the other docks have heard of
        self.monitor = Monitor(self)
        self._build()
        self._connect()
        self._follow_view(view_of(self._viewer))

    # --- parts -------------------------------------------------------------------------------------------------------------

    def results(self) -> QWidget:
        """The widget below the form; a dock makes its own."""
        return QWidget()

    def show_results(self, folder: Path, project: Project) -> None:
        """Show what the job in the folder has made so far."""

    def _build(self) -> None:
        self.which = QComboBox()
        self.which.setToolTip("A new job, or one of the project to look at, resume or cancel: also jobs started elsewhere, RELION's too.")
        self.form = JobForm(self.job)
        self.run_button, self.pause_button = QPushButton("Run"), QPushButton("Pause")
        self.cancel_button, self.copy_button = QPushButton("Cancel"), QPushButton("Copy as command")
        self.run_button.setToolTip("Start the job; it runs on when napari is closed (see Settings > Plugins).")
        self.pause_button.setToolTip("Let the job wait at its next step, or go on.")
        self.cancel_button.setToolTip("Stop the job; what it has finished is kept, and Resume goes on with it.")
        self.copy_button.setToolTip("Copy the command line that does the same, for a terminal or a cluster script.")
        self.progress, self.status = ProgressView(), StatusLine()
        top = _row(QLabel("Job"), self.which, help_button(self.page), stretch=1)
        buttons = _row(self.run_button, self.pause_button, self.cancel_button, self.copy_button)
        below, self.shown_results = QWidget(), self.results()
        layout = QVBoxLayout(below)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (buttons, self.progress, self.status, self.shown_results):
            layout.addWidget(widget)
        layout.setStretchFactor(self.shown_results, 1)
        splitter = self._splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.addWidget(self.form)
        splitter.addWidget(below)
        splitter.setChildrenCollapsible(False)
        splitter.setStretchFactor(0, 1)
        splitter.setStretchFactor(1, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(6, 6, 6, 6)
        whole.addWidget(top)
        whole.addWidget(splitter, 1)
        self._show_state(JobState())

    def _connect(self) -> None:
        self.which.activated.connect(self._choose)
        self.run_button.clicked.connect(self.run)
        self.pause_button.clicked.connect(self.pause)
        self.cancel_button.clicked.connect(self.cancel)
        self.copy_button.clicked.connect(self.copy_command)
        self.monitor.changed.connect(self._changed)
        self.monitor.iterated.connect(self._iterated)
        view_events.opened.connect(self._view_opened)
        desk_of(self._viewer).produced.connect(self._produced)
        application = QApplication.instance()
        assert application is not None
        application.aboutToQuit.connect(self.release)

    # --- where we are ------------------------------------------------------------------------------------------------------

    @property
    def project(self) -> Project:
        """The project of the window.

        Raises
        ------
        InputError
            None is open.
        """
        if self._project is None:
            raise InputError(NO_PROJECT)
        return self._project

    def _view_opened(self, view: ProjectView) -> None:
        if view is view_of(self._viewer):
            self._follow_view(view)

    def _follow_view(self, view: ProjectView | None) -> None:
        if view is not self._view:
            if self._view is not None:
                self._view.changed.disconnect(self._session_changed)
            self._view = view
            if view is not None:
                view.changed.connect(self._session_changed)
        if view is not None:
            self._session_changed(view.session)
        else:
            self.status.say(NO_PROJECT)

    def _session_changed(self, session: Session) -> None:
        if self._project is None or session.project != self._project.root:
            self._project = Project(session.project)
            self.status.say("")
            self.monitor.stop()
            self.progress.clear()
            self.form.set_project(self._project, session.diameter)
            self.refill()
            self._list_jobs()

    def _produced(self, product: Product) -> None:
        self.refill()
        self._list_jobs()

    def refill(self) -> None:
        """Put the newest files into the fields that the user has not touched."""
        session = self._view.session if self._view is not None else None
        self.form.refill(prefill(self.job, session, desk_of(self._viewer)))

    def _list_jobs(self, starting: Path | None = None) -> None:
        """Fill the list of jobs; that of a job that is `starting` may not be there yet."""
        if self._project is None:
            return
        chosen, known = self.monitor.folder, jobs_of(self._project, str(self._spec.folder))
        self.which.clear()
        self.which.addItem(f"new: {self._project.name(launch.next_folder(self.job, self._project))}", None)
        for folder in [*([starting] if starting is not None and starting not in known else []), *known]:
            self.which.addItem(self._project.name(folder), str(folder))
        place = self.which.findData(str(chosen)) if chosen is not None else 0
        self.which.setCurrentIndex(max(place, 0))

    # --- running -----------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Start the job of the form, or go on with the one that is shown."""
        try:
            resuming = self._resumable()
            folder = self.monitor.folder if resuming else launch.next_folder(self.job, self.project)
            assert folder is not None
            options = None if resuming else self.form.options()
            self._run = Run(folder, self)
            self._run.failed.connect(self._run_failed)
            if options is None:
                self._run.resume(settings().run_in)
            else:
                self._run.start(self.job, options, self.project, settings().run_in)
        except (SubtomoError, OSError) as error:
            self.status.fail(error)
            return
        self.status.say("")
        self._give_room()
        self.monitor.follow(folder)
        self.progress.show_state(self.project.name(folder), JobState())
        self._list_jobs(folder)

    def _run_failed(self, error: BaseException) -> None:
        self.status.fail(error)
        if self._run is not None and self.sender() is self._run and not self.monitor.state.over:
            self._show_state(JobState())
            self.progress.clear()

    def pause(self) -> None:
        """Let the job wait, or go on."""
        if self.monitor.folder is not None:
            (launch.unpause if self.monitor.state.status == "paused" else launch.pause)(self.monitor.folder)

    def cancel(self) -> None:
        """Stop the job."""
        if self.monitor.folder is not None and not self.monitor.state.over:
            launch.cancel(self.monitor.folder)
            self.status.say(STOPPING)

    def copy_command(self) -> None:
        """Put the command line that does the same into the clipboard."""
        try:
            folder = launch.next_folder(self.job, self.project)
            text = shown(launch.job_words(self.job, self.form.options(), self.project, folder))
        except SubtomoError as error:
            self.status.fail(error)
            return
        clipboard = QGuiApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(f"cd {self.project.root} && {text}")
        self.status.say("Copied: " + text)

    def _resumable(self) -> bool:
        return self.monitor.folder is not None and self.monitor.state.status in ("cancelled", "failed", "dead") and self._spec.resumes

    # --- following ---------------------------------------------------------------------------------------------------------

    def _choose(self, place: int) -> None:
        folder = self.which.itemData(place)
        self.status.say("")
        if folder is None:
            self.monitor.stop()
            self.progress.clear()
            self._show_state(JobState())
            return
        self.follow(Path(folder))

    def follow(self, folder: Path) -> None:
        """Show a job folder, whoever runs it, and its options in the form."""
        self._give_room()
        self.monitor.follow(folder)
        options = self._options_of(folder)
        if options:
            self.form.show_job(options)
        self.show_results(folder, self.project)

    def _give_room(self) -> None:
        """Let the form be smaller: there will be something to look at below it."""
        above, below = self._splitter.sizes()
        if above > SMALL_FORM:
            self._splitter.setSizes([SMALL_FORM, above + below - SMALL_FORM])

    def _options_of(self, folder: Path) -> Mapping[str, Any]:
        try:
            record = read_record(folder)
        except SubtomoError:
            return {}  # RELION's own
        fields = self._spec.model.model_fields
        names = {info.alias or name: name for name, info in fields.items()}
        return {names[word]: self._value(value) for word, value in record.options.items() if word in names}

    def _value(self, value: Any) -> Any:
        return self.project.resolve(value) if isinstance(value, str) and self.project.resolve(value).is_file() else value

    def _changed(self, state: JobState) -> None:
        folder = self.monitor.folder
        if folder is None or self._project is None:
            return
        self.progress.show_state(self._project.name(folder), state)
        self._show_state(state)
        if state.status == "failed" and state.error:
            self.status.fail(state.error)
        elif state.status == "finished":
            self._finished(folder, state)
        elif state.warnings:
            self.status.warn(state.warnings[-1])
        elif state.over and self.status.text() == STOPPING:
            self.status.say("")

    def _finished(self, folder: Path, state: JobState) -> None:
        self.show_results(folder, self.project)
        self.status.say_briefly(" ".join([text.rstrip(":") for text in state.messages if not text.startswith(" ")][-2:]))  # no lists
        if (folder, state.ended) not in self._told and self._run is not None and self._run.folder == folder:
            self._told.add((folder, state.ended))
            record = read_record(folder)
            outputs = {role: self.project.resolve(name) for role, name in record.outputs.items()}
            desk_of(self._viewer).produce(Product(self.job, folder, outputs))

    def _iterated(self, iteration: int) -> None:
        folder = self.monitor.folder
        if iteration >= 0 and folder is not None and self._project is not None:
            self.show_results(folder, self._project)
            desk_of(self._viewer).iterated.emit(folder, iteration)

    def _show_state(self, state: JobState) -> None:
        active = state.status in ("running", "paused") or (state.status == "waiting" and self._run is not None and self._run.running)
        self.run_button.setText("Resume" if self._resumable() else "Run")
        self.run_button.setEnabled(not active)
        self.pause_button.setEnabled(state.status in ("running", "paused") and bool(state.job))
        self.pause_button.setText("Go on" if state.status == "paused" else "Pause")
        self.cancel_button.setEnabled(active)

    def let_go(self) -> None:
        """Stop looking and listening; a job in a process of its own runs on."""
        for signal, slot in ((view_events.opened, self._view_opened), (desk_of(self._viewer).produced, self._produced)):
            signal.disconnect(slot, missing_ok=True)
        if self._view is not None:
            self._view.changed.disconnect(self._session_changed, missing_ok=True)
            self._view = None
        for stop in (self.monitor.stop, self.form.close_down, *([self._run.close] if self._run is not None else [])):
            with suppress(RuntimeError):
                stop()


def _row(*widgets: QWidget, stretch: int | None = None) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for place, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if place == stretch else 0)
    return row
