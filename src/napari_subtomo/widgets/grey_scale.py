"""The grey scale of the tomogram: typed and slid, and always what the image layer has."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox, QGridLayout, QPushButton, QWidget
from superqt import QDoubleRangeSlider

from napari_subtomo.viewer import layers
from napari_subtomo.viewer.view import own_viewer, view_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

#: Limits can be typed this many times wider than the slider's ends.
ROOM = 1e4


class GreyScale(QWidget):
    """Minimum, maximum and a slider between them, linked both ways with the tomogram's image layer."""

    def __init__(self, viewer: ViewerModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = own_viewer(viewer)
        self._layer: Any = None
        self._showing = False
        self.low, self.high = self._box("Value that is black"), self._box("Value that is white")
        self.slider: Any = QDoubleRangeSlider(Qt.Orientation.Horizontal)  # type: ignore[no-untyped-call]  # superqt has no types there
        self.slider.setToolTip("Values that are black and white; drag the bar between them to shift both")
        self.auto = QPushButton("Auto")
        self.auto.setToolTip("Limits from a sample of slices: all but the darkest and the brightest 0.3 % of the voxels lie between them")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(self.slider, 0, 0, 1, 3)
        for column, widget in enumerate((self.low, self.auto, self.high)):
            grid.addWidget(widget, 1, column)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(2, 1)
        self.low.valueChanged.connect(lambda value: self._typed(low=value))
        self.high.valueChanged.connect(lambda value: self._typed(high=value))
        self.slider.valueChanged.connect(self._choose)
        self.auto.clicked.connect(self._sample)
        self._viewer.layers.events.inserted.connect(self.follow)
        self._viewer.layers.events.removed.connect(self.follow)
        self.follow()

    def _box(self, tip: str) -> QDoubleSpinBox:
        box = QDoubleSpinBox()
        box.setToolTip(f"{tip}, in the units of the tomogram's file")
        box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        box.setKeyboardTracking(False)  # a number counts once it is whole
        return box

    def follow(self, _: Any = None) -> None:
        """Follow the image layer that the viewer has now, if any."""
        layer = layers.find_layer(self._viewer, layers.TOMOGRAM)
        if layer is not self._layer:
            self._let_go()
            self._layer = layer
            if layer is not None:
                layer.events.contrast_limits.connect(self._show)
                layer.events.contrast_limits_range.connect(self._show)
        self.setEnabled(layer is not None)
        self._show()

    def disconnect_all(self) -> None:
        """Listen to nothing any more; the dock is closed."""
        self._let_go()
        self._viewer.layers.events.inserted.disconnect(self.follow)
        self._viewer.layers.events.removed.disconnect(self.follow)

    def _let_go(self) -> None:
        if self._layer is not None:
            self._layer.events.contrast_limits.disconnect(self._show)
            self._layer.events.contrast_limits_range.disconnect(self._show)
            self._layer = None

    def _show(self, _: Any = None) -> None:
        """Show what the layer has."""
        if self._layer is None or self._showing:
            return
        self._showing = True
        try:
            (low, high), (start, end) = self._layer.contrast_limits, self._layer.contrast_limits_range
            span = max(end - start, 1e-12)
            for box, value in ((self.low, low), (self.high, high)):
                box.setDecimals(max(0, min(12, 2 - floor(log10(span)))))
                box.setRange(start - ROOM * span, end + ROOM * span)
                box.setValue(value)
            self.slider.setRange(start, end)
            self.slider.setValue((low, high))
        finally:
            self._showing = False

    def _typed(self, low: float | None = None, high: float | None = None) -> None:
        if self._layer is not None and not self._showing:
            now = self._layer.contrast_limits
            self._choose((now[0] if low is None else low, now[1] if high is None else high))

    def _choose(self, limits: tuple[float, float]) -> None:
        if self._layer is None or self._showing:
            return
        low, high = float(limits[0]), float(limits[1])
        if low >= high:  # as typed: put back what was there
            self._show()
            return
        start, end = self._layer.contrast_limits_range
        if low < start or high > end:
            self._layer.contrast_limits_range = (min(low, start), max(high, end))
        self._layer.contrast_limits = (low, high)

    def _sample(self) -> None:
        view = view_of(self._viewer)
        if view is not None and view.volume is not None:
            self._choose(view.volume.limits_3d if self._viewer.dims.ndisplay == 3 else view.volume.contrast_limits)
