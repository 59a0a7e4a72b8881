"""Opening the tomograms before and after the one shown, so that going there is at once."""

from __future__ import annotations

from qtpy.QtCore import QObject, QTimer

from napari_subtomo.errors import SubtomoError
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.view import ProjectView
from napari_subtomo.viewer.volume import Volume, tomogram_volume
from napari_subtomo.widgets.status import StatusLine
from napari_subtomo.widgets.worker import Worker

#: Milliseconds after a change before a file is read: the window paints first.
AFTER = 200


class Prefetch:
    """Opens volumes and samples their grey limits beside the window, one at a time.

    Parameters
    ----------
    status : StatusLine
    parent : QObject
        The timer stops with it.
    """

    def __init__(self, status: StatusLine, parent: QObject) -> None:
        self._view: ProjectView | None = None
        self._worker = Worker(status)
        self._unreadable: set[str] = set()
        self._timer = QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._next)

    @property
    def busy(self) -> bool:
        """Whether something is being opened, or will be soon."""
        return self._worker.running or self._timer.isActive()

    def around(self, view: ProjectView) -> None:
        """Open the neighbours of the tomogram that a view shows, soon."""
        if view is not self._view:
            self._view = view
            self._unreadable.clear()
        self._timer.start(AFTER)

    def close(self) -> None:
        """Stop."""
        self._view = None
        self._worker.close()

    def _next(self) -> None:
        view = self._view
        if view is None or self._worker.running:
            return
        wanted = next((tomogram for tomogram in view.unopened() if tomogram.name not in self._unreadable), None)
        if wanted is None:
            return
        slab = view.session.diameter

        def read(_: Reporter) -> Volume | Exception | None:
            try:
                return tomogram_volume(wanted, slab)
            except (SubtomoError, OSError) as error:
                return error  # spoken of when the user goes there

        def opened(volume: Volume | Exception | None) -> None:
            if isinstance(volume, Exception):
                self._unreadable.add(wanted.name)
            else:
                view.hold(wanted, volume)
            self._timer.start(0)

        self._worker.run(read, opened)
