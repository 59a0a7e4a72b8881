"""What the user wants to see: frozen, and known to nobody but the functions that resolve it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.errors import InputError
from napari_subtomo.io.relion import CLASS_NUMBER
from napari_subtomo.viewer.picking.spheres import Sphere
from napari_subtomo.viewer.table import ParticleTable

if TYPE_CHECKING:
    from napari_subtomo.io.particles import ParticleSet
    from napari_subtomo.io.tomograms import TomogramSet

Rejected = Literal["dimmed", "hidden"]


@dataclass(frozen=True, eq=False)
class Session:
    """The intent behind a view.

    Attributes
    ----------
    project : Path
        Project folder; relative paths of STAR files start there.
    tomograms : tuple of Tomogram
        All that can be shown, in the order of the STAR file.
    sets : tuple of ParticleSet
        The files the particles came from, as read.
    table : ParticleTable
        Particles of all sets, with what was moved, added and deleted by hand.
    kept : ndarray of bool, shape (n,)
        The selection: True for kept particles, False for rejected ones.
    marked : ndarray of bool or None
        Particles that are drawn and counted as rejected while a preview is on; saving knows nothing of it.
    shown : str
        Name of the tomogram shown; "" when there is none.
    colour_by : str
        Column that colours the kept particles.
    hover_class : int or None
        Class under the pointer: its particles light up, all others are dimmed.
    hover_label : str
        Line of the legend under the pointer, which does the same for what it stands for; "" for none.
    rejected : "dimmed" or "hidden"
    diameter : float
        Drawn particle diameter in Å.
    tomogram_set : TomogramSet or None
        The file the tomograms came from, as read.
    saved : ParticleTable or None
        The table as it was read or saved last: edits up to there are safe.
    title : str
        One line that says what is shown, e.g. "Select/job005".
    spheres : tuple of Sphere
        Of all tomograms, in the order in which they were made.
    saved_spheres : tuple of Sphere
        As they were read or saved last.
    slab : float
        Thickness in Å of the slab that is averaged on the screen, with all particles in it; 0: as thick as a particle where the
        tomogram is noisy, and particles are shown where the slice cuts them.
    """

    project: Path
    tomograms: tuple[Tomogram, ...]
    sets: tuple[ParticleSet, ...] = ()
    table: ParticleTable = field(default_factory=ParticleTable.empty)
    kept: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    marked: npt.NDArray[np.bool_] | None = None
    shown: str = ""
    colour_by: str = CLASS_NUMBER
    hover_class: int | None = None
    hover_label: str = ""
    rejected: Rejected = "dimmed"
    diameter: float = 200.0
    tomogram_set: TomogramSet | None = None
    saved: ParticleTable | None = None
    title: str = ""
    spheres: tuple[Sphere, ...] = ()
    saved_spheres: tuple[Sphere, ...] = ()
    slab: float = 0.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tomograms, in file order."""
        return tuple(tomogram.name for tomogram in self.tomograms)

    @property
    def tomogram(self) -> Tomogram:
        """The tomogram shown.

        Raises
        ------
        InputError
            If the name belongs to no tomogram of the project.
        """
        for tomogram in self.tomograms:
            if tomogram.name == self.shown:
                return tomogram
        known = ", ".join(self.names[:8]) or "none"
        raise InputError(f"Expected the name of a tomogram of this project ({known}), found “{self.shown}”.")

    def showing(self, name: str) -> Session:
        """The session with another tomogram shown."""
        changed = replace(self, shown=name)
        _ = changed.tomogram  # fails here, with a sentence, rather than in a drawing routine
        return changed

    def stepped(self, step: int) -> Session:
        """The session `step` tomograms further in file order; stops at either end."""
        if not self.tomograms:
            return self
        here = self.names.index(self.shown)
        return self.showing(self.names[int(np.clip(here + step, 0, len(self.names) - 1))])

    @property
    def edited(self) -> bool:
        """Whether particles or spheres were moved, added or deleted by hand since they were read or saved."""
        return self.moved_on or self.spheres != self.saved_spheres

    @property
    def moved_on(self) -> bool:
        """Whether particles were, spheres aside."""
        return self.table is not self.saved and (self.saved is not None or len(self.table) > 0)

    @cached_property
    def drawn(self) -> npt.NDArray[np.bool_]:
        """Particles that are drawn as kept: the selection, without those marked by a preview. Shape (n,)."""
        if self.marked is None:
            return self.kept
        drawn = self.kept.copy()
        together = min(len(drawn), len(self.marked))  # added by hand since, or taken back
        drawn[:together] &= ~self.marked[:together]
        return drawn

    def counts(self, name: str) -> tuple[int, int]:
        """Kept and rejected particles of one tomogram."""
        return self.all_counts().get(name, (0, 0))

    def all_counts(self) -> dict[str, tuple[int, int]]:
        """Kept and rejected particles of every tomogram that holds particles."""
        names, places = self.table.places
        living = np.bincount(places[self.table.alive], minlength=len(names)).tolist()
        kept = np.bincount(places[self.table.alive & self.drawn], minlength=len(names)).tolist()
        return {name: (keep, alive - keep) for name, keep, alive in zip(names, kept, living, strict=True)}

    def totals(self) -> tuple[int, int]:
        """Kept and rejected particles of all tomograms."""
        kept = int((self.drawn & self.table.alive).sum())
        return kept, int(self.table.alive.sum()) - kept
