"""The reporter of a running job: into the folder, to a listener, and the way a stop comes in."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from napari_subtomo.errors import JobCancelled
from napari_subtomo.jobs.events import EVENTS, EventLog
from napari_subtomo.progress import Reporter, Silent

#: a file of one of these names in the job folder stops the job; the first is what RELION's GUI writes
ABORT_FILES = ("RELION_JOB_ABORT_NOW", "cancel")
#: a file of this name in the job folder makes the job wait until it is gone
PAUSE_FILE = "pause"
#: at most this many progress events a second
PROGRESS_RATE = 5.0
#: seconds between two looks for an abort file
ABORT_POLL = 0.3


class JobReporter:
    """Writes events.jsonl, run.out and run.err of a folder, passes everything on to `listener`, and raises when a stop was asked for.

    Parameters
    ----------
    folder : Path or None
        Job folder; None: nothing is written, only the listener hears.
    listener : Reporter, optional
        Console, dock or test; its own `check` may raise `JobCancelled` too.
    """

    def __init__(self, folder: Path | None, listener: Reporter | None = None) -> None:
        self.folder = folder
        self.listener: Reporter = listener if listener is not None else Silent()
        self._stop, self._pausing = threading.Event(), threading.Lock()
        self._said: set[str] = set()
        self._events = EventLog(folder / EVENTS) if folder is not None else None
        self._out = (folder / "run.out").open("a", encoding="utf-8") if folder is not None else None
        self._err = (folder / "run.err").open("a", encoding="utf-8") if folder is not None else None
        self._done, self._total = 0, None  # type: int, int | None
        self._shown, self._last_progress, self._last_poll = 0, 0.0, 0.0

    def cancel(self) -> None:
        """Ask the job to stop at its next check; may be called from any thread or a signal handler."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop.is_set()

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Begin a stage; the last count of the former one is written first."""
        self._flush_progress()
        self._done, self._shown, self._total, self._last_progress = 0, 0, total, 0.0
        self.write("stage", name=name, total=total, unit=unit)
        self._log(name if total is None else f"{name} ({total}{' ' + unit if unit else ''})")
        self.listener.stage(name, total, unit)
        self.check()

    def advance(self, steps: int = 1) -> None:
        """Count steps; events are limited to `PROGRESS_RATE` a second, the last of a stage is always written."""
        self._done += steps
        now = time.monotonic()
        if now - self._last_progress >= 1 / PROGRESS_RATE or self._done == self._total:
            self._last_progress = now
            self._flush_progress()
        self.listener.advance(steps)
        self.check()

    def message(self, text: str) -> None:
        """One line for run.out."""
        self._said.add(text)
        self.write("message", text=text)
        self._log(text)
        self.listener.message(text)

    def warn(self, text: str) -> None:
        """One line for run.out and run.err."""
        self._said.add(text)
        self.write("warning", text=text)
        self._log(f"WARNING: {text}")
        self.error_log(f"WARNING: {text}")
        self.listener.warn(text)

    def conclude(self, summary: Iterable[str]) -> None:
        """The closing lines of a job, but for those that it said itself."""
        for line in summary:
            if line not in self._said:
                self.message(line)

    def event(self, kind: str, **data: Any) -> None:
        """A machine-readable event."""
        self._flush_progress()
        self.write(kind, **data)
        self.listener.event(kind, **data)

    def check(self) -> None:
        """Raise `JobCancelled` when a signal, an abort file or the listener asks for a stop; wait here while there is a pause file."""
        now = time.monotonic()
        if self.folder is None or now - self._last_poll < ABORT_POLL:
            self._heed()
            return
        self._look(self.folder)
        if (self.folder / PAUSE_FILE).exists():
            self._wait(self.folder)

    def _look(self, folder: Path) -> None:
        """Look for abort files, and heed what was asked."""
        self._last_poll = time.monotonic()
        if any((folder / name).exists() for name in ABORT_FILES):
            self._stop.set()
        self._heed()

    def _heed(self) -> None:
        if self._stop.is_set():
            raise JobCancelled("The job was stopped on request; what it had finished is kept.")
        self.listener.check()

    def _wait(self, folder: Path) -> None:
        """Wait until the pause file is gone or a stop is asked for; only one of a job's threads says so."""
        with self._pausing:
            if not (folder / PAUSE_FILE).exists():
                return
            self._flush_progress()
            self.write("paused")
            self._log("Paused.")
            try:
                while (folder / PAUSE_FILE).exists():
                    self._stop.wait(ABORT_POLL)
                    self._look(folder)
            finally:
                self.write("unpaused")
                self._log("Goes on.")

    def error_log(self, text: str) -> None:
        """Text for run.err alone (tracebacks)."""
        if self._err is not None:
            self._err.write(text.rstrip("\n") + "\n")
            self._err.flush()

    def close(self) -> None:
        """Write the last count and close the files."""
        self._flush_progress()
        if self._events is not None:
            self._events.close()
        for stream in (self._out, self._err):
            if stream is not None:
                stream.close()

    def _flush_progress(self) -> None:
        if self._done != self._shown:
            self._shown = self._done
            self.write("progress", done=self._done, total=self._total)

    def write(self, kind: str, **data: Any) -> None:
        """Append an event to the folder alone."""
        if self._events is not None:
            self._events.write(kind, data)

    def _log(self, text: str) -> None:
        if self._out is not None:
            self._out.write(text + "\n")
            self._out.flush()
