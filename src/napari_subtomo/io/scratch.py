"""Scratch space: what can be made again, kept in float16 on a fast disk while a job runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.io.project import JobFolder

FloatArray = npt.NDArray[np.float32]

_PEAK = 2.0**14  # largest value of a stored array: far below 65504, and small values stay normal numbers
FREE_SHARE = 0.8  # of the free space may be taken


@contextmanager
def scratch_folder(where: Path | None, folder: JobFolder) -> Iterator[Path]:
    """A folder for temporary files that is gone when the block ends; what a killed job left there is removed first.

    Parameters
    ----------
    where : Path, optional
        A folder on a fast disk; the job's own folder if None.
    folder : JobFolder
        Of the job; two jobs never share scratch files.

    Yields
    ------
    Path
        Not made yet.
    """
    name = f"napari-subtomo-{sha256(str(folder.path.resolve()).encode()).hexdigest()[:12]}"
    path = folder.path / "scratch" if where is None else where / name
    shutil.rmtree(path, ignore_errors=True)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class ScratchFile:
    """Records of equal shape in one file, in the order in which they come; a record that does not fit is not kept.

    Threads may read and write at once. A copy in another process only reads.

    Parameters
    ----------
    path : Path
        Made with the folders above it.
    shapes : sequence of tuple
        Shapes of the arrays of a record.
    wanted : int
        Number of records that would be worth keeping.

    Raises
    ------
    InputError
        The folder cannot be made or written.
    """

    def __init__(self, path: Path, shapes: Sequence[tuple[int, ...]], wanted: int) -> None:
        self.path, self.shapes = path, tuple(shapes)
        self.sizes = tuple(int(np.prod(shape)) for shape in self.shapes)
        self.record_bytes = 4 * len(self.sizes) + 2 * sum(self.sizes)
        self.slots: dict[int, int] = {}
        self._lock: Lock | None = Lock()
        self._taken = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
            self.free = shutil.disk_usage(path.parent).free
        except OSError as error:
            raise InputError(
                f"Cannot write the scratch file {path}: {error.strerror or error}; name another place with --scratch-dir."
            ) from error
        self.room = min(wanted, int(self.free * FREE_SHARE) // self.record_bytes)

    def __getstate__(self) -> dict[str, Any]:
        """Without the lock: only the process that made the file writes."""
        return self.__dict__ | {"_lock": None, "slots": dict(self.slots)}

    def get(self, record: int) -> list[FloatArray] | None:
        """The arrays of a record, or None if it is not there."""
        slot = self.slots.get(record)
        if slot is None:
            return None
        with self.path.open("rb") as file:
            file.seek(slot * self.record_bytes)
            scales = np.frombuffer(file.read(4 * len(self.sizes)), np.float32)
            parts = [np.frombuffer(file.read(2 * size), np.float16) for size in self.sizes]
        return [(part.astype(np.float32) * scale).reshape(s) for part, scale, s in zip(parts, scales, self.shapes, strict=True)]

    def put(self, record: int, arrays: Sequence[FloatArray]) -> bool:
        """Keep a record if there is room; whether it was kept."""
        if self._lock is None:
            return False
        with self._lock:
            if record in self.slots or self._taken >= self.room:
                return record in self.slots
            slot = self._taken
            self._taken += 1
        scales = [float(np.abs(array).max()) / _PEAK or 1.0 for array in arrays]
        stored = [(array / scale).astype(np.float16) for array, scale in zip(arrays, scales, strict=True)]
        try:
            with self.path.open("r+b") as file:
                file.seek(slot * self.record_bytes)
                file.write(b"".join([np.array(scales, np.float32).tobytes(), *(part.tobytes() for part in stored)]))
        except OSError:  # the disk is full after all: what is there stays, the rest is made again when it is needed
            self.room = 0
            return False
        self.slots[record] = slot
        return True
