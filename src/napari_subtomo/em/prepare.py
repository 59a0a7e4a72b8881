"""Particles as the engine wants them: data and weights resampled once, each in its own prior frame, on the shared lattice."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.streamed import ChosenRows, Rows, make_rows
from napari_subtomo.geometry.frames import reverse_axes
from napari_subtomo.numerics.backend import fft_module
from napari_subtomo.numerics.rotate import Interpolation, PaddedGrid
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]


class Statistics3D(Protocol):
    """What the engine reads of one particle (see `data.subtomograms.Subtomogram`)."""

    @property
    def data(self) -> npt.NDArray[np.float32]:
        """Premultiplied data, real space, shape (n, n, n), origin at n // 2."""

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """Σ CTF², FFTW half layout, shape (n, n, n // 2 + 1)."""

    @property
    def multiplicity(self) -> npt.NDArray[np.float32] | None:
        """Number of tilts, same layout, where known."""


Load = Callable[[int], Statistics3D]


@dataclass(frozen=True)
class Prepared:
    """Premultiplied data and weights of all particles on a lattice, in each particle's frame.

    Attributes
    ----------
    lattice : Lattice
    G : Rows, shape (n, V), complex64
        Data X(R_p k), with the input offset taken out; for the M-step. An array, or rows that are read from disk when they are indexed.
    GE : Rows, shape (n, V), complex64
        The same from masked particles, for the E-step; `G` itself when particles are not masked.
    H : Rows, shape (n, V), float32
        Weights W(R_p k) >= 0.
    """

    lattice: Lattice
    G: Rows = field(repr=False)
    GE: Rows = field(repr=False)
    H: Rows = field(repr=False)

    def __len__(self) -> int:
        """Number of particles."""
        return len(self.G)

    def some(self, ids: npt.NDArray[np.int64]) -> Prepared:
        """Some of the particles, shape (m,), without a copy."""
        g = ChosenRows(self.G, ids)
        return Prepared(self.lattice, g, g if self.GE is self.G else ChosenRows(self.GE, ids), ChosenRows(self.H, ids))


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
    n = grid.n
    points = (k @ frame.T).astype(np.float32)
    weights = np.fft.fftshift(fft_module(np).irfftn(particle.weights, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
    volumes = [grid.transform(particle.data), grid.transform(weights)]
    if mask is not None:  # about where the particle is thought to be, as RELION does: to the nearest voxel
        steps = tuple(int(step) for step in reverse_axes(np.round(offset_px)))
        volumes.append(grid.transform(particle.data * np.roll(mask, steps, axis=(0, 1, 2))))
    values = Interpolation(grid, points).gather(np.stack([v.ravel() for v in volumes], axis=1))
    phase = np.exp(2j * np.pi * (points @ offset_px.astype(np.float32)) / n).astype(np.complex64)
    g = values[:, 0] * phase
    return g, (g if mask is None else values[:, 2] * phase), np.maximum(values[:, 1].real, 0)


def prepare(
    load: Load,
    frames: FloatArray,
    offsets_px: FloatArray,
    lattice: Lattice,
    threads: int,
    reporter: Reporter,
    mask: Any = None,
    what: str = "Resample particles",
    folder: Path | None = None,
    into: Prepared | None = None,
) -> Prepared:
    """All particles in their frames, in memory, or in float16 in files of a folder.

    Parameters
    ----------
    load : callable
        Particle by index.
    frames : ndarray, shape (n, 3, 3)
    offsets_px : ndarray, shape (n, 3)
    lattice : Lattice
    threads : int
    reporter : Reporter
    mask : ndarray, optional
        For GE; see `resample`.
    what : str
        Name of the stage.
    folder : Path, optional
        Of the files; it has to be removed by who calls. None: in memory.
    into : Prepared, optional
        The same particles in other frames, which are overwritten where they are: there is room for one copy.

    Raises
    ------
    InputError
        A particle cannot be read, or the folder has too little room.
    """
    grid = PaddedGrid(lattice.n)
    count = len(frames)
    names = ("G", "H") if mask is None else ("G", "H", "GE")
    if into is not None:
        kept: list[Any] = [getattr(into, name) for name in names]
    elif folder is None:
        kept = [np.empty((count, len(lattice)), np.float32 if name == "H" else np.complex64) for name in names]
    else:
        kept = list(make_rows(folder, names, count, lattice))
    puts: list[Callable[[int, Any], None]] = [rows.__setitem__ if isinstance(rows, np.ndarray) else rows.put for rows in kept]
    reporter.stage(what, count, "particles")

    def one(i: int) -> None:
        a, b, c = resample(load(i), grid, lattice.k, frames[i], offsets_px[i], mask)
        for put, values in zip(puts, (a, c, b), strict=False):
            put(i, values)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(one, range(count)):
            reporter.advance()
    return Prepared(lattice, kept[0], kept[-1] if mask is not None else kept[0], kept[1])


def particle_power(prepared: Prepared, optics: npt.NDArray[np.int64]) -> FloatArray:
    """Power of the particles per unit weight, Σ|X|²/ΣW: their noise in shells without signal.

    Parameters
    ----------
    prepared : Prepared
    optics : ndarray, shape (n,)
        Group of each particle.

    Returns
    -------
    ndarray, shape (n optics, S)
    """
    shape = int(optics.max()) + 1, prepared.lattice.last_shell + 1
    starts = np.searchsorted(prepared.lattice.shell, np.arange(shape[1]))
    power, weight = np.zeros(shape), np.zeros(shape)
    for i, group in enumerate(optics):
        g = prepared.GE[i]
        power[group] += np.add.reduceat(g.real**2 + g.imag**2, starts, dtype=np.float64)
        weight[group] += np.add.reduceat(prepared.H[i], starts, dtype=np.float64)
    return np.maximum(power / np.maximum(weight, 1e-30), 1e-30)
