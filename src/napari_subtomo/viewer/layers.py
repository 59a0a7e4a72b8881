"""Objects <-> napari layers: layer data for readers and samples, and applying only what changed to layers that are there.

All layers of one tomogram hold voxels of its file and share the scale, its voxel in Å: world coordinates are Å (zyx), and a point at
voxel 270 is drawn at 270 · voxel Å. Each carries `metadata["subtomo"]` with its role, by which it is found again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_subtomo.viewer.overlay import OverlayState
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.volume import PLANE_SLICES, Volume

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

LayerData = tuple[Any, dict[str, Any], str]

KEY = "subtomo"
TOMOGRAM, PARTICLES, ORIENTATIONS = "tomogram", "particles", "orientations"
LAYER_NAMES = {PARTICLES: "Particles", ORIENTATIONS: "Orientations"}
#: Opacity of a disc inside of its coloured rim: the density under it must be seen.
FILL_ALPHA = 0.25
#: Width of the rim as a part of the diameter.
RIM = 0.07
UNITS = ("angstrom",) * 3


def image_layer(session: Session, volume: Volume) -> LayerData:
    """The tomogram as a grey image that stays on disk; contrast limits are given, or napari would read all of it."""
    voxel = session.tomogram.frame.voxel_size
    note = f" ({volume.kind})" if volume.kind else ""
    settings = {
        "name": session.shown + note,
        "scale": (voxel,) * 3,
        "units": UNITS,
        "colormap": "gray",
        "contrast_limits": volume.contrast_limits,
        **_display(volume),
        "depiction": "plane",  # in 3D: a slab through the middle, as RELION's picker shows it
        "plane": _plane(volume),
        "rendering": "average",
        "metadata": {KEY: {"role": TOMOGRAM, "session": session}},
    }
    return volume.data, settings, "image"


def match_limits(viewer: ViewerModel, volume: Volume) -> None:
    """Grey limits that fit 2D or 3D, unless the user chose others."""
    layer: Any = find_layer(viewer, TOMOGRAM)
    before, after = volume.contrast_limits, volume.limits_3d
    if viewer.dims.ndisplay == 2:
        before, after = after, before
    if layer is not None and np.allclose(layer.contrast_limits, before):
        layer.contrast_limits_range = _span(volume)
        layer.contrast_limits = after


def _span(volume: Volume) -> tuple[float, float]:
    limits = (*volume.contrast_limits, *volume.limits_3d)
    return min(limits), max(limits)


def _display(volume: Volume) -> dict[str, Any]:
    """How slices are shown: noisy ones as the mean over the slab that one particle spans, smoothed by the graphics card."""
    if volume.smoothing is None:
        return {"projection_mode": "none", "interpolation2d": "nearest"}
    return {"projection_mode": "mean", "interpolation2d": "custom", "custom_interpolation_kernel_2d": volume.smoothing}


def _plane(volume: Volume) -> dict[str, Any]:
    return {"position": tuple((n - 1) / 2 for n in volume.data.shape), "normal": (1.0, 0.0, 0.0), "thickness": PLANE_SLICES}


def points_layer(session: Session, state: OverlayState) -> LayerData:
    """The particles as points; `shown` hides, symbols and colours are arrays, so napari has nothing to guess."""
    settings = {
        **_point_styles(state),
        "name": LAYER_NAMES[PARTICLES],
        "ndim": 3,
        "scale": (state.voxel_size,) * 3,
        "units": UNITS,
        "opacity": 1.0,
        "blending": "translucent_no_depth",
        "projection_mode": "rescale_spherical",
        "features": dict(state.features),
        "metadata": {KEY: {"role": PARTICLES, "session": session}},
    }
    return state.points_zyx, settings, "points"


def vectors_layer(session: Session, state: OverlayState) -> LayerData:
    """The kept particles' z axes as arrows."""
    settings = {
        "name": LAYER_NAMES[ORIENTATIONS],
        "ndim": 3,
        "scale": (state.voxel_size,) * 3,
        "units": UNITS,
        "edge_color": _arrow_colours(state),
        "edge_width": _arrow_width(state),
        "vector_style": "arrow",
        "blending": "translucent_no_depth",
        "projection_mode": "all",
        "metadata": {KEY: {"role": ORIENTATIONS, "session": session}},
    }
    return state.vectors, settings, "vectors"


def find_layer(viewer: ViewerModel, role: str) -> Layer | None:
    """The viewer's layer with that role, or None."""
    for layer in viewer.layers:
        if layer.metadata.get(KEY, {}).get("role") == role:
            return layer
    return None


