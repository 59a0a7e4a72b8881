"""Sampling and inserting Fourier volumes at rotated points: trilinear between the nodes of a padded grid.

Points are (x, y, z) in Fourier pixels of the unpadded box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import loops, namespace, scipy_namespace
from napari_subtomo.numerics.padded_grid import PaddedGrid

AT_ONCE = 2**15  # points whose corners are found at once on the processor


def _corners(grid: PaddedGrid, points: Any, dtype: Any) -> tuple[Any, Iterator[tuple[Any, Any]]]:
    """Signs of the imaginary parts of values at points (m,), and indices and weights of the nodes at their eight corners, one by one."""
    xp = namespace(points)
    q = points.astype(xp.float32) * grid.padding
    sign = xp.where(q[:, 0] < 0, xp.float32(-1), xp.float32(1))  # in the half with k_x >= 0
    q *= sign[:, None]
    low = xp.floor(q)
    upper = xp.ascontiguousarray((q - low).T)
    low = xp.ascontiguousarray(low.astype(dtype).T)
    size_x, size = grid.shape[2], grid.edge
    x = [xp.minimum(low[0] + up, size_x - 1) for up in (0, 1)]
    y, z = ([xp.where(low[axis] + up < 0, low[axis] + (up + size), low[axis] + up) for up in (0, 1)] for axis in (1, 2))
    share_x, share_y, share_z = ((1 - part, part) for part in upper)

    def each() -> Iterator[tuple[Any, Any]]:
        for up_z, up_y in ((0, 0), (0, 1), (1, 0), (1, 1)):
            row, share = (z[up_z] * size + y[up_y]) * size_x, share_z[up_z] * share_y[up_y]
            for up_x in (0, 1):
                yield row + x[up_x], share * share_x[up_x]

    return sign, each()


def sample(grid: PaddedGrid, transforms: Sequence[npt.NDArray[Any]], points: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
    """Values of transforms at points that are used once: `Interpolation.gather` on the processor without its matrix, to the last bit.

    Parameters
    ----------
    grid : PaddedGrid
    transforms : sequence of ndarray of `grid.shape`, complex64 or float32
    points : ndarray, shape (m, 3)
        As of `Interpolation`.

    Returns
    -------
    list of ndarray, shape (m,), of the same kinds
    """
    flat, compiled = [transform.reshape(-1) for transform in transforms], loops()
    values: list[npt.NDArray[Any]] = [np.zeros(len(points), transform.dtype) for transform in transforms]
    if compiled is not None:
        _inside(grid, points)
        for value, nodes in zip(values, flat, strict=True):
            if np.iscomplexobj(value):
                compiled.gather_one(nodes, points, *layout(grid), value)
            else:
                compiled.gather_reals(nodes[:, None], points, *layout(grid), 1, value[:, None])
        return values
    sign, corners = _corners(grid, points, np.intp)
    for at, share in corners:
        for value, nodes in zip(values, flat, strict=True):
            value += nodes.take(at) * share
    for value in values:
        if np.iscomplexobj(value):
            value.imag *= sign
    return values


def _inside(grid: PaddedGrid, points: npt.NDArray[np.float32]) -> None:
    """Stop before a compiled loop reads or writes where no node is: it would not notice."""
    farthest = float(np.abs(points).max(initial=0))
    if not farthest * grid.padding < grid.edge - 1:  # NaN, too
        raise ValueError(f"Expected points within {(grid.edge - 1) / grid.padding:g} Fourier pixels of the origin, found {farthest:g}.")


def layout(grid: PaddedGrid) -> tuple[np.float32, int, int]:
    """Padding, and edges along y and x of the nodes, as compiled loops want them."""
    return np.float32(grid.padding), grid.edge, grid.shape[2]


class Interpolation:
    """Trilinear interpolation between a padded grid and a fixed list of points, both ways, for many volumes at once.

    Parameters
    ----------
    grid : PaddedGrid
    points : array, shape (m, 3)
        (x, y, z) in Fourier pixels of the unpadded box, anywhere within the box's Nyquist sphere.
    copies : int
        Of the grid, one after the other: the points are as many in each, those in the first come first.
    """

    def __init__(self, grid: PaddedGrid, points: Any, copies: int = 1) -> None:
        xp = namespace(points)
        self.grid, self.copies = grid, copies
        self.loops = loops() if xp is np else None
        if self.loops is not None:
            self.points = np.ascontiguousarray(points, np.float32)
            _inside(grid, self.points)
            return
        index = xp.empty((len(points), 8), xp.int32)
        weight = xp.empty((len(points), 8), xp.float32)
        self.sign = xp.empty(len(points), xp.float32)
        size = AT_ONCE if xp is np else max(1, len(points))
        for first in range(0, len(points), size):  # what is written again and again stays in the cache
            some = slice(first, first + size)
            self.sign[some], corners = _corners(grid, points[some], xp.int32)
            for corner, (at, share) in enumerate(corners):
                index[some, corner], weight[some, corner] = at, share
        if copies > 1:
            index += (xp.arange(len(points), dtype=xp.int32) // (len(points) // copies) * grid.nodes)[:, None]
        sparse = scipy_sparse(points)
        start = xp.arange(0, 8 * len(points) + 1, 8, dtype=xp.int32)
        self.matrix = sparse.csr_matrix((weight.ravel(), index.ravel(), start), shape=(len(points), copies * grid.nodes))

    def gather(self, volumes: Any, out: Any = None) -> Any:
        """Values of volumes at the points.

        Parameters
        ----------
        volumes : array, shape (copies · nodes, c)
            Transforms as columns, complex64 or float32.
        out : array, shape (m, c), optional
            Of the same kind, to take the values, whatever its strides.

        Returns
        -------
        array, shape (m, c), of the same kind
        """
        xp = namespace(volumes)
        if self.loops is not None:
            if out is None:  # as the columns lie: what follows takes them one by one
                out = np.empty((volumes.shape[1], len(self.points)), volumes.dtype).T
            run = self.loops.gather if np.iscomplexobj(volumes) else self.loops.gather_reals
            run(np.ascontiguousarray(volumes).view(np.float32), self.points, *layout(self.grid), self.copies, out)
            return out
        values = self._mates(_product(self.matrix, volumes)) if xp.iscomplexobj(volumes) else self.matrix @ volumes
        if out is None:
            return values
        out[...] = values
        return out

    def scatter(self, values: Any) -> Any:
        """Sums on the grid's nodes of values at the points, scaled so that a node's sum is that of a lattice voxel.

        A value spreads over `padding`³ nodes' worth of space, so plain sums per node would be padding³ times too small against
        sums on the unpadded lattice, and with them every regulariser too strong; the factor is applied here, once.
        Friedel mates are not added: see `PaddedGrid.symmetrise`.

        Parameters
        ----------
        values : array, shape (m, c), complex64 or float32

        Returns
        -------
        array, shape (copies · nodes, c), of the same kind
        """
        xp = namespace(values)
        scale = xp.float32(self.grid.padding**3)
        if self.loops is not None:
            sums = np.zeros((self.copies * self.grid.nodes, values.shape[1]), values.dtype)
            self.loops.scatter(np.ascontiguousarray(values), self.points, *layout(self.grid), self.copies, sums)
            sums *= scale
            return sums
        sums = _product(self.matrix.T, self._mates(values.copy())) if xp.iscomplexobj(values) else self.matrix.T @ values
        sums *= scale
        return sums

    def _mates(self, values: Any) -> Any:
        """Complex conjugates where the mate of a point lies in the half that is kept, in place."""
        xp = namespace(values)
        values.view(xp.float32).reshape(len(values), -1, 2)[:, :, 1] *= self.sign[:, None]
        return values


def _product(matrix: Any, columns: Any) -> Any:
    """Product of a real sparse matrix and complex64 columns, as real ones side by side."""
    xp = namespace(columns)
    real = matrix @ xp.ascontiguousarray(columns).view(xp.float32)
    # cuSPARSE answers in Fortran order, in which real and imaginary part of a number are not neighbours
    return xp.ascontiguousarray(real).view(xp.complex64)


def squared(values: Any) -> Any:
    """|values|², float32, of complex64 values (m, V)."""
    compiled = loops()
    if compiled is None or namespace(values) is not np:
        return values.real**2 + values.imag**2
    out = np.empty(values.shape, np.float32)
    compiled.squared(values, out)
    return out


def scipy_sparse(array: Any) -> Any:
    """`scipy.sparse` or `cupyx.scipy.sparse`, by the array."""
    import importlib

    return importlib.import_module(scipy_namespace(array).__name__ + ".sparse")


def rotate_volume(volume: Any, matrix: npt.ArrayLike, shift_xyz: npt.ArrayLike = (0.0, 0.0, 0.0)) -> Any:
    """Map whose density at `matrix·x + shift` is that of the input at x; both relative to index n // 2.

    Parameters
    ----------
    volume : real array, shape (n, n, n)
    matrix : array_like, shape (3, 3)
        Acts on xyz columns.
    shift_xyz : array_like, shape (3,)
        Voxels.

    Returns
    -------
    float32 array, shape (n, n, n)
        Band-limited to the Nyquist sphere of the box.
    """
    xp = namespace(volume)
    n = volume.shape[0]
    grid = PaddedGrid(n)
    axis = xp.arange(n) - n // 2
    z, y, x = xp.meshgrid(axis, axis, axis, indexing="ij")
    k = xp.stack([x.ravel(), y.ravel(), z.ravel()], axis=1).astype(xp.float32)
    inside = (k**2).sum(1) <= (n / 2) ** 2
    k = k[inside]
    matrix = xp.asarray(np.asarray(matrix, dtype=np.float32))
    values = Interpolation(grid, k @ matrix).gather(grid.transform(volume).reshape(-1, 1))[:, 0]
    shift = xp.asarray(np.asarray(shift_xyz, dtype=np.float32))
    transform = xp.zeros(n**3, xp.complex64)
    transform[xp.flatnonzero(inside)] = values * xp.exp(-2j * np.pi * (k @ shift) / n).astype(xp.complex64)
    transform = xp.fft.ifftshift(transform.reshape(n, n, n))
    return xp.fft.fftshift(xp.fft.ifftn(transform)).real.astype(xp.float32)
