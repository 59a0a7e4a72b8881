"""Maps and masks that must fit the particles: read, compared with their box and pixel size, and refused with what mends them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, GeometryError
from napari_subtomo.io.mrc import mrc_header, read_mrc, require_finite
from napari_subtomo.numerics.rescale import same_pixel_size

FloatMap = npt.NDArray[np.float32]
UNSET = 1.0
"""Å; what many programs write into a header whose pixel size they do not know."""


@dataclass(frozen=True, eq=False)
class MapFile:
    """A map as its file has it.

    Attributes
    ----------
    path : Path
    volume : ndarray, shape (z, y, x)
    pixel_size : float or None
        Å; None where the header has none.
    """

    path: Path
    volume: FloatMap
    pixel_size: float | None

    @property
    def grid(self) -> str:
        """Box and pixel size in words: ``96 px at 8.1 Å``."""
        sides = list(dict.fromkeys(self.volume.shape))
        box = f"{sides[0]} px" if len(sides) == 1 else f"shape {self.volume.shape}"
        return f"{box} at {number(self.pixel_size)} Å" if self.pixel_size is not None else f"{box} and no pixel size"

    def fits(self, box: int, pixel_size: float) -> bool:
        """Whether box and pixel size are these, up to the precision of headers; a header without pixel size is believed."""
        return self.volume.shape == (box,) * 3 and (self.pixel_size is None or same_pixel_size(self.pixel_size, pixel_size))


def number(value: float) -> str:
    """A pixel size as the command line takes it, with six digits."""
    return f"{value:.6g}"


def read_map(path: Path) -> MapFile:
    """Read a map.

    Raises
    ------
    FileMissingError, FileFormatError
        No such file, no map, values that are no finite numbers, or pixels that are not cubes.
    """
    header, volume = mrc_header(path), read_mrc(path)
    require_finite(volume, path)
    sizes = [size for size in header.voxel_sizes if size > 0]
    if sizes and not all(same_pixel_size(size, sizes[0]) for size in sizes):
        raise FileFormatError(
            f"Expected one pixel size along x, y and z in {path}, found {' x '.join(number(size) for size in header.voxel_sizes)} Å; "
            "correct the header or resample the map."
        )
    return MapFile(path, volume, header.voxel_size or None)


def mending_command(path: Path, box: int, pixel_size: float, *, mask: bool = False, header_only: bool = False) -> str:
    """The line that brings a map onto a grid; with `header_only` the one that corrects its pixel size alone."""
    words = ["napari-subtomo", "resize-map", str(path), *(["--mask"] if mask else [])]
    if header_only:
        return shlex.join([*words, "--input-pixel-size", number(pixel_size)])
    return shlex.join([*words, "--box-size", str(box), "--pixel-size", number(pixel_size)])


def misfit(found: MapFile, role: str, box: int, pixel_size: float, *, mask: bool = False, also: str = "") -> GeometryError:
    """The error of a map that does not fit: both grids, the command that mends it, and what else would (`also`)."""
    if found.pixel_size is None:
        command = mending_command(found.path, box, pixel_size, mask=mask) + " --input-pixel-size ITS_PIXEL_SIZE"
    else:
        command = mending_command(found.path, box, pixel_size, mask=mask)
    remedy = f"resample it with `{command}`"
    if found.pixel_size is not None and found.volume.shape == (box,) * 3:
        header_only = mending_command(found.path, box, pixel_size, mask=mask, header_only=True)
        remedy += f", or correct its header, if that is wrong, with `{header_only}`"
    return GeometryError(
        f"Expected a {role} of {box} px at {number(pixel_size)} Å, as the particles have, "
        f"found {found.grid} in {found.path}; {remedy}{also}."
    )


def read_fitting(path: Path, role: str, box: int, pixel_size: float, *, mask: bool = False) -> MapFile:
    """Read a map that must lie on the particles' grid.

    Parameters
    ----------
    path : Path
    role : str
        What it is, for the error: "mask".
    box : int
        Voxels along each axis.
    pixel_size : float
        Å; may differ by the precision of headers (`numerics.rescale.PIXEL_PRECISION`).
    mask : bool
        Whether the command in the error is that for a mask.

    Raises
    ------
    GeometryError
        Another box or pixel size.
    FileMissingError, FileFormatError
        As `read_map`.
    """
    found = read_map(path)
    if not found.fits(box, pixel_size):
        raise misfit(found, role, box, pixel_size, mask=mask)
    return found
