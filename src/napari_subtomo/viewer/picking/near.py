"""In 3D, only the particles near the plane: the others are neither seen nor selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.viewer import layers
from napari_subtomo.viewer.layers import ORIENTATIONS, PARTICLES, TOMOGRAM, find_layer

if TYPE_CHECKING:
    from napari_subtomo.viewer.view import ProjectView

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def near_plane(points_zyx: npt.ArrayLike, position: npt.ArrayLike, normal: npt.ArrayLike, half: float) -> BoolArray:
    """Which points (n, 3) lie at most `half` from the plane through `position` (3,) with that normal (3,) of any length."""
    points = np.asarray(points_zyx, dtype=np.float64).reshape(-1, 3)
    across = np.asarray(normal, dtype=np.float64)
    return np.asarray(np.abs((points - np.asarray(position)) @ across) <= half * np.linalg.norm(across))


class NearPlane:
    """Hides, in 3D, particles and arrows outside of the slab; they cannot be selected either.

    napari shows and selects points in 3D whatever their `shown` says, so the hidden ones are transparent, and whatever is selected
    among them is let go at once.

    Parameters
    ----------
    view : ProjectView
    """

    def __init__(self, view: ProjectView) -> None:
        self._view = view
        self.only = False
        self._hidden: BoolArray | None = None  # points, while some are
        self._selection: Any = None
        self._at_work = False

    def refresh(self) -> None:
        """Hide what is away from the plane now."""
        viewer, state = self._view.viewer, self._view.state
        points: Any = find_layer(viewer, PARTICLES)
        image: Any = find_layer(viewer, TOMOGRAM)
        active = viewer.dims.ndisplay == 3 and image is not None and points is not None
        if not active or len(points.data) != len(state.rows):
            self.restore()
            return
        self._watch(points)
        session = self._view._session
        half = (session.slab or session.diameter) / 2 / state.voxel_size
        position, normal = image.plane.position, image.plane.normal
        near = near_plane(state.points_zyx, position, normal, half) if self.only else np.ones(len(state.rows), dtype=bool)
        self._hidden = ~(near & state.shown)
        self._let_go()
        _fade(points, {"face_color": layers.fill_colours(state), "border_color": state.face_colours}, near)
        arrows: Any = find_layer(viewer, ORIENTATIONS)
        if arrows is not None and len(arrows.data) == len(state.vectors):
            seen = near_plane(state.vectors[:, 0], position, normal, half) if self.only else np.ones(len(state.vectors), dtype=bool)
            _fade(arrows, {"edge_color": state.vector_colours}, seen)

    def restore(self) -> None:
        """Show everything again."""
        if self._hidden is None:
            return
        self._hidden = None
        viewer, state = self._view.viewer, self._view.state
        points: Any = find_layer(viewer, PARTICLES)
        arrows: Any = find_layer(viewer, ORIENTATIONS)
        if points is not None and len(points.data) == len(state.rows):
            _fade(points, {"face_color": layers.fill_colours(state), "border_color": state.face_colours}, None)
        if arrows is not None and len(arrows.data) == len(state.vectors):
            _fade(arrows, {"edge_color": state.vector_colours}, None)

    def close(self) -> None:
        """Show everything again, and stop listening."""
        self.restore()
        if self._selection is not None:
            self._selection.events.items_changed.disconnect(self._let_go)
        self._selection = None

    def _watch(self, points: Any) -> None:
        if self._selection is not points.selected_data:
            if self._selection is not None:
                self._selection.events.items_changed.disconnect(self._let_go)
            self._selection = points.selected_data
            self._selection.events.items_changed.connect(self._let_go)

    def _let_go(self, *_: Any) -> None:
        """Deselect what is hidden."""
        if self._hidden is None or self._at_work or not self._selection:
            return
        hidden = [row for row in self._selection if row < len(self._hidden) and self._hidden[row]]
        if hidden:
            self._at_work = True
            try:
                self._selection.difference_update(hidden)
            finally:
                self._at_work = False


def _fade(layer: Any, colours: dict[str, FloatArray], seen: BoolArray | None) -> None:
    """Give a layer its colours, transparent where not seen; only what differs is set."""
    for name, values in colours.items():
        wanted = values if seen is None or seen.all() else np.where(seen[:, None], values, values * [1, 1, 1, 0])
        if len(wanted) and not np.allclose(getattr(layer, name), wanted, atol=1e-6):
            setattr(layer, name, wanted)
