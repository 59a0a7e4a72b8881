"""The edit journal: each edit is on disk before the next one, so that a killed program loses none.

A journal is a file of JSON lines, `<project>/.subtomo/edits-<time>-<process>.jsonl`, or in the user's state folder where the project
cannot be written. Its first line says what was opened and by which process; the others are edits, `{"do": …}`, `{"undo": 1}`,
`{"redo": 1}`, and `{"saved": n}`. A journal whose process is gone and whose edits were not saved is offered for recovery. A pointer in
the state folder names each journal, so that it is found before its project is opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo.errors import FileFormatError
from napari_subtomo.jobs.process import is_alive, process_token
from napari_subtomo.viewer.picking.delta import Delta
from napari_subtomo.viewer.picking.history import History
from napari_subtomo.viewer.session import Session

VERSION = 1
FOLDER = ".subtomo"
SUFFIX = ".jsonl"
#: Seconds after which a journal that holds nothing unsaved is cleared away.
STALE = 86400
#: Seconds without an edit after which a process of another computer counts as gone.
AWAY = 3600
#: Journals that this process writes.
_open: set[Path] = set()


def state_folder() -> Path:
    """Where pointers lie, and journals of projects that cannot be written: SUBTOMO_STATE, else the user's state folder."""
    chosen = os.environ.get("SUBTOMO_STATE")
    if chosen:
        return Path(chosen) / "journals"
    from platformdirs import user_state_path

    return user_state_path("napari-subtomo", appauthor=False) / "journals"


def fingerprint(session: Session) -> str:
    """A number that tells whether two sessions were read from the same particles, whatever their edits."""
    table = session.table if session.saved is None else session.saved
    digest = hashlib.sha256(str(len(table)).encode())
    digest.update("\n".join(table.tomograms.tolist()).encode("utf-8", "surrogateescape"))
    digest.update(np.ascontiguousarray(np.nan_to_num(table.positions)).tobytes())
    digest.update(repr([(s.tomogram, s.centre, s.radius) for s in session.saved_spheres]).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def opened(session: Session) -> dict[str, Any]:
    """What a journal says of the session as it was opened."""
    paths = [particles.path for particles in session.sets[:1]]
    paths.append(session.tomogram_set.path if session.tomogram_set is not None else None)
    paths += [tomogram.tomogram_path for tomogram in session.tomograms[:1]]
    return {
        "project": str(session.project),
        "title": session.title,
        "paths": [str(Path(path).resolve()) for path in paths if path is not None],
        "fingerprint": fingerprint(session),
    }


class Journal:
    """A journal that is written; its file appears with the first edit.

    Parameters
    ----------
    header : dict
        From `opened`.
    """

    def __init__(self, header: dict[str, Any]) -> None:
        self.header = header
        self.path: Path | None = None
        self._file: int | None = None  # a bare descriptor: it is closed with the journal, whatever becomes of the view

    def write(self, history: History, record: dict[str, Any]) -> None:
        """Append one line, and have it on disk when this returns; the first time all edits before it too.

        Raises
        ------
        OSError
            Neither the project nor the state folder can be written.
        """
        if self._file is None:
            self._begin()
            self._lines([*_before(history, record), {"saved": history.saved, "lost": history.lost}])
        self._lines([record])

    @property
    def begun(self) -> bool:
        """Whether it has a file."""
        return self._file is not None

    def drop(self) -> None:
        """All is saved: the file goes; the next edit begins a new one."""
        path = self.path
        self.close()
        if path is not None:
            remove(path)
        self.path = None

    def close(self) -> None:
        """Leave the file to whoever recovers it."""
        if self._file is not None:
            self._closing()
        self._file = None

    def _begin(self) -> None:
        name = f"edits-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        folders = [Path(self.header["project"]) / FOLDER, state_folder()]
        failure: OSError | None = None
        for folder in folders:
            try:
                self.path, self._file = _create(folder, name)
                break
            except OSError as error:
                failure = error
        if self._file is None or self.path is None:
            raise failure or OSError("no folder for the edit journal")
        self._closing = weakref.finalize(self, _release, self._file, self.path)
        _open.add(self.path)
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "token": process_token(os.getpid())}
        self._lines([{"journal": VERSION, "begun": time.time(), **owner, **self.header}])
        if self.path.parent != state_folder().resolve():
            with suppress(OSError):  # without the pointer it is found as soon as the project is opened
                _pointer(self.path).parent.mkdir(parents=True, exist_ok=True)
                _pointer(self.path).write_text(str(self.path), encoding="utf-8")

    def _lines(self, records: list[dict[str, Any]]) -> None:
        assert self._file is not None
        text = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records)
        left = memoryview(text.encode("utf-8", "surrogateescape"))
        while left:
            left = left[os.write(self._file, left) :]
        with suppress(OSError):  # not every file system can; the line has left this process all the same
            os.fsync(self._file)


def _before(history: History, record: dict[str, Any]) -> list[dict[str, Any]]:
    """Lines that lead to the state before `record`, undone edits included."""
    done, undone = list(history.done), list(history.undone)
    if "do" in record:
        done.pop()
    elif "undo" in record:
        done.append(undone.pop())
    elif "redo" in record:
        undone.append(done.pop())
    edits = [{"do": delta.to_json()} for delta in (*done, *reversed(undone))]
    return [*edits, *({"undo": 1} for _ in undone)]


def _create(folder: Path, name: str) -> tuple[Path, int]:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1000):
        path = folder.resolve() / f"{name}{f'-{number}' if number else ''}{SUFFIX}"
        with suppress(FileExistsError):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
            return path, file
    raise FileExistsError(f"too many journals in {folder}")


def _release(file: int, path: Path) -> None:
    os.close(file)
    _open.discard(path)


def _pointer(path: Path) -> Path:
    return state_folder() / f"{hashlib.sha256(str(path).encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.path"


def remove(path: Path) -> None:
    """Delete a journal with its pointer, and its folder if it was the last one."""
    with suppress(OSError):
        path.unlink()
    with suppress(OSError):
        _pointer(path).unlink()
    if path.parent.name == FOLDER:
        with suppress(OSError):  # not empty
            path.parent.rmdir()


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
    """

    path: Path
    project: Path
    title: str
    edits: int
    when: float

    @property
    def sentence(self) -> str:
        """One line for the user."""
        moment = time.strftime("%d %b %H:%M", time.localtime(self.when))
        return f"{self.edits} edit{'s' * (self.edits != 1)} of {self.title} in {self.project.name} ({moment}) were never saved."


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
                unsaved = Unsaved(path, Path(header["project"]), str(header["title"]), history.unsaved, path.stat().st_mtime)
                if unsaved.edits and (project is None or unsaved.project.resolve() == Path(project).resolve()):
                    found.append(unsaved)
                elif not unsaved.edits and time.time() - unsaved.when > STALE:
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
        return path in _open
    return is_alive(pid, str(header.get("token", "")))


def read_journal(path: Path) -> tuple[dict[str, Any], History]:
    """First line and edits of a journal; a last line that was cut off in the middle is left out.

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
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise FileFormatError(f"Expected an edit in line {number} of {path}, found something else ({error}).") from error
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
