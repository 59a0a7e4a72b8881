"""Subtomograms: a particle's premultiplied data and weights, and a source that hands them out in blocks.

The two arrays are the sufficient statistics of a particle: with `X` the transform of the data and `W` the weights, the mean of
`X(k)` is ``W(k)·F(k)`` for a particle with transform `F`, and its noise variance is ``σ²(shell)·W(k)``. They are never divided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import GeometryError

FloatVolume = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Subtomogram:
    """One particle.

    Attributes
    ----------
    data : ndarray, shape (n, n, n), float32
        Σ CTF·image (or m·C·crop) in real space, bright protein, origin at index n // 2.
    weights : ndarray, shape (n, n, n // 2 + 1), float32
        Σ CTF² (or m·C²) per Fourier voxel in FFTW's half layout: DC at [0, 0, 0], y and z wrap.
    multiplicity : ndarray, shape (n, n, n // 2 + 1), float32, or None
        Number of tilt images that reach each Fourier voxel, same layout; None where the files don't say.
    """

    data: FloatVolume
    weights: FloatVolume
    multiplicity: FloatVolume | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that do not fit together."""
        n = self.data.shape[0]
        half = (n, n, n // 2 + 1)
        if self.data.shape != (n, n, n) or any(a is not None and a.shape != half for a in (self.weights, self.multiplicity)):
            raise GeometryError(f"Expected a cube and weights of shape {half}, found shapes {self.data.shape} and {self.weights.shape}.")

    @property
    def box(self) -> int:
        """Edge of the volume in voxels."""
        return int(self.data.shape[0])


@dataclass(frozen=True)
class SubtomogramBlock:
    """Some particles at once.

    Attributes
    ----------
    ids : ndarray, shape (m,)
        Rows of the particle set.
    data : ndarray, shape (m, n, n, n), float32
        As in `Subtomogram`.
    weights : ndarray, shape (m, n, n, n // 2 + 1), float32
        As in `Subtomogram`.
    """

    ids: IntArray
    data: FloatVolume
    weights: FloatVolume


class SubtomogramSource(Protocol):
    """Where particles come from: read-only, without open files, so that it can travel to another process."""

    @property
    def n(self) -> int:
        """Number of particles."""

    @property
    def box(self) -> int:
        """Edge of every volume in voxels."""

    @property
    def pixel_size(self) -> float:
        """Voxel in Å."""

    @property
    def half_sets(self) -> IntArray:
        """Half set 1 or 2 of each particle, 0 for none; shape (n,)."""

    @property
    def optics_groups(self) -> IntArray:
        """Optics group number of each particle, shape (n,)."""

    @property
    def tomograms(self) -> IntArray:
        """Index of each particle's tomogram in `tomogram_names`, shape (n,)."""

    @property
    def tomogram_names(self) -> tuple[str, ...]:
        """Names of the tomograms, each once, in the order of their first particle."""

    def read(self, particle: int) -> Subtomogram:
        """One particle."""

    def block(self, ids: npt.ArrayLike) -> SubtomogramBlock:
        """The particles `ids` (m,), in that order."""


@dataclass(frozen=True)
class SubtomogramLabels:
    """What a source says of each particle besides its volumes; the attributes of `SubtomogramSource` of these names."""

    half_sets: IntArray
    optics_groups: IntArray
    tomograms: IntArray
    tomogram_names: tuple[str, ...]

    @classmethod
    def of(cls, tomogram_of_particle: Sequence[str], half_sets: npt.ArrayLike, optics_groups: npt.ArrayLike) -> SubtomogramLabels:
        """Labels of particles with these tomogram names, half sets (n,) and optics groups (n,)."""
        names = tuple(dict.fromkeys(tomogram_of_particle))
        number = {name: i for i, name in enumerate(names)}
        index = np.array([number[name] for name in tomogram_of_particle], dtype=np.int64)
        return cls(np.asarray(half_sets, np.int64), np.asarray(optics_groups, np.int64), index, names)


class Labelled:
    """The part of a `SubtomogramSource` that its labels answer."""

    labels: SubtomogramLabels

    @property
    def half_sets(self) -> IntArray:
        """Half set 1 or 2 of each particle, 0 for none; shape (n,)."""
        return self.labels.half_sets

    @property
    def optics_groups(self) -> IntArray:
        """Optics group number of each particle, shape (n,)."""
        return self.labels.optics_groups

    @property
    def tomograms(self) -> IntArray:
        """Index of each particle's tomogram in `tomogram_names`, shape (n,)."""
        return self.labels.tomograms

    @property
    def tomogram_names(self) -> tuple[str, ...]:
        """Names of the tomograms, each once, in the order of their first particle."""
        return self.labels.tomogram_names


@dataclass(frozen=True)
class StoredSubtomograms(Labelled):
    """A source that holds all volumes in memory: simulations, tests, small sets.

    Attributes
    ----------
    data : ndarray, shape (n, box, box, box), float32
    weights : ndarray, shape (n, box, box, box // 2 + 1), float32
    pixel_size : float
        Å.
    labels : SubtomogramLabels
    """

    data: FloatVolume
    weights: FloatVolume
    pixel_size: float
    labels: SubtomogramLabels

    @classmethod
    def of(cls, data: npt.ArrayLike, weights: npt.ArrayLike, pixel_size: float) -> StoredSubtomograms:
        """Particles of one tomogram and optics group without half sets."""
        data, weights = np.asarray(data, np.float32), np.asarray(weights, np.float32)
        n = len(data)
        return cls(data, weights, pixel_size, SubtomogramLabels.of(["tomogram"] * n, np.zeros(n), np.ones(n)))

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self.data)

    @property
    def box(self) -> int:
        """Edge of every volume in voxels."""
        return int(self.data.shape[-1])

    def read(self, particle: int) -> Subtomogram:
        """One particle."""
        return Subtomogram(self.data[particle], self.weights[particle])

    def block(self, ids: npt.ArrayLike) -> SubtomogramBlock:
        """The particles `ids` (m,), in that order."""
        rows = np.asarray(ids, np.int64)
        return SubtomogramBlock(rows, self.data[rows], self.weights[rows])
