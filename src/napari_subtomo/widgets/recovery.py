"""Edits that were never saved: a line that offers them, and what its buttons do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QPushButton, QSizePolicy, QWidget

from napari_subtomo.errors import SubtomoError
from napari_subtomo.viewer.picking.history import History
from napari_subtomo.viewer.picking.journal import remove
from napari_subtomo.viewer.picking.recovery import recover
from napari_subtomo.viewer.picking.unsaved import Unsaved, find_unsaved
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.view import ProjectView, open_session, view_of
from napari_subtomo.widgets.pickfiles import PickFiles
from napari_subtomo.widgets.status import WARNING, StatusLine
from napari_subtomo.widgets.worker import Worker

if TYPE_CHECKING:
    from napari.components import ViewerModel

DISCARD, SURE = "Discard", "Discard for ever?"


class RecoveryStrip(QWidget):
    """Journals with unsaved edits, the newest first, to be recovered or thrown away; hidden while there is none."""

    recover = Signal(object)  # Unsaved
    discard = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._offers: list[Unsaved] = []
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setStyleSheet(f"color: {WARNING};")
        self.text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.which = QComboBox()
        self.which.setToolTip("Which edits: those of several projects or sessions were never saved.")
        self.which.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.recover_button = QPushButton("Recover")
        self.recover_button.setToolTip("Open what was edited and make all its edits again; they can then be undone one by one, and saved.")
        self.discard_button = QPushButton(DISCARD)
        self.discard_button.setToolTip("Forget these edits for ever; asks once more.")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.text, 0, 0, 1, 2)
        layout.addWidget(self.which, 1, 0, 1, 2)
        layout.addWidget(self.recover_button, 2, 0)
        layout.addWidget(self.discard_button, 2, 1)
        self.which.currentIndexChanged.connect(self._describe)
        self.recover_button.clicked.connect(self._recover)
        self.discard_button.clicked.connect(self._discard)
        self.offer([])

    @property
    def offers(self) -> list[Unsaved]:
        """What is offered, newest first."""
        return list(self._offers)

    @property
    def offered(self) -> Unsaved | None:
        """The one that the buttons are about."""
        place = max(self.which.currentIndex(), 0)
        return self._offers[place] if place < len(self._offers) else None

    def offer(self, offers: list[Unsaved]) -> None:
        """Offer these; an empty list hides the line."""
        self._offers = list(offers)
        self.which.blockSignals(True)
        self.which.clear()
        self.which.addItems([unsaved.name for unsaved in offers])
        self.which.blockSignals(False)
        self.which.setVisible(len(offers) > 1)
        self.setVisible(bool(offers))
        self._describe()

    def _describe(self, _: int = 0) -> None:
        self.discard_button.setText(DISCARD)
        if self.offered is not None:
            self.text.setText(f"⚠ {self.offered.sentence}")

    def _recover(self) -> None:
        if self.offered is not None:
            self.recover.emit(self.offered)

    def _discard(self) -> None:
        if self.offered is None:
            return
        if self.discard_button.text() == DISCARD:
            self.discard_button.setText(SURE)
            return
        self.discard_button.setText(DISCARD)
        self.discard.emit(self.offered)


class Rescue:
    """Looks for edits that were never saved, and makes them again.

    Parameters
    ----------
    viewer : ViewerModel
    strip : RecoveryStrip
    files : PickFiles
        Does the work, so that nothing is saved meanwhile.
    status : StatusLine
    recovered : callable
        Called with the view that shows the edits again.
    """

    def __init__(
        self, viewer: ViewerModel, strip: RecoveryStrip, files: PickFiles, status: StatusLine, recovered: Callable[[ProjectView], None]
    ) -> None:
        self._viewer, self._strip, self._files, self._status = viewer, strip, files, status
        self._recovered = recovered
        self._search = Worker(status)
        strip.recover.connect(self.recover)
        strip.discard.connect(self.discard)

    @property
    def running(self) -> bool:
        """Whether it is looking."""
        return self._search.running

    def look(self) -> None:
        """Offer what was never saved: of the project shown, else of any."""
        view = view_of(self._viewer)
        project = view.session.project if view is not None else None
        self._search.run(lambda _: find_unsaved(project) or find_unsaved(), self._strip.offer)

    def recover(self, unsaved: Unsaved) -> None:
        """Open what was edited, and make its edits again."""

        def done(found: tuple[Session, History]) -> None:
            session, history = found
            try:
                view = open_session(self._viewer, session)
            except (SubtomoError, OSError) as error:
                self._status.fail(error)
                return
            view.editor.take(history)
            if view.editor.failure is None:
                remove(unsaved.path)  # its edits are in the journal of this view by now
            self._recovered(view)
            edits = f"{unsaved.edits} edit{'s' * (unsaved.edits != 1)}"
            self._status.say(f"{edits} recovered; save them, or undo what you do not want.")
            self.look()

        self._files.run(lambda _: recover(unsaved.path), done, "Making the edits again …")

    def discard(self, unsaved: Unsaved) -> None:
        """Forget edits for ever."""
        remove(unsaved.path)
        self.look()

    def close(self) -> None:
        """Stop looking."""
        self._search.close()
