"""The button "Check…" of the Extraction dock: runs check-extraction on what was just extracted and shows its verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from qtpy.QtWidgets import QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.options.check_extraction import CheckExtractionOptions
from napari_subtomo.viewer.results.checks import check_of
from napari_subtomo.widgets.beside import SecondJob
from napari_subtomo.widgets.results.checks import ChecksView


class Checking(SecondJob):
    """A view of extracted particles, and beside it what a check of them says.

    Parameters
    ----------
    particles : QWidget
        The view of the particles; it becomes the first tab.
    parent : QWidget
    """

    job: ClassVar[str] = "check-extraction"
    words: ClassVar[tuple[str, str, str, str]] = (
        "Check …",
        "Is the extraction right? Signal, centre, box, contrast, hand, tilt angles and pixel sizes of the first few hundred particles.",
        "Particles",
        "Checks",
    )

    def __init__(self, particles: QWidget, parent: QWidget) -> None:
        self._diameter = -1.0
        self.view = ChecksView()
        super().__init__(particles, self.view, parent)

    def set_diameter(self, diameter: float) -> None:
        """Largest extent of the particle in Å; 0 or less: unknown."""
        self._diameter = diameter if diameter > 0 else -1.0

    def ready(self, folder: Path) -> bool:
        """Whether the extraction has written its particles."""
        return (folder / "optimisation_set.star").is_file() and (folder / "particles.star").is_file()

    def former(self, folder: Path, project: Project) -> Path | None:
        """The newest check of this extraction."""
        return check_of(folder, project)

    def options(self, folder: Path) -> CheckExtractionOptions:
        """Of a check of this extraction."""
        return CheckExtractionOptions(optimisation_set=folder / "optimisation_set.star", diameter=self._diameter)
