"""Particle sets: `particles.star` and RELION's `_data.star`, of RELION 5, 4 and 3.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, GeometryError, InputError
from napari_subtomo.geometry.orientations import euler_to_matrix, matrix_to_euler
from napari_subtomo.io import legacy, relion
from napari_subtomo.io.star import StarBlock, StarFile, read_star, write_star
from napari_subtomo.io.tomograms import TomogramSet

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Dialect = Literal["relion5", "relion4", "relion31"]


@dataclass(frozen=True, eq=False)
class ParticleSet:
    """Particles as RELION describes them; every cell that is not changed stays as text.

    With `c` the centred coordinates, `o` the origins, `S` the frame of the subtomogram and `A` the angles, a particle is at
    ``c - S·o`` and its orientation is ``S·A`` (`ParticleSet::getPosition`, `getMatrix3x3`).

    Attributes
    ----------
    star : StarFile
        General, optics and particle tables, and any others.
    path : Path or None
        Where it was read.
    row_ids : ndarray, shape (n,)
        Row numbers in the file that was read; they follow the particles through `select` and edits.
    """

    star: StarFile
    path: Path | None = None
    row_ids: IntArray | None = None

    def __post_init__(self) -> None:
        """Number the rows and make sure that there is a table of particles."""
        if self.row_ids is None:
            object.__setattr__(self, "row_ids", np.arange(len(self.table)))

    @classmethod
    def create(cls, columns: Mapping[str, Any], optics: Mapping[str, Any] | None = None, are_2d_stacks: bool | None = None) -> ParticleSet:
        """A new set.

        Parameters
        ----------
        columns : mapping of label to texts or numbers
            One value a particle.
        optics : mapping of label to texts or numbers, optional
            One value an optics group.
        are_2d_stacks : bool, optional
            Whether images are stacks of tilts; left out before extraction.
        """
        blocks = []
        if are_2d_stacks is not None:
            blocks.append(StarBlock.list(relion.GENERAL, {relion.ARE_2D_STACKS: are_2d_stacks}))
        if optics is not None:
            blocks.append(StarBlock.loop(relion.OPTICS, optics))
        return cls(StarFile((*blocks, StarBlock.loop(relion.PARTICLES, columns))))

    # --- tables and columns ----------------------------------------------------------------------------------------------

    @cached_property
    def table(self) -> StarBlock:
        """The table of particles."""
        table = self.star.get(relion.PARTICLES)
        if table is None:
            wanted = (relion.TOMO_NAME, relion.MICROGRAPH_NAME, relion.IMAGE_NAME)
            table = next((b for b in self.star if b.kind == "loop" and any(b.has(label) for label in wanted)), None)
        if table is None:
            raise FileFormatError(f"Expected the table data_{relion.PARTICLES} in {self.star.path}, found {', '.join(self.star.names)}.")
        return table

    @property
    def optics(self) -> StarBlock | None:
        """The table of optics groups, if there is one."""
        return self.star.get(relion.OPTICS)

    def __len__(self) -> int:
        """Number of particles."""
        return len(self.table)

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self.table)

    def has(self, *labels: str) -> bool:
        """Whether the table of particles has all `labels`."""
        return self.table.has(*labels)

    def texts(self, label: str) -> tuple[str, ...]:
        """A column as text."""
        return self.table.texts(label)

    def floats(self, label: str) -> FloatArray:
        """A column as numbers, shape (n,)."""
        return self.table.floats(label)

    def ints(self, label: str) -> IntArray:
        """A column as integers, shape (n,)."""
        return self.table.ints(label)

    def _triple(self, labels: tuple[str, str, str]) -> FloatArray:
        return np.stack([self.table.floats(label, finite=True) for label in labels], axis=-1)

    @property
    def dialect(self) -> Dialect:
        """Whose columns these are: `relion5` has centred Å, `relion4` unbinned pixels of a tomogram, `relion31` no tomogram names."""
        if self.table.has(*relion.CENTRED):
            return "relion5"
        return "relion4" if self.table.has(relion.TOMO_NAME) else "relion31"

    # --- names -----------------------------------------------------------------------------------------------------------

    @property
    def tomo_names(self) -> tuple[str, ...]:
        """Name of the tomogram of each particle (the micrograph name in RELION 3.1)."""
        for label in (relion.TOMO_NAME, relion.MICROGRAPH_NAME):
            if self.table.has(label):
                return self.texts(label)
        return self.table.texts(relion.TOMO_NAME)  # raises and says what is there

    @property
    def names(self) -> tuple[str, ...]:
        """Particle names; where there are none RELION's default `<tomogram>/<number>`, counted from 1 in each tomogram."""
        if self.table.has(relion.TOMO_PARTICLE_NAME):
            return self.texts(relion.TOMO_PARTICLE_NAME)
        counts: dict[str, int] = {}
        names = []
        for tomogram in self.tomo_names:
            counts[tomogram] = counts.get(tomogram, 0) + 1
            names.append(f"{tomogram}/{counts[tomogram]}")
        return tuple(names)

    @property
    def image_paths(self) -> tuple[str, ...]:
        """Cells of the image column, relative to the project; empty texts where there is no such column."""
        return self.table.columns.get(relion.IMAGE_NAME, ("",) * self.n)

    @property
    def ctf_paths(self) -> tuple[str, ...]:
        """Cells of the weight or 3D CTF column, as `image_paths`."""
        return self.table.columns.get(relion.CTF_IMAGE, ("",) * self.n)

    # --- poses -----------------------------------------------------------------------------------------------------------

    def coordinates(self, tomograms: TomogramSet | None = None) -> FloatArray:
        """Centred coordinates c, shape (n, 3) xyz, Å.

        Parameters
        ----------
        tomograms : TomogramSet, optional
            Needed for RELION 4 and 3.1 files, which count pixels from a corner: ``c = (u - N/2)·p``. In RELION 3.1 the pixel is that
            of the micrograph if the optics table has one, else that of the images.

        Raises
        ------
        GeometryError
            Tomogram sizes are needed and missing.
        FileFormatError
            No coordinates, or a value that is no finite number (file, row and column are named).
        """
        if self.dialect == "relion5":
            return self._triple(relion.CENTRED)
        return legacy.centred_coordinates(self.table, self.optics, self.tomo_names, tomograms)

    @property
    def origins(self) -> FloatArray:
        """Origins o, shape (n, 3) xyz, Å, in the frame of the subtomogram; 0 where the file has none."""
        if self.table.has(*relion.ORIGINS):
            return self._triple(relion.ORIGINS)
        if self.table.has(*relion.ORIGINS_PX):
            origins: FloatArray = self._triple(relion.ORIGINS_PX) * legacy.image_pixels(self.table, self.optics)[:, None]
            return origins
        return np.zeros((self.n, 3))

    def _matrices(self, labels: tuple[str, str, str]) -> FloatArray:
        if not any(self.table.has(label) for label in labels) or self.n == 0:
            return np.broadcast_to(np.eye(3), (self.n, 3, 3)).copy()
        columns = [self.table.floats(label, finite=True) if self.table.has(label) else np.zeros(self.n) for label in labels]
        return euler_to_matrix(np.stack(columns, axis=-1))

    @property
    def frames(self) -> FloatArray:
        """Frames S of the subtomograms in the tomogram, shape (n, 3, 3); the identity where the file has none."""
        return self._matrices(relion.SUBTOMOGRAM_ANGLES)

    @property
    def angles(self) -> FloatArray:
        """Orientations A in the frame of the subtomogram, shape (n, 3, 3); the identity where the file has none."""
        return self._matrices(relion.ANGLES)

    def positions(self, tomograms: TomogramSet | None = None) -> FloatArray:
        """True positions ``c - S·o``, shape (n, 3) xyz, Å from the centre of the tomogram. Errors as in `coordinates`."""
        shifts: FloatArray = np.einsum("nij,nj->ni", self.frames, self.origins)
        return self.coordinates(tomograms) - shifts

    @property
    def orientations(self) -> FloatArray:
        """Orientations ``S·A`` in the tomogram, shape (n, 3, 3)."""
        return self.frames @ self.angles

    # --- groups ----------------------------------------------------------------------------------------------------------

    def _numbers(self, label: str, default: int) -> IntArray:
        return self.table.ints(label) if self.table.has(label) else np.full(self.n, default, dtype=np.int64)

    @property
    def half_sets(self) -> IntArray:
        """Half set 1 or 2 of each particle, shape (n,); 0 where the file has none."""
        return self._numbers(relion.RANDOM_SUBSET, 0)

    @property
    def class_numbers(self) -> IntArray:
        """Class of each particle from 1, shape (n,); 0 where the file has none."""
        return self._numbers(relion.CLASS_NUMBER, 0)

    @property
    def optics_groups(self) -> IntArray:
        """Optics group of each particle from 1, shape (n,); 1 where the file has none."""
        return self._numbers(relion.OPTICS_GROUP, 1)

    @property
    def groups(self) -> tuple[str, ...]:
        """Intensity group of each particle: its group name, else its tomogram (`Experiment::read`)."""
        return self.table.columns.get(relion.GROUP_NAME) or self.tomo_names

    @property
    def pixel_size(self) -> float:
        """Pixel of the images in Å.

        Raises
        ------
        FileFormatError, GeometryError
            None is known, or optics groups differ.
        """
        return float(self._common(np.unique(legacy.image_pixels(self.table, self.optics)), "pixel size"))

    @property
    def box_size(self) -> int:
        """Box of the images in px. Errors as in `pixel_size`."""
        if self.optics is None or not self.optics.has(relion.IMAGE_SIZE):
            raise FileFormatError(
                f"Expected the box of the images (_{relion.IMAGE_SIZE} in data_{relion.OPTICS}) in {self.path or 'the particles'}, "
                "found none; extract the particles first."
            )
        return int(self._common(np.unique(legacy.per_group(self.table, self.optics, relion.IMAGE_SIZE)), "box size"))

    def _common(self, values: FloatArray, what: str) -> float:
        if len(values) == 0:
            raise InputError(f"Expected particles in {self.path or 'the set'}, found none.")
        if len(values) > 1 and np.ptp(values) > 1e-4 * abs(values[0]):
            raise GeometryError(
                f"Expected one {what} for all particles, found {', '.join(f'{v:g}' for v in values)}; extract them together."
            )
        return float(values[0])

    @property
    def is_2d_stacks(self) -> bool:
        """Whether the images are stacks of tilts rather than volumes."""
        general = self.star.get(relion.GENERAL)
        if general is not None and general.has(relion.ARE_2D_STACKS):
            return bool(general.ints(relion.ARE_2D_STACKS)[0])
        if self.dialect == "relion31" or self.optics is None or not self.optics.has(relion.IMAGE_DIMENSIONALITY):
            return False
        return bool((self.optics.ints(relion.IMAGE_DIMENSIONALITY) == 2).all())

    # --- edits -----------------------------------------------------------------------------------------------------------

    def _with_table(self, table: StarBlock, row_ids: IntArray | None = None) -> ParticleSet:
        ids = self.row_ids if row_ids is None else row_ids
        return replace(self, star=self.star.replace(table), row_ids=ids)

    def select(self, index: npt.ArrayLike) -> ParticleSet:
        """The chosen particles: a mask of length n, or row numbers in any order."""
        chosen = np.asarray(index)
        rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64).ravel()
        assert self.row_ids is not None
        table = self.table.rows(chosen if chosen.dtype == bool else rows)
        return self._with_table(table, self.row_ids[rows])

    def with_columns(self, columns: Mapping[str, Any]) -> ParticleSet:
        """The set with columns of the particle table set (texts or numbers, one a particle)."""
        table = self.table
        for label, values in columns.items():
            table = table.with_column(label, values)
        return self._with_table(table)

    def without_columns(self, *labels: str) -> ParticleSet:
        """The set without these columns of the particle table."""
        return self._with_table(self.table.without(*labels))

    def with_optics(self, columns: Mapping[str, Any]) -> ParticleSet:
        """The set with columns of the optics table set: one value a group, or a single one for all; made if there is none."""
        optics = self.optics
        if optics is None:
            optics = StarBlock.loop(relion.OPTICS, {label: [v] if np.ndim(v) == 0 else v for label, v in columns.items()})
            position = next(i for i, block in enumerate(self.star) if block is self.table)
            return replace(self, star=replace(self.star, blocks=(*self.star.blocks[:position], optics, *self.star.blocks[position:])))
        for label, values in columns.items():
            optics = optics.with_column(label, [values] * len(optics) if np.ndim(values) == 0 else values)
        return replace(self, star=self.star.replace(optics))

    def with_2d_stacks(self, are_2d_stacks: bool) -> ParticleSet:
        """The set with the flag of 2D stacks set; the general table is made if there is none."""
        general = self.star.get(relion.GENERAL)
        if general is not None:
            return replace(self, star=self.star.replace(general.with_values({relion.ARE_2D_STACKS: are_2d_stacks})))
        general = StarBlock.list(relion.GENERAL, {relion.ARE_2D_STACKS: are_2d_stacks})
        return replace(self, star=replace(self.star, blocks=(general, *self.star.blocks)))

    def with_poses(self, angles: npt.ArrayLike | None = None, origins: npt.ArrayLike | None = None) -> ParticleSet:
        """The set with refined poses.

        Parameters
        ----------
        angles : array_like, shape (n, 3, 3), optional
            Orientations A in the frame of the subtomogram.
        origins : array_like, shape (n, 3), optional
            Origins o, xyz, Å.
        """
        columns: dict[str, Any] = {}
        if angles is not None:
            columns |= dict(zip(relion.ANGLES, matrix_to_euler(angles).reshape(-1, 3).T, strict=True))
        result = self
        if origins is not None:
            columns |= dict(zip(relion.ORIGINS, np.asarray(origins, dtype=np.float64).reshape(-1, 3).T, strict=True))
            result = result.without_columns(*relion.ORIGINS_PX)
        return result.with_columns(columns)

    def with_coordinates(self, coordinates: npt.ArrayLike) -> ParticleSet:
        """The set with centred coordinates c, shape (n, 3) xyz, Å; pixel coordinates of older files are dropped, as RELION 5 does."""
        values = np.asarray(coordinates, dtype=np.float64).reshape(-1, 3)
        return self.without_columns(*relion.COORDINATES).with_columns(dict(zip(relion.CENTRED, values.T, strict=True)))


def read_particles(path: str | Path) -> ParticleSet:
    """Read particles of RELION 5, 4 or 3.1.

    Raises
    ------
    FileMissingError, FileFormatError
        No such file, no STAR file, or no table of particles.
    """
    particles = ParticleSet(read_star(path), Path(path))
    _ = particles.tomo_names
    return particles


def write_particles(path: str | Path, particles: ParticleSet) -> None:
    """Write particles; every cell that was not changed is written as it was read."""
    write_star(path, particles.star)
