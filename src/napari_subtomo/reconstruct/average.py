"""Sum posed subtomograms block by block, in threads or on a GPU, with the same result for any number of threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.subtomograms import SubtomogramSource
from napari_subtomo.errors import GeometryError
from napari_subtomo.numerics.backend import device_context, namespace, to_device
from napari_subtomo.numerics.fourier import resize_centred
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Reporter, Silent
from napari_subtomo.reconstruct.gridded import EDGE_PX, taper
from napari_subtomo.reconstruct.sums import FourierSums, Lattice, insert

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_POINTS_PER_BLOCK = 2_000_000  # interpolation takes 64 bytes a point


def average(
    source: SubtomogramSource,
    angles: npt.ArrayLike,
    shifts_px: npt.ArrayLike,
    halves: npt.ArrayLike,
    *,
    device: str = "cpu",
    threads: int = 1,
    reporter: Reporter | None = None,
) -> dict[int, FourierSums]:
    """Fourier sums of the particles of each half.

    Parameters
    ----------
    source : SubtomogramSource
    angles : array_like, shape (n, 3, 3)
        A, reference -> subtomogram frame.
    shifts_px : array_like, shape (n, 3)
        xyz shift in voxels that brings each particle to the centre of its box (RELION's origin / voxel size).
    halves : array_like, shape (n,)
        Any numbers; particles with equal ones are summed together.
    device : str
        "cpu" or "cuda:N".
    threads : int
        Blocks of particles that are worked on at once; on a GPU one is enough.
    reporter : Reporter, optional

    Returns
    -------
    dict of int to FourierSums
        By number of the half.
    """
    reporter = reporter or Silent()
    angles, shifts_px, halves = np.asarray(angles, float), np.asarray(shifts_px, float), np.asarray(halves, np.int64)
    if len(angles) != source.n or len(shifts_px) != source.n or len(halves) != source.n:
        raise GeometryError(f"Expected a pose and a half for each of {source.n} particles, found {len(angles)}, {len(halves)}.")
    grid, lattice = PaddedGrid(source.box), Lattice(source.box)
    size = int(np.clip(_POINTS_PER_BLOCK // max(len(lattice.k), 1), 1, 16))
    blocks = [ids[i : i + size] for h in np.unique(halves) for ids in [np.flatnonzero(halves == h)] for i in range(0, len(ids), size)]

    def work(ids: IntArray) -> tuple[IntArray, Any, Any]:
        block = source.block(ids)
        with device_context(device):
            arrays = (to_device(a, device) for a in (block.data, block.weights, angles[ids], shifts_px[ids]))
            return ids, *insert(lattice, grid, *arrays)

    sums: dict[int, FourierSums] = {}
    reporter.stage("averaging", source.n, "particles")
    with device_context(device):
        for ids, numerator, denominator in in_order(work, blocks, threads):
            half = int(halves[ids[0]])
            if half not in sums:
                sums[half] = FourierSums.zero(grid, namespace(numerator))
            sums[half].add(numerator, denominator, len(ids))
            reporter.advance(len(ids))
    return sums


def in_order(function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int) -> Iterator[_Result]:
    """Results of `function` in the order of `items`, computed in threads; at most `threads` + 1 results wait at a time."""
    if threads <= 1:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[_Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def backprojection_envelope(n: int) -> npt.NDArray[np.float32]:
    """The sinc² that trilinear insertion of tilt images into the Fourier grid of a box of `n` voxels leaves over it; shape (n, n, n)."""
    line = np.sinc((np.arange(n) - n // 2) / n) ** 2
    return (line[:, None, None] * line[None, :, None] * line[None, None, :]).astype(np.float32)


def crop(volume: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    """Centre of a map, softly cut to its sphere over 10 px (three eighths of a small box), its mean within set to 0, as RELION crops.

    Parameters
    ----------
    volume : ndarray, shape (n, n, n)
    size : int
        New box, at most n.

    Raises
    ------
    GeometryError
        `size` is larger than the box.
    """
    if size > volume.shape[0]:
        raise GeometryError(f"Expected a cropped box of at most {volume.shape[0]} px, the box of the particles, found {size}.")
    if size == volume.shape[0]:
        return volume
    return taper(resize_centred(volume, size), min(EDGE_PX, 0.375 * size))
