"""Processor time and memory of a running program and its children, while it writes the files of iterations (from /proc: Linux only)."""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path

from napari_subtomo.io.class3d import iteration_file

INTERVAL = 0.02
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """Looks at a process every 20 ms, which takes it less than a hundredth of a processor.

    The memory that `wait4` tells of is never less than that of the program which started the other: hence this.

    Attributes
    ----------
    folder : Path
        Where the files of the iterations appear.
    cpu : list of float
        Processor seconds used until the particle file of iteration 0, 1, ... appeared.
    peak_kib : int
        Largest resident memory; of several processes the sum of each one's own.
    """

    folder: Path
    cpu: list[float] = field(default_factory=list)
    peak_kib: int = 0
    _done: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self, pid: int) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._look, args=(pid,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for it."""
        self._done.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self, pid: int) -> None:
        rounds, family, most = 0, [pid], dict[int, int]()
        while not self._done.wait(INTERVAL):
            if rounds % 10 == 0:
                family = descendants(pid)
                most |= {p: max(most.get(p, 0), peak_kib(p)) for p in family}
                self.peak_kib = max(self.peak_kib, sum(most[p] for p in family))
            rounds += 1
            if (self.folder / iteration_file(len(self.cpu), "data")).exists():
                self.cpu.append(sum(cpu_seconds(p) for p in family))


def descendants(pid: int) -> list[int]:
    """The process and those that it, or they, started and that still run."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and of its children that have ended; 0 when it is gone."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(word) for word in words[11:15]) / TICKS
    return 0.0


def peak_kib(pid: int) -> int:
    """Largest resident memory of a process so far; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0
