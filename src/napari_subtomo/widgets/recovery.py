"""A line that offers edits which were never saved."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_subtomo.viewer.picking.journal import Unsaved
from napari_subtomo.widgets.status import WARNING


class RecoveryStrip(QWidget):
    """The newest journal with unsaved edits, to be recovered or thrown away; hidden while there is none."""

    recover = Signal(object)  # Unsaved
    discard = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._offers: list[Unsaved] = []
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setStyleSheet(f"color: {WARNING};")
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.recover_button = QPushButton("Recover")
        self.recover_button.setToolTip("Open what was edited and make all its edits again; they can then be undone one by one, and saved.")
        self.discard_button = QPushButton("Discard")
        self.discard_button.setToolTip("Forget these edits for ever.")
        buttons = QHBoxLayout()
        buttons.addWidget(self.recover_button)
        buttons.addWidget(self.discard_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text)
        layout.addLayout(buttons)
        self.recover_button.clicked.connect(lambda: self._answer(self.recover))
        self.discard_button.clicked.connect(lambda: self._answer(self.discard))
        self.offer([])

    @property
    def offers(self) -> list[Unsaved]:
        """What is offered, newest first."""
        return list(self._offers)

    def offer(self, offers: list[Unsaved]) -> None:
        """Offer these; an empty list hides the line."""
        self._offers = list(offers)
        self.setVisible(bool(offers))
        if offers:
            more = f" There are {len(offers) - 1} more." if len(offers) > 1 else ""
            self.text.setText(f"⚠ {offers[0].sentence}{more}")

    def _answer(self, signal: object) -> None:
        if self._offers:
            signal.emit(self._offers[0])  # type: ignore[attr-defined]
