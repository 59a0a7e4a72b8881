"""The events of a job: JSON lines, appended and flushed, so that any viewer can follow the folder.

One line is one object ``{"time": seconds since 1970, "kind": text, "data": {...}}``. Kinds that every job has:

========  =====================================================================
start     job, pid, host, token (see `process_token`), resumed
stage     name, total (null: unknown), unit
progress  done, total: steps of the current stage
message   text
warning   text
paused    the job waits; `unpaused`: it goes on
end       status ("finished", "failed", "cancelled"), error, seconds
========  =====================================================================

Verbs add kinds of their own through `Reporter.event`, e.g. "iteration".
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

EVENTS = "events.jsonl"


@dataclass(frozen=True)
class Event:
    """One line of events.jsonl."""

    time: float
    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


def plain(value: Any) -> Any:
    """Anything as JSON can hold it: numpy scalars and arrays become numbers and lists, paths POSIX text, NaN and infinity null."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)


def parse(line: str) -> Event | None:
    """The event of one line, or None where the line is damaged (a killed process may leave half a line)."""
    try:
        raw = json.loads(line)
        return Event(float(raw["time"]), str(raw["kind"]), dict(raw.get("data") or {}))
    except (ValueError, KeyError, TypeError):
        return None


class EventLog:
    """Appends events to a file; safe to call from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        torn = path.exists() and path.stat().st_size > 0 and not _ends_with_newline(path)
        self._stream = path.open("a", encoding="utf-8", newline="\n")
        if torn:
            self._stream.write("\n")

    def write(self, kind: str, data: Mapping[str, Any]) -> None:
        """Append one event and hand it to the operating system, so that it survives a kill of this process."""
        line = json.dumps({"time": round(time.time(), 3), "kind": kind, "data": plain(data)}, ensure_ascii=False)
        with self._lock:
            if not self._stream.closed:
                self._stream.write(line + "\n")
                self._stream.flush()

    def close(self) -> None:
        """Close the file; later events are dropped."""
        with self._lock:
            self._stream.close()


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
