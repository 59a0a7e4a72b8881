"""The edit journal: each edit is on disk before the next one, so that a killed program loses none.

A journal is a file of JSON lines, `<project>/.subtomo/edits-<time>-<process>.jsonl`, or in the user's state folder where the project
cannot be written. Its first line says what was opened and by which process; the others are edits, `{"do": …}`, `{"undo": 1}`,
`{"redo": 1}`, and `{"saved": n}`. A journal whose process is gone and whose edits were not saved is offered for recovery. A pointer in
the state folder names each journal, so that it is found before its project is opened (`unsaved.find_unsaved`).
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo.jobs.process import process_token
from napari_subtomo.viewer.picking.history import History
from napari_subtomo.viewer.session import Session

VERSION = 1
FOLDER = ".subtomo"
SUFFIX = ".jsonl"
#: Answers of file systems that know no fsync.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EROFS)
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
        self._broken: list[Path] = []  # given up; they go as soon as their edits are safe elsewhere
        self._file: int | None = None  # a bare descriptor: it is closed with the journal, whatever becomes of the view

    def write(self, history: History, record: dict[str, Any]) -> None:
        """Append one line, and have it on disk when this returns; the first time all edits before it too.

        Where a line cannot be written (it may have been cut off in the middle), a new journal with all edits is begun, in the state folder
        if the project's disk is full.

        Raises
        ------
        OSError
            Neither the project nor the state folder can be written.
        """
        if self._file is not None:
            try:
                self._lines([record])
                return
            except OSError:
                self._abandon()
        self._begin([*_before(history, record), {"saved": history.saved, "lost": history.lost}, record])

    @property
    def begun(self) -> bool:
        """Whether it has a file."""
        return self._file is not None

    def drop(self) -> None:
        """All is saved: the file goes; the next edit begins a new one."""
        path = self.path
        self.close()
        for one in (*self._broken, *([path] if path is not None else [])):
            remove(one)
        self._broken.clear()
        self.path = None

    def close(self) -> None:
        """Leave the file to whoever recovers it."""
        if self._file is not None:
            self._closing()
        self._file = None
        _open.difference_update(self._broken)

    def _begin(self, records: list[dict[str, Any]]) -> None:
        name = f"edits-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "token": process_token(os.getpid())}
        header = {"journal": VERSION, "begun": time.time(), **owner, **self.header}
        failure: OSError | None = None
        for folder in (Path(self.header["project"]) / FOLDER, state_folder()):
            try:
                self.path, self._file = _create(folder, name)
                self._closing = weakref.finalize(self, _release, self._file, self.path)
                _open.add(self.path)
                self._lines([header, *records])
                break
            except OSError as error:
                failure = error
                self._abandon()
        if self._file is None or self.path is None:
            raise failure or OSError("no folder for the edit journal")
        _open.difference_update(self._broken)
        for path in self._broken:
            remove(path)
        self._broken.clear()
        if self.path.parent != state_folder().resolve():
            with suppress(OSError):  # without the pointer it is found as soon as the project is opened
                _pointer(self.path).parent.mkdir(parents=True, exist_ok=True)
                _pointer(self.path).write_text(str(self.path), encoding="utf-8")

    def _abandon(self) -> None:
        """Write no more to a file that could not be written to; what is in it stays until another one holds it all."""
        if self._file is not None and self.path is not None:
            self.close()
            self._broken.append(self.path)
            _open.update(self._broken)  # this process has its edits still
        self.path = None

    def _lines(self, records: list[dict[str, Any]]) -> None:
        assert self._file is not None
        text = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records)
        left = memoryview(text.encode("utf-8", "surrogateescape"))
        while left:
            left = left[os.write(self._file, left) :]
        try:
            os.fsync(self._file)
        except OSError as error:
            if error.errno not in _NO_SYNC:  # not every file system can; the line has left this process all the same
                raise


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


def is_open(path: Path) -> bool:
    """Whether this process writes that journal."""
    return path in _open


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
