"""Particles turned into given frames: one after the other on each thread of the processor, or many at once on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.basis import phases
from napari_subtomo.em.remembered import Load, Statistics3D, in_real_space, point_spread
from napari_subtomo.em.threads import ahead
from napari_subtomo.geometry.frames import reverse_axes
from napari_subtomo.numerics.backend import device_context, free_bytes, namespace, release_memory, to_device
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.numerics.rotate import Interpolation, sample
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]

ROOM, MOST_BYTES = 0.4, 4e9  # share of the free memory of a GPU for particles that are turned at once, and the most they take
NODE_BYTES, POINT_BYTES = 64, 250  # of a particle, for each node of the grid, or voxel of the box, and each voxel of the lattice

Put = Callable[[slice, Any, Any, Any], None]


def resample(
    particle: Statistics3D, grid: PaddedGrid, k: npt.NDArray[np.float32], frame: FloatArray, offset_px: FloatArray, mask: Any = None
) -> tuple[Any, Any, Any]:
    """Data and weights of one particle in a turned frame: G(k) = X(R k) e^{+2πi R k·t/n} and H(k) = W(R k).

    Parameters
    ----------
    particle : Statistics3D
    grid : PaddedGrid
    k : ndarray, shape (V, 3)
        Lattice, (x, y, z).
    frame : ndarray, shape (3, 3)
        R.
    offset_px : ndarray, shape (3,)
        t: where the particle sits relative to the box centre, (x, y, z) pixels of the subtomogram.
    mask : ndarray, shape (n, n, n), optional
        About the box centre; shifted by the offset and multiplied to the data for a second, masked G.

    Returns
    -------
    G, GE, H : ndarrays, shape (V,)
        GE is G when there is no mask. H is interpolated with the kernel of the data and clipped at 0.
    """
    return in_frame(grid, transforms(particle, grid, offset_px, mask), k, frame, offset_px)


def transforms(particle: Statistics3D, grid: PaddedGrid, offset_px: FloatArray, mask: Any = None) -> list[Any]:
    """Of a particle's data, of its weights in real space, and of its masked data where there is a mask; arguments as of `resample`."""
    found = [grid.transform(particle.data), grid.even_transform(point_spread(particle))]
    if mask is not None:
        found.append(grid.transform(particle.data * _about(mask, offset_px)))
    return found


def _about(mask: Any, offset_px: FloatArray) -> Any:
    """A mask (n, n, n) about where the particle is thought to be, (x, y, z) pixels from the centre, to the nearest voxel as RELION does."""
    steps = tuple(int(step) for step in reverse_axes(np.round(offset_px)))
    return namespace(mask).roll(mask, steps, axis=(0, 1, 2))


def in_frame(
    grid: PaddedGrid, of_particle: Sequence[Any], k: npt.NDArray[np.float32], frame: FloatArray, offset_px: FloatArray
) -> tuple[Any, Any, Any]:
    """Data and weights in a frame, from `transforms` of a particle; other arguments and results as of `resample`."""
    points = (k @ frame.T).astype(np.float32)
    data, weights, *masked = sample(grid, of_particle, points)
    turn = phases(offset_px[None], points, grid.n)[0]
    g = data * turn
    return g, masked[0] * turn if masked else g, np.maximum(weights, 0)


