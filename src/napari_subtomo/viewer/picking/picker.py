"""The tools of picking on a view: what a click, a key or a button does with particles and spheres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal
from scipy.spatial import cKDTree

from napari_subtomo.errors import InputError, SubtomoError
from napari_subtomo.viewer.picking.files import Imported
from napari_subtomo.viewer.picking.handles import inside
from napari_subtomo.viewer.picking.spheres import Sphere, fit_sphere, lattice
from napari_subtomo.viewer.picking.stage import Stage
from napari_subtomo.viewer.session import Session

FloatArray = npt.NDArray[np.float64]

#: Å within which a particle of a lattice is there already.
SAME_PLACE = 0.01


class Picker(Stage):
    """Tools on one view, without a window.

    Parameters
    ----------
    view : ProjectView
    """

    #: what a click or key could not do
    failed = Signal(object)

    # --- tools -------------------------------------------------------------------------------------------------------------

    def click(self, voxels_zyx: FloatArray) -> None:
        """A click with the tool in the hand, at voxels (3,) zyx of the tomogram; without one it adds a particle."""
        session = self.view.session
        position = session.tomogram.frame.positions(voxels_zyx)
        if self.tool == "rim":
            self.chosen = None  # the next sphere begins
            self.clicks = np.vstack([self.clicks, position])
            self._draw(session)
            self.changed.emit()
        elif self.tool == "sphere":
            self.add_sphere(Sphere.at(session.shown, position, self.radius))
        else:
            table = session.table.with_added(session.shown, position)
            self.view.update(table=table, kept=np.append(session.kept, True))

    def following(self) -> None:
        """Go on to the next sphere: the one through the rim clicks is made, the chosen one is let go."""
        if len(self.clicks):
            self.accept()
        else:
            self.choose(None)

    def take_back_click(self) -> bool:
        """Forget the last rim click; whether there was one."""
        if not len(self.clicks):
            return False
        self.clicks = self.clicks[:-1]
        self._draw(self.view.session)
        self.changed.emit()
        return True

    def undo(self) -> None:
        """Take the last rim click back, or the last edit."""
        if not self.take_back_click():
            self.view.editor.undo()

    def redo(self) -> None:
        """Make the edit again that was undone last."""
        self.view.editor.redo()

    # --- spheres -----------------------------------------------------------------------------------------------------------

    def choose(self, index: int | None) -> None:
        """Choose a sphere of the session."""
        if index != self.chosen:
            self.chosen = index
            if self.sphere is not None:
                self.radius = self.sphere.radius
            self._draw(self.view.session)
            self.changed.emit()

    def add_sphere(self, sphere: Sphere) -> None:
        """Add a sphere and choose it."""
        session = self.view.session
        self.chosen, self.radius = len(session.spheres), sphere.radius
        self.view.update(spheres=(*session.spheres, sphere))

    def accept(self) -> None:
        """Make the sphere through the rim clicks.

        Raises
        ------
        InputError
            Too few clicks, or clicks on a line.
        """
        fit = fit_sphere(self.clicks)
        self.clicks = np.zeros((0, 3))
        self.add_sphere(Sphere.at(self.view.session.shown, fit.centre, fit.radius))

    def set_radius(self, radius: float) -> None:
        """Radius in Å of the chosen sphere, or of the next one."""
        sphere = self.sphere
        self.radius = radius
        if sphere is not None and self.chosen is not None and sphere.radius != radius:
            spheres = list(self.view.session.spheres)
            spheres[self.chosen] = replace(sphere, radius=radius)
            self.view.update(spheres=tuple(spheres))

    def reach(self, voxels_zyx: FloatArray) -> None:
        """Make the chosen sphere reach a point, voxels (3,) zyx."""
        sphere = self.sphere
        if sphere is None:
            raise InputError("Expected a chosen sphere to resize, found none; click on its centre or add one first.")
        position = self.view.session.tomogram.frame.positions(voxels_zyx)
        radius = float(np.linalg.norm(position - np.asarray(sphere.centre)))
        if radius > 0:
            self.set_radius(radius)

    def set_spacing(self, spacing: float, seed: int) -> None:
        """Å between neighbours of the lattice, and the seed of its in-plane angles."""
        self.spacing, self.seed = spacing, seed
        self._draw(self.view.session)
        self.changed.emit()

    def delete_sphere(self) -> None:
        """Delete the chosen sphere; particles that were made from it stay."""
        spheres = list(self.view.session.spheres)
        if self.sphere is not None and self.chosen is not None:
            del spheres[self.chosen]
            self.chosen = None
            self.view.update(spheres=tuple(spheres))

    def add_particles(self, chosen: Sequence[int]) -> int:
        """Add the particles on some spheres, as the `pick` job makes them; how many were not there already.

        Raises
        ------
        InputError
            No sphere was chosen, or all are too small for the spacing.
        """
        session = self.view.session
        if not len(chosen):
            raise InputError("Expected a chosen sphere to put particles on, found none; choose one in the list or add one.")
        names, positions, frames = lattice(session.spheres, chosen, self.spacing, self.seed)
        if not names:
            raise InputError(f"Expected spheres large enough for particles {self.spacing:g} Å apart, found none; use a smaller spacing.")
        new = np.flatnonzero(~_there(session, names, positions))
        if len(new):
            if not session.table.alive.any():  # nothing tells how large they are, but that they fit side by side
                session = replace(session, diameter=min(session.diameter, self.spacing))
            self._add(session, [names[i] for i in new], positions[new], frames[new])
        return len(new)

    def outside(self, n: int) -> int:
        """How many of the last n particles lie outside of their tomogram: a wrong centre or radius shows here."""
        session = self.view.session
        first = len(session.table) - n
        names, positions = session.table.tomograms[first:], session.table.positions[first:]
        frames = {tomogram.name: tomogram.frame for tomogram in session.tomograms if tomogram.name in names}
        return n - sum(int(inside(frame.voxels_zyx(positions[names == name]), frame).sum()) for name, frame in frames.items())

    def add_imported(self, picks: Imported) -> tuple[int, int]:
        """Add what was read from a file, but for what is there already: one edit.

        Returns
        -------
        int, int
            Particles and spheres that were new.
        """
        session = self.view.session
        spheres = tuple(sphere for sphere in picks.spheres if sphere not in session.spheres)
        if spheres:
            session = replace(session, spheres=(*session.spheres, *spheres))
        new = np.flatnonzero(~_there(session, picks.tomograms, picks.positions))
        if len(new):
            self._add(session, [picks.tomograms[i] for i in new], picks.positions[new], picks.orientations[new])
        elif spheres:
            self.view.show(session)
        return len(new), len(spheres)

    def _add(self, session: Session, names: Sequence[str], positions: FloatArray, orientations: FloatArray) -> None:
        table = session.table.with_added(names, positions, orientations)
        kept = np.concatenate([session.kept, np.ones(len(names), dtype=bool)])
        self.view.show(replace(session, table=table, kept=kept))

    def attempt(self, action: Any, *arguments: Any) -> None:
        """Do something that a key or click asked for; what goes wrong is told by `failed`."""
        try:
            action(*arguments)
        except (SubtomoError, OSError) as error:
            self.failed.emit(error)


def _there(session: Session, names: Sequence[str], positions: FloatArray) -> npt.NDArray[np.bool_]:
    """Which of these positions (n, 3) hold a particle of their tomogram already."""
    found = np.zeros(len(names), dtype=bool)
    places = np.asarray(names, dtype=object)
    for name in dict.fromkeys(names):
        rows, here = session.table.rows_of(name), places == name
        if len(rows):
            distances, _ = cKDTree(session.table.positions[rows]).query(positions[here])
            found[here] = distances < SAME_PLACE
    return found
