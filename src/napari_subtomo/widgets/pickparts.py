"""Parts of the picking dock: tools and slices as rows of buttons, and the spheres of a tomogram as a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QButtonGroup, QDoubleSpinBox, QGridLayout, QListWidget, QListWidgetItem, QPushButton, QWidget

from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.spheres import Sphere, count


class Choice(QWidget):
    """Buttons of which one is down.

    Parameters
    ----------
    entries : mapping of key to (text, tooltip)
    columns : int
        Buttons in a row.
    """

    chosen = Signal(str)  # by the user

    def __init__(self, entries: Mapping[str, tuple[str, str]], columns: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        for place, (key, (text, tip)) in enumerate(entries.items()):
            button = QPushButton(text)
            button.setCheckable(True)
            button.setToolTip(tip)
            button.clicked.connect(lambda _=False, key=key: self.chosen.emit(key))
            self._group.addButton(button)
            self.buttons[key] = button
            grid.addWidget(button, place // columns, place % columns)

    def show_choice(self, key: str) -> None:
        """Press a button without telling anybody."""
        self.buttons[key].setChecked(True)


class SphereList(QListWidget):
    """The spheres of the tomogram shown, with radius and number of particles."""

    chosen = Signal(object)  # index in the session, or None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMaximumHeight(88)
        self.setToolTip("Spheres of this tomogram; click one to choose it.")
        self._rows: list[int] = []
        self._shown: list[str] = []
        self.itemSelectionChanged.connect(self._told)

    def fill(self, spheres: Sequence[Sphere], tomogram: str, spacing: float, chosen: int | None) -> None:
        """Show the spheres of a tomogram and which of them is chosen."""
        self.blockSignals(True)
        self._rows = [index for index, sphere in enumerate(spheres) if sphere.tomogram == tomogram]
        texts = [
            f"{number}   r = {spheres[index].radius:.0f} Å   {count(spheres[index].radius, spacing)} particles"
            for number, index in enumerate(self._rows, 1)
        ]
        if texts != self._shown:
            self._shown = texts
            self.clear()
            for text in texts:
                self.addItem(QListWidgetItem(text))
        self.setCurrentRow(self._rows.index(chosen) if chosen in self._rows else -1)
        self.blockSignals(False)

    @property
    def indices(self) -> list[int]:
        """Indices in the session of the spheres in the list."""
        return list(self._rows)

    def _told(self) -> None:
        row = self.currentRow()
        self.chosen.emit(self._rows[row] if self.selectedItems() and 0 <= row < len(self._rows) else None)


def length_box(value: float, low: float, high: float, step: float, tip: str) -> QDoubleSpinBox:
    """A number in Å that tells its change when typing is over."""
    box = QDoubleSpinBox()
    box.setRange(low, high)
    box.setDecimals(1)
    box.setSingleStep(step)
    box.setValue(value)
    box.setKeyboardTracking(False)
    box.setToolTip(tip)
    box.setAlignment(Qt.AlignmentFlag.AlignRight)
    return box


def some(n: int, what: str) -> str:
    """A number with its noun."""
    return f"{n} {what}{'s' * (n != 1)}"


def preview_text(picker: Picker) -> str:
    """How many particles the sphere of the preview would get."""
    if len(picker.clicks):
        fit = picker.fit
        clicks = some(len(picker.clicks), "rim click")
        if fit is None:
            return f"{clicks}; three in one slice, or four in several, make a sphere"
        kind = "circle in one plane" if fit.flat else "sphere"
        advice = "; loose: click further apart" if fit.loose else ""
        return f"{clicks}: {kind}, r = {fit.radius:.0f} ± {fit.residual:.0f} Å, {some(picker.count, 'particle')}{advice}"
    return f"{some(picker.count, 'particle')}" if picker.sphere is not None else "No sphere chosen"
