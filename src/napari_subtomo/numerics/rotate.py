"""Sampling and inserting Fourier volumes at rotated points: trilinear on a 2x padded grid, with sinc² correction.

A grid keeps the non-negative half of k_x in FFTW's layout: y and z wrap, k_x runs from 0 to P/2. Points are (x, y, z) in
Fourier pixels of the unpadded box. Trilinear interpolation multiplies the real-space map by sinc²; maps are divided by it
before sampling and after insertion. Without padding or without that division 2-6 % of the signal is lost at high shells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import fft_module, namespace, scipy_namespace
from napari_subtomo.numerics.few_nodes import ComplexMatrix, low_frequencies, map_of
from napari_subtomo.numerics.fourier import resize_centred

AT_ONCE = 2**15  # points whose corners are found at once on the processor


@dataclass(frozen=True)
class PaddedGrid:
    """Padded Fourier grid of a box.

    Attributes
    ----------
    n : int
        Box in voxels.
    padding : int
        Factor by which the box is padded before the transform.
    exact : bool
        All points lie on nodes: nothing is interpolated, and no envelope is taken out. Meant with `padding` 1, for particles that
        stay in one orientation: on a padded grid they would leave every other node empty.
    limit : int, optional
        Only nodes that points up to this radius (Fourier pixels of the unpadded box) need are kept; transforms are then made by
        products with Fourier matrices, which for a part of the nodes takes less than a transform of the padded box.
    """

    n: int
    padding: int = 2
    exact: bool = False
    limit: int | None = None

    def up_to(self, limit: int) -> PaddedGrid:
        """The same grid with the nodes for points up to this radius; itself where that would leave out hardly any."""
        return _limited(self.n, self.padding, self.exact, limit)

    @property
    def size(self) -> int:
        """Edge P of the padded box."""
        return self.n * self.padding

    @property
    def edge(self) -> int:
        """Edge of the cube of nodes that are kept: P without a limit."""
        return self.size if self.limit is None else min(self.size, 2 * (self.padding * self.limit + 2))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (edge, edge, edge // 2 + 1) of a transform."""
        return self.edge, self.edge, self.edge // 2 + 1

    @property
    def nodes(self) -> int:
        """Number of nodes of a transform."""
        return int(np.prod(self.shape))

    @cached_property
    def envelope(self) -> npt.NDArray[np.float32]:
        """The sinc² of trilinear interpolation over the box, shape (n, n, n)."""
        if self.exact:
            return np.ones((self.n,) * 3, np.float32)
        line = np.sinc((np.arange(self.n) - self.n // 2) / self.size) ** 2
        return (line[:, None, None] * line[None, :, None] * line[None, None, :]).astype(np.float32)

    @cached_property
    def radius(self) -> npt.NDArray[np.float32]:
        """Radius of each node in Fourier pixels of the unpadded box, shape `shape`."""
        wrapped = np.fft.fftfreq(self.edge, 1 / self.edge) / self.padding
        x = np.arange(self.edge // 2 + 1) / self.padding
        squared = wrapped[:, None, None] ** 2 + wrapped[None, :, None] ** 2 + x[None, None, :] ** 2
        return np.sqrt(squared).astype(np.float32)

    @cached_property
    def shell(self) -> npt.NDArray[np.int32]:
        """Shell of each node (rounded radius), shape `shape`."""
        number: npt.NDArray[np.int32] = np.floor(self.radius + 0.5).astype(np.int32)
        return number

    @cached_property
    def multiplicity(self) -> npt.NDArray[np.float32]:
        """How often a node counts in a sum over the whole sphere: 1 on the planes k_x = 0 and P/2, else 2."""
        m = np.full(self.shape, 2, np.float32)
        m[:, :, 0] = 1
        if self.size % 2 == 0 and self.edge == self.size:
            m[:, :, -1] = 1
        return m

    def transform(self, volume: Any) -> Any:
        """Padded transform of a map, or of each of several, divided by the interpolation's envelope beforehand.

        Parameters
        ----------
        volume : real array, shape (..., n, n, n)

        Returns
        -------
        complex64 array of shape (..., *shape)
        """
        xp = namespace(volume)
        several, axes = volume.shape[:-3], (-3, -2, -1)
        if self.edge < self.size:
            return low_frequencies((volume / xp.asarray(self.envelope)).astype(xp.float32), self.size, self.edge)
        padded = resize_centred(volume / xp.asarray(self.envelope), (*several, *[self.size] * 3))
        return fft_module(xp).rfftn(xp.fft.ifftshift(padded, axes=axes), axes=axes).astype(xp.complex64)

    def to_map(self, transform: Any) -> Any:
        """Map of a padded transform, divided by the interpolation's envelope.

        Parameters
        ----------
        transform : complex array of `shape`

        Returns
        -------
        float32 array, shape (n, n, n)
        """
        xp = namespace(transform)
        if self.edge < self.size:
            return (map_of(transform, self.n, self.size) / xp.asarray(self.envelope)).astype(xp.float32)
        padded = xp.fft.fftshift(fft_module(xp).irfftn(transform, s=(self.size,) * 3, axes=(0, 1, 2)))
        return (resize_centred(padded, self.n) / xp.asarray(self.envelope)).astype(xp.float32)

    def symmetrise(self, sums: Any) -> Any:
        """Sums over both Friedel mates of what was inserted for one of them.

        Parameters
        ----------
        sums : array of `shape`, real or complex; only the plane k_x = 0 (and P/2) changes.

        Returns
        -------
        array of `shape`
        """
        xp = namespace(sums)
        out = sums.copy()
        minus = (-xp.arange(self.edge)) % self.edge
        planes = (0, self.shape[2] - 1) if self.size % 2 == 0 and self.edge == self.size else (0,)
        for plane in planes:
            mate = sums[minus][:, minus][:, :, plane]
            out[:, :, plane] = sums[:, :, plane] + (mate.conj() if xp.iscomplexobj(sums) else mate)
        return out

    def shell_mean(self, values: Any, last_shell: int) -> Any:
        """Mean of real node values over the whole sphere per shell 0 … last_shell, shape (last_shell + 1,)."""
        xp = namespace(values)
        if xp is np:
            return _averages(self, last_shell) @ values.ravel().astype(np.float64)
        shell, weight = xp.asarray(self.shell).ravel(), xp.asarray(self.multiplicity).ravel()
        inside = shell <= last_shell
        total = xp.bincount(shell[inside], (values.ravel() * weight)[inside], last_shell + 1)
        return total / xp.maximum(xp.bincount(shell[inside], weight[inside], last_shell + 1), 1e-30)


@lru_cache(maxsize=8)
def _limited(n: int, padding: int, exact: bool, limit: int) -> PaddedGrid:
    """The grid of `PaddedGrid.up_to`, kept with its tables: every iteration asks again."""
    grid = PaddedGrid(n, padding, exact, limit)
    return grid if grid.edge <= 0.8 * grid.size else PaddedGrid(n, padding, exact)


@lru_cache(maxsize=16)
def _averages(grid: PaddedGrid, last_shell: int) -> Any:
    """Sparse matrix (last_shell + 1, nodes) that takes means over shells."""
    from scipy.sparse import csr_matrix

    shell, weight = grid.shell.ravel(), grid.multiplicity.ravel().astype(np.float64)
    nodes = np.flatnonzero(shell <= last_shell)
    nodes = nodes[np.argsort(shell[nodes], kind="stable")]
    total = np.bincount(shell[nodes], weight[nodes], last_shell + 1)
    start = np.append(0, np.cumsum(np.bincount(shell[nodes], minlength=last_shell + 1)))
    share = weight[nodes] / np.maximum(total, 1e-30)[shell[nodes]]
    return csr_matrix((share, nodes.astype(np.int32), start.astype(np.int32)), shape=(last_shell + 1, grid.nodes))


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


def sample(grid: PaddedGrid, transforms: Sequence[ComplexMatrix], points: npt.NDArray[np.float32]) -> list[ComplexMatrix]:
    """Values of transforms at points that are used once: `Interpolation.gather` on the processor without its matrix, to the last bit.

    Parameters
    ----------
    grid : PaddedGrid
    transforms : sequence of ndarray of `grid.shape`, complex64
    points : ndarray, shape (m, 3)
        As of `Interpolation`.

    Returns
    -------
    list of ndarray, shape (m,), complex64
    """
    sign, corners = _corners(grid, points, np.intp)
    flat = [transform.reshape(-1) for transform in transforms]
    values = [np.zeros(len(points), np.complex64) for _ in transforms]
    for at, share in corners:
        for value, nodes in zip(values, flat, strict=True):
            value += nodes.take(at) * share
    for value in values:
        value.imag *= sign
    return values


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
        self.grid = grid
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

    def gather(self, volumes: Any) -> Any:
        """Values of volumes at the points.

        Parameters
        ----------
        volumes : array, shape (copies · nodes, c)
            Transforms as columns, complex64 or float32.

        Returns
        -------
        array, shape (m, c), of the same kind
        """
        xp = namespace(volumes)
        if not xp.iscomplexobj(volumes):
            return self.matrix @ volumes
        return self._mates(_product(self.matrix, volumes))

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
