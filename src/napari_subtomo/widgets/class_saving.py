"""Saving the chosen classes: the job `select`, what it kept on the tomogram, and the same as a command line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_subtomo.errors import SubtomoError
from napari_subtomo.options.select import SelectOptions
from napari_subtomo.viewer.choosing import Choice, command_line, select_options
from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.gallery import Gallery
from napari_subtomo.viewer.shelf import run_and_load
from napari_subtomo.widgets.duplicates import copy_line
from napari_subtomo.widgets.showing import Stage
from napari_subtomo.widgets.status import StatusLine
from napari_subtomo.widgets.worker import Worker

JOB = "select"


class ClassSaver:
    """Runs the job, shows its particles, and tells the desk.

    Parameters
    ----------
    stage : Stage
    status : StatusLine
    changed : callable
        Called when the job begins and when it is over.
    """

    def __init__(self, stage: Stage, status: StatusLine, changed: Callable[[], None]) -> None:
        self._stage, self._status = stage, status
        self.worker = Worker(status, changed)

    def save(self, gallery: Gallery, choice: Choice) -> None:
        """Run the job for the chosen classes; while it runs, stop it."""
        if self.worker.running:
            self.worker.cancel()
            return
        options = self._options(gallery, choice)
        if options is not None and self._stage.may_replace("save"):
            self.worker.run(lambda reporter: run_and_load(JOB, options, gallery.project, reporter), self._saved)

    def copy(self, gallery: Gallery, choice: Choice) -> None:
        """Put the command line that saves the same classes on the clipboard."""
        options = self._options(gallery, choice)
        if options is not None:
            copy_line(command_line(JOB, options, gallery.project), self._status)

    def _options(self, gallery: Gallery, choice: Choice) -> SelectOptions | None:
        try:
            return select_options(gallery, choice)
        except SubtomoError as error:
            self._status.fail(error)
            return None

    def _saved(self, made: Any) -> None:
        folder, result, session = made
        try:
            self._stage.show(session)
        except (SubtomoError, OSError) as error:
            self._status.fail(error)
        else:
            self._status.say(f"{folder.name()}: {result.summary[0]}")
        desk_of(self._stage.viewer).produce(Product(JOB, folder.path, result.outputs))
