"""Journals that nobody writes any more: what was edited and never saved."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_subtomo.errors import FileFormatError, SubtomoError
from napari_subtomo.jobs.process import is_alive
from napari_subtomo.viewer.picking.delta import Delta
from napari_subtomo.viewer.picking.history import History
from napari_subtomo.viewer.picking.journal import FOLDER, SUFFIX, VERSION, is_open, remove, state_folder

#: Seconds after which a journal that holds nothing unsaved is cleared away.
STALE = 86400
#: Seconds without an edit after which a process of another computer counts as gone.
AWAY = 3600


@dataclass(frozen=True)
class Unsaved:
    """A journal with edits that were not saved.

    Attributes
    ----------
    path, project : Path
    title : str
        What had been opened.
    edits : int
        How many edits were not saved.
    when : float
        Time of the last edit, seconds since 1970.
    whole : bool
        False for a journal that is damaged after these edits.
    """

    path: Path
    project: Path
    title: str
    edits: int
    when: float
    whole: bool = True

    @property
    def name(self) -> str:
        """What and when, to tell it from others."""
        moment = time.strftime("%d %b %H:%M", time.localtime(self.when))
        return f"{self.title} in {self.project.name} ({moment})"

    @property
    def sentence(self) -> str:
        """One line for the user."""
        many = self.edits != 1
        damage = "" if self.whole else "; the journal is damaged after that"
        return f"{self.edits} edit{'s' * many} of {self.name} {'were' if many else 'was'} never saved{damage}."


def find_unsaved(project: Path | None = None) -> list[Unsaved]:
    """Journals that nobody writes any more and whose edits were not saved, newest first: of one project, or all that are known here."""
    paths = set(state_folder().glob(f"*{SUFFIX}"))
    if project is not None:
        paths |= set((Path(project) / FOLDER).glob(f"*{SUFFIX}"))
    paths |= set(_pointed())
    found = []
    for path in {path.resolve() for path in paths}:
        with suppress(OSError, FileFormatError):  # being written, or not a journal
            header, history = read_journal(path)
            if not _written(path, header):
                whole = "damaged" not in header
                unsaved = Unsaved(path, Path(header["project"]), str(header["title"]), history.unsaved, path.stat().st_mtime, whole)
                if unsaved.edits and (project is None or unsaved.project.resolve() == Path(project).resolve()):
                    found.append(unsaved)
                elif not unsaved.edits and whole and time.time() - unsaved.when > STALE:
                    remove(path)
    return sorted(found, key=lambda unsaved: unsaved.when, reverse=True)


def _pointed() -> Iterator[Path]:
    for pointer in state_folder().glob("*.path"):
        with suppress(OSError):
            path = Path(pointer.read_text(encoding="utf-8"))
            if path.is_file():
                yield path
            elif path.parent.parent.is_dir():  # not a disk that is away just now
                pointer.unlink()


def _written(path: Path, header: dict[str, Any]) -> bool:
    """Whether the process of a journal is still there to write it."""
    pid, host = int(header.get("pid", 0)), header.get("host")
    if host != socket.gethostname():
        return time.time() - path.stat().st_mtime < AWAY
    if pid == os.getpid():
        return is_open(path)
    return is_alive(pid, str(header.get("token", "")))


def read_journal(path: Path) -> tuple[dict[str, Any], History]:
    """First line and edits of a journal; a last line that was cut off in the middle is left out.

    Of a journal that is damaged the edits before the damage are told; `"damaged"` in the first line is then the number of the line.

    Raises
    ------
    FileFormatError
        Not a journal, or one of a later version.
    """
    history = History()
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")[:-1]
    try:
        header: dict[str, Any] = json.loads(lines[0])
        version, _ = header["journal"], (header["project"], header["title"], header["paths"])
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise FileFormatError(f"Expected an edit journal in {path}, found no first line of one ({error}).") from error
    if version != VERSION:
        raise FileFormatError(f"Expected an edit journal of version {VERSION} in {path}, found {version}.")
    for number, line in enumerate(lines[1:], 2):
        try:
            _replay(history, json.loads(line))
        except (SubtomoError, ValueError, KeyError, TypeError, IndexError):
            header["damaged"] = number
            break
    return header, history


def _replay(history: History, record: dict[str, Any]) -> None:
    if "do" in record:
        history.do(Delta.from_json(record["do"]))
    elif "undo" in record:
        history.undone.append(history.done.pop())
    elif "redo" in record:
        history.done.append(history.undone.pop())
    elif "saved" in record:
        history.saved, history.lost = record["saved"], record.get("lost", 0)
