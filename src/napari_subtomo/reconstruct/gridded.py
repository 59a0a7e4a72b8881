"""From sums of slices in a Fourier grid to a map, in the steps and the grey scale of RELION's `Reconstruct particle`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import namespace
from napari_subtomo.numerics.masks import radius_grid
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.numerics.planes import PlaneSums
from napari_subtomo.reconstruct.sums import FLOOR, over_group

FloatArray = npt.NDArray[np.float64]
_LEAST = 1e-2  # of the sinc², beyond which it is not divided out further
EDGE_PX = 10.0  # over which a map falls off to its sphere


def solve_planes(sums: PlaneSums, symmetry: FloatArray, snr: float | None = None, binning: float = 1.0) -> Any:
    """The weighted average ΣX / ΣW of slices as a map.

    The sums are averaged over the point group, the data are divided by the sinc² of the interpolation in real space, and then by the
    weights. Mates whose axes are not those of the grid are read from between its nodes; RELION leaves the map with the sinc² of that
    second interpolation, here it is divided out too.

    Parameters
    ----------
    sums : PlaneSums
        Not changed.
    symmetry : ndarray, shape (m, 3, 3)
        Rotations of the point group, the identity first.
    snr : float, optional
        Wiener constant: 1/snr is added to the weights. Without it they are only kept from falling below 0.001 of their shell's mean.
    binning : float
        Of the slices, for the grey scale: RELION's is ``sqrt(box)`` times the binning, of slices in that of its 2D stacks.

    Returns
    -------
    float32 array, shape (box, box, box)
        Unfiltered, origin at box // 2.
    """
    xp = namespace(sums.columns)
    n = sums.box
    values, weights = sums.values, sums.weights
    if len(symmetry) > 1:
        grid = PaddedGrid(n, padding=1)
        values, weights = (total / len(symmetry) for total in over_group(grid, values, weights, symmetry, n / 2 + 1))
    data = xp.fft.fftshift(xp.fft.irfftn(values, s=(n, n, n), axes=(0, 1, 2)))
    del values
    data /= xp.asarray(_envelope(n, symmetry))
    transform = xp.fft.rfftn(xp.fft.ifftshift(data))
    del data
    transform *= xp.asarray(_inside(n))
    weights = xp.maximum(weights, FLOOR * _shell_mean(weights, n)) if snr is None else weights + 1 / snr
    transform /= xp.where(weights > 0, weights, 1)
    volume = xp.fft.fftshift(xp.fft.irfftn(transform, s=(n, n, n), axes=(0, 1, 2)))
    return (volume * (np.sqrt(n) * binning)).astype(np.float32)


def taper(volume: npt.NDArray[np.float32], edge: float = EDGE_PX) -> npt.NDArray[np.float32]:
    """A map cut softly to its sphere, its mean within that set to 0, as RELION does.

    The weight falls from 1 to 0 over the outermost pixels of the sphere that touches the faces of the box.

    Parameters
    ----------
    volume : ndarray, shape (n, n, n)
    edge : float
        Pixels.
    """
    half = volume.shape[0] / 2
    weight = 0.5 - 0.5 * np.cos(np.pi * np.clip((half - radius_grid(volume.shape)) / edge, 0, 1))
    mean = (weight * volume).sum(dtype=float) / weight.sum(dtype=float)
    tapered: npt.NDArray[np.float32] = ((volume - mean) * weight).astype(np.float32)
    return tapered


def _radius(n: int) -> npt.NDArray[np.float32]:
    return PaddedGrid(n, padding=1).radius


def _inside(n: int) -> npt.NDArray[np.bool_]:
    """Voxels within the Nyquist sphere."""
    return np.asarray(_radius(n) < n / 2)


def _envelope(n: int, symmetry: FloatArray) -> npt.NDArray[np.float32]:
    """What interpolation leaves of a map in real space, shape (n, n, n): RELION's sinc² of the distance for the slices of many
    orientations and, where the mates of a group were read between nodes, the mean of the sinc² along their axes."""
    sinc = np.maximum(np.sinc(radius_grid((n, n, n)) / n) ** 2, _LEAST)
    off_lattice = [matrix for matrix in symmetry if np.abs(matrix - np.rint(matrix)).max() > 1e-6]
    if not off_lattice:
        return sinc.astype(np.float32)
    axis = (np.arange(n) - n // 2) / n
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    points = np.stack([x, y, z], axis=-1).reshape(-1, 3)
    total = np.full(n**3, float(len(symmetry) - len(off_lattice)))
    for matrix in off_lattice:
        total += np.prod(np.sinc(points @ matrix) ** 2, axis=1)
    envelope: npt.NDArray[np.float32] = (sinc * total.reshape(n, n, n) / len(symmetry)).astype(np.float32)
    return envelope


def _shell_mean(weights: Any, n: int) -> Any:
    """The mean weight at the radius of each voxel, from shells that share voxels between them linearly."""
    xp = namespace(weights)
    radius = xp.asarray(_radius(n))
    shell = radius.astype(np.int32)
    upper = radius - shell
    last = int(shell.max()) + 2
    flat, share = shell.ravel(), upper.ravel()
    total = xp.bincount(flat, (1 - share) * weights.ravel(), last) + xp.bincount(flat + 1, share * weights.ravel(), last)
    count = xp.bincount(flat, 1 - share, last) + xp.bincount(flat + 1, share, last)
    mean = total / xp.maximum(count, 1e-30)
    return (1 - upper) * mean[shell] + upper * mean[shell + 1]
