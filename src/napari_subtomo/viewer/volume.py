"""Tomograms on disk, opened without reading them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.io.mrc import mrc_header, open_mrc


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
    """

    data: npt.NDArray[Any]
    voxel_size: float
    contrast_limits: tuple[float, float]
    path: Path
    kind: str = ""


def sampled_limits(data: npt.NDArray[Any], slices: int = 7, percentiles: tuple[float, float] = (0.5, 99.5)) -> tuple[float, float]:
    """Grey limits from a few slices of the middle two thirds, so that a large file is not read for them.

    Parameters
    ----------
    data : array, shape (z, y, x)
    slices : int
        How many slices to look at; in each, at most about 200 000 voxels on a regular raster.
    percentiles : tuple of float

    Returns
    -------
    tuple of float
        Always low < high, also for constant or not finite data.
    """
    depth = len(data)
    chosen = np.unique(np.linspace(depth / 6, depth * 5 / 6, slices).astype(int).clip(0, max(depth - 1, 0)))
    step = max(1, int(np.ceil(np.sqrt(data[0].size / 200_000)))) if depth else 1
    sample = np.concatenate([np.asarray(data[z, ::step, ::step], dtype=np.float32).ravel() for z in chosen]) if depth else np.zeros(0)
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(sample, percentiles))
    return (low, high) if low < high else (low - 0.5, low + 0.5)


def open_volume(path: Path, kind: str = "") -> Volume:
    """Open an MRC file for display.

    Raises
    ------
    FileMissingError, FileFormatError
        As `io.mrc.open_mrc`.
    """
    data = open_mrc(path)
    if not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))  # graphics cards know one byte order; such files are old and small
    return Volume(data, mrc_header(path).voxel_size, sampled_limits(data), path, kind)


def tomogram_volume(tomogram: Tomogram) -> Volume | None:
    """The best volume of a tomogram that is on disk, denoised before plain before half 1; None if there is none."""
    named = [(tomogram.denoised_path, "denoised"), (tomogram.tomogram_path, "")]
    if tomogram.half_paths:
        named.append((tomogram.half_paths[0], "half 1"))
    for path, kind in named:
        if path is not None and path.is_file():
            return open_volume(path, kind)
    return None
