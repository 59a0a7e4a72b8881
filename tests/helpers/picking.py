"""Sessions of the small project as plain values, and a mouse without a canvas."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from napari.utils.interactions import mouse_move_callbacks, mouse_press_callbacks, mouse_release_callbacks

from napari_subtomo.viewer import layers
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.spheres import Sphere
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.view import ProjectView


def content(session: Session) -> list[Any]:
    """All of a session that edits may change, as plain values."""
    rows = np.flatnonzero(session.table.alive)
    return [
        session.table.tomograms[rows].tolist(),
        session.table.positions[rows].tolist(),
        np.nan_to_num(session.table.orientations[rows], nan=-9).tolist(),
        session.kept[rows].tolist(),
        session.spheres,
    ]


def edit(view: ProjectView, picker: Picker) -> None:
    """Four edits: two points, one of them deleted, a sphere, its particles taken back, and a point in the next tomogram."""
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    points.add([[10.0, 20.0, 30.0], [11.0, 21.0, 31.0]])
    points.selected_data = {1}
    points.remove_selected()
    picker.add_sphere(Sphere.at("TS_01", (1 / 3, 0, 0), 61.7))
    picker.add_particles([0])
    view.editor.undo()
    view.step(1)
    picker.click(np.array([8.1, 8.2, 8.3]))


def mouse(view: ProjectView, voxels: Any, *moves: Any, modifiers: tuple[str, ...] = (), direction: Any = None) -> None:
    """Press, move and release at voxels zyx, on the viewer and then on its active layer, as napari's canvas does."""
    viewer = view.viewer
    voxel = view.session.tomogram.frame.voxel_size
    places = [voxels, *moves]
    event = SimpleNamespace(
        modifiers=modifiers, button=1, handled=False, view_direction=direction, up_direction=None,
        dims_displayed=list(viewer.dims.displayed), dims_point=list(viewer.dims.point),
    )  # fmt: skip
    kinds = ["mouse_press", *["mouse_move"] * len(moves), "mouse_release"]
    calls = [mouse_press_callbacks, *[mouse_move_callbacks] * len(moves), mouse_release_callbacks]
    for kind, call, place in zip(kinds, calls, [*places, places[-1]], strict=True):
        event.type, event.is_dragging = kind, kind == "mouse_move"
        event.position = tuple(np.asarray(place, dtype=float) * voxel)
        event.pos = np.asarray(place, dtype=float)[1:] * 4
        call(viewer, event)
        active = viewer.layers.selection.active
        if active is not None:
            call(active, event)
