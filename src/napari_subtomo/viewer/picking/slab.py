"""Which slice of the tomogram is shown, how thick, and where a click in it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import GeometryError
from napari_subtomo.viewer.layers import ORIENTATIONS, PARTICLES, TOMOGRAM, find_layer
from napari_subtomo.viewer.volume import PLANE_SLICES

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_subtomo.viewer.session import Session

FloatArray = npt.NDArray[np.float64]
Axes = Literal["XY", "XZ", "YZ", "oblique"]

#: Order of the zyx axes for each kind of slice: the first is stepped through, the others are drawn down and across.
ORDERS: dict[str, tuple[int, int, int]] = {"XY": (0, 1, 2), "XZ": (1, 0, 2), "YZ": (2, 0, 1)}
#: A line and a plane that are closer than this to parallel do not meet (cosine).
PARALLEL = 1e-6


def axes_of(viewer: ViewerModel) -> Axes:
    """What kind of slice is shown."""
    if viewer.dims.ndisplay == 3:
        return "oblique"
    stepped = viewer.dims.order[-3] if viewer.dims.ndim >= 3 else 0
    names: tuple[Axes, ...] = ("XY", "XZ", "YZ")
    return names[stepped % 3]


def show_axes(viewer: ViewerModel, axes: Axes) -> None:
    """Show slices of that kind through the point that was shown before, fitted to the canvas."""
    if axes == axes_of(viewer) or viewer.dims.ndim < 3:
        return
    point = viewer.dims.point
    viewer.dims.ndisplay = 3 if axes == "oblique" else 2
    viewer.dims.order = ORDERS["XY" if axes == "oblique" else axes]
    viewer.dims.point = point
    viewer.reset_view()


def thicken(viewer: ViewerModel, session: Session, usual: str) -> list[Any]:
    """Make slices as thick as the session says; only what differs is set, for napari slices its layers at each.

    With a slab of chosen thickness all particles whose centres lie in it are shown, and the tomogram is averaged over it. Otherwise
    particles are shown where the slice cuts them: the margins, which in napari are those of all layers, are a particle's radius.

    Parameters
    ----------
    viewer : ViewerModel
        Its world coordinates are Å.
    session : Session
    usual : str
        Projection of the image without a chosen thickness.

    Returns
    -------
    list of layers
        Those to slice again.
    """
    half = (session.slab or session.diameter) / 2
    margins = (half,) * viewer.dims.ndim
    changed = False
    if tuple(viewer.dims.margin_left) != margins or tuple(viewer.dims.margin_right) != margins:
        viewer.dims.margin_left = viewer.dims.margin_right = margins
        changed = True
    points: Any = find_layer(viewer, PARTICLES)
    image: Any = find_layer(viewer, TOMOGRAM)
    if points is not None:
        changed |= _set(points, "projection_mode", "all" if session.slab else "rescale_spherical")
    if image is not None:
        changed |= _set(image, "projection_mode", "mean" if session.slab else usual)
        thickness = max(session.slab / float(image.scale[-1]), 1.0) if session.slab else PLANE_SLICES
        _set(image.plane, "thickness", thickness)
    everything = (points, image, find_layer(viewer, ORIENTATIONS))
    return [layer for layer in everything if layer is not None] if changed else []


def _set(thing: Any, name: str, value: Any) -> bool:
    if str(getattr(thing, name)) == str(value):
        return False
    setattr(thing, name, value)
    return True


def meet(origin: npt.ArrayLike, direction: npt.ArrayLike, position: npt.ArrayLike, normal: npt.ArrayLike) -> FloatArray:
    """Where a line meets a plane.

    Parameters
    ----------
    origin, direction : array_like, shape (3,)
        A point of the line and where it goes; its length does not matter.
    position, normal : array_like, shape (3,)
        A point of the plane and its normal.

    Returns
    -------
    ndarray, shape (3,)
        ``o + d·((p - o)·n)/(d·n)``.

    Raises
    ------
    GeometryError
        The line runs along the plane.
    """
    o, d, p, n = (np.asarray(value, dtype=np.float64) for value in (origin, direction, position, normal))
    d, n = d / np.linalg.norm(d), n / np.linalg.norm(n)
    if abs(d @ n) < PARALLEL:
        raise GeometryError("Expected a view onto the plane, found that it is seen from its edge; turn the view or the plane.")
    return np.asarray(o + d * ((p - o) @ n) / (d @ n))


def clicked(image: Any, event: Any) -> FloatArray | None:
    """Voxels (3,) zyx of the tomogram under the pointer: in the slice, or where the line of sight meets the plane in 3D.

    None outside of the tomogram, or where the plane is seen from its edge.
    """
    return _voxels(image, event.position, event.view_direction, len(event.dims_displayed) == 3)


def clicked_at(image: Any, viewer: ViewerModel) -> FloatArray | None:
    """The same for where the pointer is now, without a click."""
    return _voxels(image, viewer.cursor.position, viewer.cursor._view_direction, viewer.dims.ndisplay == 3)


def _voxels(image: Any, position: Any, direction: Any, deep: bool) -> FloatArray | None:
    voxels = np.asarray(image.world_to_data(position), dtype=np.float64)[-3:]
    if deep:
        if direction is None:
            return None
        sight = np.asarray(direction, dtype=np.float64)[-3:] / np.asarray(image.scale, dtype=np.float64)[-3:]
        try:
            voxels = meet(voxels, sight, image.plane.position, image.plane.normal)
        except GeometryError:
            return None
    inside = (voxels >= -0.5) & (voxels <= np.asarray(image.data.shape[-3:]) - 0.5)
    return voxels if inside.all() else None


def face_camera(viewer: ViewerModel, image: Any) -> None:
    """Turn the plane so that it is looked at straight on."""
    direction = np.asarray(viewer.scene.camera.view_direction, dtype=np.float64)
    image.plane.normal = tuple(direction / np.linalg.norm(direction))


def turn_plane(viewer: ViewerModel, image: Any, axis: int) -> None:
    """Turn the plane so that its normal is the z (0), y (1) or x (2) axis, about the point under the pointer if that is on the plane."""
    pivot = clicked_at(image, viewer) if viewer.dims.ndisplay == 3 else None
    if pivot is not None:
        image.plane.position = tuple(pivot)
    image.plane.normal = tuple(np.eye(3)[axis])


def face_plane(viewer: ViewerModel, image: Any) -> None:
    """Turn the camera so that it looks straight onto the plane."""
    normal = np.asarray(image.plane.normal, dtype=np.float64)
    up = (0.0, -1.0, 0.0) if abs(normal[1]) < 0.9 else (-1.0, 0.0, 0.0)
    viewer.scene.camera.set_view_direction(tuple(normal), up)
