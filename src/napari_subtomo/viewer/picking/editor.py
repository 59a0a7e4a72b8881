"""Follows a view: each edit becomes a step that can be undone, and a line of the journal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from psygnal import Signal

from napari_subtomo.errors import SubtomoError
from napari_subtomo.viewer.picking.delta import between
from napari_subtomo.viewer.picking.history import History
from napari_subtomo.viewer.picking.journal import Journal, opened
from napari_subtomo.viewer.session import Session


class Shows(Protocol):
    """What the editor needs of a view."""

    @property
    def session(self) -> Session:
        """The session as shown."""

    def show(self, session: Session) -> None:
        """Show another session."""


class Editor:
    """The edits of what a view shows, whichever dock or tool made them.

    Parameters
    ----------
    view : ProjectView
    session : Session
        What it shows.
    """

    #: the history, or how much of it is saved, changed
    changed = Signal()

    def __init__(self, view: Shows, session: Session) -> None:
        self._view = view
        self._former = session
        self._at_work = False
        self.failure: OSError | None = None  # why edits do not reach the journal
        self._begin(session)

    def follow(self, session: Session) -> None:
        """The view shows this session now."""
        if self._at_work:
            return
        former, self._former = self._former, session
        delta = between(former, session)
        if delta is None:  # something else was opened
            self.close()
            self._begin(session)
            self.changed.emit()
            return
        if not delta.empty:
            self.history.add(delta, session)
            self._write({"do": delta.to_json()})
        elif former.table is not session.table:
            self.history.stands(session)
        saved = former.saved is not session.saved or former.saved_spheres != session.saved_spheres
        if saved:
            self._note_saved(session)
        if saved or not delta.empty:
            self.changed.emit()

    def undo(self) -> bool:
        """Take the last edit back, in the tomogram where it was made; whether there was one."""
        session = self._view.session  # may find an edit that nobody had heard of yet
        if not self.history.done:
            return False
        place = self.history.done[-1].place(session)
        after = self.history.undo(session)
        try:
            self._go(after, place, {"undo": 1})
        except SubtomoError:
            self.history.redo(after)
            raise
        return True

    def redo(self) -> bool:
        """Make the edit again that was undone last; whether there was one."""
        session = self._view.session
        if not self.history.undone:
            return False
        delta = self.history.undone[-1]
        after = self.history.redo(session)
        try:
            self._go(after, delta.place(after), {"redo": 1})
        except SubtomoError:
            self.history.undo(after)
            raise
        return True

    def take(self, history: History) -> None:
        """The session shown comes from a journal: its edits are this history, and go into a journal of their own."""
        self.history = history
        history.stands(self._former)
        if history.unsaved:
            self._write({"saved": history.saved, "lost": history.lost})
        self.changed.emit()

    def close(self) -> None:
        """Nothing more will be edited here; edits that were not saved stay in the journal."""
        if self.history.unsaved == 0:
            self.journal.drop()
        else:
            self.journal.close()

    @property
    def sentence(self) -> str:
        """How much is not saved, for the user; "" if all is."""
        n = self.history.unsaved
        return "" if n == 0 else f"{n} edit{'s' * (n != 1)} not saved"

    def _begin(self, session: Session) -> None:
        self._former = session
        self.history = History()
        self.history.stands(session)
        self.journal = Journal(opened(session))

    def _go(self, session: Session, place: str, record: dict[str, Any]) -> None:
        if place in session.names:
            session = replace(session, shown=place)
        self._at_work = True
        try:
            self._view.show(session)
        finally:
            self._at_work = False
        self._former = session
        self._write(record)
        self.changed.emit()

    def _note_saved(self, session: Session) -> None:
        if not self.history.was_saved(session):
            return
        if self.history.unsaved == 0:
            self.journal.drop()
        else:  # edited again while the files were being written
            self._write({"saved": self.history.saved, "lost": 0})

    def _write(self, record: dict[str, Any]) -> None:
        try:
            self.journal.write(self.history, record)
            self.failure = None
        except OSError as error:  # the edit itself is done: the dock says that it is not safe
            self.failure = error
