"""Fourier values of particles on disk, in float16: rows and prefixes of rows are read when they are asked for.

A row is one particle, its voxels ordered by shell, so that the shells of an iteration are one piece of the file. Files are read, not
memory-mapped: pages of a mapping count as memory of the program, and a disk that fails would end it without a sentence.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.lattice import Lattice
from napari_subtomo.errors import InputError

_PEAK = 2.0**14  # largest stored number of a shell: far below 65504, and what is 2^28 times smaller is still a normal number


class Rows(Protocol):
    """What the engine asks of the values of all particles, wherever they are: shape (n, V), rows and prefixes by index."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, V)."""

    def __len__(self) -> int:
        """n."""

    def __getitem__(self, key: Any, /) -> Any:
        """Arrays in memory."""


class StreamedRows:
    """Rows (n, V) of complex64 or float32 kept as float16 in a file, each shell of each row with a scale of its own.

    Threads may read and write at once; so may other processes (a pickle names the file).

    Parameters
    ----------
    path : Path
        Made; its folder has to be there.
    count : int
        n.
    lattice : Lattice
        V voxels and their shells.
    dtype : numpy type
        complex64 or float32.

    Raises
    ------
    InputError
        The file cannot be made, or the disk is full.
    """

    def __init__(self, path: Path, count: int, lattice: Lattice, dtype: type[np.complex64] | type[np.float32]) -> None:
        self.path, self.shape, self.dtype = path, (count, len(lattice)), np.dtype(dtype)
        self._numbers = 2 if self.dtype.kind == "c" else 1
        self._starts = np.searchsorted(lattice.shell, np.arange(lattice.last_shell + 1))
        self._shell = lattice.shell.astype(np.int32)
        self._scales = np.zeros((count, lattice.last_shell + 1), np.float32)
        try:
            with path.open("wb") as file:
                _reserve(file, count * self.row_bytes)
        except OSError as error:
            raise unwritable(path.parent, count * self.row_bytes, error) from error

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in the file."""
        return 2 * self._numbers * self.shape[1]

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def put(self, row: int, values: npt.NDArray[Any]) -> None:
        """Write a row, shape (V,)."""
        numbers = np.ascontiguousarray(values, self.dtype).view(np.float32).reshape(-1, self._numbers)
        largest = np.maximum.reduceat(np.abs(numbers).max(axis=1), self._starts)
        scale = np.where(largest > 0, largest / _PEAK, 1).astype(np.float32)
        self._scales[row] = scale
        stored = (numbers / scale[self._shell][:, None]).astype(np.float16)
        try:
            with self.path.open("r+b") as file:
                file.seek(row * self.row_bytes)
                file.write(stored.tobytes())
        except OSError as error:
            raise unwritable(self.path.parent, len(self) * self.row_bytes, error) from error

    def __getitem__(self, key: Any, /) -> npt.NDArray[Any]:
        """Values of rows, or of some voxels of rows, as of an array of shape (n, V): `[i]`, `[ids]`, `[i, start:stop]`, `[i, voxels]` …"""
        rows, columns = key if isinstance(key, tuple) else (key, slice(None))
        which = np.arange(len(self))[rows]
        if isinstance(columns, slice):
            start, stop, step = columns.indices(self.shape[1])
            if step != 1:
                raise IndexError("Expected a range of voxels without a step.")
            return self._read(which, start, max(start, stop))
        columns = np.arange(self.shape[1])[columns]
        found = self._read(which, 0, int(columns.max(initial=-1)) + 1)
        return found[..., columns]

    def _read(self, which: Any, start: int, stop: int) -> npt.NDArray[Any]:
        """Voxels from `start` to before `stop` of a row (shape ()) or of rows (shape (m,))."""
        many = np.atleast_1d(which)
        found = np.empty((len(many), stop - start, self._numbers), np.float32)
        buffer = np.empty((stop - start, self._numbers), np.float16)
        shell, view = self._shell[start:stop], buffer.view(np.uint8).reshape(-1).data
        with self.path.open("rb", buffering=0) as file:
            for place, row in enumerate(many.tolist()):
                file.seek(row * self.row_bytes + 2 * self._numbers * start)
                if file.readinto(view) != buffer.nbytes:
                    raise InputError(f"The scratch file {self.path} is cut off; leave scratch files alone while a job runs.")
                np.multiply(buffer, self._scales[row][shell][:, None], out=found[place], dtype=np.float32)
        values = found.view(np.complex64)[..., 0] if self._numbers == 2 else found[..., 0]
        return values.reshape((*np.shape(which), stop - start))


class ChosenRows:
    """Some rows of others, in an order of their own; nothing is copied.

    Parameters
    ----------
    rows : Rows
    ids : ndarray of int, shape (m,)
    """

    def __init__(self, rows: Rows, ids: npt.NDArray[np.int64]) -> None:
        self._rows, self._ids = rows, ids
        self.shape = (len(ids), *rows.shape[1:])

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._ids)

    def __getitem__(self, key: Any, /) -> Any:
        """As of an array of shape (m, V)."""
        if isinstance(key, tuple):
            return self._rows[(self._ids[key[0]], *key[1:])]
        return self._rows[self._ids[key]]


def make_rows(folder: Path, names: Sequence[str], count: int, lattice: Lattice) -> list[StreamedRows]:
    """Files for the values of particles; a name that begins with "H" is real, others are complex.

    Raises
    ------
    InputError
        The folder cannot be made or has too little room.
    """
    needed = sum(streamed_bytes(count, len(lattice), name.startswith("H")) for name in names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise unwritable(folder, needed, error) from error
    if needed > free:
        raise unwritable(folder, needed)
    return [StreamedRows(folder / f"{name}.f16", count, lattice, np.float32 if name.startswith("H") else np.complex64) for name in names]


def streamed_bytes(count: int, voxels: int, real: bool) -> int:
    """Size of a file of `StreamedRows`."""
    return (2 if real else 4) * count * voxels


def unwritable(folder: Path, needed: int, error: OSError | None = None) -> InputError:
    """What to say when particles cannot be put on a disk."""
    why = f"{error.strerror or error}" if error is not None else f"only {shutil.disk_usage(folder).free / 1e9:.1f} GB are free"
    return InputError(
        f"Expected room for {max(needed, 1e8) / 1e9:.1f} GB of particles in {folder}, found: {why}; "
        "name another place with --scratch-dir, or keep particles in memory with --preread yes."
    )


def _reserve(file: BinaryIO, size: int) -> None:
    """Take the space now, where the system can: a disk that fills up later is no surprise then."""
    if hasattr(os, "posix_fallocate") and size:
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        file.truncate(size)
