"""Jobs that a dock has started: in a process of their own, which outlives the window, or in a thread of napari."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from qtpy.QtCore import QObject, QTimer, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time

from napari_subtomo.errors import JobError
from napari_subtomo.io.project import Project
from napari_subtomo.jobs import launch
from napari_subtomo.jobs.follow import job_state
from napari_subtomo.jobs.runner import rerun, run_job
from napari_subtomo.options.base import JobOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.widgets.task import Task

#: Seconds that a window which is closed waits for the job in its thread to write what it has.
PATIENCE = 5.0

Where = Literal["process", "thread"]


class Run(QObject):
    """One start of a job; how it goes is told by its folder.

    Parameters
    ----------
    folder : Path
        Where it writes.
    parent : QObject, optional
    """

    #: an exception: the job ended without saying why in its folder, or could not begin
    failed = Signal(object)

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.folder = folder
        self._task: Task[Any] | None = None
        self._launched: launch.Launched | None = None
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._watch)

    @property
    def running(self) -> bool:
        """Whether process or thread is alive."""
        return (self._launched is not None and self._launched.running) or (self._task is not None and self._task.running)

    def start(self, name: str, options: JobOptions, project: Project, where: Where) -> None:
        """Begin a new job."""
        if where == "thread":
            self._in_thread(lambda reporter: run_job(name, options, output=self.folder, project=project, reporter=reporter))
        else:
            self._in_process(launch.job_words(name, options, project, self.folder), project)

    def resume(self, where: Where) -> None:
        """Go on with the job of the folder.

        Raises
        ------
        FileMissingError
            There is no record of ours.
        """
        words, project = launch.resume_words(self.folder)
        if where == "thread":
            self._in_thread(lambda reporter: rerun(self.folder, output=self.folder, reporter=reporter))
        else:
            self._in_process(words, project)

    def close(self) -> None:
        """The window goes: a process is left to itself, a thread is stopped at its next check; what it has finished is kept."""
        if self._launched is not None:
            self._launched.detach()
            self._launched = None
        if self._task is not None:
            self._task.cancel()
            self._task.wait(PATIENCE)
        with suppress(RuntimeError):  # Qt may have taken it away before
            self._timer.stop()

    def _in_thread(self, function: Any) -> None:
        def work(reporter: Reporter) -> None:
            function(reporter)

        self._task = Task(work, self)
        self._task.failed.connect(self._fail)
        self._task.start()

    def _fail(self, error: BaseException) -> None:
        self.failed.emit(error)

    def _in_process(self, words: list[str], project: Project) -> None:
        self._launched = launch.launch(words, project, self.folder)
        self._timer.start(200)

    def _watch(self) -> None:
        if self._launched is None or self._launched.running:
            return
        self._timer.stop()
        complaint, code = self._launched.complaint(), self._launched.process.returncode
        state = job_state(self.folder)
        if code not in (0, 130) and (not state.over or state.status == "dead"):
            self.failed.emit(JobError(_last_words(complaint, code)))
        elif state.status == "failed":
            self.failed.emit(JobError(state.error or complaint or "The job failed; run.err in its folder says more."))


def _last_words(complaint: str, code: int) -> str:
    """Why a process ended that could not say so in its folder."""
    if complaint:
        return complaint
    if code < 0:
        return f"The process of the job was killed (signal {-code}), perhaps for want of memory; what it had finished is kept."
    return f"The process of the job ended with status {code} and without a word; run.err in its folder may say more."
