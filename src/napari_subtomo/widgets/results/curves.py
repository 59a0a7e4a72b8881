"""Curves over iterations or resolution, drawn by pyqtgraph in the colours of the theme.

Importing this module imports pyqtgraph (a quarter of a second to one and a half): views do so in the task that reads their files.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QEvent, QPointF, Qt, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtGui import QColor, QFontMetrics
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_subtomo.viewer.results.plots import Curve, Plot
from napari_subtomo.widgets.results.base import Line, small_font

_WIDTH, _DOT = 2, 6


class _Canvas(pg.GraphicsLayoutWidget):  # type: ignore[misc]  # pyqtgraph has no types
    """One pair of axes without menus, pan and zoom: the wheel scrolls the dock, and nothing is left as a window of its own."""

    pointed = Signal(object)  # the mouse in the units of the axes, or None

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setBackground(None)
        self.box = pg.ViewBox(enableMenu=False)
        self.box.setMouseEnabled(x=False, y=False)
        self.box.setDefaultPadding(0)
        self.bottom, self.left = pg.AxisItem("bottom"), pg.AxisItem("left")
        self.ci.layout.setSpacing(0)
        self.ci.layout.setContentsMargins(0, 4, 14, 5)  # pyqtgraph puts the label 5 px too low
        self.addItem(self.left, row=0, col=0)
        self.addItem(self.box, row=0, col=1)
        self.addItem(self.bottom, row=1, col=1)
        for axis in (self.bottom, self.left):
            axis.linkToView(self.box)
            axis.enableAutoSIPrefix(False)

    def mouseMoveEvent(self, event: Any) -> None:
        place: QPointF = self.mapToScene(event.pos())
        inside = self.box.sceneBoundingRect().contains(place)
        self.pointed.emit(self.box.mapSceneToView(place) if inside else None)

    def leaveEvent(self, event: QEvent | None) -> None:
        self.pointed.emit(None)

    def wheelEvent(self, event: Any) -> None:
        event.ignore()

    def mousePressEvent(self, event: Any) -> None:
        event.ignore()

    mouseReleaseEvent = mouseDoubleClickEvent = mousePressEvent


class CurvePlot(QWidget):
    """A plot with its legend above; the value next to the mouse stands in the legend's place."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plot: Plot | None = None
        self._items: dict[str, Any] = {}
        self.legend = Line(self)
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self._canvas = _Canvas(self)
        self._canvas.setMinimumHeight(110)
        self._canvas.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self._canvas.pointed.connect(self._point_at)
        self._across: list[Any] = []
        self._dot = pg.ScatterPlotItem(size=_DOT + 6, pxMode=True)
        self._text = pg.TextItem(anchor=(0.5, 0.5))
        for item in (self._dot, self._text):
            item.setZValue(10)
            self._canvas.box.addItem(item, ignoreBounds=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.legend)
        layout.addWidget(self._canvas, 1)

    @property
    def plot(self) -> Plot | None:
        """What is shown."""
        return self._plot

    def set_plot(self, plot: Plot) -> None:
        """Show other curves; those of the same name are changed in place."""
        self._plot = plot
        canvas = self._canvas
        for name in set(self._items) - {curve.name for curve in plot.shown}:
            canvas.box.removeItem(self._items.pop(name))
        for curve in plot.shown:
            if curve.name not in self._items:
                self._items[curve.name] = pg.PlotDataItem(connect="finite", antialias=True)
                canvas.box.addItem(self._items[curve.name], ignoreBounds=True)
            self._items[curve.name].setData(curve.x, curve.y)
        if len(self._across) != len(plot.across):
            for line in self._across:
                canvas.box.removeItem(line)
            self._across = [pg.InfiniteLine(angle=0) for _ in plot.across]
            for line in self._across:
                canvas.box.addItem(line, ignoreBounds=True)
        for line, value in zip(self._across, plot.across, strict=True):
            line.setValue(value)
        canvas.box.setRange(xRange=_padded(plot.x_range), yRange=plot.y_range, padding=0, disableAutoRange=True)
        for depth, curve in enumerate(reversed(plot.shown)):
            self._items[curve.name].setZValue(depth)  # the first one on top
        canvas.bottom.setTicks([plot.ticks(), []])
        y_ticks = plot.y_ticks()
        canvas.left.setTicks(None if y_ticks is None else [y_ticks, []])
        self._text.setText("" if plot.shown else plot.empty)
        self._text.setPos(sum(plot.x_range) / 2, sum(plot.y_range) / 2)
        self._restyle()
        self._point_at(None)

    # --- colours --------------------------------------------------------------------------------------------------------------

    def changeEvent(self, event: QEvent | None) -> None:
        """Take the colours of another theme."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.PaletteChange, QEvent.Type.StyleChange) and self._plot is not None:
            self._restyle()
            self._point_at(None)

    def showEvent(self, event: Any) -> None:
        """The theme's colours are known from now on."""
        super().showEvent(event)
        if self._plot is not None:
            self._restyle()

    def _ink(self, alpha: int = 255) -> QColor:
        ink = QColor(self.palette().windowText().color())
        ink.setAlpha(alpha)
        return ink

    def _restyle(self) -> None:
        plot = self._plot
        if plot is None:
            return
        small = small_font(self.font())
        for axis in (self._canvas.bottom, self._canvas.left):
            axis.setPen(pg.mkPen(self._ink(140)))
            axis.setTextPen(pg.mkPen(self._ink()))
            axis.setStyle(tickFont=small, tickLength=-4, maxTickLevel=0, hideOverlappingLabels=False)
        self._canvas.bottom.setLabel(plot.x_label, **{"color": self._ink().name(), "font-size": f"{small.pointSizeF():.1f}pt"})
        self._canvas.bottom.setHeight(2 * QFontMetrics(small).height() + 8)
        for curve in plot.shown:
            item, colour = self._items[curve.name], QColor(curve.colour) if curve.colour else self._ink(170)
            item.setPen(pg.mkPen(colour, width=_WIDTH, style=Qt.PenStyle.DashLine if curve.dashed else Qt.PenStyle.SolidLine))
            item.setSymbol("o" if curve.points or np.isfinite(curve.y).sum() == 1 else None)
            item.setSymbolSize(_DOT)
            item.setSymbolBrush(pg.mkBrush(colour))
            item.setSymbolPen(pg.mkPen(self._ink(110)))
        for line in self._across:
            line.setPen(pg.mkPen(self._ink(120), style=Qt.PenStyle.DotLine))
        self._text.setColor(self._ink(200))

    # --- the mouse ------------------------------------------------------------------------------------------------------------

    def _point_at(self, place: QPointF | None) -> None:
        """Read out the value next to the mouse; None shows the legend again."""
        plot = self._plot
        found = plot.nearest(place.x(), place.y()) if plot is not None and place is not None else None
        if plot is None or found is None:
            self._dot.setData([], [])
            self._say(self._legend_text())
            return
        curve, index = found
        colour = QColor(curve.colour) if curve.colour else self._ink()
        self._dot.setData([curve.x[index]], [curve.y[index]], brush=pg.mkBrush(colour), pen=pg.mkPen(self._ink(), width=1.5))
        self._say(f"{self._sign(curve)} {escape(plot.reading(curve, index))}")

    def _legend_text(self) -> str:
        if self._plot is None:
            return ""
        listed = [curve for curve in self._plot.shown if curve.listed]
        parts = [f"{self._sign(curve)} {escape(curve.name)}" for curve in listed]
        return "&nbsp; ".join(parts if self._plot.hint == "" else [*parts, escape(self._plot.hint)])

    def _say(self, text: str) -> None:
        """The quantity on the y axis, and a legend or a value."""
        quantity = escape(self._plot.y_label) if self._plot is not None else ""
        self.legend.say(f"<b>{quantity}</b>&nbsp; {text}")

    def _sign(self, curve: Curve) -> str:
        colour = curve.colour or self._ink().name()
        return f'<span style="color:{colour}">{"╌╌" if curve.dashed else "━━"}</span>'


def _padded(ends: tuple[float, float]) -> tuple[float, float]:
    """A range with room for half a dot at both ends."""
    room = 0.015 * (ends[1] - ends[0])
    return ends[0] - room, ends[1] + room
