"""Tomograms as memory maps: pieces around a point, mean and spread, and whether the file is what the tomogram set says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.errors import FileFormatError, GeometryError
from napari_subtomo.geometry.frames import reverse_axes
from napari_subtomo.io.mrc import mrc_header, open_mrc

FloatVolume = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
_LABEL = 224  # byte of the first label in an MRC header
_SAMPLED_SLICES = 48
_SAMPLED_VALUES = 4_000_000


@dataclass(frozen=True, eq=False)
class Volume:
    """The volume to cut from: one file, or the sum of two half tomograms.

    Attributes
    ----------
    paths : tuple of Path
    maps : tuple of memory maps, shape (z, y, x) each
    """

    paths: tuple[Path, ...]
    maps: tuple[npt.NDArray[Any], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape zyx in voxels."""
        z, y, x = self.maps[0].shape
        return z, y, x

    @cached_property
    def spread(self) -> tuple[float, float]:
        """Mean and standard deviation of a sample, the latter as half the range of the middle 68 %, so that gold beads don't count.

        Where that is less than a tenth of the plain standard deviation (most of the volume is empty or masked) the plain one is given.

        Raises
        ------
        FileFormatError
            Mostly NaN, or constant values.
        """
        depth, height, width = self.shape
        slices = np.unique(np.linspace(0, depth - 1, _SAMPLED_SLICES).round().astype(int))
        stride = max(1, int(np.ceil(np.sqrt(len(slices) * height * width / _SAMPLED_VALUES))))
        sample = sum(np.asarray(m[slices, ::stride, ::stride], dtype=np.float32) for m in self.maps)
        assert isinstance(sample, np.ndarray)
        finite = np.isfinite(sample)
        if finite.mean() < 0.5:
            raise FileFormatError(f"Expected numbers in {self.paths[0]}, found mostly NaN; reconstruct the tomogram again.")
        sample = sample[finite]
        low, high = np.percentile(sample, [15.87, 84.13])
        plain, robust = float(sample.std(dtype=np.float64)), float(high - low) / 2
        if plain <= 1e-6 * abs(high):
            raise FileFormatError(f"Expected a tomogram in {self.paths[0]}, found the value {low:g} everywhere.")
        return float(sample.mean(dtype=np.float64)), robust if robust > 0.1 * plain else plain

    def piece(self, start: IntArray, side: int, mean: float) -> FloatVolume:
        """A cube from voxel `start` (zyx) on, minus `mean`; 0 beyond the volume. Shape (side, side, side)."""
        out = np.zeros((side,) * 3, np.float32)
        low, high = np.maximum(start, 0), np.minimum(start + side, self.shape)
        if np.any(low >= high):
            return out
        inside = tuple(slice(a, b) for a, b in zip(low - start, high - start, strict=True))
        source = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        for one in self.maps:
            out[inside] += one[source].astype(np.float32)
        out[inside] -= np.float32(mean)
        return out


def written_by_relion(path: Path) -> bool:
    """Whether the first label of an MRC file is RELION's stamp."""
    with path.open("rb") as stream:
        return stream.read(_LABEL + 6)[_LABEL:] == b"Relion"


def open_volume(tomogram: Tomogram, *, denoised: bool, warn: Callable[[str], None]) -> Volume:
    """The volume of a tomogram that particles are cut from.

    Parameters
    ----------
    tomogram : Tomogram
    denoised : bool
        Take the denoised volume.
    warn : callable
        Gets sentences about what is odd but possible.

    Raises
    ------
    InputError
        The tomogram set names no volume; or the file is missing, cut off, or of a shape that contradicts the tomogram set.
    """
    paths, warning = tomogram.extraction_paths(denoised=denoised)
    if warning:
        warn(warning)
    volume = Volume(paths, tuple(open_mrc(path) for path in paths))
    frame = tomogram.frame
    expected = reverse_axes(frame.size_xyz) / frame.binning
    tolerance = np.maximum(2, 0.01 * expected)  # RELION's two ways to reconstruct round sizes differently
    for path, one in zip(paths, volume.maps, strict=True):
        if np.any(np.abs(np.array(one.shape) - expected) > tolerance) or one.shape != volume.shape:
            sizes = " x ".join(f"{n:.0f}" for n in reverse_axes(expected))
            found = " x ".join(f"{n:.0f}" for n in reverse_axes(one.shape))
            raise GeometryError(
                f"Expected about {sizes} voxels (x, y, z) in {path} from the size and binning of the tomogram {tomogram.name}, "
                f"found {found}; correct the tomogram set or choose the file that belongs to it."
            )
    voxel = mrc_header(paths[0]).voxel_size
    if voxel > 0 and voxel != 1 and abs(voxel / frame.voxel_size - 1) > 0.01:
        warn(f"{paths[0].name} says {voxel:g} Å per voxel, the tomogram set {frame.voxel_size:g} Å; the tomogram set is followed.")
    return volume
