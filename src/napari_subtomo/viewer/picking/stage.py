"""The layers of picking: drawn from the session, the slice that is looked at and the tool in the hand; heard when they are edited."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from napari_subtomo.errors import InputError
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.picking import drawing
from napari_subtomo.viewer.picking.delta import same_files
from napari_subtomo.viewer.picking.handles import Handles, dragged, handles_of, inside, outlines
from napari_subtomo.viewer.picking.near import NearPlane
from napari_subtomo.viewer.picking.spheres import Fit, Sphere, count, fit_sphere, lattice
from napari_subtomo.viewer.session import Session

if TYPE_CHECKING:
    from napari_subtomo.viewer.view import ProjectView

Tool = Literal["move", "points", "select", "sphere", "rim"]
FloatArray = npt.NDArray[np.float64]

_MODES = {"move": "pan_zoom", "points": "add", "select": "select"}
_TOOLS: dict[str, Tool] = {"pan_zoom": "move", "add": "points", "select": "select"}


class Stage:
    """The layers of picking on a view, and which tool works on which of them.

    Parameters
    ----------
    view : ProjectView
    """

    #: tool, chosen sphere, preview or clicks changed
    changed = Signal()
    #: the view shows other files than before
    elsewhere = Signal()

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
        self._dragged: tuple[Sphere, ...] | None = None  # in the middle of a drag
        self._drawing = False
        self._former = view.session
        self._near = NearPlane(view)
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
        self._near.close()
        drawing.remove_layers(self.viewer)

    def _connect(self, emitter: Any, callback: Any) -> None:
        emitter.connect(callback)
        self._connections.append((emitter, callback))

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

    @property
    def spheres(self) -> tuple[Sphere, ...]:
        """The session's, in the middle of a drag as they would be if it ended here."""
        return self.view.session.spheres if self._dragged is None else self._dragged

    @property
    def sphere(self) -> Sphere | None:
        """The chosen one."""
        spheres = self.spheres
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

    # --- drawing and listening ---------------------------------------------------------------------------------------------

    def _redrawn(self, session: Session) -> None:
        self._dragged = None
        former, self._former = self._former, session
        other_files = not same_files(former, session)
        moved_on = other_files or former.shown != session.shown
        if moved_on:
            self.clicks = np.zeros((0, 3))  # they lie in the tomogram that was left
        here = [index for index, sphere in enumerate(session.spheres) if sphere.tomogram == session.shown]
        if other_files or self.chosen not in here:
            self.chosen = None
        if self.sphere is not None:
            self.radius = self.sphere.radius
        self._listen()
        self._draw(session)
        self._near.refresh()
        self.changed.emit()
        if other_files:
            self.elsewhere.emit()

    def _looked_elsewhere(self, event: Any = None) -> None:
        if event is not None and event.type == "ndisplay" and self.tool == "points":
            self.use("points")
        self._draw(self.view._session)
        self._near.refresh()

    def show_only_near(self, only: bool) -> None:
        """In 3D, show and select only the particles in the slab around the plane, or all."""
        self._near.only = only
        self._near.refresh()

    def _layer(self, role: str) -> Any:
        return drawing.layer_of(self.viewer, role, self.view._session.tomogram.frame.voxel_size)

    def _draw(self, session: Session) -> None:
        """Draw the session's spheres, clicks and the lattice; in the middle of a drag the handles stay as they are."""
        if self._drawing or not session.tomograms:
            return
        busy = session.spheres or len(self.clicks) or self.tool in ("sphere", "rim")
        if not busy and layers.find_layer(self.viewer, drawing.HANDLES) is None:
            return
        self._drawing = True
        try:
            frame = session.tomogram.frame
            image = layers.find_layer(self.viewer, layers.TOMOGRAM)
            cutting = drawing.cutting_of(self.viewer, image, frame.voxel_size)
            shown = list(session.spheres if self._dragged is None else self._dragged)
            fit = self.fit
            if self._dragged is None:
                self._handles = handles_of(shown, session.shown, frame, cutting)
                drawing.draw_handles(self._layer(drawing.HANDLES), self._handles, self.chosen, frame.voxel_size)
                drawing.draw_clicks(self._layer(drawing.CLICKS), frame.voxels_zyx(self.clicks))
            margin = float(self.viewer.dims.margin_left[-1]) / frame.voxel_size
            for role in (drawing.HANDLES, drawing.CLICKS):
                drawing.limit_sizes(self._layer(role), cutting, margin)
            chosen = self.chosen
            if fit is not None:
                chosen = len(shown)
                shown.append(Sphere.at(session.shown, fit.centre, fit.radius))
            segments, owners = outlines(shown, session.shown, frame, cutting)
            seen = inside(segments[:, 0], frame, 0)  # what lies outside would lengthen napari's sliders
            drawing.draw_outlines(self._layer(drawing.OUTLINES), segments[seen], owners[seen], chosen)
            points = np.zeros((0, 3))
            if chosen is not None and chosen < len(shown) and self.tool in ("sphere", "rim"):
                points = frame.voxels_zyx(lattice(shown, [chosen], self.spacing, self.seed)[1])
            drawing.draw_lattice(self._layer(drawing.LATTICE), points[inside(points, frame, 0)], 0.5 * self.spacing / frame.voxel_size)
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
            self._dragged = None
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
            self._dragged = spheres
            if self.sphere is not None:
                self.radius = self.sphere.radius
            self._draw(self.view._session)
            self.changed.emit()

    def _handle_chosen(self, _: Any = None) -> None:
        layer = self._listened.get(drawing.HANDLES)
        if self._drawing or layer is None or not layer.selected_data:
            return
        row, owners = min(layer.selected_data), np.asarray(layer.features["sphere"], dtype=np.int64)
        owner = int(owners[row]) if row < len(owners) else -1  # in the middle of a deletion napari tells of rows that are gone
        if 0 <= owner < len(self.view._session.spheres) and owner != self.chosen:
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
        elif self.tool in ("select", "sphere") or (self.tool == "points" and self.viewer.dims.ndisplay == 2):
            self._hold("move")  # napari has these on the layer that was left

    def _hold(self, tool: Tool) -> None:
        if tool != self.tool and not self._drawing:
            self.tool = tool
            self._draw(self.view._session)
            self.changed.emit()
