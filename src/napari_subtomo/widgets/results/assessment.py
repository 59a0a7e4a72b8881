"""After an assessment: what it says, and the histograms of scores."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.results.assessment import Assessment, read_assessment
from napari_subtomo.widgets.results.base import Line, ResultView


class AssessmentView(ResultView):
    """The summary of the job above its picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.text = Line(self)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.picture = QLabel()
        self.picture.setAccessibleName("Histograms of the scores of particles and of the null")
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.text)
        column.addWidget(self.picture)
        column.addStretch()
        self.area = QScrollArea(self)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setWidget(inside)
        layout: Any = self.layout()
        layout.addWidget(self.area, 1)
        layout.addWidget(self.status)
        self._blank()

    @staticmethod
    def _read(folder: Path, project: Project, reporter: Reporter) -> tuple[Assessment, QImage | None]:
        result = read_assessment(folder, project, reporter)
        return result, None if result.picture is None else QImage(str(result.picture))

    def _show(self, result: tuple[Assessment, QImage | None]) -> None:
        found, image = result
        first, *others = [escape(line) for line in found.lines] or [""]
        self.text.say("<br>".join([f"<b>{escape(found.title)}</b>: {first}", *others]))
        shown = image is not None and not image.isNull()
        if shown:
            width = max(320, self.area.viewport().width() if self.area.viewport() is not None else 0)  # type: ignore[union-attr]
            assert image is not None
            picture = image.scaledToWidth(min(width, image.width()), Qt.TransformationMode.SmoothTransformation)
            self.picture.setPixmap(QPixmap.fromImage(picture))
        self.picture.setVisible(shown)
        self.area.setVisible(True)

    def _blank(self) -> None:
        self.text.say("")
        self.picture.setVisible(False)
        self.area.setVisible(False)
