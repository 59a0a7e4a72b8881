"""Tomograms on disk, opened without reading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import correlate1d

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.io.mrc import mrc_header, open_mrc

DENOISED = "denoised"
#: Å; width of the Gaussian that noisy tomograms are smoothed by on the screen (their data stay as they are).
SMOOTHING = 20.0
#: Slices that the slab shown in 3D averages.
PLANE_SLICES = 9
#: Voxels along y and x of the pieces that grey limits are sampled from.
PIECE = 256


@dataclass(frozen=True, eq=False)
class Volume:
    """A memory-mapped volume.

    Attributes
    ----------
    data : array, shape (z, y, x)
        Read from disk as it is needed.
    voxel_size : float
        Å, from the file's header.
    contrast_limits : tuple of float
    path : Path
    kind : str
        "denoised", "half 1" or "" for the plain tomogram.
    smoothing : ndarray, shape (k, k), or None
        Weights by which the screen smooths slices of a noisy volume, which it then also averages over a slab; None: as they are.
    """

    data: npt.NDArray[Any]
    voxel_size: float
    contrast_limits: tuple[float, float]
    path: Path
    kind: str = ""
    smoothing: npt.NDArray[np.float32] | None = None
    plane_limits: tuple[float, float] | None = None

    @property
    def limits_3d(self) -> tuple[float, float]:
        """Grey limits for the slab shown in 3D, which the graphics card does not smooth."""
        return self.plane_limits or self.contrast_limits


def smoothing_kernel(voxel_size: float, sigma: float = SMOOTHING) -> npt.NDArray[np.float32]:
    """Gaussian of `sigma` Å as weights (k, k) of voxels, for smoothing on the screen; one voxel where it is too narrow to matter.

    At most 15 voxels wide: the graphics card adds them up for each pixel of the screen.
    """
    width = sigma / voxel_size if voxel_size > 0 else 0.0
    reach = min(7, round(2 * width))
    if reach < 1:
        return np.ones((1, 1), dtype=np.float32)
    line = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    kernel: npt.NDArray[np.float32] = (np.outer(line, line) / line.sum() ** 2).astype(np.float32)
    return kernel


def sampled_limits(
    data: npt.NDArray[Any],
    thickness: int = 1,
    kernel: npt.NDArray[np.float32] | None = None,
    slabs: int = 7,
    percentiles: tuple[float, float] = (0.3, 99.7),
) -> tuple[float, float]:
    """Grey limits of what the screen will show, from a few slabs of the middle two thirds, so that a large file is not read for them.

    Parameters
    ----------
    data : array, shape (z, y, x)
    thickness : int
        Slices that are averaged on the screen: their mean has less noise than each of them.
    kernel : ndarray, shape (k, k), optional
        Smoothing on the screen (`smoothing_kernel`).
    slabs : int
        How many places to look at; in each, a piece of at most 256 x 256 voxels.
    percentiles : tuple of float

    Returns
    -------
    tuple of float
        Always low < high, also for constant or not finite data.
    """
    depth = len(data)
    starts = np.unique(np.linspace(depth / 6, depth * 5 / 6, slabs).astype(int).clip(0, max(depth - thickness, 0)))
    y, x = (slice(max(0, n // 2 - PIECE // 2), n // 2 + PIECE // 2) for n in data.shape[1:])
    line = None if kernel is None or kernel.size == 1 else kernel.sum(axis=0)  # a Gaussian is the product of its lines
    pieces = []
    for z in starts if depth else ():
        piece = np.mean(np.asarray(data[z : z + thickness, y, x]), axis=0, dtype=np.float32)
        if line is not None:
            piece = correlate1d(correlate1d(piece, line, axis=0, mode="nearest"), line, axis=1, mode="nearest")
        pieces.append(piece.ravel())
    sample = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(sample, percentiles))
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def carried_limits(chosen: tuple[float, float], former: tuple[float, float], sampled: tuple[float, float]) -> tuple[float, float]:
    """Grey limits of another volume that look like those chosen for the former one.

    Parameters
    ----------
    chosen : tuple of float
        Limits that the user sees now.
    former : tuple of float
        Limits that were sampled from the volume shown now.
    sampled : tuple of float
        Limits that were sampled from the volume to be shown.
    """
    stretch = (sampled[1] - sampled[0]) / (former[1] - former[0])
    low, high = (sampled[0] + (value - former[0]) * stretch for value in chosen)
    return (low, high) if low < high else sampled


def open_volume(path: Path, kind: str = "", slab: float | None = None) -> Volume:
    """Open an MRC file for display.

    Parameters
    ----------
    path : Path
    kind : str
    slab : float, optional
        Thickness in Å that is averaged on the screen, where the slices are smoothed too; None shows the voxels as they are.
    """
    data = open_mrc(path)
    if not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))  # graphics cards know one byte order; such files are old and small
    voxel = mrc_header(path).voxel_size
    if slab is None or voxel <= 0:
        return Volume(data, voxel, sampled_limits(data), path, kind)
    thickness = int(np.clip(round(slab / voxel), 1, len(data)))
    kernel = smoothing_kernel(voxel)
    raw = sampled_limits(data, min(PLANE_SLICES, len(data)))
    return Volume(data, voxel, sampled_limits(data, thickness, kernel), path, kind, kernel, raw)


def tomogram_volume(tomogram: Tomogram, slab: float | None = None) -> Volume | None:
    """The best volume of a tomogram that is on disk, denoised before plain before half 1; None if there is none.

    `slab` is the thickness in Å that is averaged on the screen; denoised volumes are shown as they are.
    """
    named = [(tomogram.denoised_path, DENOISED), (tomogram.tomogram_path, "")]
    if tomogram.half_paths:
        named.append((tomogram.half_paths[0], "half 1"))
    for path, kind in named:
        if path is not None and path.is_file():
            return open_volume(path, kind, None if kind == DENOISED else slab)
    return None
