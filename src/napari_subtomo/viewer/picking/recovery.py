"""From an edit journal back to the session it tells of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_subtomo.errors import InputError, SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking.history import History
from napari_subtomo.viewer.picking.journal import fingerprint
from napari_subtomo.viewer.picking.unsaved import read_journal
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.sources import find_sources


def recover(path: Path) -> tuple[Session, History]:
    """Open again what a journal says, and make all its edits once more.

    Parameters
    ----------
    path : Path
        The journal; it stays as it is.

    Returns
    -------
    Session, History
        The session after its last edit, and its edits, which can be undone.

    Raises
    ------
    InputError
        The particle file is gone, or is not the one that was edited.
    """
    header, history = read_journal(path)
    session = _open_again(header, path)
    for delta in history.done:
        session = delta.forward(session)
    if history.done:
        place = history.done[-1].place(session)
        session = replace(session, shown=place) if place in session.names else session
    history.stands(session)
    return session, history


def _open_again(header: dict[str, Any], journal: Path) -> Session:
    project = Project(Path(header["project"]))
    found: list[str] = []
    for path, source in _candidates(header, project):
        try:
            session = load_session(path, project, source)
        except (SubtomoError, OSError) as error:
            found.append(str(error))
            continue
        if fingerprint(session) == header["fingerprint"]:
            return session
        found.append(f"{path.name} holds other particles than then")
    why = found[0] if found else "its files are gone"
    raise InputError(f"Expected {header['title']} as it was when it was edited, found that {why}; its edits stay in {journal}.")


def _candidates(header: dict[str, Any], project: Project) -> list[tuple[Path, Any]]:
    """Ways to what was opened: by its title in the project, then its files."""
    candidates: list[tuple[Path, Any]] = []
    if project.root.is_dir():
        candidates += [(project.root, source) for source in find_sources(project) if source.title == header["title"]]
    return candidates + [(Path(text), None) for text in header["paths"]]
