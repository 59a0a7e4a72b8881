"""The particles that are looked at, at a coarse pixel and in two frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.subtomograms import SubtomogramSource
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Reporter
from napari_subtomo.reconstruct.average import in_order
from napari_subtomo.reconstruct.sums import Lattice, insert

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ComplexArray = npt.NDArray[np.complex64]
COARSE = 32  # voxels that an extracted box is reduced to: of a box of 1.5 diameters each is a twentieth of the particle


def choose_rows(tomograms: npt.ArrayLike, count: int) -> IntArray:
    """Rows of the first particles of each tomogram, as equally many of each as there are, at most `count`, in the order of the file."""
    names = np.asarray(tomograms, dtype=object)
    turn = np.zeros(len(names), np.int64)  # how many of its tomogram come before a particle
    for name in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == name)
        turn[rows] = np.arange(len(rows))
    return np.sort(np.argsort(turn, kind="stable")[:count]).astype(np.int64)


def crop_half(half: npt.NDArray[np.generic], n: int) -> npt.NDArray[np.generic]:
    """The central n Fourier pixels (even) of an array in FFTW's half layout."""
    size = half.shape[0]
    keep = np.r_[0 : n // 2, size - n // 2 : size]
    cropped: npt.NDArray[np.generic] = half[np.ix_(keep, keep, np.arange(n // 2 + 1))]
    return cropped


@dataclass(frozen=True, eq=False)
class Frame:
    """Transforms of all particles on one lattice, in one frame.

    Attributes
    ----------
    n : int
        Voxels of the box.
    values : ndarray, shape (particles, n·n·(n // 2 + 1)), complex64
        Premultiplied data in FFTW's half layout.
    weights : ndarray, shape (n·n·(n // 2 + 1),)
        Sum of the weights of all particles.
    """

    n: int
    values: ComplexArray
    weights: FloatArray

    @cached_property
    def shell(self) -> IntArray:
        """Shell of each value."""
        wrapped, x = np.fft.fftfreq(self.n, 1 / self.n), np.arange(self.n // 2 + 1.0)
        radius = np.sqrt(wrapped[:, None, None] ** 2 + wrapped[None, :, None] ** 2 + x[None, None, :] ** 2)
        number: IntArray = np.floor(radius + 0.5).astype(np.int64).ravel()
        return number

    @cached_property
    def noise(self) -> FloatArray:
        """Power of one particle's data by shell per unit of weight: of its noise, which is most of it."""
        last = self.n // 2 + 2
        shell = np.minimum(self.shell, last - 1)
        power = np.zeros(last)
        for row in self.values:
            power += np.bincount(shell, np.abs(row).astype(np.float64) ** 2, last)
        weight = np.bincount(shell, self.weights, last)
        return np.where(weight > 0, power / np.maximum(weight, 1e-30), 0.0)

    def band(self, first: int, last: int) -> IntArray:
        """Where shells `first` to `last` are and something was measured."""
        floor = 1e-3 * self.weights.max()
        return np.flatnonzero((self.shell >= first) & (self.shell <= last) & (self.weights > floor)).astype(np.int64)

    def whitened(self, where: IntArray) -> ComplexArray:
        """Values at `where` divided by the standard deviation that noise of all particles has there."""
        scale = np.sqrt(np.maximum(self.noise[self.shell[where]], 1e-30) * self.weights[where])
        return np.asarray(self.values[:, where] / scale, dtype=np.complex64)


@dataclass(frozen=True, eq=False)
class Sample:
    """Particles at a coarse pixel.

    Attributes
    ----------
    particles : ParticleSet
        Those that are looked at.
    box, pixel_size : int, float
        Of the files, px and Å.
    reference, tomogram : Frame
        As the orientations say, and along the axes of the tomograms; offsets are applied in both.
    tomograms : ndarray of int, shape (n,)
        Index in `tomogram_names`.
    """

    particles: ParticleSet
    box: int
    pixel_size: float
    reference: Frame
    tomogram: Frame
    tomograms: IntArray
    tomogram_names: tuple[str, ...]

    @property
    def n(self) -> int:
        """Number of particles."""
        return self.particles.n

    @property
    def voxel_size(self) -> float:
        """Å a coarse voxel."""
        return self.extent / self.reference.n

    @property
    def extent(self) -> float:
        """Edge of the box in Å."""
        return self.box * self.pixel_size


def read_sample(source: SubtomogramSource, particles: ParticleSet, threads: int, reporter: Reporter) -> Sample:
    """Read the particles of a source, reduce them, and turn each into both frames.

    Parameters
    ----------
    source : SubtomogramSource
        Of `particles`, in their order.
    particles : ParticleSet
    threads : int
    reporter : Reporter
    """
    n = min(COARSE, source.box - source.box % 2)
    grid, lattice = PaddedGrid(n, 1), Lattice(n)
    frames, angles, origins = particles.frames, particles.angles, particles.origins / source.pixel_size
    scale = n / source.box

    def work(row: int) -> tuple[list[ComplexArray], list[FloatArray]]:
        one = source.read(row)
        half = crop_half(np.fft.rfftn(np.fft.ifftshift(one.data)), n)
        data = np.fft.fftshift(np.fft.irfftn(half, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
        weights = np.asarray(crop_half(one.weights, n), np.float32)
        values, sums = [], []
        for matrix in (angles[row], frames[row].T):
            found = insert(lattice, grid, data[None], weights[None], matrix[None], origins[row][None] * scale)
            total, weight = (grid.symmetrise(part.reshape(grid.shape)) for part in found)
            values.append(total.ravel().astype(np.complex64))
            sums.append(np.maximum(weight.ravel().astype(np.float64), 0))
        return values, sums

    reporter.stage("reading particles", source.n, "particles")
    both: tuple[list[ComplexArray], ...] = ([], [])
    total = [np.zeros(grid.nodes), np.zeros(grid.nodes)]
    for values, weights in in_order(work, range(source.n), threads):
        for place in (0, 1):
            both[place].append(values[place])
            total[place] += weights[place]
        reporter.advance()
    reference, tomogram = (Frame(n, np.stack(both[place]), total[place]) for place in (0, 1))
    return Sample(particles, source.box, source.pixel_size, reference, tomogram, source.tomograms, source.tomogram_names)