def add_layer_data(viewer: ViewerModel, layer_data: LayerData) -> Layer:
    """Add one layer from its data, settings and kind."""
    from napari.layers import Layer

    return viewer.add_layer(Layer.create(*layer_data))


def apply_image(viewer: ViewerModel, session: Session, volume: Volume | None) -> None:
    """Show the session's tomogram: the image layer's data, scale and limits change in place, so its place and look stay."""
    layer: Any = find_layer(viewer, TOMOGRAM)
    if volume is None:
        if layer is not None:
            viewer.layers.remove(layer)
        return
    data, settings, _ = image_layer(session, volume)
    if layer is None:
        add_layer_data(viewer, (data, settings, "image"))
        viewer.layers.move(len(viewer.layers) - 1, 0)
        return
    if layer.data is not data:
        layer.data = data
        layer.scale = settings["scale"]
        limits = volume.limits_3d if viewer.dims.ndisplay == 3 else volume.contrast_limits
        layer.contrast_limits_range = _span(volume)
        layer.contrast_limits = limits
        for name in ("plane", *_display(volume)):
            setattr(layer, name, settings[name])
        layer.name = settings["name"]
    layer.metadata[KEY] = settings["metadata"][KEY]


def apply_overlay(viewer: ViewerModel, session: Session, state: OverlayState, former: OverlayState | None) -> None:
    """Bring points and arrows from the `former` state to `state`, touching only what differs; missing layers are added."""
    points: Any = find_layer(viewer, PARTICLES)
    vectors: Any = find_layer(viewer, ORIENTATIONS)
    if points is None:
        add_layer_data(viewer, points_layer(session, state))
    else:
        points.metadata[KEY] = {"role": PARTICLES, "session": session}
        _update_points(points, state, former)
    if vectors is None:
        add_layer_data(viewer, vectors_layer(session, state))
    else:
        vectors.metadata[KEY] = {"role": ORIENTATIONS, "session": session}
        _update_vectors(vectors, state, former)


def _update_points(layer: Any, state: OverlayState, former: OverlayState | None) -> None:
    styles = _point_styles(state)
    if former is not None and len(layer.data) != len(former.rows):
        former = None  # points were added or deleted by hand: their styles are napari's
    if layer.data.shape != state.points_zyx.shape or not np.allclose(layer.data, state.points_zyx, rtol=0, atol=1e-6):
        layer.selected_data = set()
        layer.data = state.points_zyx
        former = None  # napari filled the styles of new points with its own
    if former is None or not _same_features(former, state):
        layer.features = dict(state.features)
        layer.feature_defaults = _new_point(state)
    old = _point_styles(former) if former is not None else {}
    for name, value in styles.items():
        if name not in old or not np.array_equal(old[name], value):
            setattr(layer, name, value)
    if tuple(layer.scale) != (state.voxel_size,) * 3:
        layer.scale = (state.voxel_size,) * 3


def _update_vectors(layer: Any, state: OverlayState, former: OverlayState | None) -> None:
    if former is None or not np.array_equal(former.vectors, state.vectors):
        layer.data = state.vectors
        former = None
    if len(state.vectors) and (former is None or not np.array_equal(former.vector_colours, state.vector_colours)):
        layer.edge_color = state.vector_colours
    if layer.edge_width != _arrow_width(state):
        layer.edge_width = _arrow_width(state)
    if tuple(layer.scale) != (state.voxel_size,) * 3:
        layer.scale = (state.voxel_size,) * 3


def _point_styles(state: OverlayState) -> dict[str, Any]:
    if not len(state.rows):
        return {}
    fill = state.face_colours.copy()
    fill[:, 3] *= np.where(state.symbols == "disc", FILL_ALPHA, 1.0)
    rims = np.where(state.symbols == "disc", RIM, 0.0)
    return {
        "face_color": fill,
        "border_color": state.face_colours,
        "border_width": rims,
        "symbol": state.symbols,
        "size": state.sizes,
        "shown": state.shown,
    }


def _arrow_colours(state: OverlayState) -> Any:
    return state.vector_colours if len(state.vectors) else "white"


def _arrow_width(state: OverlayState) -> float:
    lengths = np.linalg.norm(state.vectors[:1, 1], axis=-1)
    return float(0.12 * lengths[0]) if len(lengths) else 1.0


def _new_point(state: OverlayState) -> dict[str, Any]:
    """Features that a point added by hand begins with; row -1 marks it as new."""
    blank = {"row": -1, "class": 0.0, "score": np.nan, "kept": True, "name": ""}
    return {name: blank[name] for name in state.features}


def _same_features(a: OverlayState, b: OverlayState) -> bool:
    return all(np.array_equal(a.features[name], b.features[name], equal_nan=a.features[name].dtype.kind == "f") for name in b.features)
