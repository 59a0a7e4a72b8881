"""How fast this machine is at the four things that jobs spend their time on, measured with the jobs' own code."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from napari_subtomo.numerics.backend import device_context, namespace, to_device, to_host
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.numerics.rotate import Interpolation

_ROWS, _COLUMNS, _LENGTH = 256, 512, 2048  # of the matrix product
_BOX, _POINTS, _VOLUMES = 48, 50_000, 8


@dataclass(frozen=True)
class Rates:
    """Seconds or counts of one thread.

    Attributes
    ----------
    product : float
        Floating-point operations per second of a float32 matrix product.
    transform : float
        Seconds per voxel of the padded box for its Fourier transform.
    points : float
        Seconds per point for setting up the interpolation at it.
    values : float
        Seconds per point and volume for interpolating a complex volume there.
    device_product : float
        As `product`, on a GPU.
    measured : bool
        False for the defaults.
    """

    product: float = 1e11
    transform: float = 3.5e-9
    points: float = 5e-8
    values: float = 4.5e-9
    device_product: float = 8e12
    measured: bool = False


DEFAULT = Rates()


@lru_cache(maxsize=2)
def measure_rates(device: str = "cpu") -> Rates:
    """Measure once in a process. Not for the thread of a window.

    It takes less than half a second on a machine that is not busy, and a second more where loops have yet to be compiled.

    Parameters
    ----------
    device : str
        "cpu", or "cuda:N" to measure matrix products there as well.
    """
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal((n, _LENGTH)).astype(np.float32) for n in (_ROWS, _COLUMNS))
    operations = 2.0 * _ROWS * _COLUMNS * _LENGTH
    grid = PaddedGrid(_BOX)
    volume = rng.standard_normal((_BOX,) * 3).astype(np.float32)
    points = rng.uniform(-_BOX / 4, _BOX / 4, (_POINTS, 3)).astype(np.float32)
    columns = np.repeat(grid.transform(volume).reshape(-1, 1), _VOLUMES, axis=1)
    column, interpolation = columns[:, :1].copy(), Interpolation(grid, points)
    with threadpool_limits(limits=1, user_api="blas"):
        product = operations / _shortest(lambda: a @ b.T)
        transform = _shortest(lambda: grid.transform(volume)) / grid.size**3
        setup = _shortest(lambda: Interpolation(grid, points)) / _POINTS
        single, several = (_shortest(partial(interpolation.gather, given)) / _POINTS for given in (column, columns))
        values = max(several - single, 0.0) / (_VOLUMES - 1)
        setup += max(single - values, 0.0)
    device_product = DEFAULT.device_product if device == "cpu" else _device_product(device)
    return Rates(product, transform, setup, values, device_product, True)


def _device_product(device: str) -> float:
    """Operations per second of a matrix product on a GPU, the result fetched."""
    with device_context(device):
        a = to_device(np.ones((4096, 4096), np.float32), device)
        xp = namespace(a)
        return 2 * 4096.0**3 / _shortest(lambda: to_host(xp.sum(a @ a)))


def _shortest(work: Callable[[], object], least: float = 0.04) -> float:
    """Shortest time of a call in s: other programs can only make it longer. Repeats for about `least` s, at least three times."""
    best, begun, number = np.inf, time.perf_counter(), 0
    while number < 3 or time.perf_counter() - begun < least:
        before = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - before)
        number += 1
    return float(best)
