"""What every dock is: a widget that lets go of the viewer when it is closed, and is deleted in the window's thread."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import Any, ClassVar

from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_subtomo.widgets.task import alive


class Dock(QWidget):
    """A widget for napari's docks.

    A dock that is opened becomes a tab beside the others of this plugin: napari stacks docks, and six of them make a window higher than
    any screen.

    napari takes the widget out of a dock that is closed and forgets it: deleting it would be left to Python's collector, at any time
    and in any thread, where Qt crashes. So a dock that is taken out deletes itself.

    Parameters
    ----------
    parent : QWidget, optional
    """

    #: of its tab
    title: ClassVar[str]

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
                QTimer.singleShot(0, self._join_others)
            elif self._docked:
                QTimer.singleShot(0, self._taken_out)
        elif event.type() == QEvent.Type.Show and not event.spontaneous() and not getattr(self, "_released", True):
            QTimer.singleShot(0, self._to_front)  # the menu shows a tab that was hidden, behind the others
        return bool(super().event(event))

    def _join_others(self) -> None:
        """Become a tab beside the other docks of this plugin."""
        if not alive(self) or self._released:
            return
        holder, window = _holder(self), self.window()
        if holder is None or not isinstance(window, QMainWindow):
            return
        holder.setWindowTitle(self.title)  # of the tab; napari's own names all end with that of the plugin
        area = window.dockWidgetArea(holder)
        others = [_holder(dock) for dock in window.findChildren(Dock) if dock is not self]
        placed = [other for other in others if other is not None and not other.isFloating() and window.dockWidgetArea(other) == area]
        if placed and not window.tabifiedDockWidgets(holder):
            window.tabifyDockWidget(placed[-1], holder)
        QTimer.singleShot(0, self._to_front)

    def _to_front(self) -> None:
        holder = _holder(self) if alive(self) and not self._released else None
        if holder is not None:
            holder.raise_()

    def _taken_out(self) -> None:
        if alive(self) and self.parentWidget() is None and not self._released:
            self.release()
            self.deleteLater()


def _holder(dock: QWidget) -> QDockWidget | None:
    """The dock widget that a widget lies in, if any."""
    parent = dock.parentWidget()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parentWidget()
    return parent


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
