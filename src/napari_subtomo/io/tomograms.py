"""Tomogram sets: `tomograms.star` and the tilt series it names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo.data.tomogram import FloatArray, TiltSeries, Tomogram
from napari_subtomo.errors import FileFormatError, InputError
from napari_subtomo.io import relion
from napari_subtomo.io.project import Project, find_project
from napari_subtomo.io.star import StarBlock, StarFile, format_value, read_star, write_star

_SIZES = (relion.TOMO_SIZE_X, relion.TOMO_SIZE_Y, relion.TOMO_SIZE_Z)
_UNKNOWN_SIZE = -999  # RELION's mark for a size that is not known
_SECTION = re.compile(r"(\d+)@")


@dataclass(frozen=True, eq=False)
class TomogramSet:
    """The tomograms of a project, in the order of the file.

    Attributes
    ----------
    star : StarFile
        The file as text; what is not known here is kept.
    project : Project
        What paths are relative to.
    path : Path or None
        Where it was read.
    """

    star: StarFile
    project: Project
    path: Path | None = None

    @property
    def table(self) -> StarBlock:
        """The table of tomograms."""
        return _global_table(self.star)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tomograms, as text."""
        return self.table.texts(relion.TOMO_NAME)

    def __len__(self) -> int:
        """Number of tomograms."""
        return len(self.table)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tomogram `name`."""
        return name in self.names

    def __iter__(self) -> Iterator[Tomogram]:
        """The tomograms in the order of the file."""
        for row in range(len(self)):
            yield self._tomogram(row)

    def __getitem__(self, name: str) -> Tomogram:
        """The tomogram `name`.

        Raises
        ------
        InputError
            There is no such tomogram.
        """
        return self._tomogram(self._row(name))

    def _row(self, name: str) -> int:
        try:
            return self.names.index(name)
        except ValueError:
            found = ", ".join(self.names[:10]) + (" ..." if len(self) > 10 else "")
            raise InputError(
                f"Expected the tomogram {name} in {self.path or 'the tomogram set'}, found {found or 'no tomograms'}."
            ) from None

    def _tomogram(self, row: int) -> Tomogram:
        table = self.table
        cells = {label: values[row] for label, values in table.columns.items()}

        def number(label: str) -> float | None:
            if cells.get(label, "") in relion.NOT_AVAILABLE:
                return None
            try:
                value = float(cells[label])
            except ValueError:
                raise table.bad_cell(label, row, "a number") from None
            if not math.isfinite(value):
                raise table.bad_cell(label, row, "a finite number")
            return value

        def file(*labels: str) -> Path | None:
            for label in labels:
                if cells.get(label, "") not in relion.NOT_AVAILABLE:
                    return self.project.resolve(cells[label])
            return None

        sizes = [number(label) for label in _SIZES]
        known = [round(s) for s in sizes if s is not None and s not in (0, _UNKNOWN_SIZE)]
        half1, half2 = file(relion.TOMO_RECONSTRUCTED_HALF1), file(relion.TOMO_RECONSTRUCTED_HALF2)
        hand, slope = number(relion.TOMO_HAND), number(relion.TOMO_DEFOCUS_SLOPE)
        name = cells[relion.TOMO_NAME]
        return Tomogram(
            name=name,
            size_xyz=(known[0], known[1], known[2]) if len(known) == 3 else None,
            pixel_size=number(relion.TILT_SERIES_PIXEL_SIZE),
            binning=number(relion.TOMO_BINNING) or None,  # RELION's 0: not known
            voltage=number(relion.VOLTAGE),
            cs=number(relion.SPHERICAL_ABERRATION),
            amplitude_contrast=number(relion.AMPLITUDE_CONTRAST),
            hand=-1.0 if hand is None else hand,
            optics_group=cells.get(relion.OPTICS_GROUP_NAME) or ("opticsGroup1" if len(self) == 1 else name),
            tomogram_path=file(relion.TOMO_RECONSTRUCTED),
            denoised_path=file(relion.TOMO_RECONSTRUCTED_DENOISED, relion.TOMO_DENOISED),
            half_paths=(half1, half2) if half1 and half2 else None,
            tilt_series_path=file(relion.TOMO_TILT_SERIES_STAR_FILE),
            defocus_slope=1.0 if slope is None else slope,
            extra=cells,
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about tomograms that positions cannot be trusted for (odd sizes)."""
        return tuple(w for w in (tomogram.size_warning for tomogram in self) if w)

    def tilt_series(self, name: str) -> TiltSeries:
        """The tilt series of the tomogram `name`.

        Raises
        ------
        FileMissingError, FileFormatError
            No such file, no table of that name, or columns that are needed are missing.
        """
        tomogram = self[name]
        star = read_star(tomogram.tilt_series_path) if tomogram.tilt_series_path else self.star
        block = star.get(name)
        if block is None and tomogram.tilt_series_path is None:
            raise FileFormatError(
                f"Expected the column _{relion.TOMO_TILT_SERIES_STAR_FILE} or a table data_{name} in {self.path}, found neither."
            )
        return read_tilt_series(block if block is not None else star[name], self.project, name)

    def with_values(self, name: str, values: Mapping[str, Any]) -> TomogramSet:
        """The set with cells of one tomogram changed; new columns are `N/A` for the others.

        Parameters
        ----------
        name : str
        values : mapping of label to text or number
        """
        row, table = self._row(name), self.table
        for label, value in values.items():
            column = list(table.columns.get(label, ("N/A",) * len(table)))
            column[row] = format_value(value)
            table = table.with_column(label, column)
        return replace(self, star=self.star.replace(table))

    def with_columns(self, columns: Mapping[str, Any]) -> TomogramSet:
        """The set with whole columns changed, one value a tomogram."""
        table = self.table
        for label, values in columns.items():
            table = table.with_column(label, values)
        return replace(self, star=self.star.replace(table))

    def select(self, names: list[str] | tuple[str, ...]) -> TomogramSet:
        """The set with these tomograms only, in the order of the file."""
        rows = sorted(self._row(name) for name in dict.fromkeys(names))
        return replace(self, star=self.star.replace(self.table.rows(np.asarray(rows, dtype=np.int64))))


