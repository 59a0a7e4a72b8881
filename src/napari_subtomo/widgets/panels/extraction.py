"""The dock "Extraction": cut subtomograms and their weights, look at some, and check them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtWidgets import QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.widgets.checking import Checking
from napari_subtomo.widgets.jobdock import JobDock
from napari_subtomo.widgets.results.montage import MontageView

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ExtractionPanel(JobDock):
    """Form and progress of `extract`, with a montage of what it wrote, and the verdicts of `check-extraction` on it.

    Parameters
    ----------
    napari_viewer : ViewerModel
    """

    title = "Extract"

    job: ClassVar[str] = "extract"
    page: ClassVar[str] = "jobs.md"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)

    def results(self) -> QWidget:
        """Slices of some subtomograms, and what a check says."""
        self.montage = MontageView(self)
        self.montage.failed.connect(self.status.fail)
        self.checking = Checking(self.montage, self)
        self.checking.failed.connect(self.status.fail)
        return self.checking

    def show_results(self, folder: Path, project: Project) -> None:
        """Show slices, once the particles are written."""
        if (folder / "particles.star").is_file():
            self.montage.show_job(folder, project)
            self.checking.set_diameter(self.form.diameter.value())
            self.checking.show_first(folder, project)
        else:
            self.montage.clear()
            self.checking.clear()

    def let_go(self) -> None:
        """Look at checks no more, too."""
        self.checking.close_down()
        super().let_go()
