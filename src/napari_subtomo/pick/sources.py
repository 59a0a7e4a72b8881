"""Points and spheres from CSV files, STAR files and the command line."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError, OptionError
from napari_subtomo.geometry.frames import Frame, reverse_axes
from napari_subtomo.io import relion
from napari_subtomo.io.annotations import tomo_name_of
from napari_subtomo.io.star import read_star
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.options.pick import Units

FloatArray = npt.NDArray[np.float64]
Columns = Mapping[str, Sequence[str]]

_NAMES = (relion.TOMO_NAME.lower(), "tomogram", "tomo", "tomo_name", "tomogram_name", "name")
_RADII = (relion.SPHERE_RADIUS.lower(), "radius", "r")
_XYZ = (("x", "y", "z"), ("axis-2", "axis-1", "axis-0"), tuple(label.lower() for label in relion.COORDINATES))
_CENTRED = tuple(label.lower() for label in relion.CENTRED)


@dataclass(frozen=True, eq=False)
class Picks:
    """Points in tomograms.

    Attributes
    ----------
    tomo_names : tuple of str
        Tomogram of each point.
    positions : ndarray, shape (n, 3)
        xyz, Å from the tomogram's centre.
    """

    tomo_names: tuple[str, ...]
    positions: FloatArray

    def __len__(self) -> int:
        """Number of points."""
        return len(self.tomo_names)


@dataclass(frozen=True, eq=False)
class Spheres(Picks):
    """Spheres in tomograms: `positions` are their centres.

    Attributes
    ----------
    radii : ndarray, shape (n,)
        Å.
    """

    radii: FloatArray


def to_angstrom(coordinates: npt.ArrayLike, frame: Frame, units: Units) -> FloatArray:
    """Positions (n, 3) xyz in Å from the centre, of coordinates (n, 3) xyz in `units`."""
    if units == "voxels":
        return frame.positions(reverse_axes(coordinates))
    if units == "pixels":
        return frame.from_unbinned(coordinates)
    return np.asarray(coordinates, dtype=np.float64)


def unit_length(frame: Frame, units: Units) -> float:
    """Å in one unit of length."""
    return {"voxels": frame.voxel_size, "pixels": frame.pixel_size, "angstrom": 1.0}[units]


def read_points(path: Path, tomograms: TomogramSet, units: Units = "voxels", tomogram: str | None = None) -> Picks:
    """Points from a CSV or STAR file.

    A CSV has a line of column names: x, y, z (or napari's axis-0, axis-1, axis-2, which are z, y, x) and, for more than one
    tomogram, one of tomogram, tomo, tomo_name, name; a file of three columns of numbers needs no names. A STAR file has the columns
    of an annotation or of a particle file; centred coordinates are Å whatever `units` says.

    Parameters
    ----------
    path : Path
    tomograms : TomogramSet
    units : "voxels", "pixels" or "angstrom"
    tomogram : str, optional
        Tomogram of all points of a file that names none; not needed if there is only one.

    Raises
    ------
    InputError
        Missing file or columns, bad numbers, an unknown tomogram.
    """
    columns = _columns(path)
    names = _tomo_names(path, columns, tomograms, tomogram)
    positions, _ = _positions(path, columns, names, tomograms, units)
    return Picks(names, positions)


def read_spheres(path: Path, tomograms: TomogramSet, units: Units = "voxels", tomogram: str | None = None) -> Spheres:
    """Spheres from a STAR or CSV file: as `read_points`, with the radius in the same unit as the coordinates."""
    columns = _columns(path)
    names = _tomo_names(path, columns, tomograms, tomogram)
    label = next((name for name in _RADII if name in columns), None)
    if label is None:
        raise FileFormatError(f"Expected radii (_{relion.SPHERE_RADIUS} or radius) in {path}, found the columns {', '.join(columns)}.")
    positions, scale = _positions(path, columns, names, tomograms, units)
    return _checked(Spheres(names, positions, _numbers(path, columns, label) * scale), str(path))


def has_radii(path: Path) -> bool:
    """Whether a STAR or CSV file has a column of radii: it holds spheres then.

    Raises
    ------
    InputError
        Missing file, or none of coordinates.
    """
    return not set(_columns(path)).isdisjoint(_RADII)


def parse_spheres(texts: Sequence[str], tomograms: TomogramSet, units: Units = "voxels") -> Spheres:
    """Spheres written as NAME,X,Y,Z,R; the name may hold commas.

    Raises
    ------
    OptionError
        Not of that form.
    InputError
        An unknown tomogram.
    """
    names, positions, radii = [], [], []
    for text in texts:
        parts = text.rsplit(",", 4)
        try:
            name, (x, y, z, r) = parts[0], map(float, parts[1:])
        except ValueError:
            raise OptionError(f"Expected a sphere as NAME,X,Y,Z,R with four numbers after the tomogram, found {text!r}.") from None
        frame = tomograms[name].frame
        names.append(name)
        positions.append(to_angstrom([x, y, z], frame, units))
        radii.append(r * unit_length(frame, units))
    return _checked(Spheres(tuple(names), np.reshape(positions, (-1, 3)), np.array(radii, dtype=np.float64)), "--sphere")


def _checked(spheres: Spheres, source: str) -> Spheres:
    for i, (name, radius) in enumerate(zip(spheres.tomo_names, spheres.radii, strict=True)):
        if not (radius > 0 and np.isfinite(radius) and np.isfinite(spheres.positions[i]).all()):
            raise InputError(
                f"Expected a finite centre and a positive radius for sphere {i + 1} ({name}) of {source}, found a radius of {radius:g} Å."
            )
    return spheres


def _columns(path: Path) -> Columns:
    """Columns of a STAR or CSV file by lower-case name."""
    if path.is_dir():
        raise InputError(f"Expected a CSV or STAR file, found the folder {path}; use --annotations for a folder of annotation files.")
    if path.suffix.lower() == ".star":
        star = read_star(path)
        block = star.get(relion.PARTICLES) or star.first
        return {label.lower(): texts for label, texts in block.columns.items()}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FileMissingError(f"Expected the coordinates {path}, found nothing there; check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileFormatError(f"Expected a text file of coordinates, found that {path} cannot be read as one: {error}.") from error
    return _csv_columns(path, [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")])


def _csv_columns(path: Path, lines: Sequence[str]) -> Columns:
    if not lines:
        raise FileFormatError(f"Expected coordinates in {path}, found an empty file.")
    delimiter = next((d for d in (",", ";", "\t") if d in lines[0]), None)
    rows = (
        [line.split() for line in lines]
        if delimiter is None
        else [[c.strip() for c in row] for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True)]
    )
    if all(_is_number(cell) for cell in rows[0]):
        if len(rows[0]) != 3:
            raise FileFormatError(f"Expected a first line with the names of the columns (x, y, z, tomogram) in {path}, found numbers.")
        labels = ["x", "y", "z"]
    else:
        labels, rows = [cell.lower().removeprefix("_") for cell in rows[0]], rows[1:]
    for number, row in enumerate(rows, 1):
        if len(row) != len(labels):
            raise FileFormatError(f"Expected {len(labels)} values in row {number} of {path}, found {len(row)}.")
    return {label: [row[i] for row in rows] for i, label in enumerate(labels)}


def _tomo_names(path: Path, columns: Columns, tomograms: TomogramSet, tomogram: str | None) -> tuple[str, ...]:
    n = len(next(iter(columns.values()), ()))
    label = next((name for name in _NAMES if name in columns), None)
    if label is not None:
        names = tuple(columns[label])
        if tomogram is not None and set(names) - {tomogram}:
            raise OptionError(
                f"Expected only points of {tomogram} in {path}, found {sorted(set(names) - {tomogram})[0]}; leave out --tomogram."
            )
    else:
        from_file = tomo_name_of(path)
        name = tomogram or (from_file if from_file in tomograms else tomograms.names[0] if len(tomograms) == 1 else None)
        if name is None:
            raise InputError(
                f"Expected the tomogram of each point in {path}, found no column for it; add a column tomogram or give --tomogram."
            )
        names = (name,) * n
    for name in dict.fromkeys(names):
        _ = tomograms[name]
    return names


def _positions(path: Path, columns: Columns, names: Sequence[str], tomograms: TomogramSet, units: Units) -> tuple[FloatArray, FloatArray]:
    """Positions (n, 3) in Å, and Å per unit of length for each point."""
    if all(label in columns for label in _CENTRED):
        labels, units = _CENTRED, "angstrom"
    else:
        found = next((triple for triple in _XYZ if all(label in columns for label in triple)), None)
        if found is None:
            raise FileFormatError(f"Expected the columns x, y, z (or RELION's coordinates) in {path}, found {', '.join(columns)}.")
        labels = found
    given = np.stack([_numbers(path, columns, label) for label in labels], axis=-1)
    positions, scale = np.zeros((len(names), 3)), np.ones(len(names))
    belongs = np.asarray(names, dtype=object)
    for name in dict.fromkeys(names):
        rows, frame = belongs == name, tomograms[name].frame
        positions[rows], scale[rows] = to_angstrom(given[rows], frame, units), unit_length(frame, units)
    return positions, scale


def _numbers(path: Path, columns: Columns, label: str) -> FloatArray:
    values = np.empty(len(columns[label]))
    for row, text in enumerate(columns[label]):
        if not _is_number(text) or not np.isfinite(float(text)):
            raise FileFormatError(f"Expected a finite number in row {row + 1}, column {label} of {path}, found {text!r}; correct the cell.")
        values[row] = float(text)
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
