"""Follow a job by its folder alone: a thread, a subprocess, a job on another computer and one of RELION's look alike.

`JobState` is a pure fold over events (`advance_state`); `Follower` reads what was appended since the last look.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_subtomo.jobs.events import EVENTS, Event, parse
from napari_subtomo.jobs.process import is_alive

#: a job of another host is taken for dead when its folder was silent for this long (s); a living one renews it every `lifetime.PULSE` s
SILENCE = 120.0
#: RELION's marker files and what they say
MARKERS = {"RELION_JOB_EXIT_SUCCESS": "finished", "RELION_JOB_EXIT_FAILURE": "failed", "RELION_JOB_EXIT_ABORTED": "cancelled"}


@dataclass(frozen=True)
class JobState:
    """What is known of a job.

    Attributes
    ----------
    status : str
        "waiting" (nothing there yet), "running", "paused", "finished", "failed", "cancelled" or "dead" (the process went away without
        a word).
    stage, done, total, unit
        The current stage and its count; `total` None: unknown.
    events : tuple of Event
        The verb's own events in order, e.g. kind "iteration".
    started, ended, stage_started, updated : float or None
        Seconds since 1970, by the clock of the host of the job.
    """

    status: str = "waiting"
    job: str = ""
    pid: int | None = None
    host: str = ""
    token: str = ""
    stage: str = ""
    done: int = 0
    total: int | None = None
    unit: str = ""
    messages: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    error: str = ""
    started: float | None = None
    ended: float | None = None
    stage_started: float | None = None
    updated: float | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ("finished", "failed", "cancelled", "dead")

    @property
    def fraction(self) -> float | None:
        """Part of the current stage that is done, 0…1; None where the total is unknown."""
        return min(1.0, self.done / self.total) if self.total else None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds to the end of the current stage at its mean speed so far; None while unknown."""
        if self.over or not self.total or not self.done or self.stage_started is None or self.updated is None:
            return None
        return max(0.0, (self.updated - self.stage_started) * (self.total - self.done) / self.done)

    @property
    def iterations(self) -> tuple[Mapping[str, Any], ...]:
        """Data of the events of kind "iteration"."""
        return tuple(event.data for event in self.events if event.kind == "iteration")


def advance_state(state: JobState, event: Event) -> JobState:
    """The state after one more event; a "start" begins anew but keeps the iterations of the run that it resumes."""
    data = event.data
    match event.kind:
        case "start":
            kept = state.events if data.get("resumed") else ()
            return JobState(
                status="running", job=str(data.get("job", "")), pid=data.get("pid"), host=str(data.get("host", "")),
                token=str(data.get("token", "")), events=kept, started=event.time, updated=event.time,
            )  # fmt: skip
        case "stage":
            stage, unit = str(data.get("name", "")), str(data.get("unit") or "")
            return replace(state, stage=stage, unit=unit, done=0, total=data.get("total"), stage_started=event.time, updated=event.time)
        case "progress":
            return replace(state, done=int(data.get("done") or 0), total=data.get("total", state.total), updated=event.time)
        case "paused":
            return replace(state, status="paused", updated=event.time)
        case "unpaused":  # the pause does not count as time that the stage took
            begun = state.stage_started
            if begun is not None and state.updated is not None and state.status == "paused":
                begun += event.time - state.updated
            return replace(state, status="running", stage_started=begun, updated=event.time)
        case "message":
            return replace(state, messages=(*state.messages, str(data.get("text", ""))), updated=event.time)
        case "warning":
            return replace(state, warnings=(*state.warnings, str(data.get("text", ""))), updated=event.time)
        case "end":
            status, error = str(data.get("status", "finished")), str(data.get("error") or "")
            return replace(state, status=status, error=error, ended=event.time, updated=event.time)
        case _:
            return replace(state, events=(*state.events, event), updated=event.time)


def fold(events: Iterable[Event], state: JobState | None = None) -> JobState:
    """The state after all `events`."""
    state = state or JobState()
    for event in events:
        state = advance_state(state, event)
    return state


@dataclass
class Follower:
    """Reads a job folder as it grows.

    Parameters
    ----------
    folder : Path
        Need not exist yet.
    """

    folder: Path
    state: JobState = field(default_factory=JobState)
    damaged: int = 0
    _offset: int = 0
    _identity: tuple[int, int] | None = None

    def poll(self) -> JobState:
        """Read what was appended since the last call and return the state of the job now."""
        for line in self._new_lines():
            event = parse(line)
            if event is None:
                self.damaged += 1
            else:
                self.state = advance_state(self.state, event)
        return self._judged()

    def _new_lines(self) -> list[str]:
        path = self.folder / EVENTS
        try:
            stat = path.stat()
        except OSError:
            return []
        if self._identity not in (None, (stat.st_dev, stat.st_ino)) or stat.st_size < self._offset:
            self.state, self._offset, self.damaged = JobState(), 0, 0
        self._identity = (stat.st_dev, stat.st_ino)
        if stat.st_size == self._offset:
            return []
        with path.open("rb") as stream:
            stream.seek(self._offset)
            chunk = stream.read()
        whole = chunk.rfind(b"\n") + 1  # a line without its end is still being written
        self._offset += whole
        return [line for line in chunk[:whole].decode("utf-8", errors="replace").split("\n") if line]

    def _judged(self) -> JobState:
        """The state as told by the events, put right by what the process and RELION's marker files tell."""
        state = self.state
        if state.over:
            return state
        if state.status in ("running", "paused"):
            return state if self._lives(state) else replace(state, status="dead")
        for name, status in MARKERS.items():
            if (self.folder / name).exists():
                return replace(state, status=status)
        return replace(state, status="running") if (self.folder / "run.out").exists() else state

    def _lives(self, state: JobState) -> bool:
        if state.pid is not None and state.host == socket.gethostname():
            return is_alive(state.pid, state.token)
        try:
            return time.time() - (self.folder / EVENTS).stat().st_mtime < SILENCE
        except OSError:
            return False


def job_state(folder: Path) -> JobState:
    """The state of a job folder now."""
    return Follower(folder).poll()
