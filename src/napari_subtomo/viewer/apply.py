"""Bringing napari's layers up to date with a session: only what differs is written, and each layer is sliced once.

napari's setters of points slice the layer again one after the other, check colours row by row and look up every symbol in Python: 0.2 s
for 20,000 points. Arrays that the layer holds anyway are therefore written in place, as napari's own tools do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_subtomo.viewer import layers
from napari_subtomo.viewer.layers import KEY, ORIENTATIONS, PARTICLES, TOMOGRAM, find_layer
from napari_subtomo.viewer.overlay import OverlayState
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.volume import Volume, carried_limits

if TYPE_CHECKING:
    from napari.components import ViewerModel


@contextmanager
def held(viewer: ViewerModel) -> Iterator[None]:
    """While this lasts, the layers of a session are not sliced again at every change."""
    with ExitStack() as stack:
        for role in (TOMOGRAM, PARTICLES, ORIENTATIONS):
            block = getattr(find_layer(viewer, role), "_block_refresh", nullcontext)  # not promised by napari: slower without it
            stack.enter_context(block())
        yield


def apply_image(viewer: ViewerModel, session: Session, volume: Volume | None, former: Volume | None = None) -> list[Any]:
    """Show the session's tomogram: the image layer's data, scale and limits change in place, so its place and look stay.

    Limits that the user chose for the `former` volume are carried over in proportion.

    Returns
    -------
    list of layers
        Those to slice again.
    """
    layer: Any = find_layer(viewer, TOMOGRAM)
    if volume is None:
        if layer is not None:
            viewer.layers.remove(layer)
        return []
    data, settings, _ = layers.image_layer(session, volume)
    if layer is None:
        layer = layers.add_layer_data(viewer, (data, settings, "image"))
        viewer.layers.move(len(viewer.layers) - 1, 0)
    layer.metadata[KEY] = settings["metadata"][KEY]
    if layer.data is data:
        if tuple(layer.contrast_limits_range) == tuple(layer.contrast_limits):  # as napari begins: nothing to slide
            layer.contrast_limits_range = layers.limits_span(volume.contrast_limits)
        return []
    deep = viewer.dims.ndisplay == 3
    limits = volume.limits_3d if deep else volume.contrast_limits
    if former is not None:
        limits = carried_limits(tuple(layer.contrast_limits), former.limits_3d if deep else former.contrast_limits, limits)
    layer.data = data
    if tuple(layer.scale) != settings["scale"]:
        layer.scale = settings["scale"]
    layer.contrast_limits_range = layers.limits_span(limits)
    layer.contrast_limits = limits
    for name, value in layers.image_display(volume).items():
        if not np.array_equal(getattr(layer, name), value):
            setattr(layer, name, value)
    if data.shape[0] != 1 and tuple(layer.plane.position) != settings["plane"]["position"]:
        layer.plane = settings["plane"]
    layer.name = settings["name"]
    return [layer]


def match_limits(viewer: ViewerModel, volume: Volume) -> None:
    """Grey limits that fit 2D or 3D, unless the user chose others."""
    layer: Any = find_layer(viewer, TOMOGRAM)
    before, after = volume.contrast_limits, volume.limits_3d
    if viewer.dims.ndisplay == 2:
        before, after = after, before
    if layer is not None and np.allclose(layer.contrast_limits, before):
        layer.contrast_limits_range = layers.limits_span(after)
        layer.contrast_limits = after


def apply_overlay(viewer: ViewerModel, session: Session, state: OverlayState, former: OverlayState | None) -> list[Any]:
    """Bring points and arrows from the `former` state to `state`; missing layers are added, hidden arrows wait until they are shown.

    Returns
    -------
    list of layers
        Those to slice again.
    """
    points: Any = find_layer(viewer, PARTICLES)
    vectors: Any = find_layer(viewer, ORIENTATIONS)
    stale = []
    if points is None:
        layers.add_layer_data(viewer, layers.points_layer(session, state))
    else:
        points.metadata[KEY] = {"role": PARTICLES, "session": session}
        if _update_points(points, state, former):
            stale.append(points)
    if vectors is None:
        vectors = layers.add_layer_data(viewer, layers.vectors_layer(session, state))
        vectors.metadata[KEY] |= {"drawn": state}
        vectors.events.visible.connect(_catch_up)
    else:
        drawn = vectors.metadata[KEY].get("drawn")
        vectors.metadata[KEY] = {"role": ORIENTATIONS, "session": session, "drawn": drawn, "wanted": state}
        if drawn is None:  # a reader or a sample made it
            vectors.events.visible.connect(_catch_up)
        if vectors.visible and _update_vectors(vectors):
            stale.append(vectors)
    return stale


def _catch_up(event: Any) -> None:
    """Arrows are shown again: draw what was put off meanwhile."""
    layer = event.source
    if layer.visible and "wanted" in layer.metadata.get(KEY, {}):
        with getattr(layer, "_block_refresh", nullcontext)():
            changed = _update_vectors(layer)
        if changed:
            layer.refresh(thumbnail=False)


def _update_points(layer: Any, state: OverlayState, former: OverlayState | None) -> bool:
    moved = layer.data.shape != state.points_zyx.shape or not np.array_equal(layer.data, state.points_zyx)
    if moved:
        if former is None or len(layer.data) != len(state.rows) or not np.array_equal(former.rows, state.rows):
            layer.selected_data = set()  # else the same ones have moved, and may be moved on
        layer.data = state.points_zyx.copy()  # napari moves points in place, and what was drawn must stay known
    # after another tomogram, or points added or deleted by hand, napari has filled in looks of its own
    anew = former is None or moved or len(former.rows) != len(state.rows) or former.geometry is not state.geometry
    if anew or former is None or former.features is not state.features:
        _set_features(layer, state)
    changed = moved
    if len(state.rows):
        if anew or former is None or former.kept is not state.kept:
            _put(layer, "symbol", _symbols(layer, state))
            _put(layer, "border_width", np.where(state.kept, layers.RIM, 0.0))
            changed = True
        if anew or former is None or not _same(former.face_colours, state.face_colours):
            _put(layer, "face_color", layers.fill_colours(state))
            _put(layer, "border_color", state.face_colours)
            changed = True
        for name, old, new in (("size", former and former.sizes, state.sizes), ("shown", former and former.shown, state.shown)):
            if anew or old is None or not _same(old, new):
                _put(layer, name, new)
                changed = True
    if tuple(layer.scale) != (state.voxel_size,) * 3:
        layer.scale = (state.voxel_size,) * 3
    return changed


def _update_vectors(layer: Any) -> bool:
    state: OverlayState = layer.metadata[KEY]["wanted"]
    drawn: OverlayState | None = layer.metadata[KEY]["drawn"]
    layer.metadata[KEY]["drawn"] = state
    changed = False
    anew = drawn is None or not _same(drawn.vectors, state.vectors)
    if anew:
        layer.data = state.vectors
        changed = True
    if len(state.vectors) and (anew or drawn is None or not _same(drawn.vector_colours, state.vector_colours)):
        _put(layer, "edge_color", state.vector_colours)
        changed = True
    width = layers.arrow_width(state)
    if layer.edge_width != width:
        layer.edge_width = width
        changed = True
    if tuple(layer.scale) != (state.voxel_size,) * 3:
        layer.scale = (state.voxel_size,) * 3
    return changed


def _same(a: Any, b: Any) -> bool:
    return a is b or (a.shape == b.shape and bool(np.array_equal(a, b)))


def _put(layer: Any, name: str, value: Any) -> None:
    """Write an array of looks: in place where the layer holds one of the kind, else by its setter."""
    now = getattr(layer, name)
    direct = not name.endswith("_color") or str(getattr(layer, f"{name}_mode")) == "direct"
    if direct and isinstance(now, np.ndarray) and now.shape == value.shape and now.dtype.kind == value.dtype.kind and now.flags.writeable:
        np.copyto(now, value)
    else:
        setattr(layer, name, value)


def _symbols(layer: Any, state: OverlayState) -> Any:
    """napari's own symbols, shape (n,): it would look up each text in Python."""
    kind = type(layer.current_symbol)
    return np.asarray([kind("x"), kind("disc")], dtype=object)[state.kept.astype(np.intp)]


def _set_features(layer: Any, state: OverlayState) -> None:
    table = layer.features
    if list(table.columns) == list(state.features) and len(table) == len(state.rows) and np.array_equal(table["row"], state.rows):
        table["kept"] = state.features["kept"]  # the one column that changes while the particles stay
        layer.events.features()
        return
    layer.features = dict(state.features)
    layer.feature_defaults = _new_point(state)


def _new_point(state: OverlayState) -> dict[str, Any]:
    """Features that a point added by hand begins with; row -1 marks it as new."""
    blank = {"row": -1, "class": 0.0, "score": np.nan, "kept": True, "name": ""}
    return {name: blank[name] for name in state.features}
