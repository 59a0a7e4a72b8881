"""Keys and clicks of picking: RELION's picker's where napari leaves them free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_subtomo.viewer import layers
from napari_subtomo.viewer.picking import drawing
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.slab import clicked, clicked_at, face_camera, turn_plane

if TYPE_CHECKING:
    from napari_subtomo.viewer.view import ProjectView

#: Pixels of the screen; a press that moves further is a drag.
STILL = 5.0


class Bindings:
    """Keys and mouse of a picker on its viewer, as long as its dock is open.

    Parameters
    ----------
    picker : Picker
    """

    def __init__(self, picker: Picker) -> None:
        self.picker = picker
        self._keys: list[Any] = []
        viewer = picker.viewer
        self._mouse = self._pressed  # one object, to be found again in the list
        viewer.mouse_drag_callbacks.append(self._mouse)
        self._bind("n", lambda: picker.attempt(picker.following))
        self._bind("r", lambda: picker.attempt(self._at_pointer, picker.reach))
        self._bind("a", lambda: picker.attempt(self._at_pointer, picker.click))
        self._bind("x", lambda: self._plane(lambda image: turn_plane(viewer, image, 2)))
        self._bind("y", lambda: self._plane(lambda image: turn_plane(viewer, image, 1)))
        self._bind("o", lambda: self._plane(lambda image: face_camera(viewer, image)))
        self._bind("Control-Z", lambda: picker.attempt(picker.undo))
        self._bind("Control-Shift-Z", lambda: picker.attempt(picker.redo))

    def close(self) -> None:
        """Give keys and mouse back."""
        viewer = self.picker.viewer
        for key in self._keys:
            viewer.bind_key(key, None)
        self._keys.clear()
        if self._mouse in viewer.mouse_drag_callbacks:
            viewer.mouse_drag_callbacks.remove(self._mouse)

    def _bind(self, key: str, action: Callable[[], None]) -> None:
        def pressed(_: Any) -> None:
            action()

        try:
            self.picker.viewer.bind_key(key, pressed)
        except ValueError:
            return  # it is somebody else's on this viewer; the button does the same
        self._keys.append(key)

    def _at_pointer(self, action: Callable[[Any], None]) -> None:
        image: Any = layers.find_layer(self.picker.viewer, layers.TOMOGRAM)
        voxels = None if image is None else clicked_at(image, self.picker.viewer)
        if voxels is not None:
            action(voxels)

    def _plane(self, turn: Callable[[Any], None]) -> None:
        image: Any = layers.find_layer(self.picker.viewer, layers.TOMOGRAM)
        if image is not None and self.picker.viewer.dims.ndisplay == 3:
            turn(image)

    def _pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        """On the viewer: it hears of a press before the active layer does."""
        image: Any = layers.find_layer(viewer, layers.TOMOGRAM)
        active: Any = viewer.layers.selection.active
        if image is None or getattr(event, "button", 1) != 1:
            return
        deep = len(event.dims_displayed) == 3
        if deep and "Shift" in event.modifiers and active is not image and getattr(active, "mode", "") == "pan_zoom":
            yield from _shift_plane(image, active, event)
            return
        if not self._clicks(active, event, deep):
            if active is not None and active is layers.find_layer(viewer, drawing.HANDLES):
                yield from self._drag(event)
            return
        start = np.asarray(event.pos, dtype=np.float64)
        yield
        while event.type == "mouse_move":
            yield
        if np.linalg.norm(np.asarray(event.pos, dtype=np.float64) - start) < STILL:
            voxels = clicked(image, event)
            if voxels is not None:
                self.picker.attempt(self.picker.click, voxels)

    def _clicks(self, active: Any, event: Any, deep: bool) -> bool:
        """Whether this press is ours: Alt, or a tool for which napari has no clicks of its own."""
        tool, alt = self.picker.tool, "Alt" in event.modifiers
        if event.modifiers and not alt:
            return False
        if tool == "rim":
            return True
        if tool == "sphere":
            return alt or _under(active, event) is None
        napari_adds = str(getattr(active, "mode", "")) == "add"
        return (alt or (tool == "points" and deep)) and not napari_adds

    def _drag(self, event: Any) -> Iterator[None]:
        yield
        while event.type == "mouse_move":
            self.picker.follow_drag()
            yield


class Hand:
    """A picker and its keys, on one view at a time."""

    def __init__(self) -> None:
        self.picker: Picker | None = None
        self._bindings: Bindings | None = None

    def take(self, view: ProjectView) -> Picker:
        """Pick on this view, and on no other one any more."""
        self.drop()
        self.picker = Picker(view)
        self._bindings = Bindings(self.picker)
        return self.picker

    def drop(self) -> None:
        """Give keys, mouse and layers back."""
        if self._bindings is not None:
            self._bindings.close()
        if self.picker is not None:
            self.picker.close()
        self.picker = self._bindings = None


def _under(layer: Any, event: Any) -> int | None:
    """Number of the point under the pointer."""
    value = layer.get_value(event.position, view_direction=event.view_direction, dims_displayed=event.dims_displayed, world=True)
    return None if value is None else int(value)


def _shift_plane(image: Any, active: Any, event: Any) -> Iterator[None]:
    """Drag the plane along its normal, as napari does where the image is the active layer."""
    from napari.layers.image._image_mouse_bindings import move_plane_along_normal

    dragging = move_plane_along_normal(image, event)
    if dragging is None:
        return
    pans = active.mouse_pan
    active.mouse_pan = False
    try:
        yield from dragging
    finally:
        active.mouse_pan = pans
