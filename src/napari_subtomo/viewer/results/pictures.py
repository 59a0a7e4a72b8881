"""Slices of maps and subtomograms as small grey pictures with captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError
from napari_subtomo.io.mrc import open_mrc
from napari_subtomo.io.project import Project

FloatArray = npt.NDArray[np.float64]
FloatImage = npt.NDArray[np.float32]
GreyImage = npt.NDArray[np.uint8]

#: Axis of the array that a section is cut across -> its name, columns before rows.
SECTIONS = ("xy", "xz", "yz")


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of a row of pictures.

    Attributes
    ----------
    key : str
        What it stands for; "" if it cannot be picked.
    image : ndarray of uint8, shape (h, w), or None
        First row at the bottom; None where the file is missing.
    lines : tuple of str
        Caption below, one text a line.
    tip : str
        What is said while the mouse rests on it.
    colour : str
        "#RRGGBB" of the frame; "" for none.
    """

    key: str
    image: GreyImage | None
    lines: tuple[str, ...] = ()
    tip: str = ""
    colour: str = ""


def job_title(folder: Path, project: Project) -> str:
    """What a job folder is called: its name in the project, or that of the project itself."""
    name = project.name(folder)
    return name if name != "." else project.root.name


def central_section(volume: npt.NDArray[Any], axis: int = 0, thickness: int = 1) -> FloatImage:
    """Mean of the central slices across an axis; only those are read of a mapped file.

    Parameters
    ----------
    volume : array, shape (z, y, x)
    axis : int
    thickness : int
        Slices about the centre n // 2; never more than there are.

    Returns
    -------
    ndarray of float32
        Rows are the slower axis that is left.
    """
    first, last = central_range(volume.shape[axis], thickness)
    chosen = volume[(slice(None),) * axis + (slice(first, last),)]
    section: FloatImage = np.asarray(chosen, dtype=np.float32).mean(axis=axis)
    return section


def central_range(n: int, thickness: int) -> tuple[int, int]:
    """First slice and the one after the last of `thickness` slices about n // 2."""
    thickness = int(np.clip(thickness, 1, n))
    first = int(np.clip(n // 2 - thickness // 2, 0, n - thickness))
    return first, first + thickness


def map_sections(path: Path, thickness: int = 1) -> tuple[FloatImage, ...]:
    """Central sections xy, xz and yz of a map.

    Raises
    ------
    FileMissingError, FileFormatError
        No such file, no MRC file, or numbers that are not finite.
    """
    volume = open_mrc(path)
    sections = tuple(central_section(volume, axis, thickness) for axis in range(3))
    if not all(np.isfinite(section).all() for section in sections):
        raise FileFormatError(f"Expected finite grey values in {path}, found NaN or infinity; make the map again.")
    return sections


def shared_limits(
    groups: Sequence[Sequence[FloatImage]], weights: Sequence[float] | None = None, percentiles: tuple[float, float] = (0.2, 99.9)
) -> tuple[float, float]:
    """One grey scale for many pictures: the weighted median of what each group would take for itself, so that an odd one does not rule.

    Parameters
    ----------
    groups : sequence of sequences of arrays
        Pictures that belong together, e.g. the sections of one map; flat ones do not count.
    weights : sequence of float, optional
        One a group, e.g. fractions of particles.
    percentiles : tuple of float

    Returns
    -------
    tuple of float
        Always low < high.
    """
    ends, shares = [], []
    for number, group in enumerate(groups):
        pixels = np.concatenate([np.ravel(image) for image in group]) if len(group) else np.zeros(0)
        pixels = pixels[np.isfinite(pixels)]
        if pixels.size and np.ptp(pixels) > 0:
            ends.append(np.percentile(pixels, percentiles))
            shares.append(max(float(np.nan_to_num(1.0 if weights is None else weights[number])), 1e-6))
    if not ends:
        return 0.0, 1.0
    low, high = (_median(column, np.asarray(shares)) for column in np.asarray(ends).T)
    return (low, high) if low < high else (low, low + 1.0)


def _median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(share, 0.5)), len(values) - 1)])


def grey(image: npt.NDArray[Any], limits: tuple[float, float]) -> GreyImage:
    """Grey values 0 (`limits[0]` and below) to 255."""
    low, high = limits
    scaled = (np.asarray(image, dtype=np.float32) - low) / (high - low)
    return np.ascontiguousarray(np.round(np.clip(np.nan_to_num(scaled), 0, 1) * 255).astype(np.uint8))


@dataclass(frozen=True)
class Grid:
    """Tiles side by side: so many columns of squares with `side` px."""

    columns: int
    rows: int
    side: int


def best_grid(n: int, width: int, height: int, caption: int, gap: int, smallest: int, largest: int) -> Grid:
    """The arrangement in which n square tiles with captions are largest and fit into an area, if tiles of `smallest` px can fit.

    Parameters
    ----------
    n : int
    width, height : int
        Of the area, px.
    caption, gap : int
        Height of the caption below a tile, space between tiles, px.
    smallest, largest : int
        Limits of the side, px.
    """
    n = max(n, 1)
    best: Grid | None = None
    for columns in range(1, n + 1):
        rows = -(-n // columns)
        side = min((width + gap) // columns - gap, (height + gap) // rows - gap - caption, largest)
        if side >= smallest and (best is None or side > best.side):
            best = Grid(columns, rows, side)
    return best or grid_of_width(n, width, gap, smallest, largest)


def grid_of_width(n: int, width: int, gap: int, smallest: int, largest: int) -> Grid:
    """The arrangement with the fewest rows for a width, tiles at least `smallest` px."""
    n = max(n, 1)
    rows = -(-n // max(min((width + gap) // (smallest + gap), n), 1))
    columns = -(-n // rows)
    return Grid(columns, rows, int(np.clip((width + gap) // columns - gap, min(smallest, width), largest)))
