"""Particles in real space that stay in memory once they were read, as many as there is room for: each iteration turns them anew."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import fft_module, namespace

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
    """A particle whose weights are kept as their point spread function.

    Attributes
    ----------
    data, point_spread : ndarray, shape (n, n, n), (z, y, x)
        Origin at n // 2.
    """

    data: Volume
    point_spread: Volume

    @property
    def weights(self) -> Volume:
        """Σ CTF², FFTW half layout, shape (n, n, n // 2 + 1)."""
        values: Volume = np.asarray(fft_module(np).rfftn(np.fft.ifftshift(self.point_spread)).real, np.float32)
        return values

    @property
    def multiplicity(self) -> None:
        """Not kept: weights have been changed as options ask for it."""


def point_spread(particle: Statistics3D) -> Volume:
    """Weights of a particle in real space, shape (n, n, n), (z, y, x), origin at n // 2."""
    if isinstance(particle, Remembered):
        return particle.point_spread
    values: Volume = in_real_space(particle.weights)
    return values


def in_real_space(weights: Any) -> Any:
    """Point spread functions of weights.

    Parameters
    ----------
    weights : array, shape (..., n, n, n // 2 + 1)
        Σ CTF², FFTW half layout.

    Returns
    -------
    float32 array, shape (..., n, n, n), (z, y, x)
        Origin at n // 2.
    """
    xp, n, axes = namespace(weights), weights.shape[-2], (-3, -2, -1)
    return xp.fft.fftshift(fft_module(xp).irfftn(weights, s=(n, n, n), axes=axes), axes=axes).astype(xp.float32)


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
        self._kept[i] = kept = Remembered(np.ascontiguousarray(particle.data), point_spread(particle))
        return kept


def bytes_of(box: int) -> float:
    """Of a particle that is kept, in a box of so many pixels."""
    return 8.0 * box**3
