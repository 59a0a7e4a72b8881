"""Particle names that are unique in the joined set, and trajectories under these names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.star import StarBlock, StarFile, format_value
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.io.trajectories import Trajectories
from napari_subtomo.join.sources import Source

SET = "subtomoSet"
OLD_NAME = "subtomoFormerName"
"""Private columns of the list of new names: number of the set, and the name a particle had there."""


@dataclass(frozen=True)
class Names:
    """Names of all particles, set by set.

    Attributes
    ----------
    of : tuple of tuple of str
        New names, one tuple a set.
    changed : tuple of (int, int)
        Set and row, from 0, of each particle whose name is another now.
    """

    of: tuple[tuple[str, ...], ...]
    changed: tuple[tuple[int, int], ...]


def unique_names(sets: Sequence[ParticleSet], kept: Sequence[npt.NDArray[np.bool_]] | None = None) -> Names:
    """Names in which no two particles agree: who comes first keeps the name, others get the next free number of their tomogram.

    Two Extract jobs number their particles alike (`TS_01/1`), and trajectories and files of a later extraction go by these names.

    Parameters
    ----------
    sets : sequence of ParticleSet
    kept : sequence of ndarray of bool, optional
        Of each set: which particles stay. Others keep their names and take none away.
    """
    highest: dict[str, int] = {}
    for particles in sets:
        for name, tomogram in zip(particles.names, particles.tomo_names, strict=True):
            prefix, number = _parts(name, tomogram)
            highest[prefix] = max(highest.get(prefix, 0), number)
    taken: set[str] = set()
    result, changed = [], []
    for i, particles in enumerate(sets):
        names = []
        for row, (name, tomogram) in enumerate(zip(particles.names, particles.tomo_names, strict=True)):
            if kept is not None and not kept[i][row]:
                names.append(name)
                continue
            whole = name if "/" in name else f"{tomogram}/{name}"  # as the files of an extraction are named
            if whole in taken:
                prefix, _ = _parts(name, tomogram)
                highest[prefix] += 1
                name = whole = f"{prefix}/{highest[prefix]}"
                changed.append((i, row))
            taken.add(whole)
            names.append(name)
        result.append(tuple(names))
    return Names(tuple(result), tuple(changed))


def _parts(name: str, tomogram: str) -> tuple[str, int]:
    """What stands before the number, and the number; 0 where there is none."""
    before, _, last = name.rpartition("/")
    return before or tomogram, int(last) if last.isdecimal() else 0


def list_of_changes(sources: Sequence[Source], names: Names) -> StarBlock:
    """Table of the particles whose name is another now."""
    former = [source.particles.names for source in sources]
    return StarBlock.loop(
        relion.PARTICLES,
        {
            relion.TOMO_PARTICLE_NAME: [names.of[i][row] for i, row in names.changed],
            SET: [i + 1 for i, _ in names.changed],
            OLD_NAME: [former[i][row] for i, row in names.changed],
        },
    )


def joined_trajectories(
    sources: Sequence[Source], names: Names, kept: Sequence[npt.NDArray[np.bool_]], tomograms: TomogramSet | None, path: Path
) -> Trajectories | None:
    """The trajectories of all sets under the new names; particles of a set without any do not move.

    Parameters
    ----------
    sources : sequence of Source
    names : Names
    kept : sequence of ndarray of bool
        Of each set: which particles stay.
    tomograms : TomogramSet or None
        The joined ones, for the number of tilts of particles that have no trajectory.
    path : Path
        Where they will be written.

    Returns
    -------
    Trajectories or None
        None where no set has any.

    Raises
    ------
    InputError
        A particle of a set with trajectories has none, or tilt series are needed and missing.
    """
    if all(source.trajectories is None for source in sources):
        return None
    blocks: dict[str, StarBlock] = {}
    still: dict[str, StarBlock] = {}
    for source, new, stays in zip(sources, names.of, kept, strict=True):
        for name, former, tomogram, stay in zip(new, source.particles.names, source.particles.tomo_names, stays, strict=True):
            if not stay:
                continue
            if source.trajectories is None:
                if tomogram not in still:
                    still[tomogram] = _still(source, tomogram, tomograms)
                block = still[tomogram]
            else:
                found = source.trajectories.blocks.get(former)
                if found is None:
                    raise InputError(
                        f"Expected a trajectory of the particle {former} in {source.trajectories.path}, found none; "
                        "give the trajectories that belong to this set."
                    )
                block = found
            blocks[name] = block.renamed(name)
    return Trajectories(blocks, StarFile(()), path).select(list(blocks))


def _still(source: Source, tomogram: str, tomograms: TomogramSet | None) -> StarBlock:
    """A trajectory without motion, a row a tilt."""
    if tomograms is None:
        raise InputError(
            f"Expected tomograms for the particles of {source.path}, which have no trajectories, found none; give --tomograms."
        )
    zeros = [format_value(0.0)] * len(tomograms.tilt_series(tomogram))
    return StarBlock.loop(tomogram, dict.fromkeys(relion.ORIGINS, zeros))
