"""How class maps compare: a rare species looks like the others where it is resolved, a bead of gold does not, and is denser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.class_files import ClassTable, map_path
from napari_subtomo.io.mrc import mrc_header, read_mrc
from napari_subtomo.io.project import Project
from napari_subtomo.numerics.fourier import centred_fft, centred_ifft, shells

LEAST_SHELLS = 4  # of a map: fewer hold little but its size


@dataclass(frozen=True)
class Likeness:
    """How the map of a class compares with that of the largest, both over the shells in which both are resolved.

    Attributes
    ----------
    correlation : float
        ``Re Σ A·B* / sqrt(Σ|A|² Σ|B|²)``, −1 … 1; grey values and their scale do not matter. NaN where a map holds nothing.
    density : float
        Its highest density, black or white, in units of that of the largest class; NaN where that holds nothing.
    """

    correlation: float
    density: float

    @classmethod
    def of(cls, a: npt.NDArray[Any], b: npt.NDArray[Any], last: int) -> Likeness:
        """Of two maps over Fourier shells 1 … `last`.

        Parameters
        ----------
        a, b : ndarray, shape (n, n, n)
            Maps [z, y, x], that of the largest class second.
        last : int
            Shell, in Fourier pixels, up to which both are resolved.
        """
        shell = shells(a.shape)
        inside = (shell >= 1) & (shell <= last)
        x, y = (np.where(inside, centred_fft(each), 0) for each in (a, b))
        norm = float(np.sqrt((np.abs(x) ** 2).sum() * (np.abs(y) ** 2).sum()))
        highest, other = (float(np.abs(centred_ifft(each).real).max()) for each in (x, y))
        return cls(float((x * y.conj()).real.sum()) / norm if norm > 0 else np.nan, highest / other if other > 0 else np.nan)


def likenesses(table: ClassTable, resolutions: Mapping[int, float], project: Project) -> dict[int, Likeness]:
    """How the map of each class compares with that of the largest.

    Parameters
    ----------
    table : ClassTable
    resolutions : mapping
        Å, by class; without the empty class and what is not known.
    project : Project
        Where the maps are found.

    Returns
    -------
    dict
        By class; what cannot be told is left out: no map, none that fits, or fewer than four shells.
    """
    if table.classes is None or table.files.model is None or not table.classes.has(relion.REFERENCE_IMAGE):
        return {}
    cells, model, counts = table.classes.texts(relion.REFERENCE_IMAGE), table.files.model, table.hard
    maps = {number: found for number in resolutions if (found := _map(cells[number - 1 : number], model, project)) is not None}
    largest = max(maps, key=lambda number: counts[number], default=0)
    known: dict[int, Likeness] = {}
    for number, (volume, pixel) in maps.items():
        reference, _ = maps[largest]
        last = int(len(reference) * pixel / max(resolutions[number], resolutions[largest]) + 0.5)
        if number != largest and last >= LEAST_SHELLS and volume.shape == reference.shape:
            known[number] = Likeness.of(volume, reference, last)
    return known


def _map(cells: Sequence[str], model: Path, project: Project) -> tuple[npt.NDArray[np.float32], float] | None:
    """The map of a cell, if any, and its pixel size in Å; None where there is none that can be read."""
    path = map_path(cells[0], model, project) if cells else None
    try:
        return None if path is None else (read_mrc(path), mrc_header(path).voxel_size)
    except InputError:
        return None
