"""Insertion of 2D transforms into the Fourier grid of a map, voxel by voxel, as RELION's `Reconstruct particle` does.

Where `numerics.slices` spreads each sample of a slice over voxels, here each voxel less than one voxel away from a slice takes the slice's
value at its foot, interpolated between four samples and weighted with one minus the distance. There is no padding. The sums that RELION
writes (`data_*.mrc`, `weight_*.mrc`) are met to the sixth digit, for which some of its habits are kept: samples count within the Nyquist
circle, voxels up to one Fourier pixel beyond the Nyquist sphere (they matter, because the gridding correction comes before the division by
the weights), a slice has no voxels more than a pixel beyond its highest sample, and beyond its last column a slice is continued by its
mirror image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import GeometryError
from napari_subtomo.numerics.backend import namespace
from napari_subtomo.numerics.rotate import scipy_sparse

_CHUNK = {True: 2**16, False: 2**22}  # voxels worked on at once: what fits into a processor's cache, and what fills a GPU
_STEEP = 1e-9  # a slice whose normal has a smaller x is taken to be parallel to x


@dataclass(eq=False)
class PlaneSums:
    """Sums of slices in the Fourier grid of a map, FFTW's half layout; they add up.

    Attributes
    ----------
    box : int
        Edge of the map and of the slices, even.
    columns : real array, shape (3, box · box · (box // 2 + 1))
        Real and imaginary parts of the sum of values, and the sum of weights.
    """

    box: int
    columns: Any

    @classmethod
    def zero(cls, box: int, xp: Any = np, dtype: npt.DTypeLike = np.float32) -> PlaneSums:
        """Empty sums."""
        if box % 2:
            raise GeometryError(f"Expected an even box, found {box}.")
        return cls(box, xp.zeros((3, box * box * (box // 2 + 1)), dtype))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (box, box, box // 2 + 1) of the sums."""
        return self.box, self.box, self.box // 2 + 1

    @property
    def values(self) -> Any:
        """Sum of values, complex, of `shape`."""
        return (self.columns[0] + 1j * self.columns[1]).reshape(self.shape)

    @property
    def weights(self) -> Any:
        """Sum of weights, real, of `shape`."""
        return self.columns[2].reshape(self.shape)

    def add(self, other: PlaneSums) -> None:
        """Add other sums of the same box to these."""
        self.columns += other.columns

    def insert(self, values: Any, weights: Any, matrices: Any, reach: Any | None = None) -> None:
        """Add slices.

        Parameters
        ----------
        values : complex array, shape (m, box, box // 2 + 1)
            2D transforms in FFTW's half layout, multiplied with CTF and dose weights, the particle at the origin; zero where `weights` are.
        weights : real array of the same shape
            CTF² · dose².
        matrices : ndarray, shape (m, 3, 3)
            Rotations from the map into the images (xyz): x_image = matrix · x_map, its third row is the normal of the slice.
        reach : ndarray of int, shape (m,), optional
            Highest column with a weight on the x axis of each slice, plus one: no voxel farther out gets anything from it.

        Raises
        ------
        GeometryError
            Arrays do not fit together.
        """
        m, half = len(values), (self.box, self.box // 2 + 1)
        if values.shape != (m, *half) or weights.shape != (m, *half) or np.shape(matrices) != (m, 3, 3):
            raise GeometryError(f"Expected slices of shape {(m, *half)}, found {values.shape}, {weights.shape}, {np.shape(matrices)}.")
        xp = namespace(self.columns)
        group = max(1, _CHUNK[xp is np] // self.box**2)
        limits = np.full(m, self.box // 2 + 1) if reach is None else np.minimum(reach, self.box // 2 + 1)
        for start in range(0, m, group):
            part = slice(start, start + group)
            samples = _samples(values[part], weights[part])
            self._insert(samples, xp.asarray(np.asarray(matrices[part], np.float64)), xp.asarray(limits[part].astype(np.int64)))

    def _insert(self, samples: Any, matrices: Any, limits: Any) -> None:
        """Add slices given as rows of samples."""
        xp = namespace(samples)
        plane, x, node, points = _voxels(self.box, matrices, limits)
        if not len(x):
            return
        matrix, mirrored = _interpolation(self.box, plane, points, len(samples))
        found = matrix @ samples
        found[:, 1] *= xp.where(mirrored, xp.float32(-1), xp.float32(1))
        for total, column in zip(self.columns, found.T, strict=True):
            if xp is np:  # of the two ways the one whose time does not grow with the grid
                np.add.at(total, node, np.ascontiguousarray(column, total.dtype))
            else:
                total += xp.bincount(node, column, len(total)).astype(total.dtype)


@lru_cache(maxsize=4)
def _lines(box: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Lines along x that have voxels: their y, z, and node at x = 0."""
    half = box // 2
    k = np.arange(-half, box - half)
    z, y = (a.ravel() for a in np.meshgrid(k, k, indexing="ij"))
    inside = y**2 + z**2 <= (half + 1) ** 2
    y, z = y[inside], z[inside]
    return y.astype(np.float64), z.astype(np.float64), (((z % box) * box + y % box) * (half + 1)).astype(np.int64)


def _voxels(box: int, matrices: Any, limits: Any) -> tuple[Any, Any, Any, tuple[Any, Any, Any]]:
    """The voxels near each slice: number of the slice, x, node, and place in the frame of the slice (x, y, distance)."""
    xp = namespace(matrices)
    y, z, base = (xp.asarray(a) for a in _lines(box))
    offsets = [matrices[:, row, 1, None] * y + matrices[:, row, 2, None] * z for row in range(3)]
    slope = matrices[:, 2, 0]
    slope = xp.where(xp.abs(slope) < _STEEP, _STEEP, slope)[:, None]
    ends = (-1 - offsets[2]) / slope, (1 - offsets[2]) / slope
    farthest = xp.minimum(xp.floor(xp.sqrt(xp.maximum(limits[:, None] ** 2 - y**2 - z**2, 0))), box // 2)
    farthest = xp.where(y**2 + z**2 > limits[:, None] ** 2, -1, farthest)
    first = xp.maximum(xp.ceil(xp.minimum(*ends)), 0)
    count = xp.maximum(xp.minimum(xp.floor(xp.maximum(*ends)), farthest) - first + 1, 0).astype(np.int64).ravel()
    end = xp.cumsum(count)
    total = int(end[-1])
    # which line each voxel is on; CuPy repeats by a list of counts only
    line = np.repeat(np.arange(len(count)), count) if xp is np else xp.searchsorted(end, xp.arange(total), side="right")
    x = xp.arange(total) - (end - count - first.ravel().astype(np.int64))[line]
    plane = line // len(y)
    x32 = x.astype(np.float32)
    slopes = matrices[:, :, 0].astype(np.float32)
    points = tuple(offsets[row].astype(np.float32).ravel()[line] + slopes[plane, row] * x32 for row in range(3))
    return plane, x, base[line - plane * len(y)] + x, (points[0], points[1], points[2])


def _samples(values: Any, weights: Any) -> Any:
    """Slices as rows (real, imaginary, weight), each with a row and a column more, by which interpolation needs no exceptions."""
    xp = namespace(values)
    m, box, half = values.shape
    out = xp.empty((m, box + 1, half + 1, 3), np.float32)
    out[:, :box, :half, 0], out[:, :box, :half, 1], out[:, :box, :half, 2] = values.real, values.imag, weights
    out[:, box, :half] = out[:, 0, :half]
    out[:, :, half] = out[:, :, half - 2]
    return out.reshape(-1, 3)


def _interpolation(box: int, plane: Any, points: tuple[Any, Any, Any], samples: int) -> tuple[Any, Any]:
    """Sparse matrix (voxels, samples) of trilinear weights, and which voxels take the complex conjugate."""
    xp = namespace(plane)
    half = box // 2 + 1
    mirrored = points[0] < 0
    x = xp.abs(points[0])
    y = xp.where(mirrored, -points[1], points[1])
    y = xp.where(y < 0, y + np.float32(box), y)
    column, row = xp.minimum(x.astype(np.int32), half - 1), xp.minimum(y.astype(np.int32), box - 1)
    x -= column
    y -= row
    near = 1 - xp.abs(points[2])
    shares = xp.empty((len(x), 4), np.float32)
    index = xp.empty((len(x), 4), np.int32)
    x *= near
    shares[:, 3] = x * y
    shares[:, 1] = x - shares[:, 3]
    y *= near
    shares[:, 2] = y - shares[:, 3]
    shares[:, 0] = near - y - shares[:, 1]
    index[:, 0] = (plane.astype(np.int32) * (box + 1) + row) * (half + 1) + column
    for corner, step in ((1, 1), (2, half + 1), (3, half + 2)):
        index[:, corner] = index[:, 0] + step
    start = xp.arange(0, 4 * len(x) + 1, 4, dtype=np.int32)
    return scipy_sparse(x).csr_matrix((shares.ravel(), index.ravel(), start), shape=(len(x), samples)), mirrored
