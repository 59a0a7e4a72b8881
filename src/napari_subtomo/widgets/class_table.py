"""A window with what the model says of one class."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QHeaderView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_subtomo.io.relion import ACCURACY_ROTATIONS, ACCURACY_TRANSLATIONS_ANGST, ESTIMATED_RESOLUTION
from napari_subtomo.viewer.gallery import ClassEntry, Gallery

_UNITS = {ACCURACY_ROTATIONS: "°", ACCURACY_TRANSLATIONS_ANGST: "Å", ESTIMATED_RESOLUTION: "Å"}


def class_rows(gallery: Gallery, entry: ClassEntry) -> list[tuple[str, str]]:
    """Name (with its unit) and value of each line: what is counted, then all columns of `model_classes`."""
    rows = [("Class", f"{entry.number}" + (" (empty class, takes false picks)" if entry.is_empty else ""))]
    rows.append(("Particles", f"{entry.count} of {gallery.n_particles}" if entry.count is not None else "particle file missing"))
    rows += [(f"_{label}" + (f" ({_UNITS[label]})" if label in _UNITS else ""), text) for label, text in entry.metadata]
    return rows


def show_class_table(gallery: Gallery, entry: ClassEntry, parent: QWidget | None = None) -> QDialog:
    """Open the window beside the others; it goes when it is closed."""
    dialog = QDialog(parent)
    dialog.setWindowTitle(f"{gallery.title}, class {entry.number}")
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    rows = class_rows(gallery, entry)
    table = QTableWidget(len(rows), 2, dialog)
    table.setHorizontalHeaderLabels(["Column", "Value"])
    table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
    for row, pair in enumerate(rows):
        for column, text in enumerate(pair):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            table.setItem(row, column, item)
    for header, mode in ((table.verticalHeader(), None), (table.horizontalHeader(), QHeaderView.ResizeMode.ResizeToContents)):
        if header is not None and mode is None:
            header.hide()
        elif header is not None and mode is not None:
            header.setSectionResizeMode(mode)
            header.setStretchLastSection(True)
    layout = QVBoxLayout(dialog)
    layout.addWidget(table)
    dialog.resize(560, min(520, 90 + 32 * len(rows)))
    dialog.show()
    return dialog
