"""Putting other particles on the tomograms of a viewer without losing what was edited by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_subtomo.viewer.choosing import carried
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.table import ParticleTable
from napari_subtomo.viewer.view import ProjectView, open_session, view_of
from napari_subtomo.widgets.status import StatusLine

if TYPE_CHECKING:
    from napari.components import ViewerModel

UNSAVED = "Particles were moved, added or deleted and not saved: save them, or do the same again to drop these edits."


class Stage:
    """The viewer as a place to show sessions on.

    Parameters
    ----------
    viewer : ViewerModel
    status : StatusLine
        Is told when something must not be replaced.
    """

    def __init__(self, viewer: ViewerModel, status: StatusLine) -> None:
        self.viewer = viewer
        self._status = status
        self._warned: tuple[str, ParticleTable] | None = None

    @property
    def view(self) -> ProjectView | None:
        """The view on the viewer, if there is one."""
        return view_of(self.viewer)

    @property
    def session(self) -> Session | None:
        """What is shown, if anything is."""
        view = self.view
        return None if view is None else view.session

    def may_replace(self, action: str) -> bool:
        """Whether other particles may be shown: yes, unless edits would be lost and this was the first time of asking."""
        session = self.session
        if session is None or not session.edited or _same(self._warned, (action, session.table)):
            self._warned = None
            return True
        self._warned = (action, session.table)
        self._status.warn(UNSAVED)
        return False

    def show(self, session: Session) -> Session:
        """Show other particles where the user is; returns what is shown. Errors of the view pass through."""
        placed = carried(session, self.session)
        return open_session(self.viewer, placed).session


def _same(a: tuple[str, ParticleTable] | None, b: tuple[str, ParticleTable]) -> bool:
    return a is not None and a[0] == b[0] and a[1] is b[1]
