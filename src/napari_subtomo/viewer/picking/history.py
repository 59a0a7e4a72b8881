"""Undo and redo: the edits of a session in order, and where in them the session stands."""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import Any

from napari_subtomo.viewer.picking.delta import Delta
from napari_subtomo.viewer.picking.spheres import Sphere
from napari_subtomo.viewer.session import Session


class History:
    """Edits that were done, and those that were undone and can be done again.

    Edits are kept, not sessions: a thousand of them take little memory beside 100,000 particles.
    """

    def __init__(self) -> None:
        self.done: list[Delta] = []
        self.undone: list[Delta] = []
        #: number of edits in the saved state; None once it can no more be reached by undo and redo
        self.saved: int | None = 0
        #: edits between the saved state and the place where the way to it was left
        self.lost = 0
        self._states: dict[int, tuple[weakref.ref[Any], tuple[Sphere, ...]]] = {}

    @property
    def unsaved(self) -> int:
        """How many edits lie between the session and what was read or saved last."""
        if self.saved is None:
            return len(self.done) + self.lost
        return abs(len(self.done) - self.saved)

    def add(self, delta: Delta, after: Session) -> None:
        """An edit was made; what was undone before it is gone."""
        self.do(delta)
        self.stands(after)

    def do(self, delta: Delta) -> None:
        """Add an edit without a session, as when a journal is read."""
        here = len(self.done)
        if self.saved is not None and self.saved > here:
            self.lost, self.saved = self.saved - 2 * here, None
        self.undone.clear()
        for place in [place for place in self._states if place > here]:
            del self._states[place]
        self.done.append(delta)

    def stands(self, session: Session) -> None:
        """Remember what the session is here, so that a file written from it is known again later."""
        self._states[len(self.done)] = (weakref.ref(session.table), session.spheres)

    def undo(self, session: Session) -> Session:
        """The session before its last edit; the same session if there is none."""
        if not self.done:
            return session
        delta = self.done.pop()
        self.undone.append(delta)
        return self._arrived(delta.backward(session))

    def redo(self, session: Session) -> Session:
        """The session with the edit that was undone last; the same session if there is none."""
        if not self.undone:
            return session
        delta = self.undone.pop()
        self.done.append(delta)
        return self._arrived(delta.forward(session))

    def _arrived(self, session: Session) -> Session:
        """At the saved state the session holds what was saved, so that it does not count as edited."""
        if len(self.done) == self.saved and session.saved is not None and len(session.saved) == len(session.table):
            session = replace(session, table=session.saved)
        self.stands(session)
        return session

    def was_saved(self, session: Session) -> bool:
        """Take over what the session says was saved; whether that was a new place."""
        here = len(self.done)
        for place in sorted(self._states, key=lambda place: abs(place - here)):
            table, spheres = self._states[place]
            if table() is session.saved and spheres == session.saved_spheres:
                changed, self.saved, self.lost = self.saved != place, place, 0
                return changed
        return False
