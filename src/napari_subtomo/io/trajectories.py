"""Trajectories of particles (`motion.star`): where each particle is in each tilt, relative to its position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError
from napari_subtomo.io import relion
from napari_subtomo.io.star import StarBlock, StarFile, read_star, write_star

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """The file of trajectories: a table for each particle, named as the particle, with a row for each tilt.

    Attributes
    ----------
    blocks : dict of str to StarBlock
        By particle name.
    star : StarFile
    path : Path
    """

    blocks: dict[str, StarBlock]
    star: StarFile
    path: Path

    def of(self, name: str, n_tilts: int) -> FloatArray:
        """Displacements of the particle `name`, shape (n_tilts, 3) xyz, Å along the axes of the tomogram.

        Raises
        ------
        FileFormatError
            There is no trajectory of this particle, or not one row for each tilt.
        """
        block = self.blocks.get(name)
        if block is None:
            raise FileFormatError(
                f"Expected a trajectory of the particle {name} in {self.path}, found none; give the trajectories that belong to these "
                "particles, or none."
            )
        if len(block) != n_tilts:
            raise FileFormatError(f"Expected {n_tilts} rows, one a tilt, in the {block.where}, found {len(block)}.")
        return np.stack([block.floats(label, finite=True) for label in relion.ORIGINS], axis=-1)

    def select(self, names: Sequence[str]) -> Trajectories:
        """Those of the particles `names`, in this order."""
        general = StarBlock.list(relion.GENERAL, {relion.PARTICLE_NUMBER: len(names)})
        blocks = {name: self.blocks[name] for name in names}
        return replace(self, blocks=blocks, star=StarFile((general, *blocks.values())))


def read_trajectories(path: str | Path) -> Trajectories:
    """Read `motion.star`.

    Raises
    ------
    FileMissingError, FileFormatError
        No such file, no STAR file, or no trajectories in it.
    """
    star = read_star(path)
    blocks = {block.name: block for block in star if block.has(*relion.ORIGINS)}
    if not blocks:
        raise FileFormatError(f"Expected trajectories (tables of _{relion.ORIGIN_X} ...) in {path}, found {', '.join(star.names)}.")
    return Trajectories(blocks, star, Path(path))


def write_trajectories(path: str | Path, trajectories: Trajectories) -> None:
    """Write trajectories as RELION does; the tables of particles stay as they were read."""
    write_star(path, trajectories.star)
