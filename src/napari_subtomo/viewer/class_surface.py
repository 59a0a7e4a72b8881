"""A class map as a volume or as a surface, for napari to show at its own scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.io.mrc import mrc_header, read_mrc
from napari_subtomo.viewer.layers import UNITS, LayerData

#: The surface stands where the density is this many standard deviations above the mean of the box.
SIGMAS = 3.0


def surface_level(volume: npt.NDArray[np.float32]) -> float:
    """Level of the surface of a map with bright protein: `SIGMAS` above the mean, but at most half of the highest density.

    Raises
    ------
    InputError
        The map is flat: it has no surface.
    """
    low, high = float(volume.min()), float(volume.max())
    if not high > low:
        raise InputError("Expected a map with density for a surface, found a flat one; open another class.")
    mean = float(volume.mean())
    return min(mean + SIGMAS * float(volume.std()), mean + 0.5 * (high - mean))


def map_surface(
    volume: npt.NDArray[np.float32], level: float | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], float]:
    """The surface of a map by marching cubes (scikit-image; Lewiner et al. 2003).

    Parameters
    ----------
    volume : ndarray, shape (z, y, x)
    level : float, optional
        Density on the surface; without it `surface_level`.

    Returns
    -------
    vertices : ndarray, shape (n, 3)
        Voxels, zyx.
    faces : ndarray of int, shape (m, 3)
    level : float
    """
    from skimage.measure import marching_cubes

    level = surface_level(volume) if level is None else level
    # what touches the walls of the box would leave holes there
    closed = np.pad(volume, 1, constant_values=float(volume.min()))
    vertices, faces, _, _ = marching_cubes(closed, level=level)  # type: ignore[no-untyped-call]
    return (vertices - 1).astype(np.float32), faces.astype(np.int64), level


def map_layer(path: Path, name: str, centre: npt.ArrayLike | None = None) -> LayerData:
    """A map as an image layer with its own grey scale and voxel size.

    Parameters
    ----------
    path : Path
    name : str
    centre : array_like, shape (3,), optional
        World coordinates (Å, zyx) of the middle of the box; without it the first voxel is the origin.
    """
    volume = read_mrc(path)
    low, high = (float(value) for value in np.percentile(volume, (0.2, 99.95)))
    limits = (low, high) if high > low else (low, low + 1.0)
    return volume, {"name": name, "colormap": "gray", "contrast_limits": limits, **_placed(path, volume.shape, centre)}, "image"


def surface_layer(path: Path, name: str, colour: str, centre: npt.ArrayLike | None = None) -> LayerData:
    """The surface of a map as a layer in Å; `colour` as "#RRGGBB", `centre` as in `map_layer`. Errors as in `map_surface`."""
    volume = read_mrc(path)
    vertices, faces, level = map_surface(volume)
    settings = {
        "name": f"{name} at {level:.3g}",
        "vertex_colors": np.tile([*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 1.0], (len(vertices), 1)),
        "shading": "smooth",
        **_placed(path, volume.shape, centre),
    }
    return (vertices, faces), settings, "surface"


def _placed(path: Path, shape: tuple[int, ...], centre: npt.ArrayLike | None) -> dict[str, Any]:
    voxel = mrc_header(path).voxel_size
    scale = voxel if voxel > 0 else 1.0
    middle = scale * np.asarray([n // 2 for n in shape], dtype=np.float64)
    place: dict[str, Any] = {"scale": (scale,) * 3}
    if voxel > 0:
        place["units"] = UNITS
    if centre is not None:
        place["translate"] = tuple(np.asarray(centre, dtype=np.float64) - middle)
    return place