def turned(
    load: Load,
    frames: FloatArray,
    offsets_px: FloatArray,
    grid: PaddedGrid,
    k: npt.NDArray[np.float32],
    put: Put,
    device: str,
    threads: int,
    reporter: Reporter,
    mask: npt.NDArray[np.float32] | None = None,
) -> None:
    """Turn all particles, and hand their values over.

    Parameters
    ----------
    load : callable
        Particle by row.
    frames, offsets_px : ndarray, shape (n, 3, 3) and (n, 3)
        R and t of `resample`, (x, y, z), pixels.
    grid : PaddedGrid
    k : ndarray, shape (V, 3)
        Lattice, (x, y, z).
    put : callable
        Takes consecutive rows and their G, GE and H, shape (rows, V), on the host or the device; from several threads where they are
        turned on the host. What it has taken may come again.
    device : str
        On which they are turned; those for which its memory is too small are turned on the processor.
    threads : int
        That turn particles, or read them for a GPU.
    reporter : Reporter
        Is told of each particle.
    mask : ndarray, shape (n, n, n), optional
        As in `resample`.
    """
    first = 0
    if device != "cpu":
        lattice, region = to_device(k, device), None if mask is None else to_device(mask, device)

        def several(particles: Sequence[Statistics3D], rows: slice) -> None:
            put(rows, *resample_many(particles, grid, lattice, frames[rows], offsets_px[rows], region))

        each = NODE_BYTES * max(grid.nodes, grid.n**3) + POINT_BYTES * len(k)
        first = _in_batches(load, len(frames), each, several, device, threads, reporter)

    def one(i: int) -> None:
        put(slice(i, i + 1), *(values[None] for values in resample(load(i), grid, k, frames[i], offsets_px[i], mask)))

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(one, range(first, len(frames))):
            reporter.advance()


def _in_batches(
    load: Load,
    count: int,
    bytes_each: float,
    several: Callable[[Sequence[Statistics3D], slice], None],
    device: str,
    threads: int,
    reporter: Reporter,
) -> int:
    """Hand particles over with their rows, as many at once as a GPU has room for; how many were, if there is no room for one more."""
    release_memory(device)
    size, done = max(1, min(count, int(min(ROOM * free_bytes(device), MOST_BYTES) / bytes_each))), 0
    waiting: list[Statistics3D] = []
    loaded = ahead(load, range(count), threads)
    with device_context(device):
        while done < count:
            waiting += islice(loaded, max(0, size - len(waiting)))
            some, rows = waiting[:size], slice(done, min(done + size, count))
            try:
                several(some, rows)
            except MemoryError:  # CuPy's too
                release_memory(device)
                if size == 1:
                    break
                size = -(-size // 2)
                continue
            waiting, done = waiting[size:], rows.stop
            reporter.advance(len(some))
    release_memory(device)
    return done


def resample_many(
    particles: Sequence[Statistics3D], grid: PaddedGrid, k: Any, frames: FloatArray, offsets_px: FloatArray, mask: Any = None
) -> tuple[Any, Any, Any]:
    """`resample` of m particles at once, in as few calls as a GPU wants.

    Parameters
    ----------
    particles : sequence of Statistics3D
    grid : PaddedGrid
    k : array, shape (V, 3)
        Lattice, (x, y, z), on the device.
    frames, offsets_px : ndarray, shape (m, 3, 3) and (m, 3)
        R and t of `resample`, (x, y, z), pixels.
    mask : array, shape (n, n, n), optional
        On the device.

    Returns
    -------
    G, GE, H : arrays, shape (m, V)
        On the device.
    """
    xp, n, m = namespace(k), grid.n, len(particles)
    points = (k[None] @ xp.asarray(frames.transpose(0, 2, 1))).astype(xp.float32)
    data = xp.asarray(np.stack([particle.data for particle in particles]))
    spread = in_real_space(xp.asarray(np.stack([particle.weights for particle in particles])))
    volumes = [data] if mask is None else [data, data * xp.stack([_about(mask, offset) for offset in offsets_px])]
    columns = xp.stack([grid.transform(volume).reshape(-1) for volume in volumes], axis=1)
    of_weights = grid.even_transform(spread).reshape(-1, 1)
    interpolation = Interpolation(grid, points.reshape(-1, 3), m)
    values = interpolation.gather(columns).reshape(m, len(k), -1)
    weights = interpolation.gather(of_weights).reshape(m, len(k))
    turns = (points @ xp.asarray(offsets_px.astype(np.float32))[:, :, None])[:, :, 0]
    phase = xp.exp(2j * np.pi * turns / n).astype(xp.complex64)
    g = values[:, :, 0] * phase
    return g, (g if mask is None else values[:, :, 1] * phase), xp.maximum(weights, 0)
