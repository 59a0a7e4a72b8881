"""Spheres, their handles, clicks on a rim and the lattice that would be added, as napari layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.viewer.layers import KEY, UNITS, find_layer
from napari_subtomo.viewer.palette import OKABE_ITO, rgba
from napari_subtomo.viewer.picking.handles import CENTRE, Cutting, Handles

if TYPE_CHECKING:
    from napari.components import ViewerModel

FloatArray = npt.NDArray[np.float64]

HANDLES, OUTLINES, LATTICE, CLICKS = "spheres", "sphere outlines", "lattice", "rim clicks"
ROLES = (OUTLINES, LATTICE, HANDLES, CLICKS)
NAMES = {HANDLES: "Spheres", OUTLINES: "Sphere outlines", LATTICE: "Lattice preview", CLICKS: "Rim clicks"}
#: The chosen sphere and its lattice; the others; clicks.
CHOSEN, OTHER, CLICK = OKABE_ITO[5], OKABE_ITO[1], OKABE_ITO[4]
#: Rim of the lattice's dots, which keeps them apart from the circle that they lie on.
EDGE = "#000000"
#: Pixels of the screen between which handles stay, however far the view is zoomed.
HANDLE_SIZE = (11, 15)


def layer_of(viewer: ViewerModel, role: str, voxel: float) -> Any:
    """The layer of that role; made if it is not there."""
    layer: Any = find_layer(viewer, role)
    if layer is not None:
        if tuple(layer.scale) != (voxel,) * 3:
            layer.scale = (voxel,) * 3
        return layer
    from napari.layers import Points, Vectors

    common = {
        "name": NAMES[role],
        "ndim": 3,
        "scale": (voxel,) * 3,
        "units": UNITS,
        "blending": "translucent_no_depth",
        "metadata": {KEY: {"role": role}},
        "projection_mode": "all",
    }
    active = viewer.layers.selection.active
    if role == OUTLINES:
        layer = Vectors(np.zeros((0, 2, 3)), vector_style="line", **common)
    else:
        layer = Points(np.zeros((0, 3)), **common)
        layer.canvas_size_limits = (0, HANDLE_SIZE[1] if role != LATTICE else 10000)
    viewer.add_layer(layer)
    if active is not None:
        viewer.layers.selection.active = active
    return layer


def remove_layers(viewer: ViewerModel) -> None:
    """Take all of them away."""
    for role in ROLES:
        layer = find_layer(viewer, role)
        if layer is not None:
            viewer.layers.remove(layer)


def cutting_of(viewer: ViewerModel, image: Any, voxel: float) -> Cutting:
    """The plane that is looked at: the slice, or in 3D the plane of the tomogram's layer."""
    if viewer.dims.ndisplay == 3 and image is not None:
        normal = np.asarray(image.plane.normal, dtype=np.float64)
        return Cutting(np.asarray(image.plane.position, dtype=np.float64), normal / np.linalg.norm(normal), deep=True)
    point = np.asarray(viewer.dims.point[-3:], dtype=np.float64) / voxel
    return Cutting(point, np.eye(3)[viewer.dims.order[-3] % 3], deep=viewer.dims.ndisplay == 3)


def draw_handles(layer: Any, handles: Handles, chosen: int | None, voxel: float) -> None:
    """Crosses in the centres, diamonds on the rims."""
    layer.selected_data = set()
    layer.data = handles.points_zyx.copy()
    layer.features = {"sphere": handles.sphere.astype(np.float64), "part": handles.part.astype(np.float64)}
    layer.feature_defaults = {"sphere": -1.0, "part": float(CENTRE)}
    if len(handles.points_zyx):
        layer.symbol = np.where(handles.part == CENTRE, "cross", "diamond")
        layer.face_color = _colours(handles.sphere, chosen)
        layer.border_color = _colours(handles.sphere, chosen)
        layer.size = np.full(len(handles.points_zyx), max(4.0, 40.0 / voxel))


def limit_sizes(layer: Any, cutting: Cutting, margin: float) -> None:
    """Keep handles large enough to be hit however far the view is zoomed.

    Not where none is in the slice: napari then draws one point of size zero in a corner, which must stay so.

    Parameters
    ----------
    layer : Points
    cutting : Cutting
    margin : float
        Voxels on either side of the slice in which points are drawn.
    """
    away = np.abs((layer.data.reshape(-1, 3) - cutting.point) @ cutting.normal)
    seen = len(away) > 0 and (cutting.deep or bool((away <= margin).any()))
    limits = HANDLE_SIZE if seen else (0, HANDLE_SIZE[1])
    if tuple(layer.canvas_size_limits) != limits:
        layer.canvas_size_limits = limits


def draw_outlines(layer: Any, segments: FloatArray, owners: npt.NDArray[np.int64], chosen: int | None) -> None:
    """Circles, the chosen sphere's in its colour."""
    layer.data = segments
    if len(segments):
        layer.edge_color = _colours(owners, chosen)
        lengths = np.linalg.norm(segments[:, 1], axis=1)
        layer.edge_width = float(np.clip(0.35 * np.median(lengths), 0.7, 2.0))


def draw_lattice(layer: Any, points_zyx: FloatArray, size: float) -> None:
    """Dots where particles would be added; `size` in voxels."""
    layer.data = points_zyx
    if len(points_zyx):
        layer.face_color = rgba(CHOSEN)
        layer.border_color = rgba(EDGE)
        layer.border_width = 0.2
        layer.size = np.full(len(points_zyx), size)
        layer.symbol = "disc"


def draw_clicks(layer: Any, points_zyx: FloatArray) -> None:
    """Clicks on the rim of a sphere that is being fitted."""
    layer.data = points_zyx
    if len(points_zyx):
        layer.face_color = rgba(CLICK)
        layer.border_color = rgba(CLICK)
        layer.size = np.full(len(points_zyx), 4.0)


def _colours(owners: npt.NDArray[np.int64], chosen: int | None) -> FloatArray:
    colours = np.tile(rgba(OTHER), (len(owners), 1))
    if chosen is not None:
        colours[owners == chosen] = rgba(CHOSEN)
    return colours
