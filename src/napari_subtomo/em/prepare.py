"""Particles as the engine wants them: data and weights resampled once, each in its own prior frame, on the shared lattice."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.remembered import Load
from napari_subtomo.em.streamed import ChosenRows, Rows, make_rows
from napari_subtomo.em.turning import turned
from napari_subtomo.numerics.backend import to_host
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]


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
    device: str = "cpu",
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
        For GE; see `turning.resample`.
    what : str
        Name of the stage.
    folder : Path, optional
        Of the files; it has to be removed by who calls. None: in memory.
    into : Prepared, optional
        The same particles in other frames, which are overwritten where they are: there is room for one copy.
    device : str
        On which they are turned; they are kept on the host.

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
    reporter.stage(what, count, "particles")

    def put(rows: slice, g: Any, masked: Any, h: Any) -> None:
        for place, values in zip(kept, (g, h, masked), strict=False):
            if isinstance(place, np.ndarray):
                place[rows] = to_host(values)
            else:
                for row, each in zip(range(rows.start, rows.stop), to_host(values), strict=True):
                    place.put(row, each)

    turned(load, frames, offsets_px, grid, lattice.k, put, device, threads, reporter, mask)
    return Prepared(lattice, kept[0], kept[-1] if mask is not None else kept[0], kept[1])


def particle_power(prepared: Prepared, noise: npt.NDArray[np.int64], groups: int) -> FloatArray:
    """Power of the particles per unit weight, Σ|X|²/ΣW: their noise in shells without signal.

    Parameters
    ----------
    prepared : Prepared
    noise : ndarray, shape (n,)
        Noise group of each particle.
    groups : int
        How many there are.

    Returns
    -------
    ndarray, shape (groups, S)
    """
    shape = groups, prepared.lattice.last_shell + 1
    starts = np.searchsorted(prepared.lattice.shell, np.arange(shape[1]))
    power, weight = np.zeros(shape), np.zeros(shape)
    for i, group in enumerate(noise):
        g = prepared.GE[i]
        power[group] += np.add.reduceat(g.real**2 + g.imag**2, starts, dtype=np.float64)
        weight[group] += np.add.reduceat(prepared.H[i], starts, dtype=np.float64)
    return np.maximum(power / np.maximum(weight, 1e-30), 1e-30)
