"""After a check: each verdict with its sentence and a small picture."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QScrollArea, QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.results.checks import MARKS, CheckRow, ChecksResult, read_checks
from napari_subtomo.widgets.results.base import Line, ResultView

#: Of a picture in a row; the tooltip shows it as it is.
THUMB = QSize(132, 96)


class ChecksView(ResultView):
    """Verdicts one below the other; rules stand in the tooltips."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = Line(self)
        self.area = QScrollArea(self)
        self.area.setWidgetResizable(True)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout: Any = self.layout()
        layout.addWidget(self.title)
        layout.addWidget(self.area, 1)
        layout.addWidget(self.status)
        self.rows: tuple[CheckRow, ...] = ()
        self._blank()

    @staticmethod
    def _read(folder: Path, project: Project, reporter: Reporter) -> tuple[ChecksResult, dict[str, QImage]]:
        result = read_checks(folder, project, reporter)
        return result, {row.name: QImage(str(row.picture)) for row in result.rows if row.picture is not None}

    def _show(self, result: tuple[ChecksResult, dict[str, QImage]]) -> None:
        checks, images = result
        self.rows = checks.rows
        self.title.say(f"<b>{escape(checks.title)}</b>: {escape(checks.headline)}")
        inside = QWidget()
        grid = QGridLayout(inside)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnStretch(0, 1)
        for place, row in enumerate(checks.rows):
            grid.addWidget(_text(row, inside), place, 0)
            image = images.get(row.name)
            if image is not None and not image.isNull():
                grid.addWidget(_thumb(image, row), place, 1, Qt.AlignmentFlag.AlignTop)
        grid.setRowStretch(len(checks.rows), 1)
        self.area.setWidget(inside)
        self.area.setVisible(True)

    def _blank(self) -> None:
        self.rows = ()
        self.title.say("")
        self.area.setVisible(False)
        self.area.setWidget(QWidget())


def _text(row: CheckRow, parent: QWidget) -> Line:
    sign, colour = MARKS.get(row.verdict, ("?", "#9A9A9A"))
    line = Line(parent)
    head = f'<b style="color: {colour};">{sign} {escape(row.verdict)}</b> · <b>{escape(row.title)}</b>'
    line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    line.setAlignment(Qt.AlignmentFlag.AlignTop)
    line.say(f"{head}<br>{escape(row.sentence)}")
    line.setToolTip(f"<p>{escape(row.rule)}</p>")
    return line


def _thumb(image: QImage, row: CheckRow) -> QLabel:
    label = QLabel()
    pixmap = QPixmap.fromImage(image)
    label.setPixmap(pixmap.scaled(THUMB, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.SmoothTransformation))
    label.setAccessibleName(f"Picture of the check: {row.title}")
    if row.picture is not None:
        label.setToolTip(f'<img src="{escape(str(row.picture))}">')
    return label
