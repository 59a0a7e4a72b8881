"""What one edit changed: small enough to keep a thousand of them, and to write each to the journal."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.viewer.picking.spheres import Sphere
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.table import ADDED

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def _no_rows() -> IntArray:
    return np.zeros(0, dtype=np.int64)


def _no_points() -> FloatArray:
    return np.zeros((0, 3))


@dataclass(frozen=True, eq=False)
class Delta:
    """The difference between two sessions with the same particle files.

    Attributes
    ----------
    rows : int
        Rows of the table before the edit.
    moved : ndarray of int, shape (m,)
    before, after : ndarray, shape (m, 3)
        Positions of the moved particles, Å.
    deleted, revived : ndarray of int
        Rows that went away, and that came back.
    tomograms : tuple of str, length k
        Of the new particles, which come at the end of the table.
    positions : ndarray, shape (k, 3)
    orientations : ndarray, shape (k, 3, 3)
        NaN where unknown.
    spheres_before, spheres_after : tuple of Sphere
    """

    rows: int
    moved: IntArray = field(default_factory=_no_rows)
    before: FloatArray = field(default_factory=_no_points)
    after: FloatArray = field(default_factory=_no_points)
    deleted: IntArray = field(default_factory=_no_rows)
    revived: IntArray = field(default_factory=_no_rows)
    tomograms: tuple[str, ...] = ()
    positions: FloatArray = field(default_factory=_no_points)
    orientations: FloatArray = field(default_factory=lambda: np.zeros((0, 3, 3)))
    spheres_before: tuple[Sphere, ...] = ()
    spheres_after: tuple[Sphere, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing changed."""
        rows = len(self.moved) + len(self.deleted) + len(self.revived) + len(self.tomograms)
        return rows == 0 and self.spheres_before == self.spheres_after

    def forward(self, session: Session) -> Session:
        """The session after the edit; new particles are kept ones."""
        table = session.table
        if len(self.moved):
            table = table.moved(self.moved, self.after)
        if len(self.deleted):
            table = table.without(self.deleted)
        if len(self.revived):
            table = table.with_alive(self.revived)
        if self.tomograms:
            table = table.with_added(self.tomograms, self.positions, self.orientations)
        kept = np.concatenate([session.kept, np.ones(len(self.tomograms), dtype=bool)])
        return replace(session, table=table, kept=kept, spheres=self.spheres_after)

    def backward(self, session: Session) -> Session:
        """The session before the edit."""
        table, kept = session.table, session.kept
        if self.tomograms:
            table, kept = table.first(self.rows), kept[: self.rows]
        if len(self.revived):
            table = table.without(self.revived)
        if len(self.deleted):
            table = table.with_alive(self.deleted)
        if len(self.moved):
            table = table.moved(self.moved, self.before)
        return replace(session, table=table, kept=kept, spheres=self.spheres_before)

    def place(self, session: Session) -> str:
        """Tomogram in which the edit happened, "" if that cannot be told."""
        if self.tomograms:
            return self.tomograms[0]
        for rows in (self.moved, self.deleted, self.revived):
            if len(rows) and rows[0] < len(session.table):
                return str(session.table.tomograms[rows[0]])
        changed = set(self.spheres_before) ^ set(self.spheres_after)
        return min(sphere.tomogram for sphere in changed) if changed else ""

    def to_json(self) -> dict[str, Any]:
        """The edit as JSON values; numbers keep every digit."""
        record: dict[str, Any] = {"rows": self.rows}
        if len(self.moved):
            record |= {"moved": self.moved.tolist(), "before": self.before.tolist(), "after": self.after.tolist()}
        if len(self.deleted):
            record["deleted"] = self.deleted.tolist()
        if len(self.revived):
            record["revived"] = self.revived.tolist()
        if self.tomograms:
            record |= {"tomograms": list(self.tomograms), "positions": self.positions.tolist()}
            record["orientations"] = [axes.tolist() if np.isfinite(axes).all() else None for axes in self.orientations]
        if self.spheres_before != self.spheres_after:
            record |= {"spheres_before": _sphere_rows(self.spheres_before), "spheres_after": _sphere_rows(self.spheres_after)}
        elif self.spheres_before:
            record["spheres"] = _sphere_rows(self.spheres_before)
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Delta:
        """The edit that `to_json` wrote."""
        blank = np.full((3, 3), np.nan)
        axes = [blank if value is None else np.asarray(value) for value in record.get("orientations", [])]
        same = record.get("spheres", [])
        return cls(
            rows=int(record["rows"]),
            moved=np.asarray(record.get("moved", []), dtype=np.int64),
            before=_points(record.get("before", [])),
            after=_points(record.get("after", [])),
            deleted=np.asarray(record.get("deleted", []), dtype=np.int64),
            revived=np.asarray(record.get("revived", []), dtype=np.int64),
            tomograms=tuple(record.get("tomograms", ())),
            positions=_points(record.get("positions", [])),
            orientations=np.asarray(axes, dtype=np.float64).reshape(-1, 3, 3),
            spheres_before=_spheres(record.get("spheres_before", same)),
            spheres_after=_spheres(record.get("spheres_after", same)),
        )


def between(before: Session, after: Session) -> Delta | None:
    """What changed from one session to the next; None if the second does not follow from the first by an edit of particles or spheres.

    A different set of kept particles is a selection, not an edit.
    """
    a, b = before.table, after.table
    n = len(a)
    if len(b) < n or not same_files(before, after):
        return None
    if a is b:
        return Delta(n, spheres_before=before.spheres, spheres_after=after.spheres)
    if not (np.array_equal(a.source, b.source[:n]) and np.array_equal(a.row, b.row[:n]) and (b.source[n:] == ADDED).all()):
        return None
    moved = np.zeros(0, dtype=np.int64)
    if a.positions is not b.positions:
        moved = np.flatnonzero((a.positions != b.positions[:n]).any(axis=1)).astype(np.int64)
    alive, lives = a.alive, b.alive[:n]
    return Delta(
        n,
        moved=moved,
        before=a.positions[moved],
        after=b.positions[moved],
        deleted=np.flatnonzero(alive & ~lives).astype(np.int64),
        revived=np.flatnonzero(~alive & lives).astype(np.int64),
        tomograms=tuple(str(name) for name in b.tomograms[n:]),
        positions=b.positions[n:],
        orientations=b.orientations[n:],
        spheres_before=before.spheres,
        spheres_after=after.spheres,
    )


def same_files(a: Session, b: Session) -> bool:
    """Whether two sessions show the same opened files, so that row numbers mean the same."""
    return (
        a.project == b.project
        and a.tomogram_set is b.tomogram_set
        and len(a.sets) == len(b.sets)
        and all(x is y for x, y in zip(a.sets, b.sets, strict=True))
    )


def _sphere_rows(spheres: tuple[Sphere, ...]) -> list[list[Any]]:
    return [[sphere.tomogram, *sphere.centre, sphere.radius] for sphere in spheres]


def _spheres(rows: list[list[Any]]) -> tuple[Sphere, ...]:
    return tuple(Sphere.at(name, (x, y, z), radius) for name, x, y, z, radius in rows)


def _points(values: Any) -> FloatArray:
    return np.asarray(values, dtype=np.float64).reshape(-1, 3)
