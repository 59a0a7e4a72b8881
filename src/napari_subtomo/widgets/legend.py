"""The legend of the particles' colours: sign, label and counts, and what a line stands for lights up under the pointer."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPointF, QRectF, Qt, Signal  # type: ignore[attr-defined]  # qtpy adds the names at run time
from qtpy.QtGui import QColor, QPainter, QPen
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from napari_subtomo.viewer.overlay import REJECTED_LABEL, LegendEntry

#: Pixels of a sign.
SIGN = 14


class _Sign(QWidget):
    """A disc, or a cross for rejected particles, as in the tomogram; a rim keeps light colours apart from a light background."""

    def __init__(self) -> None:
        super().__init__()
        self.colour, self.cross = "#FFFFFF", False
        self.setFixedSize(SIGN + 2, SIGN + 2)

    def paintEvent(self, event: Any) -> None:
        """Draw it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(2, 2, SIGN - 2, SIGN - 2)
        if self.cross:
            painter.setPen(QPen(QColor(self.colour), 2.5))
            painter.drawLine(box.topLeft(), box.bottomRight())
            painter.drawLine(QPointF(box.right(), box.top()), QPointF(box.left(), box.bottom()))
        else:
            painter.setPen(QPen(QColor("#808080"), 1))
            painter.setBrush(QColor(self.colour))
            painter.drawEllipse(box)


class _Line(QFrame):
    """One line; it knows when the pointer is over it."""

    entered = Signal(str)
    left = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.sign, self.label, self.count = _Sign(), QLabel(), QLabel()
        self.name = ""
        self.setToolTip("Particles in this tomogram of those in all. While the pointer is here they light up in the tomogram.")
        row = QHBoxLayout(self)
        row.setContentsMargins(2, 0, 2, 0)
        row.addWidget(self.sign)
        row.addWidget(self.label, 1)
        row.addWidget(self.count)
        for part in (self.label, self.count):  # the pointer is over the line wherever it is
            part.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

    def show_entry(self, entry: LegendEntry) -> None:
        """Show what an entry says."""
        self.name = entry.label
        self.sign.colour, self.sign.cross = entry.colour, entry.label == REJECTED_LABEL
        self.sign.update()
        self.label.setText(entry.label)
        self.count.setText(f"{entry.here} of {entry.total}")

    def enterEvent(self, event: Any) -> None:
        """The pointer came."""
        self.entered.emit(self.name)
        super().enterEvent(event)

    def leaveEvent(self, event: Any) -> None:
        """The pointer went."""
        self.left.emit()
        super().leaveEvent(event)


class Legend(QWidget):
    """Lines for the entries of an overlay's legend.

    Attributes
    ----------
    hovered : Signal(str)
        Label of the line under the pointer; "" when it leaves.
    """

    hovered = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.lines: list[_Line] = []
        self._entries: tuple[LegendEntry, ...] = ()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(1)

    def show_entries(self, entries: tuple[LegendEntry, ...]) -> None:
        """Show entries; lines stay where they are, so that the pointer does not leave one that only changes its numbers."""
        if entries == self._entries:
            return
        self._entries = entries
        while len(self.lines) < len(entries):
            line = _Line()
            line.entered.connect(self.hovered)
            line.left.connect(lambda: self.hovered.emit(""))
            self.lines.append(line)
            self._column.addWidget(line)
        for line, entry in zip(self.lines, entries, strict=False):
            line.show_entry(entry)
        for place, line in enumerate(self.lines):
            line.setVisible(place < len(entries))

    def text(self) -> str:
        """The lines as text."""
        return "\n".join(f"{entry.label}: {entry.here} of {entry.total}" for entry in self._entries)
