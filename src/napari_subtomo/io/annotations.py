"""Annotation files of RELION's picker: `annotations/<tomogram>_particles.star` and `<tomogram>_spheres.star`.

One flat loop a file, written by the `starfile` package as the picker itself does. Coordinates and radii are voxels of the binned
tomogram, although the same labels mean unbinned pixels in a particles.star.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.geometry.frames import reverse_axes
from napari_subtomo.io import relion
from napari_subtomo.io.atomic import atomic_path
from napari_subtomo.io.star import read_star

Kind = Literal["particles", "spheres"]
FloatArray = npt.NDArray[np.float64]
#: The hour in starfile's first line: without it the same picks are the same file.
_STAMP = re.compile(r"(?<=\)) at [\d:]+ on [\d/]+$", re.MULTILINE)


@dataclass(frozen=True, eq=False)
class Annotations:
    """Picks in one tomogram.

    Attributes
    ----------
    tomo_name : str
    points_zyx : ndarray, shape (n, 3)
        Voxels of the binned tomogram, as array indices.
    radii : ndarray, shape (n,), optional
        Voxels; of spheres only.
    ids : tuple of str, optional
        Row id of the particle that each pick belongs to; empty texts for new picks. RELION's picker drops the column.
    """

    tomo_name: str
    points_zyx: FloatArray
    radii: FloatArray | None = None
    ids: tuple[str, ...] | None = None

    def __len__(self) -> int:
        """Number of picks."""
        return len(self.points_zyx)

    @property
    def kind(self) -> Kind:
        """Spheres have radii, particles have none."""
        return "particles" if self.radii is None else "spheres"


def annotation_path(folder: str | Path, tomo_name: str, kind: Kind) -> Path:
    """Path of the annotation file of a tomogram."""
    if "/" in tomo_name:
        raise InputError(f"Expected a tomogram name without '/' for an annotation file, found {tomo_name}.")
    return Path(folder) / f"{tomo_name}_{kind}.star"


def tomo_name_of(path: str | Path) -> str:
    """Name of the tomogram of an annotation file: the file name up to the last underscore, as the picker has it."""
    return Path(path).stem.rpartition("_")[0]


def write_annotations(folder: str | Path, annotations: Annotations) -> Path:
    """Write the picks of one tomogram and return the file's path; an empty list is legal. The file appears whole or not at all."""
    import pandas as pd
    import starfile

    path = annotation_path(folder, annotations.tomo_name, annotations.kind)
    points = reverse_axes(np.asarray(annotations.points_zyx, dtype=np.float64).reshape(-1, 3))
    if not np.isfinite(points).all():
        raise InputError(f"Expected finite positions of picks in {annotations.tomo_name}, found NaN or infinite ones.")
    columns: dict[str, object] = {relion.TOMO_NAME: [annotations.tomo_name] * len(points)}
    columns |= dict(zip(relion.COORDINATES, points.T, strict=True))
    if annotations.radii is not None:
        columns[relion.SPHERE_RADIUS] = np.asarray(annotations.radii, dtype=np.float64)
    if annotations.ids is not None:
        columns[relion.ROW_ID] = list(annotations.ids)
    with atomic_path(path) as temporary:
        starfile.write(pd.DataFrame(columns), temporary, overwrite=True)
        text = temporary.read_text(encoding="utf-8", errors="surrogateescape")
        temporary.write_text(_STAMP.sub("", text, count=1), encoding="utf-8", errors="surrogateescape")
    return path


def read_annotations(path: str | Path) -> Annotations:
    """Read the picks of one tomogram, written here, by RELION's picker or by hand.

    The tomogram's name comes from the file name, as in the picker; from the name column if the file is called otherwise.

    Raises
    ------
    FileMissingError, FileFormatError
        No such file, missing columns, or values that are no finite numbers.
    """
    block = read_star(path).first
    points = np.stack([block.floats(label, finite=True) for label in relion.COORDINATES], axis=-1)
    spheres = block.has(relion.SPHERE_RADIUS) or Path(path).stem.endswith("_spheres")
    radii = block.floats(relion.SPHERE_RADIUS, finite=True) if spheres else None
    name = tomo_name_of(path) or block.text(relion.TOMO_NAME, "")
    ids = block.texts(relion.ROW_ID) if block.has(relion.ROW_ID) else None
    return Annotations(name, reverse_axes(points), radii, ids)


def find_annotations(folder: str | Path, kind: Kind) -> Iterator[Path]:
    """Annotation files of one kind in a folder, sorted by name."""
    yield from sorted(Path(folder).glob(f"*_{kind}.star"))