def read_tilt_series(block: StarBlock, project: Project, name: str) -> TiltSeries:
    """Tilt series of a per-tilt table.

    Parameters
    ----------
    block : StarBlock
        RELION 5 angles and shifts, or RELION 4 projection matrices, which are turned into angles (shifts are then NaN).
    project : Project
    name : str
        Name of the tomogram.
    """
    n = len(block)

    def column(label: str, default: float) -> FloatArray:
        return block.floats(label, finite=True) if block.has(label) else np.full(n, default)

    if block.has(relion.TOMO_Y_TILT):
        x_tilt, y_tilt, z_rot = column(relion.TOMO_X_TILT, 0), column(relion.TOMO_Y_TILT, 0), column(relion.TOMO_Z_ROT, 0)
        x_shift, y_shift = column(relion.TOMO_X_SHIFT, 0), column(relion.TOMO_Y_SHIFT, 0)
    elif block.has(*relion.TOMO_PROJECTION_ROWS):
        x_tilt, y_tilt, z_rot = _angles_of_matrices(block)
        x_shift = y_shift = np.full(n, np.nan)
    else:
        raise FileFormatError(
            f"Expected aligned tilt angles (_{relion.TOMO_Y_TILT}) in {block.where}, found none; align the tilt series first."
        )
    images = block.columns.get(relion.MICROGRAPH_NAME, ())
    defocus_u = column(relion.DEFOCUS_U, np.nan)
    return TiltSeries(
        name=name,
        x_tilt=x_tilt,
        y_tilt=y_tilt,
        z_rot=z_rot,
        x_shift=x_shift,
        y_shift=y_shift,
        defocus_u=defocus_u,
        defocus_v=block.floats(relion.DEFOCUS_V, finite=True) if block.has(relion.DEFOCUS_V) else defocus_u,
        defocus_angle=column(relion.DEFOCUS_ANGLE, 0),
        phase_shift=column(relion.PHASE_SHIFT, 0),
        scale=column(relion.CTF_SCALE_FACTOR, 1),
        dose=column(relion.MICROGRAPH_PRE_EXPOSURE, np.nan),
        image_paths=tuple(project.resolve(text) for text in images),
        bfactor=column(relion.CTF_BFACTOR, 0),
        sections=tuple(int(match[1]) if (match := _SECTION.match(text)) else 0 for text in images),
        deformed=any(_numbers_in(text) for text in block.columns.get(relion.TOMO_DEFORMATION_COEFFICIENTS, ())),
    )


def _numbers_in(text: str) -> bool:
    """Whether a list of numbers in a cell holds one that is not zero."""
    try:
        return any(float(number) != 0 for number in text.strip("[]").split(",") if number)
    except ValueError:
        return False


def _angles_of_matrices(block: StarBlock) -> tuple[FloatArray, FloatArray, FloatArray]:
    """XTilt, YTilt, ZRot in degrees of the rows `[a,b,c,t]` of projection matrices R = Rz Ry Rx."""
    from scipy.spatial.transform import Rotation

    rows = []
    for label in relion.TOMO_PROJECTION_ROWS:
        try:
            rows.append([[float(v) for v in text.strip("[]").split(",")[:3]] for text in block.texts(label)])
        except ValueError:
            raise FileFormatError(f"Expected rows [a,b,c,d] of projection matrices in _{label} of {block.where}.") from None
    matrices = np.asarray(rows).transpose(1, 0, 2)
    if matrices.shape[1:] != (3, 3) or (np.linalg.det(matrices) <= 0).any():
        raise FileFormatError(f"Expected right-handed projection matrices in {block.where}, found others.")
    z, y, x = Rotation.from_matrix(matrices).as_euler("ZYX", degrees=True).T
    return x, y, z


def _global_table(star: StarFile) -> StarBlock:
    table = star.get(relion.GLOBAL)
    if table is None:
        table = next((b for b in star if b.kind == "loop" and b.has(relion.TOMO_NAME)), None)
    if table is None or not table.has(relion.TOMO_NAME):
        raise FileFormatError(f"Expected a table of tomograms with _{relion.TOMO_NAME} in {star.path}, found none; is it a tomograms.star?")
    return table


def read_tomograms(path: str | Path, project: Project | None = None) -> TomogramSet:
    """Read `tomograms.star`.

    Parameters
    ----------
    path : str or Path
    project : Project, optional
        What its paths are relative to; found from the file when missing.

    Raises
    ------
    FileMissingError, FileFormatError
        No such file, no tomograms, or a tomogram twice.
    """
    star = read_star(path)
    tomograms = TomogramSet(star, project or find_project(path), Path(path))
    names = tomograms.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileFormatError(f"Expected each tomogram once in {path}, found {twice[0]} {names.count(twice[0])} times.")
    return tomograms


def write_tomograms(path: str | Path, tomograms: TomogramSet) -> None:
    """Write a tomogram set; every cell that was not changed is written as it was read."""
    write_star(path, tomograms.star)
