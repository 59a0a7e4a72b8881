"""What forecasts of all jobs share: costs as numbers, and the sizes of the arrays that every job makes."""

from __future__ import annotations

from dataclasses import dataclass

from napari_subtomo.jobs.rates import Rates


@dataclass(frozen=True)
class Costs:
    """Seconds, bytes of memory and of disk, what to do if the memory is too little or the time too long, and what else there is to say."""

    seconds: float
    memory: float
    disk: float
    remedy: str = "use fewer threads, a smaller box or a larger binning"
    faster: str = "use more threads, a smaller box or a larger binning"
    note: str = ""


def nodes_of(box: int) -> int:
    """Nodes of the twice padded half transform of a box."""
    return (2 * box) ** 2 * (box + 1)


def per_transform(box: float, rates: Rates) -> float:
    """Seconds for the transform of a box that is not padded."""
    return rates.transform * box**3


def shared_by(threads: int, cores: int, pieces: int) -> float:
    """How many times faster threads make work that falls into so many pieces; two get 1.7 times as much done as one, not twice."""
    useful = max(1, min(threads, cores, pieces))
    return 1 + 0.7 * (useful - 1)
