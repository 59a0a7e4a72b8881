"""The dock "3D classification": classes, occupancy and changes after each iteration, and the particles in the colours of their classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.sources import iterations
from napari_subtomo.widgets.assessing import Assessing
from napari_subtomo.widgets.jobdock import JobDock
from napari_subtomo.widgets.results.classification import ClassificationView
from napari_subtomo.widgets.showing import Stage
from napari_subtomo.widgets.worker import Worker

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ClassificationPanel(JobDock):
    """Form and progress of `classify`, with its classes and curves; the overlay follows the iterations.

    Parameters
    ----------
    napari_viewer : ViewerModel
    """

    title = "Classify"

    job: ClassVar[str] = "classify"
    page: ClassVar[str] = "jobs.md"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)
        self._stage = Stage(self._viewer, self.status)
        self._painter = Worker(self.status)

    def results(self) -> QWidget:
        """Classes and curves, and whether the overlay follows."""
        whole = QWidget()
        self.classes = ClassificationView(whole)
        self.assessing = Assessing(self.classes, whole)
        self.assessing.failed.connect(self.status.fail)
        self.classes.failed.connect(self.status.fail)
        self.paint = QCheckBox("Colour particles on the tomogram by class while it runs")
        self.paint.setChecked(True)
        self.paint.setToolTip("After each iteration the particles take the colours of their classes; edits that are not saved stay.")
        layout = QVBoxLayout(whole)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.paint)
        layout.addWidget(self.assessing, 1)
        return whole

    def show_results(self, folder: Path, project: Project) -> None:
        """Show classes and curves, from the first model on."""
        models = iterations(folder, "model")
        if models:
            self.classes.show_job(folder, project)
            self.assessing.show_first(folder, project)
        else:
            self.classes.clear()
            self.assessing.clear()

    def _iterated(self, iteration: int) -> None:
        super()._iterated(iteration)
        folder, session = self.monitor.folder, self._stage.session
        running = self.monitor.state.status == "running"
        if iteration < 1 or folder is None or not self.paint.isChecked() or (session is not None and session.edited):
            return
        if not running and self._run is None:
            return  # an old job that is looked at: the Subset selection dock shows its particles
        data, project = iterations(folder).get(iteration), self.project
        if data is None:
            return

        def read(_: Reporter) -> Session:
            return load_session(data, project)

        self._painter.run(read, self._paint)

    def _paint(self, session: Session) -> None:
        former = self._stage.session
        if former is not None and former.edited:
            return
        try:
            self._stage.show(session)
        except SubtomoError as error:
            self.status.fail(error)

    def let_go(self) -> None:
        """Stop reading, too."""
        self._painter.close()
        self.assessing.close_down()
        super().let_go()
