"""Positions in a tomogram: Å from the centre <-> pixels <-> voxels, and the only place that reverses axes.

RELION's rule (`ParticleSet::getPosition`): with `p` the unbinned pixel in Å, `b` the binning of the tomogram, `N` its unbinned
size in pixels and `c` a position in Å from the centre (xyz), the unbinned pixel is ``u = c/p + N/2`` (first voxel centre at 0) and
the voxel ``v = u/b``. `N` and `b` come from the STAR file, never from the shape of the binned volume: `N/b` is usually no integer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import GeometryError

FloatArray = npt.NDArray[np.float64]


def reverse_axes(coordinates: npt.ArrayLike) -> FloatArray:
    """Coordinates with their last axis reversed: xyz -> zyx or zyx -> xyz.

    Parameters
    ----------
    coordinates : array_like, shape (..., 3)

    Returns
    -------
    ndarray, shape (..., 3), float64
    """
    return np.ascontiguousarray(np.asarray(coordinates, dtype=np.float64)[..., ::-1])


def matrices_zyx(matrices: npt.ArrayLike) -> FloatArray:
    """Matrices that act on zyx columns, from matrices that act on xyz columns (and the other way round).

    Parameters
    ----------
    matrices : array_like, shape (..., 3, 3)

    Returns
    -------
    ndarray, shape (..., 3, 3), float64
    """
    return np.ascontiguousarray(np.asarray(matrices, dtype=np.float64)[..., ::-1, ::-1])


@dataclass(frozen=True)
class Frame:
    """The coordinate frame of one tomogram.

    Attributes
    ----------
    size_xyz : tuple of int
        Size (x, y, z) in unbinned tilt-series pixels.
    pixel_size : float
        Unbinned tilt-series pixel in Å.
    binning : float
        Voxel of the tomogram file divided by `pixel_size`; any real number.
    """

    size_xyz: tuple[int, int, int]
    pixel_size: float
    binning: float = 1.0

    def __post_init__(self) -> None:
        """Refuse sizes that make positions meaningless."""
        if len(self.size_xyz) != 3 or min(self.size_xyz) <= 0:
            raise GeometryError(f"Expected a tomogram size of three positive pixel numbers (x, y, z), found {self.size_xyz}.")
        if not (np.isfinite(self.pixel_size) and self.pixel_size > 0 and np.isfinite(self.binning) and self.binning > 0):
            raise GeometryError(f"Expected a positive pixel size and binning, found {self.pixel_size} Å and {self.binning}.")

    @property
    def voxel_size(self) -> float:
        """Voxel of the tomogram file in Å."""
        return self.pixel_size * self.binning

    @property
    def centre_px(self) -> FloatArray:
        """Centre (x, y, z) in unbinned pixels, N/2 as a real number."""
        return np.asarray(self.size_xyz, dtype=np.float64) / 2

    def unbinned(self, positions: npt.ArrayLike) -> FloatArray:
        """Unbinned pixels (..., 3) xyz, first voxel centre 0, of positions (..., 3) in Å from the centre, xyz."""
        return np.asarray(positions, dtype=np.float64) / self.pixel_size + self.centre_px

    def from_unbinned(self, pixels: npt.ArrayLike) -> FloatArray:
        """Positions (..., 3) in Å from the centre, xyz, of unbinned pixels (..., 3) xyz."""
        return (np.asarray(pixels, dtype=np.float64) - self.centre_px) * self.pixel_size

    def voxels_zyx(self, positions: npt.ArrayLike) -> FloatArray:
        """Fractional voxel indices (..., 3) zyx in the tomogram file of positions (..., 3) in Å from the centre, xyz."""
        return reverse_axes(self.unbinned(positions) / self.binning)

    def positions(self, voxels_zyx: npt.ArrayLike) -> FloatArray:
        """Positions (..., 3) in Å from the centre, xyz, of voxel indices (..., 3) zyx of the tomogram file."""
        return self.from_unbinned(reverse_axes(voxels_zyx) * self.binning)

    def file_shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the file that real-space back-projection writes: round(Nz/b) floored, round(Ny/b), round(Nx/b)."""
        x, y, z = (n / self.binning for n in self.size_xyz)
        return int(np.floor(z + 1e-9)), int(np.floor(y + 0.5)), int(np.floor(x + 0.5))
