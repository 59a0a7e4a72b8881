"""While a job lives: signals ask it to stop, and its events file shows that it does."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: seconds between two signs of life (the time stamp of events.jsonl)
PULSE = 10.0


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM ask the job to stop; a second SIGINT interrupts at once. Only the main thread may set handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # who ignores a signal (nohup, a shell's background job) means it; None: a handler that Python did not set and could not set again
    former = {n: h for n in (signal.SIGINT, signal.SIGTERM) if (h := signal.getsignal(n)) not in (None, signal.SIG_IGN)}

    def handle(number: int, _frame: Any) -> None:
        stop()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    for number in former:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def pulse(path: Path) -> Iterator[None]:
    """Renew the time stamp of the events while the job lives, so that another computer sees that it does."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(PULSE):
            try:
                os.utime(path)
            except OSError:
                return

    thread = threading.Thread(target=beat, daemon=True, name="job pulse")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
