"""magicgui's spin box for numbers, without the zeros that fill up its decimals: 7.5, not 7.5000."""

from __future__ import annotations

from typing import Any

from magicgui.backends._qtpy import widgets as backend
from magicgui.widgets.bases import RangedWidget
from qtpy.QtWidgets import QDoubleSpinBox, QWidget

#: Most decimals that can be entered.
DECIMALS = 4


class _Box(QDoubleSpinBox):
    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setDecimals(DECIMALS)

    def textFromValue(self, value: float) -> str:
        """As many decimals as the number has."""
        return f"{round(value, DECIMALS):.9g}"


class _Backend(backend.FloatSpinBox):
    """magicgui has no public way to another Qt widget."""

    def __init__(self, **arguments: Any) -> None:
        backend.QBaseRangedWidget.__init__(self, _Box, **arguments)


class NumberBox(RangedWidget[float]):
    """A spin box for numbers; parameters are those of `magicgui.widgets.FloatSpinBox`."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(widget_type=_Backend, **arguments)
