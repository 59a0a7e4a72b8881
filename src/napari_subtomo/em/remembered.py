"""Particles in real space that stay in memory once they were read, as many as there is room for: each iteration turns them anew."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import fft_module

Volume = npt.NDArray[np.float32]


class Statistics3D(Protocol):
    """What the engine reads of one particle (see `data.subtomograms.Subtomogram`)."""

    @property
    def data(self) -> Volume:
        """Premultiplied data, real space, shape (n, n, n), origin at n // 2."""

    @property
    def weights(self) -> Volume:
        """Σ CTF², FFTW half layout, shape (n, n, n // 2 + 1)."""

    @property
    def multiplicity(self) -> Volume | None:
        """Number of tilts, same layout, where known."""


class Load(Protocol):
    """Reads a particle."""

    def __call__(self, i: int, /) -> Statistics3D:
        """The particle of a row, from 0."""


@dataclass(frozen=True)
class Remembered:
    """A particle whose weights are kept in real space.

    Attributes
    ----------
    data, kernel : ndarray, shape (n, n, n)
        Origin at n // 2.
    """

    data: Volume
    kernel: Volume

    @property
    def weights(self) -> Volume:
        """Σ CTF², FFTW half layout, shape (n, n, n // 2 + 1)."""
        values: Volume = np.asarray(fft_module(np).rfftn(np.fft.ifftshift(self.kernel)).real, np.float32)
        return values

    @property
    def multiplicity(self) -> None:
        """Not kept: weights have been changed as options ask for it."""


def kernel(particle: Statistics3D) -> Volume:
    """Weights of a particle in real space, shape (n, n, n), origin at n // 2."""
    if isinstance(particle, Remembered):
        return particle.kernel
    n = len(particle.data)
    values: Volume = np.fft.fftshift(fft_module(np).irfftn(particle.weights, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
    return values


class Remembering:
    """Reads particles, and keeps those that it has read as long as there is room.

    Parameters
    ----------
    load : Load
    room : float
        Bytes.
    """

    def __init__(self, load: Load, room: float) -> None:
        self._load, self._room, self._lock = load, room, Lock()
        self._kept: dict[int, Remembered] = {}

    def __call__(self, i: int, /) -> Statistics3D:
        """The particle of a row, from 0."""
        found = self._kept.get(i)
        if found is not None:
            return found
        particle = self._load(i)
        needed = bytes_of(len(particle.data))
        with self._lock:
            if needed > self._room:
                return particle
            self._room -= needed
        self._kept[i] = kept = Remembered(np.ascontiguousarray(particle.data), kernel(particle))
        return kept


def bytes_of(box: int) -> float:
    """Of a particle that is kept."""
    return 8.0 * box**3
