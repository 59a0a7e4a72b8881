"""The particles of a session as arrays: where they are, which way they point, and where each row came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from napari_subtomo.viewer.memo import remembered

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: `source` of particles that were added by hand and stand in no file yet.
ADDED = -1
_ARRAYS = ("tomograms", "positions", "orientations", "classes", "scores", "names", "source", "row", "alive")


@dataclass(frozen=True, eq=False)
class ParticleTable:
    """Particles of one or several files, in one order; the row number is the particle's id as long as a session lives.

    Attributes
    ----------
    tomograms : ndarray of str, shape (n,)
        Name of each particle's tomogram.
    positions : ndarray, shape (n, 3)
        True positions `c - S·o` in Å from the tomogram's centre, xyz.
    orientations : ndarray, shape (n, 3, 3)
        `S·A`: columns are the particle's axes in the tomogram, xyz; NaN where the file has no angles.
    classes : ndarray of int, shape (n,)
        1-based class numbers, 0 where there is none.
    scores : ndarray, shape (n,)
        Certainty of the assignment (largest posterior probability) or another score; NaN where there is none.
    names : ndarray of str, shape (n,)
    source, row : ndarray of int, shape (n,)
        File (index into the session's particle sets) and row in it; `ADDED` and -1 for new particles.
    alive : ndarray of bool, shape (n,)
        False for particles deleted by hand; they keep their id.
    columns : mapping of str to sequence of str
        Text of every column that can colour the particles; "" where a file lacks the column.
    """

    tomograms: npt.NDArray[np.str_]
    positions: FloatArray
    orientations: FloatArray
    classes: IntArray
    scores: FloatArray
    names: npt.NDArray[np.str_]
    source: IntArray
    row: IntArray
    alive: BoolArray
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of rows, deleted ones included."""
        return len(self.positions)

    @classmethod
    def empty(cls) -> ParticleTable:
        """No particles: a legal state."""
        none = np.zeros(0, dtype=np.int64)
        text = np.zeros(0, dtype=np.str_)
        return cls(text, np.zeros((0, 3)), np.zeros((0, 3, 3)), none, np.zeros(0), text, none, none, np.zeros(0, dtype=bool))

    def rows_of(self, tomogram: str) -> IntArray:
        """Ids (k,) of the particles of one tomogram that were not deleted, ascending."""
        names, places = self.places
        if tomogram not in names:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero((places == names.index(tomogram)) & self.alive).astype(np.int64)

    @property
    def places(self) -> tuple[tuple[str, ...], IntArray]:
        """Names of the tomograms that hold particles, and for each particle (n,) which of them is its own."""
        return remembered(self.tomograms, "places", lambda: coded(self.tomograms.tolist()))

    def numbers(self, column: str) -> FloatArray | None:
        """Column as numbers (n,), NaN where empty; None if any other text is no number."""
        return remembered(self.columns, f"numbers {column}", lambda: _numbers(self.columns[column]))

    def values(self, column: str) -> tuple[tuple[str, ...], IntArray]:
        """Different texts of a column, and for each particle (n,) which of them is its own."""
        return remembered(self.columns, f"values {column}", lambda: coded(self.columns[column]))

    def moved(self, rows: npt.ArrayLike, positions: npt.ArrayLike) -> ParticleTable:
        """The table with the particles `rows` (k,) at new `positions` (k, 3) in Å from the centre, xyz."""
        changed = self.positions.copy()
        changed[np.asarray(rows, dtype=np.int64)] = positions
        return replace(self, positions=changed)

    def without(self, rows: npt.ArrayLike) -> ParticleTable:
        """The table with the particles `rows` (k,) marked as deleted."""
        alive = self.alive.copy()
        alive[np.asarray(rows, dtype=np.int64)] = False
        return replace(self, alive=alive)

    def with_alive(self, rows: npt.ArrayLike) -> ParticleTable:
        """The table with the particles `rows` (k,) back that were marked as deleted."""
        alive = self.alive.copy()
        alive[np.asarray(rows, dtype=np.int64)] = True
        return replace(self, alive=alive)

    def first(self, n: int) -> ParticleTable:
        """The first `n` rows."""
        arrays = {name: getattr(self, name)[:n] for name in _ARRAYS}
        return ParticleTable(**arrays, columns={label: texts[:n] for label, texts in self.columns.items()})

    def with_added(
        self, tomogram: str | Sequence[str], positions: npt.ArrayLike, orientations: npt.ArrayLike | None = None
    ) -> ParticleTable:
        """The table with new particles at the end, without class.

        Parameters
        ----------
        tomogram : str or sequence of str
            Of all of them, or of each.
        positions : array_like, shape (k, 3)
            xyz, Å from the tomogram's centre.
        orientations : array_like, shape (k, 3, 3), optional
            `S·A`; NaN, as without, where they are not known.
        """
        positions = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
        n = len(positions)
        unknown = np.full((n, 3, 3), np.nan)
        axes = unknown if orientations is None else np.asarray(orientations, dtype=np.float64).reshape(-1, 3, 3)
        names = np.full(n, tomogram) if isinstance(tomogram, str) else np.asarray(tomogram, dtype=np.str_)
        return ParticleTable(
            tomograms=np.concatenate([self.tomograms, names]),
            positions=np.concatenate([self.positions, positions]),
            orientations=np.concatenate([self.orientations, axes]),
            classes=np.concatenate([self.classes, np.zeros(n, dtype=np.int64)]),
            scores=np.concatenate([self.scores, np.full(n, np.nan)]),
            names=np.concatenate([self.names, np.full(n, "")]),
            source=np.concatenate([self.source, np.full(n, ADDED)]),
            row=np.concatenate([self.row, np.full(n, -1)]),
            alive=np.concatenate([self.alive, np.ones(n, dtype=bool)]),
            columns={label: (*texts, *([""] * n)) for label, texts in self.columns.items()},
        )

    def joined(self, other: ParticleTable) -> ParticleTable:
        """This table followed by another; columns that one of them lacks are empty there."""
        labels = [*self.columns, *(label for label in other.columns if label not in self.columns)]
        columns = {label: (*self.columns.get(label, [""] * len(self)), *other.columns.get(label, [""] * len(other))) for label in labels}
        arrays = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _ARRAYS}
        return ParticleTable(**arrays, columns=columns)


def coded(texts: Sequence[str]) -> tuple[tuple[str, ...], IntArray]:
    """Different texts in the order of their first appearance, and for each text (n,) its place among them.

    A dictionary is ten times as fast as sorting the texts.
    """
    places: dict[str, int] = {}
    codes = np.fromiter((places.setdefault(text, len(places)) for text in texts), dtype=np.int64, count=len(texts))
    return tuple(places), codes


def _numbers(texts: Sequence[str]) -> FloatArray | None:
    try:
        return np.asarray([float(text) if text else np.nan for text in texts], dtype=np.float64)
    except ValueError:
        return None
