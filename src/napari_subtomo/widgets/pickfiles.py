"""Files of the picking dock: importing picks, where annotations are saved, and saving them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.picking.delta import same_files
from napari_subtomo.viewer.picking.files import Imported, import_picks, tomograms_of
from napari_subtomo.viewer.saving import Saved, next_folder, save_annotations
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.view import ProjectView, view_of
from napari_subtomo.widgets.worker import Worker

if TYPE_CHECKING:
    from magicgui.widgets import FileEdit
    from napari.components import ViewerModel

    from napari_subtomo.widgets.status import StatusLine

FILES = "Coordinates (*.star *.csv *.txt)"
BUSY = "Still at work; try again in a moment."


class PickFiles:
    """Reads and writes picks beside the window; one thing at a time.

    Parameters
    ----------
    viewer : ViewerModel
    target : FileEdit
        Holds the folder to save to.
    status : StatusLine
    """

    def __init__(self, viewer: ViewerModel, target: FileEdit, status: StatusLine) -> None:
        self._viewer, self._target, self._status = viewer, target, status
        self._worker = Worker(status)
        self._suggested: Path | None = None
        self._written: set[Path] = set()  # folders that were saved to, which may be saved to again
        self._session: Session | None = None

    @property
    def running(self) -> bool:
        """Whether something is being read or written."""
        return self._worker.running

    @property
    def target(self) -> Path:
        """The folder to save to."""
        return Path(str(self._target.value)).expanduser()

    def close(self) -> None:
        """Stop, and say nothing any more."""
        self._worker.close()

    def follow(self, session: Session) -> None:
        """Another session is shown: other files must not go where the former ones were saved."""
        former, self._session = self._session, session
        if former is None or not same_files(former, session):
            self._written.clear()
            self._suggested = None
            self.suggest()

    def suggest(self) -> None:
        """Offer the next job of the project, unless the user chose a folder, or saved to the one that is there."""
        chosen = self._suggested is not None and self.target != self._suggested
        if self._session is not None and not chosen and self.target not in self._written:
            self._suggested = next_folder(self._session)
            self._target.value = self._suggested

    def run(self, function: Callable[[Any], Any], done: Callable[[Any], None], text: str) -> None:
        """Do something beside the window; `done` gets what it returns."""
        if self.running:
            self._status.warn(BUSY)
            return
        self._status.say(text)
        self._worker.run(function, done)

    def ask_import(self, parent: QWidget) -> Path | None:
        """Let the user choose a file."""
        start = str(self._session.project) if self._session is not None else ""
        name, _ = QFileDialog.getOpenFileName(parent, "Import particles, points or spheres", start, FILES)
        return Path(name) if name else None

    def read(self, session: Session, path: Path, done: Callable[[Imported], None]) -> None:
        """Read picks for the tomogram shown; `done` is not called when another project was opened meanwhile."""

        def read(_: Any) -> Imported:
            return import_picks(path, tomograms_of(session), session.shown)

        def come(picks: Imported) -> None:
            view = view_of(self._viewer)
            if view is not None and same_files(view.session, session):
                done(picks)

        self.run(read, come, f"Reading {path} …")

    def save(self, view: ProjectView, folder: Path) -> None:
        """Write the kept particles, the spheres and their annotations into a folder."""
        session, again = view.session, folder in self._written

        def done(saved: Saved) -> None:
            self._written.add(folder)
            now = view_of(self._viewer)
            if now is not None and same_files(now.session, session):
                now.update(saved=session.table, saved_spheres=session.spheres)
            self._status.say(saved.sentence)
            outputs = {name: folder / f"{name}.star" for name in ("particles", "optimisation_set")}
            desk_of(self._viewer).produce(Product("pick", folder, outputs | {"annotations": folder / "annotations"}))

        self.run(lambda _: save_annotations(session, folder, overwrite=again), done, f"Saving to {folder} …")
