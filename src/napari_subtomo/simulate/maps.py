"""Own maps as densities for the sample: resampled to its pixel, freed of their background, brought to one power."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from napari_subtomo.errors import FileFormatError
from napari_subtomo.io.mrc import mrc_header, read_mrc, require_finite
from napari_subtomo.numerics.fourier import lowpass
from napari_subtomo.numerics.masks import radius_grid, soft_sphere

Volume = npt.NDArray[np.float32]


def resample(volume: npt.NDArray[np.floating], voxel_size: float, pixel_size: float, box: int) -> Volume:
    """Map on another grid about the same centre (index n // 2), low-passed first where the new voxel is larger.

    Parameters
    ----------
    volume : ndarray, shape (n, n, n)
    voxel_size, pixel_size : float
        Å per voxel before and after.
    box : int
        Voxels a side afterwards.

    Returns
    -------
    float32 ndarray, shape (box, box, box), zero where the input does not reach
    """
    n = volume.shape[0]
    values = np.asarray(volume, dtype=np.float32)
    if pixel_size > voxel_size:
        values = np.asarray(lowpass(values, voxel_size, 2 * pixel_size), dtype=np.float32)
    axis = (np.arange(box) - box // 2) * (pixel_size / voxel_size) + n // 2
    nodes = np.meshgrid(axis, axis, axis, indexing="ij")
    out: Volume = map_coordinates(values, nodes, order=3, mode="constant", output=np.float32)
    return out


def read_density(path: str | Path, pixel_size: float, box: int, diameter: float) -> Volume:
    """A map file as a density of the sample: resampled, solvent level 0, softly masked, unit power.

    Parameters
    ----------
    path : str or Path
        Cubic map with bright protein and its voxel size in the header.
    pixel_size : float
        The sample's pixel in Å.
    box : int
        Voxels a side of the density.
    diameter : float
        Å; what lies outside this sphere is left out.

    Returns
    -------
    float32 ndarray, shape (box, box, box)

    Raises
    ------
    FileMissingError
    FileFormatError
        Not a cubic map, no voxel size in its header, values that are not finite or all equal.
    """
    header = mrc_header(path)
    if len(set(header.shape)) != 1:
        raise FileFormatError(f"Expected a cubic map in {path}, found {' x '.join(map(str, header.shape))} (zyx) voxels; pad it to a cube.")
    if not header.voxel_size > 0:
        raise FileFormatError(
            f"Expected the voxel size in the header of {path}, found none; set it, e.g. with relion_image_handler --angpix."
        )
    values = read_mrc(path)
    require_finite(values, path)
    density = resample(values, header.voxel_size, pixel_size, box)
    radius = diameter / 2 / pixel_size
    distance = radius_grid(density.shape)
    reach = header.shape[0] // 2 * header.voxel_size / pixel_size - 1
    rim = (distance >= min(radius, reach - 2)) & (distance < reach)
    density = (density - density[rim].mean()) * soft_sphere(box, min(radius, reach - 3), 3.0)
    power = float(np.sqrt((density.astype(np.float64) ** 2).mean()))
    if not power > 0:
        raise FileFormatError(f"Expected a density in {path}, found the same value everywhere within {diameter:.0f} Å.")
    out: Volume = (density / power).astype(np.float32)
    return out
