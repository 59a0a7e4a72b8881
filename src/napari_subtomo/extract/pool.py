"""Work on many particles in threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from napari_subtomo.progress import Reporter

_T = TypeVar("_T")
_AHEAD = 4  # particles queued per thread


def in_order(work: Callable[[int], _T], todo: Iterable[int], threads: int, reporter: Reporter) -> list[tuple[int, _T]]:
    """What `work` makes of each number, in the order of `todo`, with few of them in flight.

    The reporter is called from this thread only, once for each; a stop or an error ends the rest.
    """
    order = list(todo)
    results: dict[int, _T] = {}
    queue = iter(order)
    with ThreadPoolExecutor(threads, thread_name_prefix="extract") as pool:
        running: dict[Future[_T], int] = {}
        try:
            while True:
                for number in queue:
                    running[pool.submit(work, number)] = number
                    if len(running) >= _AHEAD * threads:
                        break
                if not running:
                    return [(number, results[number]) for number in order]
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    results[running.pop(future)] = future.result()
                    reporter.advance()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
