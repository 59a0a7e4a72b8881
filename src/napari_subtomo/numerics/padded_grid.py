"""The 2x padded grid of Fourier volumes that are sampled and inserted at rotated points (`rotate`), with sinc² correction.

A grid keeps the non-negative half of k_x in FFTW's layout: y and z wrap, k_x runs from 0 to P/2. Trilinear interpolation
multiplies the real-space map by sinc²; maps are divided by it before sampling and after insertion. Without padding or without that
division 2-6 % of the signal is lost at high shells.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import fft_module, namespace
from napari_subtomo.numerics.few_nodes import even_low_frequencies, low_frequencies, map_of, rim_at_both_ends
from napari_subtomo.numerics.fourier import resize_centred


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

    def even_transform(self, volume: Any) -> Any:
        """`transform` of maps that are the same at opposite positions, such as point spread functions of weights; the rim at both ends.

        Parameters
        ----------
        volume : real array, shape (..., n, n, n), (z, y, x)
            Values at p and -p (modulo n) are the same.

        Returns
        -------
        float32 array of shape (..., *shape)
        """
        xp = namespace(volume)
        several, axes = volume.shape[:-3], (-3, -2, -1)
        divided = volume / xp.asarray(self.envelope)
        if self.edge < self.size:
            return even_low_frequencies(divided, self.size, self.edge)
        padded = resize_centred(rim_at_both_ends(divided), (*several, *[self.size] * 3))
        return fft_module(xp).rfftn(xp.fft.ifftshift(padded, axes=axes), axes=axes).real.astype(xp.float32)

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
