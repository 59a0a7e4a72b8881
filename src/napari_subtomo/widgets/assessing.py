"""The button "Assess…" of the 3D classification dock: false-discovery rates of its particles, and a picture of the scores."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from qtpy.QtWidgets import QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.options.assess import AssessOptions
from napari_subtomo.viewer.results.assessment import assessment_of
from napari_subtomo.viewer.sources import iterations
from napari_subtomo.widgets.beside import SecondJob
from napari_subtomo.widgets.results.assessment import AssessmentView

FINISHED = "RELION_JOB_EXIT_SUCCESS"


class Assessing(SecondJob):
    """A view of classes, and beside it how many of the particles are junk.

    Parameters
    ----------
    classes : QWidget
        The view of the classes; it becomes the first tab.
    parent : QWidget
    """

    job: ClassVar[str] = "assess"
    words: ClassVar[tuple[str, str, str, str]] = (
        "Assess …",
        "How many of the particles are junk? False-discovery rates from places without particles, which are extracted for it, and from "
        "mirrored references.",
        "Classes",
        "Assessment",
    )

    def __init__(self, classes: QWidget, parent: QWidget) -> None:
        self.view = AssessmentView()
        super().__init__(classes, self.view, parent)

    def ready(self, folder: Path) -> bool:
        """Whether the classification has ended well, and was made here."""
        last = max(iterations(folder, "optimiser"), default=0)
        return last > 0 and (folder / FINISHED).is_file() and (folder / f"run_it{last:03d}_state.npz").is_file()

    def former(self, folder: Path, project: Project) -> Path | None:
        """The newest assessment of this classification."""
        return assessment_of(folder, project)

    def options(self, folder: Path) -> AssessOptions:
        """Of an assessment of the last iteration."""
        found = iterations(folder, "optimiser")
        return AssessOptions(optimiser=found[max(found)])
