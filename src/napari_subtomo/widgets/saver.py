"""Saving the kept particles from a dock: which folder is offered, and what may be written again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QLineEdit

from napari_subtomo.errors import SubtomoError
from napari_subtomo.viewer.saving import next_folder, save_annotations
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.view import ProjectView
from napari_subtomo.widgets.status import StatusLine


class Saver:
    """Writes picking jobs; what it wrote itself it may write again.

    Parameters
    ----------
    target : QLineEdit
        Holds the folder.
    status : StatusLine
    """

    def __init__(self, target: QLineEdit, status: StatusLine) -> None:
        self._target, self._status = target, status
        self._written: set[Path] = set()

    def suggest(self, session: Session) -> None:
        """Offer the next job of the project, unless the folder there is one that was saved to."""
        if Path(self._target.text()) not in self._written:
            self._target.setText(str(next_folder(session)))

    def choose(self) -> None:
        """Let the user choose a folder."""
        name = QFileDialog.getExistingDirectory(self._target, "Save kept particles to", str(Path(self._target.text()).parent))
        if name:
            self._target.setText(name)

    def save(self, view: ProjectView, folder: Path) -> bool:
        """Write the kept particles and their annotations into a folder; whether that went well."""
        session = view.session
        try:
            saved = save_annotations(session, folder, overwrite=folder in self._written)
        except (SubtomoError, OSError) as error:
            self._status.fail(error)
            return False
        self._written.add(folder)
        view.show(replace(session, saved=session.table, saved_spheres=session.spheres))
        self._status.say(saved.sentence)
        return True
