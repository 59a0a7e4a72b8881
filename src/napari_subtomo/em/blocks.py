"""Blocks of work that become smaller when memory is short, in place of an end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from threading import Lock

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import DeviceError, JobError
from napari_subtomo.numerics.backend import release_memory
from napari_subtomo.progress import Reporter

IntArray = npt.NDArray[np.int64]


class Shrinking:
    """Does work on blocks of indices; where memory runs out, the block is halved and tried again, and later ones begin as small.

    Work on a block has to leave no trace unless it succeeds. One object may serve several threads: each halves its own blocks.
    CuPy's OutOfMemoryError is a MemoryError.

    Parameters
    ----------
    device : str
        "cpu" or "cuda:N".
    what : str
        What is in a block, in the plural, for sentences.
    reporter : Reporter
        Warned each time blocks become smaller.
    """

    def __init__(self, device: str, what: str, reporter: Reporter) -> None:
        self.device, self.what, self.reporter = device, what, reporter
        self.most: int | None = None
        self._lock = Lock()

    def run(self, blocks: Iterable[IntArray], work: Callable[[IntArray], None]) -> None:
        """`work(block)` for all blocks in their order, or for parts of them.

        Raises
        ------
        DeviceError
            A GPU has too little memory for a block of one.
        JobError
            The same of main memory.
        """
        for block in blocks:
            start = 0
            while start < len(block):
                size = len(block) - start if self.most is None else min(self.most, len(block) - start)
                part = block[start : start + size]
                if self.fits(size, partial(work, part)):
                    start += size

    def fits(self, size: int, work: Callable[[], None]) -> bool:
        """Whether memory was enough for work on so many. If not, `most` is half of them; raises as `run`."""
        try:
            work()
            return True
        except MemoryError:
            pass  # not here: what the work has made is alive as long as its exception is
        release_memory(self.device)
        self._shrink(size)
        return False

    def _shrink(self, size: int) -> None:
        """Note that `size` is too many."""
        if size == 1:
            if self.device == "cpu":
                raise JobError(
                    f"There is not enough memory to work on {self.what} one by one; use fewer classes, a larger angular step, "
                    "a smaller search range or a larger binning."
                )
            raise DeviceError(
                f"GPU {self.device} has not enough free memory to work on {self.what} one by one; end other programs on it, use fewer "
                "classes, a larger angular step or a smaller search range, or --device cpu."
            )
        with self._lock:
            half = size // 2
            if self.most is None or half < self.most:
                self.most = half
                self.reporter.warn(f"Memory on {self.device} is short: {self.what} are taken {half} at a time from here on.")
