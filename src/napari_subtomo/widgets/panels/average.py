"""The dock "Average": reconstruct the average of particles in halves, with their FSC."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from qtpy.QtWidgets import QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.widgets.jobdock import JobDock
from napari_subtomo.widgets.results.fsc import FscView

if TYPE_CHECKING:
    from napari.components import ViewerModel


class AveragePanel(JobDock):
    """Form and progress of `reconstruct`, with the map and the FSC of its halves.

    Parameters
    ----------
    napari_viewer : ViewerModel
    """

    title = "Average"

    job: ClassVar[str] = "reconstruct"
    page: ClassVar[str] = "jobs.md"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(napari_viewer)

    def results(self) -> QWidget:
        """Map and curve."""
        self.fsc = FscView(self)
        self.fsc.failed.connect(self.status.fail)
        return self.fsc

    def show_results(self, folder: Path, project: Project) -> None:
        """Show map and curve, once the map is written."""
        if (folder / "merged.mrc").is_file():
            self.fsc.show_job(folder, project)
        else:
            self.fsc.clear()
