"""What every dock is: a widget that lets go of the viewer when it is closed, and is deleted in the window's thread."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any, ClassVar

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QWidget

from napari_subtomo.widgets.task import alive


class Dock(QWidget):
    """A widget for napari's docks.

    napari takes the widget out of a dock that is closed and forgets it: deleting it would be left to Python's collector, at any time
    and in any thread, where Qt crashes. So a dock that is taken out deletes itself.

    Parameters
    ----------
    parent : QWidget, optional
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._docked = parent is not None
        self._released = False
        watch = _Watch(self)
        # A bound method of an object that lives on: where the collector frees a widget it has emptied any function connected here.
        self.destroyed.connect(watch.deleted)

    def let_go(self) -> None:
        """Stop what runs and listen to nobody any more; made by subclasses. The widgets within may be gone already."""

    def release(self) -> None:
        """Let go, once."""
        if not self._released:
            self._released = True
            with suppress(RuntimeError):  # a part that Qt has deleted before
                self.let_go()

    def event(self, event: Any) -> bool:
        """Notice being put into a dock and taken out of it."""
        if event.type() == QEvent.Type.ParentChange and not getattr(self, "_released", True):
            if self.parentWidget() is not None:
                self._docked = True
            elif self._docked:
                QTimer.singleShot(0, self._taken_out)
        return bool(super().event(event))

    def _taken_out(self) -> None:
        if alive(self) and self.parentWidget() is None and not self._released:
            self.release()
            self.deleteLater()


class _Watch:
    """Hears that Qt has deleted a dock whose Python part is still there, as it does when the window is closed."""

    _all: ClassVar[set[_Watch]] = set()

    def __init__(self, dock: Dock) -> None:
        self._dock = weakref.ref(dock)
        self._all.add(self)

    def deleted(self, *_: Any) -> None:
        """Qt has deleted it."""
        self._all.discard(self)
        dock = self._dock()
        if dock is not None:
            dock.release()
