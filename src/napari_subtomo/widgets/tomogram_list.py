"""The tomograms of a project with their kept and rejected particles."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from napari_subtomo.viewer.session import Session

HEADERS = ("Tomogram", "Kept", "Rejected")


class TomogramList(QTreeWidget):
    """One line a tomogram, in the order of the file.

    Attributes
    ----------
    chosen : Signal(str)
        Name of the tomogram that the user went to.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setColumnCount(len(HEADERS))
        self.setHeaderLabels(list(HEADERS))
        self.setRootIsDecorated(False)
        self.setUniformRowHeights(True)
        self.setAllColumnsShowFocus(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setToolTip("Tomograms with the particles kept and rejected in each; keys [ and ] step through them")
        header: Any = self.header()
        titles: Any = self.headerItem()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, 74)
            titles.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
        self._names: tuple[str, ...] = ()
        self._counts: dict[str, tuple[int, int]] | None = None
        self._filling = False
        self.currentItemChanged.connect(self._went)
        self.setStyleSheet("QTreeView::item { padding: 2px 0px; }")
        self._fit(0)

    def _fit(self, lines: int) -> None:
        """No higher than its lines."""
        header: Any = self.header()
        self.setMaximumHeight(header.sizeHint().height() + max(3, lines) * max(self.sizeHintForRow(0), 18) + 2 * self.frameWidth() + 4)

    def sizeHint(self) -> QSize:
        """About five lines; the list takes what is left of the dock."""
        return QSize(200, 150)

    def show_session(self, session: Session) -> None:
        """Show the tomograms of a session, and which of them is shown; only lines that differ are touched."""
        self._filling = True
        try:
            if session.names != self._names:
                self._names, self._counts = session.names, None
                self.clear()
                self.addTopLevelItems([QTreeWidgetItem([name, "", ""]) for name in session.names])
                self._fit(len(session.names))
            counts = session.all_counts()
            for place, name in enumerate(self._names):
                now = counts.get(name, (0, 0))
                if self._counts is None or self._counts.get(name, (0, 0)) != now:
                    item: Any = self.topLevelItem(place)
                    for column, count in enumerate(now, start=1):
                        item.setText(column, f"{count}")
                        item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
            self._counts = counts
            if session.shown in self._names:
                self.setCurrentItem(self.topLevelItem(self._names.index(session.shown)))
        finally:
            self._filling = False

    def rows(self) -> list[tuple[str, str, str]]:
        """The lines as text."""
        items: list[Any] = [self.topLevelItem(place) for place in range(self.topLevelItemCount())]
        return [(item.text(0), item.text(1), item.text(2)) for item in items]

    def _went(self, item: QTreeWidgetItem | None, _: Any = None) -> None:
        if item is not None and not self._filling:
            self.chosen.emit(item.text(0))
