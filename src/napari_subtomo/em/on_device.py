"""Work at fixed poses on a GPU where its particles fit there, else on the processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from napari_subtomo.errors import DeviceError
from napari_subtomo.numerics.backend import device_context, free_bytes, release_memory
from napari_subtomo.progress import Reporter

Result = TypeVar("Result")

BYTES = 48  # of a value of a particle: data, those inside the mask, weights, σ², and what is made of them
ROOM = 0.8  # share of the free memory that is counted on


def on_device(work: Callable[[str], Result], device: str, values: float, reporter: Reporter) -> Result:
    """What `work` returns, which is given the device that it is done on and finds it to be the current one.

    Parameters
    ----------
    work : callable
        Of "cpu" or a GPU's name; what it returns is on the host.
    device : str
        On which it is to be done, if there is room.
    values : float
        Of all particles.
    reporter : Reporter
        Is told where it is done elsewhere.

    Returns
    -------
    Result
        Of `work`. What goes wrong in it, but for memory that runs out on a GPU, goes wrong here.
    """
    if device == "cpu":
        return work(device)
    release_memory(device)
    free, needed = free_bytes(device), BYTES * values
    if needed <= ROOM * free:
        try:
            with device_context(device):
                return work(device)
        except (MemoryError, DeviceError):  # CuPy's error is a MemoryError
            pass
        finally:
            release_memory(device)
    reporter.message(
        f"Particles at their best poses need {needed / 1e9:.1f} of {free / 1e9:.1f} GB on {device}: they are compared on the processor."
    )
    return work("cpu")
