"""The tools of picking on a view: what is in the hand, the chosen sphere, and what a click or a key does with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from psygnal import Signal
from scipy.spatial import cKDTree

from napari_subtomo.errors import InputError, SubtomoError
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.picking import drawing
from napari_subtomo.viewer.picking.files import Imported
from napari_subtomo.viewer.picking.handles import Handles, dragged, handles_of, outlines
from napari_subtomo.viewer.picking.spheres import Fit, Sphere, count, fit_sphere, lattice
from napari_subtomo.viewer.session import Session

if TYPE_CHECKING:
    from napari_subtomo.viewer.view import ProjectView

Tool = Literal["move", "points", "select", "sphere", "rim"]
FloatArray = npt.NDArray[np.float64]

#: Å within which a particle of a lattice is there already.
SAME_PLACE = 0.01
_MODES = {"move": "pan_zoom", "points": "add", "select": "select"}
_TOOLS: dict[str, Tool] = {"pan_zoom": "move", "add": "points", "select": "select"}


class Picker:
    """Tools on one view, without a window.

    Parameters
    ----------
    view : ProjectView
    """

    #: tool, chosen sphere, preview or clicks changed
    changed = Signal()
    #: what a click or key could not do
    failed = Signal(object)

    def __init__(self, view: ProjectView) -> None:
        self.view = view
        self.viewer = view.viewer
        self.tool: Tool = "move"
        self.spacing = 60.0
        self.radius = 300.0  # of the next sphere
        self.seed = 1
        self.chosen: int | None = None
        self.clicks: FloatArray = np.zeros((0, 3))  # xyz, Å
        self._handles = Handles()
        self._drawing = False
        self._listened: dict[str, Any] = {}
        self._connections: list[tuple[Any, Any]] = []
        view.changed.connect(self._redrawn)
        for name in ("point", "order", "ndisplay"):
            self._connect(getattr(self.viewer.dims.events, name), self._looked_elsewhere)
        self._connect(self.viewer.layers.selection.events.active, self._layer_chosen)
        self._redrawn(view.session)

    def close(self) -> None:
        """Take the layers away and stop listening."""
        self.view.changed.disconnect(self._redrawn)
        for emitter, callback in self._connections:
            emitter.disconnect(callback)
        self._connections.clear()
        self._listened.clear()
        drawing.remove_layers(self.viewer)

    def _connect(self, emitter: Any, callback: Any) -> None:
        emitter.connect(callback)
        self._connections.append((emitter, callback))

    # --- tools -------------------------------------------------------------------------------------------------------------

    def use(self, tool: Tool) -> None:
        """Take a tool in the hand: the layer it works on becomes active, in the mode that napari has for it."""
        self.tool = tool
        particles: Any = layers.find_layer(self.viewer, layers.PARTICLES)
        if tool in _MODES and particles is not None:
            flat = self.viewer.dims.ndisplay == 2
            self.viewer.layers.selection.active = particles
            particles.mode = _MODES[tool] if flat or tool != "points" else "pan_zoom"  # in 3D clicks are put on the plane
        elif tool == "sphere":
            self._draw(self.view.session)
            handles = self._layer(drawing.HANDLES)
            self.viewer.layers.selection.active = handles
            handles.mode = "select"
        elif tool == "rim":
            self._draw(self.view.session)
            clicks = self._layer(drawing.CLICKS)
            self.viewer.layers.selection.active = clicks
            clicks.mode = "pan_zoom"
        self.tool = tool  # whatever the change of layers made of it meanwhile
        self._draw(self.view.session)
        self.changed.emit()

    def click(self, voxels_zyx: FloatArray) -> None:
        """A click with the tool in the hand, at voxels (3,) zyx of the tomogram; without one it adds a particle."""
        session = self.view.session
        position = session.tomogram.frame.positions(voxels_zyx)
        if self.tool == "rim":
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

    @property
    def sphere(self) -> Sphere | None:
        """The chosen one."""
        spheres = self.view.session.spheres
        return spheres[self.chosen] if self.chosen is not None and self.chosen < len(spheres) else None

    @property
    def fit(self) -> Fit | None:
        """The sphere through the rim clicks, in Å; None while they do not tell one."""
        try:
            return fit_sphere(self.clicks)
        except InputError:
            return None

    @property
    def preview(self) -> Sphere | None:
        """The sphere whose lattice is shown: through the rim clicks, else the chosen one."""
        fit = self.fit
        if fit is not None:
            return Sphere.at(self.view.session.shown, fit.centre, fit.radius)
        return self.sphere

    @property
    def count(self) -> int:
        """Particles on the sphere of the preview."""
        return count(self.preview.radius, self.spacing) if self.preview is not None else 0

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
            self._add([names[i] for i in new], positions[new], frames[new])
        return len(new)

    def add_imported(self, picks: Imported) -> None:
        """Add what was read from a file: one edit."""
        session = self.view.session
        if picks.spheres:
            self.view.update(spheres=(*session.spheres, *picks.spheres))
        if picks.tomograms:
            self._add(picks.tomograms, picks.positions, picks.orientations)

    def _add(self, names: Sequence[str], positions: FloatArray, orientations: FloatArray) -> None:
        session = self.view.session
        table = session.table.with_added(names, positions, orientations)
        self.view.update(table=table, kept=np.concatenate([session.kept, np.ones(len(names), dtype=bool)]))

    # --- drawing and listening ---------------------------------------------------------------------------------------------

    def _redrawn(self, session: Session) -> None:
        here = [index for index, sphere in enumerate(session.spheres) if sphere.tomogram == session.shown]
        if self.chosen is not None and self.chosen not in here:
            self.chosen = None
        self._listen()
        self._draw(session)
        self.changed.emit()

    def _looked_elsewhere(self, event: Any = None) -> None:
        if event is not None and event.type == "ndisplay" and self.tool == "points":
            self.use("points")
        self._draw(self.view._session)

    def _layer(self, role: str) -> Any:
        return drawing.layer_of(self.viewer, role, self.view._session.tomogram.frame.voxel_size)

    def _draw(self, session: Session, spheres: tuple[Sphere, ...] | None = None) -> None:
        """Draw the session's spheres, or in the middle of a drag these instead, whose handles then stay as they are."""
        if self._drawing or not session.tomograms:
            return
        busy = spheres is not None or session.spheres or len(self.clicks) or self.tool in ("sphere", "rim")
        if not busy and layers.find_layer(self.viewer, drawing.HANDLES) is None:
            return
        self._drawing = True
        try:
            frame = session.tomogram.frame
            image = layers.find_layer(self.viewer, layers.TOMOGRAM)
            cutting = drawing.cutting_of(self.viewer, image, frame.voxel_size)
            shown = list(session.spheres if spheres is None else spheres)
            fit = self.fit
            if spheres is None:
                self._handles = handles_of(shown, session.shown, frame, cutting)
                drawing.draw_handles(self._layer(drawing.HANDLES), self._handles, self.chosen, frame.voxel_size)
                drawing.draw_clicks(self._layer(drawing.CLICKS), frame.voxels_zyx(self.clicks))
            chosen = self.chosen
            if fit is not None:
                chosen = len(shown)
                shown.append(Sphere.at(session.shown, fit.centre, fit.radius))
            drawing.draw_outlines(self._layer(drawing.OUTLINES), *outlines(shown, session.shown, frame, cutting), chosen)
            points = np.zeros((0, 3))
            if chosen is not None and chosen < len(shown) and self.tool in ("sphere", "rim"):
                points = lattice(shown, [chosen], self.spacing, self.seed)[1]
            drawing.draw_lattice(self._layer(drawing.LATTICE), frame.voxels_zyx(points), 0.4 * self.spacing / frame.voxel_size)
        finally:
            self._drawing = False
        self._listen()

    def _listen(self) -> None:
        for role in (layers.PARTICLES, layers.TOMOGRAM, drawing.HANDLES):
            layer: Any = layers.find_layer(self.viewer, role)
            if layer is None or self._listened.get(role) is layer:
                continue
            self._listened[role] = layer
            if role == drawing.HANDLES:
                self._connect(layer.events.data, self._layer_edited)
                self._connect(layer.events.highlight, self._handle_chosen)
            elif role == layers.TOMOGRAM:
                self._connect(layer.plane.events, self._looked_elsewhere)
            else:
                self._connect(layer.events.mode, self._mode_changed)

    def _layer_edited(self, event: Any) -> None:
        if not self._drawing and str(getattr(event, "action", "")) in ("added", "changed", "removed"):
            spheres = self.dragged_spheres()
            session = self.view.session
            if spheres != session.spheres:
                self.view.update(spheres=spheres)
            else:
                self._draw(session)

    def dragged_spheres(self) -> tuple[Sphere, ...]:
        """The spheres as their handles lie now, in the middle of a drag too."""
        layer, session = self._layer(drawing.HANDLES), self.view._session
        owner, part = (np.asarray(layer.features.get(name, []), dtype=np.int64).tolist() for name in ("sphere", "part"))
        return dragged(session.spheres, self._handles, layer.data, owner, part, session.tomogram.frame)

    def follow_drag(self) -> None:
        """Draw spheres and lattice as they would be if the drag ended here."""
        spheres = self.dragged_spheres()
        if len(spheres) == len(self.view._session.spheres):
            if self.chosen is not None and self.chosen < len(spheres):
                self.radius = spheres[self.chosen].radius
            self._draw(self.view._session, spheres)
            self.changed.emit()

    def _handle_chosen(self, _: Any = None) -> None:
        layer = self._listened.get(drawing.HANDLES)
        if self._drawing or layer is None or not layer.selected_data:
            return
        owner = int(layer.features["sphere"].iloc[min(layer.selected_data)])
        if 0 <= owner != self.chosen:
            self.chosen = owner
            self.radius = self.view._session.spheres[owner].radius
            self.changed.emit()

    def _mode_changed(self, event: Any) -> None:
        active = self.viewer.layers.selection.active
        if active is event.source and self.viewer.dims.ndisplay == 2:
            self._hold(_TOOLS.get(str(active.mode), "move"))

    def _layer_chosen(self, _: Any = None) -> None:
        active: Any = self.viewer.layers.selection.active
        role = active.metadata.get(layers.KEY, {}).get("role") if active is not None else None
        if role == layers.PARTICLES:
            self._hold(_TOOLS.get(str(active.mode), "move"))
        elif role in (drawing.HANDLES, drawing.CLICKS):
            self._hold("sphere" if role == drawing.HANDLES else "rim")

    def _hold(self, tool: Tool) -> None:
        if tool != self.tool and not self._drawing:
            self.tool = tool
            self._draw(self.view._session)
            self.changed.emit()

    def attempt(self, action: Any, *arguments: Any) -> None:
        """Do something that a key or click asked for; what goes wrong is told by `failed`."""
        try:
            action(*arguments)
        except SubtomoError as error:
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
