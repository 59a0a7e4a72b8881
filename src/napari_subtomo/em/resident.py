"""Particles that stay on a GPU from one iteration to the next, so that an iteration does not wait for the bus."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.streamed import Rows
from napari_subtomo.numerics.backend import device_context, free_bytes, namespace, release_memory, to_device

IntArray = npt.NDArray[np.int64]

SHARE = 0.5  # of the free memory of a device that particles may take
PIECE_BYTES = 256 * 2**20  # brought over at once


class DeviceRows:
    """The first voxels of rows on a device, shape (n, v); indexed as the rows they are of.

    Parameters
    ----------
    values : array, shape (n, v)
        On the device.
    """

    def __init__(self, values: Any) -> None:
        self._values, self._xp = values, namespace(values)
        self.shape = values.shape

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._values)

    def __getitem__(self, key: Any, /) -> Any:
        """Arrays on the device."""
        if isinstance(key, tuple):
            return self._values[tuple(self._index(part) for part in key)]
        return self._values[self._index(key)]

    def _index(self, part: Any) -> Any:
        return self._xp.asarray(part) if isinstance(part, np.ndarray) else part


@dataclass
class _Copy:
    """What is on a device: which particles of which rows, and how many voxels of each."""

    source: Rows
    ids: IntArray
    prepared: Prepared

    def serves(self, prepared: Prepared, ids: IntArray, voxels: int) -> bool:
        return self.source is prepared.G and np.array_equal(self.ids, ids) and self.prepared.G.shape[1] >= voxels


@dataclass
class Residence:
    """Copies of particles by device; to be cleared when particles are prepared anew."""

    _copies: dict[str, _Copy] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget all copies."""
        self._copies.clear()

    def on(self, device: str, prepared: Prepared, ids: IntArray, voxels: int, at_most: int) -> Prepared:
        """Some particles, shape (m,), as they are worked with on a device: copies there where they fit, else those of the host.

        Parameters
        ----------
        device : str
            "cpu" or "cuda:N".
        prepared : Prepared
            All particles.
        ids : ndarray, shape (m,)
        voxels : int
            First voxels of the lattice that are needed now.
        at_most : int
            That may be needed later: as many are brought over where there is room, so that it happens once.
        """
        whole = len(ids) == len(prepared) and np.array_equal(ids, np.arange(len(ids)))
        here = prepared if whole else prepared.some(ids)
        if device == "cpu":
            return here
        kept = self._copies.get(device)
        if kept is not None and kept.serves(prepared, ids, voxels):
            return kept.prepared
        self._copies.pop(device, None)
        del kept
        release_memory(device)
        per_voxel = len(ids) * (12 if prepared.GE is prepared.G else 20)
        room = int(SHARE * free_bytes(device)) // max(per_voxel, 1)
        if room < voxels:
            return here
        try:
            copied = _copied(here, min(max(voxels, at_most), room, prepared.G.shape[1]), device)
        except MemoryError:  # CuPy's too: less was free than the driver said
            release_memory(device)
            return here
        self._copies[device] = _Copy(prepared.G, ids.copy(), copied)
        return copied


def _copied(prepared: Prepared, voxels: int, device: str) -> Prepared:
    """The first voxels of particles on a device."""
    with device_context(device):
        g = DeviceRows(_brought(prepared.G, voxels, device, np.complex64))
        ge = g if prepared.GE is prepared.G else DeviceRows(_brought(prepared.GE, voxels, device, np.complex64))
        return Prepared(prepared.lattice, g, ge, DeviceRows(_brought(prepared.H, voxels, device, np.float32)))


def _brought(rows: Rows, voxels: int, device: str, dtype: type) -> Any:
    """Rows on a device, piece by piece: a copy of all of them on the host would take as much again."""
    first = to_device(np.zeros(1, dtype), device)
    values = namespace(first).empty((len(rows), voxels), dtype)
    piece = max(1, PIECE_BYTES // (8 * voxels))
    for start in range(0, len(rows), piece):
        some = np.arange(start, min(start + piece, len(rows)))
        values[start : start + len(some)] = to_device(np.ascontiguousarray(rows[some, :voxels]), device)
    return values
