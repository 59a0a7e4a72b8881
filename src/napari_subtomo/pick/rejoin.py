"""Edited picks find their particles again: all columns of unchanged rows stay, deleted rows go, new picks get new rows.

A pick belongs to the particle whose row id it carries. The id is the private column `subtomoRowId`, or the particle name where
names are unique; position alone is no key, for two particles may lie at one place. RELION's picker drops the id when it saves;
then a pick belongs to the nearest particle of its tomogram within 0.01 voxel, one to one, ties in the order of the files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.star import format_value
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.pick.newrows import new_rows
from napari_subtomo.pick.sources import Picks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TOLERANCE = 0.01
"""Voxels within which a pick without id is the particle."""
MOVED = 1e-4
"""Voxels beyond which a pick with id counts as moved; far above the last digit of an annotation file."""


def known_ids(particles: ParticleSet) -> tuple[str, ...] | None:
    """Row ids that the file itself holds: the private column, else the particle names, whichever is unique; None without."""
    for label in (relion.ROW_ID, relion.TOMO_PARTICLE_NAME):
        if particles.has(label):
            texts = particles.texts(label)
            if len(set(texts)) == len(texts) and not any(text in relion.NOT_AVAILABLE or text == "nan" for text in texts):
                return texts
    return None


def stable_ids(particles: ParticleSet) -> tuple[ParticleSet, tuple[str, ...]]:
    """The set with row ids in it, and the ids; the private column is added only where names are missing or not unique."""
    ids = known_ids(particles)
    if ids is not None:
        return particles, ids
    ids = tuple(str(row) for row in range(1, particles.n + 1))
    return particles.with_columns({relion.ROW_ID: ids}), ids


def join(
    tomo_names: Sequence[str],
    positions: npt.ArrayLike,
    picks: Picks,
    tolerance: Mapping[str, float],
    ids: Sequence[str] | None = None,
    pick_ids: Sequence[str] | None = None,
) -> tuple[IntArray, npt.NDArray[np.bool_]]:
    """Particle of each pick.

    Parameters
    ----------
    tomo_names : sequence of str, length n
        Tomograms of the particles.
    positions : array_like, shape (n, 3)
        True positions of the particles, xyz, Å.
    picks : Picks
        m picks.
    tolerance : mapping of tomogram name to float
        Å within which a pick without a known id is the particle.
    ids, pick_ids : sequences of str, optional
        Row ids of particles and picks; an empty text is no id. Of picks with one id the first has it.

    Returns
    -------
    rows : ndarray of int, shape (m,)
        Row of the particle; -1 for a new pick. No particle is given twice.
    by_id : ndarray of bool, shape (m,)
        Whether the row id told it, and not the position.
    """
    points = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    found = np.full(len(picks), -1, dtype=np.int64)
    free = np.ones(len(points), dtype=bool)
    if ids is not None and pick_ids is not None:
        rows = {(name, key): row for row, (name, key) in enumerate(zip(tomo_names, ids, strict=True)) if key}
        for i, key in enumerate(zip(picks.tomo_names, pick_ids, strict=True)):
            row = rows.get(key, -1)
            if row >= 0 and free[row]:
                found[i], free[row] = row, False
    by_id = found >= 0
    particle_names, pick_names = np.asarray(tomo_names, dtype=object), np.asarray(picks.tomo_names, dtype=object)
    for name in dict.fromkeys(picks.tomo_names):
        left = np.flatnonzero(free & (particle_names == name))
        open_picks = np.flatnonzero((found < 0) & (pick_names == name))
        for i, row in _nearest_pairs(picks.positions[open_picks], points[left], tolerance[name]):
            found[open_picks[i]] = left[row]
    return found, by_id


def _nearest_pairs(picks: FloatArray, particles: FloatArray, tolerance: float) -> list[tuple[int, int]]:
    """Pairs (pick, particle) within the tolerance, nearest first, each used once."""
    if not len(picks) or not len(particles):
        return []
    near = cKDTree(picks).sparse_distance_matrix(cKDTree(particles), tolerance, output_type="ndarray")
    # distances that differ by the rounding of a file are equal: then the order of the files decides
    order = np.lexsort((near["i"], near["j"], np.rint(near["v"] / (tolerance * 0.01))))
    pairs, taken_picks, taken_particles = [], set(), set()
    for i, row in zip(near["i"][order].tolist(), near["j"][order].tolist(), strict=True):
        if i not in taken_picks and row not in taken_particles:
            pairs.append((i, row))
            taken_picks.add(i)
            taken_particles.add(row)
    return pairs


@dataclass(frozen=True, eq=False)
class Joined:
    """Particles after an edit of their picks.

    Attributes
    ----------
    particles : ParticleSet
        Kept rows in their former order, then new ones in the order of the picks.
    kept, moved, added, dropped : int
        Numbers of rows; moved ones are among the kept.
    """

    particles: ParticleSet
    kept: int
    moved: int
    added: int
    dropped: int


def join_particles(
    base: ParticleSet,
    picks: Picks,
    tomograms: TomogramSet,
    pick_ids: Sequence[str] | None = None,
    columns: Mapping[str, Any] | None = None,
) -> Joined:
    """The particles of edited picks.

    Parameters
    ----------
    base : ParticleSet
        Before the edit.
    picks : Picks
        All that there is after the edit.
    tomograms : TomogramSet
    pick_ids : sequence of str, optional
        Row ids of the picks, as far as they have any.
    columns : mapping of label to values, optional
        What is known of each pick (one value a pick), used for new rows only.
    """
    voxels = {name: tomograms[name].frame.voxel_size for name in dict.fromkeys(picks.tomo_names)}
    tolerance = {name: TOLERANCE * voxel for name, voxel in voxels.items()}
    before = base.positions(tomograms)
    rows, by_id = join(base.tomo_names, before, picks, tolerance, known_ids(base), pick_ids)
    old, new = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
    base, ids = stable_ids(base)
    shifts = picks.positions[old] - before[rows[old]]
    voxel = np.array([voxels[picks.tomo_names[i]] for i in old])
    shifts[(np.abs(shifts) <= MOVED * voxel[:, None]) | ~by_id[old, None]] = 0  # found by position: it is where it was
    moved = np.flatnonzero(shifts.any(axis=1))
    edited = _shifted(base, rows[old[moved]], shifts[moved], tomograms)
    kept = edited.select(np.sort(rows[old]))
    added = new_rows(edited, ids, Picks(tuple(picks.tomo_names[i] for i in new), picks.positions[new]), tomograms, _chosen(columns, new))
    table = kept.table
    grown = replace(table, columns={label: (*texts, *added[label]) for label, texts in table.columns.items()})
    return Joined(ParticleSet(kept.star.replace(grown), base.path), len(old), len(moved), len(new), base.n - len(old))


def _chosen(columns: Mapping[str, Any] | None, rows: IntArray) -> dict[str, list[str]]:
    return {label: [format_value(v) for v in np.asarray(values)[rows].tolist()] for label, values in (columns or {}).items()}


def _shifted(particles: ParticleSet, rows: IntArray, shifts: FloatArray, tomograms: TomogramSet) -> ParticleSet:
    """The set with some particles moved by `shifts` (k, 3) Å; only cells of axes that moved are written anew."""
    if not len(rows):
        return particles
    coordinates = particles.coordinates(tomograms)[rows] + shifts
    cells = {}
    for axis, label in enumerate(relion.CENTRED):
        texts = list(particles.texts(label))
        for row, value, shift in zip(rows.tolist(), coordinates[:, axis], shifts[:, axis], strict=True):
            if shift:
                texts[row] = format_value(value)
        cells[label] = texts
    return particles.with_columns(cells)
