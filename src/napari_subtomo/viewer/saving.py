"""Kept particles back to a particle set: every row and column that was not changed keeps its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.star import format_value
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.table import ADDED

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Columns = dict[str, list[str]]

#: What a particle without images says in a column of paths.
NO_FILE = "None"
_TRIPLES = (relion.ORIGINS, relion.ANGLES, relion.SUBTOMOGRAM_ANGLES)


@dataclass(frozen=True)
class Saved:
    """What saving did.

    Attributes
    ----------
    path : Path
    particles, moved, added, removed : int
        Rows written; of them moved and added by hand; kept rows of the files that were deleted by hand.
    """

    path: Path
    particles: int
    moved: int = 0
    added: int = 0
    removed: int = 0

    @property
    def sentence(self) -> str:
        """One line for the user."""
        changes = [f"{count} {what}" for count, what in ((self.moved, "moved"), (self.added, "added"), (self.removed, "deleted")) if count]
        edited = f" ({', '.join(changes)})" if changes else ""
        stale = "; extract again before you average or classify them" if self.moved or self.added else ""
        return f"{self.particles} particles{edited} saved to {self.path}{stale}."


def kept_particles(session: Session) -> tuple[ParticleSet, Saved]:
    """The kept particles of all tomograms as one set.

    Rows keep the order of their file and every cell that was not edited. Of a moved particle only the coordinates change: ``c`` by the
    difference of the positions, while origins and angles stay. Particles added by hand come last: origins and angles 0, no class, the
    optics group of their tomogram, the next free name, half sets in turn, and no images.

    Returns
    -------
    ParticleSet, Saved
        The set, and how it differs from the files (`path` is empty).
    """
    table = session.table
    living = table.alive & session.kept
    base = session.sets[0] if session.sets else ParticleSet.create({label: [] for label in (relion.TOMO_NAME, *relion.CENTRED)})
    own, other, new = (np.flatnonzero(living & mask) for mask in (table.source == 0, table.source > 0, table.source == ADDED))
    columns: Columns = {label: list(texts) for label, texts in base.table.rows(table.row[own]).columns.items()}
    for row in other:
        block = session.sets[int(table.source[row])].table
        for label, texts in columns.items():
            texts.append(block.columns[label][int(table.row[row])] if block.has(label) else _blank(label, texts))
    rows = np.concatenate([own, other])
    moved = _write_moved(session, columns, rows)
    for row in new:
        _append_new(session, columns, str(table.tomograms[row]), table.positions[row])
    removed = int((session.kept & ~table.alive & (table.source != ADDED)).sum())
    block = replace(base.table, columns={label: tuple(texts) for label, texts in columns.items()})
    particles = ParticleSet(base.star.replace(block), base.path)
    return particles, Saved(Path(), particles.n, moved, len(new), removed)


def save_particles(session: Session, path: Path) -> Saved:
    """Write the kept particles of all tomograms to `path`; the file appears whole or not at all."""
    particles, saved = kept_particles(session)
    write_particles(path, particles)
    return replace(saved, path=Path(path))


def _write_moved(session: Session, columns: Columns, rows: IntArray) -> int:
    """Put new coordinates into the cells of moved particles (`rows`: table rows, in the order of the columns); how many there are."""
    table = session.table
    before = np.zeros((len(rows), 3))
    for source in np.unique(table.source[rows]):
        here = table.source[rows] == source
        before[here] = session.read_positions[source][table.row[rows[here]]]
    shifts = table.positions[rows] - before
    moved = np.flatnonzero(shifts.any(axis=1))
    labels = relion.CENTRED if relion.CENTRED_X in columns else relion.COORDINATES
    for place in moved:
        source, line = int(table.source[rows[place]]), int(table.row[rows[place]])
        cells = np.asarray([float(columns[label][place]) for label in labels])
        tomogram = _tomogram(session, str(table.tomograms[rows[place]]))
        step = 1.0 if labels is relion.CENTRED else _pixel(session.sets[source], line, tomogram, cells)
        for label, value in zip(labels, cells + shifts[place] / step, strict=True):
            columns[label][place] = format_value(float(value))
    return len(moved)


def _pixel(particles: ParticleSet, line: int, tomogram: Tomogram, pixels: FloatArray) -> float:
    """Pixel in Å that a row's coordinates count in: ``c = u·pixel - N·p/2`` holds for RELION 4 (unbinned) and 3.1 (micrograph) files."""
    frame = tomogram.frame
    if particles.dialect == "relion4":
        return frame.pixel_size
    one = particles.select([line])
    ones = one.with_columns({label: [value] for label, value in zip(relion.COORDINATES, pixels + 1, strict=True)})
    tomograms: Any = {tomogram.name: tomogram}  # all that is asked of a tomogram set here
    difference: FloatArray = ones.coordinates(tomograms) - one.coordinates(tomograms)
    return float(difference[0, 0])


def _append_new(session: Session, columns: Columns, tomogram: str, position: FloatArray) -> None:
    """Append a particle that was added by hand; without origins its position is its coordinates."""
    if not columns:
        return
    mates = [place for place, name in enumerate(columns.get(relion.TOMO_NAME, [])) if name == tomogram]
    frame = _tomogram(session, tomogram).frame
    n = len(next(iter(columns.values())))
    cells = {relion.TOMO_NAME: tomogram, relion.MICROGRAPH_NAME: tomogram, relion.CLASS_NUMBER: "0", relion.RANDOM_SUBSET: str(n % 2 + 1)}
    cells |= dict(zip(relion.CENTRED, map(format_value, position.tolist()), strict=True))
    cells |= dict(zip(relion.COORDINATES, map(format_value, frame.unbinned(position).tolist()), strict=True))
    cells |= {label: format_value(0.0) for triple in _TRIPLES for label in triple}
    cells[relion.TOMO_PARTICLE_NAME] = _free_name(tomogram, columns.get(relion.TOMO_PARTICLE_NAME, []))
    for label, texts in columns.items():
        of_tomogram = {texts[place] for place in mates}
        if label in (relion.IMAGE_NAME, relion.CTF_IMAGE):
            texts.append(NO_FILE)
        elif label in cells:
            texts.append(cells[label])
        else:  # what is the same for a whole tomogram (optics, group, visible frames) is so for the new particle
            texts.append(of_tomogram.pop() if len(of_tomogram) == 1 else _blank(label, texts))


def _free_name(tomogram: str, names: Sequence[str]) -> str:
    """RELION's `<tomogram>/<number>` with the next number that no particle has."""
    numbers = [int(tail) for head, _, tail in (name.rpartition("/") for name in names) if head == tomogram and tail.isdigit()]
    return f"{tomogram}/{max(numbers, default=0) + 1}"


def _blank(label: str, texts: Sequence[str]) -> str:
    """A cell that says nothing: 1 for group numbers, 0 for numbers, `None` for text."""
    if label in (relion.OPTICS_GROUP, relion.GROUP_NUMBER):
        return "1"
    try:
        return format_value(0.0 * sum(float(text) for text in texts[:3]))
    except ValueError:
        return NO_FILE


def _tomogram(session: Session, name: str) -> Tomogram:
    return session.showing(name).tomogram
