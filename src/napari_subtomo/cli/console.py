"""What a job says on the terminal: bars with the time left, or plain lines where nobody watches."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

#: plain lines: one each tenth of a stage
STEPS = 10
#: least time between two of them, s
INTERVAL = 1.0


class Console(Protocol):
    """A reporter that owns the terminal between `__enter__` and `__exit__`."""

    def __enter__(self) -> Console: ...
    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...
    def stage(self, name: str, total: int | None = None, unit: str = "") -> None: ...
    def advance(self, steps: int = 1) -> None: ...
    def message(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def event(self, kind: str, **data: Any) -> None: ...
    def check(self) -> None: ...


def make_console(*, quiet: bool = False, stream: TextIO | None = None) -> Console:
    """Bars on a terminal, plain lines elsewhere, warnings alone when quiet; all of it on standard error unless `stream` is given."""
    stream = stream if stream is not None else sys.stderr
    if quiet:
        return Quiet(stream)
    return Bars(stream) if stream.isatty() else Lines(stream)


def duration(seconds: float) -> str:
    """``75`` -> ``1:15``; ``3700`` -> ``1:01:40``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Quiet:
    """Warnings alone."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __enter__(self) -> Quiet:
        """Nothing to prepare."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to clear."""

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Ignore."""

    def advance(self, steps: int = 1) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""

    def warn(self, text: str) -> None:
        """One line."""
        self.line(f"WARNING: {text}")

    def event(self, kind: str, **data: Any) -> None:
        """Ignore."""

    def check(self) -> None:
        """Never stop: signals go to the runner."""

    def line(self, text: str) -> None:
        """Write one line at once."""
        self.stream.write(text + "\n")
        self.stream.flush()


class Print(Quiet):
    """Messages are the product of the command and go to standard output (`table`)."""

    def message(self, text: str) -> None:
        """One line, at once, so that a closed pipe ends the command."""
        print(text, flush=True)


class Lines(Quiet):
    """One line a stage and one each tenth of it, with the time left; tenths that come fast are passed over.

    Parameters
    ----------
    stream : text stream
    interval : float
        Least time between two lines of progress, s.
    """

    def __init__(self, stream: TextIO, interval: float = INTERVAL) -> None:
        super().__init__(stream)
        self.interval = interval
        self._name, self._total, self._done, self._tenth, self._begun, self._last = "", 0, 0, 0, 0.0, 0.0
        self._seconds: list[float] = []

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """One line."""
        self._name, self._total, self._done, self._tenth = name, total or 0, 0, 0
        self._begun = self._last = time.monotonic()
        self.line(f"{name} ..." if total is None else f"{name} ({total}{' ' + unit if unit else ''}) ...")

    def advance(self, steps: int = 1) -> None:
        """A line where another tenth is done."""
        self._done += steps
        tenth = min(STEPS, self._done * STEPS // self._total) if self._total else 0
        now = time.monotonic()
        if tenth > self._tenth and now - self._last >= self.interval:
            self._tenth, self._last = tenth, now
            spent = now - self._begun
            left = spent * (self._total - self._done) / self._done
            tail = f"{duration(spent)} spent" if self._done >= self._total else f"about {duration(left)} left"
            self.line(f"{self._name}: {100 * tenth // STEPS} % ({self._done}/{self._total}), {tail}")

    def message(self, text: str) -> None:
        """One line."""
        self.line(text)

    def event(self, kind: str, **data: Any) -> None:
        """The time left for the whole job, where it goes by iterations."""
        done, total, seconds = (data.get(name) for name in ("iteration", "of", "seconds"))
        if kind == "iteration" and done and total and seconds and done < total:
            self._seconds = [*self._seconds[-2:], float(seconds)]
            left = sum(self._seconds) / len(self._seconds) * (total - done)
            self.line(f"Iteration {done} of {total} took {duration(seconds)}, about {duration(left)} left for the rest.")


class Bars(Quiet):
    """One bar for the current stage; finished stages stay as lines."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._iterations: TaskID | None = None

    def __enter__(self) -> Bars:
        """Take the terminal's last line."""
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        name, unit = TextColumn("{task.description}", markup=False), TextColumn("{task.fields[unit]}", markup=False)
        times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
        console = RichConsole(file=self.stream, highlight=False)
        # standard output stays as it is: a pipe behind it must get results alone
        self._progress = Progress(name, BarColumn(), MofNCompleteColumn(), unit, *times, console=console, redirect_stdout=False)
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give the terminal back."""
        if self._progress is not None:
            self._end_stage(finished=kind is None)
            self._progress.stop()
            self._progress = None

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """A new bar."""
        if self._progress is None:
            self.line(f"{name} ...")
            return
        self._end_stage(finished=True)
        self._task = self._progress.add_task(name, total=total, unit=unit)

    def advance(self, steps: int = 1) -> None:
        """Move the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, steps)

    def message(self, text: str) -> None:
        """One line above the bar."""
        self.line(text)

    def event(self, kind: str, **data: Any) -> None:
        """A second bar for the whole job, where it goes by iterations."""
        done, total = data.get("iteration"), data.get("of")
        if kind == "iteration" and self._progress is not None and done and total:
            if self._iterations is None:
                self._iterations = self._progress.add_task("Iterations", total=total, completed=done - 1, unit="")
            self._progress.update(self._iterations, total=total, completed=done)

    def line(self, text: str) -> None:
        """Write above the bar."""
        if self._progress is None:
            super().line(text)
        else:
            self._progress.console.print(text, markup=False, soft_wrap=True)

    def _end_stage(self, *, finished: bool) -> None:
        """Stop the clock of the current bar; one of unknown length becomes full when its stage ended well."""
        if self._progress is None or self._task is None:
            return
        task = next(task for task in self._progress.tasks if task.id == self._task)
        if finished and task.total is None:
            self._progress.update(self._task, total=max(1, int(task.completed)), completed=max(1, int(task.completed)))
        self._progress.stop_task(self._task)
        if self._iterations is not None:  # many stages an iteration: the bars of finished ones would fill the screen
            self._progress.remove_task(self._task)
        self._task = None
