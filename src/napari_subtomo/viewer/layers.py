"""Objects to napari layers: layer data for readers and samples (`viewer.apply` brings layers that are there up to date).

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
#: Width of an arrow as a part of its length, which is the diameter.
ARROW_WIDTH = 0.12
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
        **image_display(volume),
        "depiction": "plane",  # in 3D: a slab through the middle, as RELION's picker shows it
        "plane": image_plane(volume),
        "rendering": "average",
        "metadata": {KEY: {"role": TOMOGRAM, "session": session}},
    }
    return volume.data, settings, "image"


def limits_span(limits: tuple[float, float]) -> tuple[float, float]:
    """Ends of the slider for grey limits: as far again as the limits to either side."""
    low, high = limits
    return 2 * low - high, 2 * high - low


def image_display(volume: Volume) -> dict[str, Any]:
    """How slices are shown: noisy ones as the mean over the slab that one particle spans, smoothed by the graphics card."""
    if volume.smoothing is None:
        return {"projection_mode": "none", "interpolation2d": "nearest"}
    return {"projection_mode": "mean", "interpolation2d": "custom", "custom_interpolation_kernel_2d": volume.smoothing}


def image_plane(volume: Volume) -> dict[str, Any]:
    """The slab through the middle that 3D shows."""
    return {"position": tuple((n - 1) / 2 for n in volume.data.shape), "normal": (1.0, 0.0, 0.0), "thickness": PLANE_SLICES}


def points_layer(session: Session, state: OverlayState) -> LayerData:
    """The particles as points; `shown` hides, symbols and colours are arrays, so napari has nothing to guess."""
    settings = {
        **point_styles(state),
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
    return state.points_zyx.copy(), settings, "points"  # napari moves points in place, and what was drawn must stay known


def vectors_layer(session: Session, state: OverlayState) -> LayerData:
    """The kept particles' z axes as arrows."""
    settings = {
        "name": LAYER_NAMES[ORIENTATIONS],
        "ndim": 3,
        "scale": (state.voxel_size,) * 3,
        "units": UNITS,
        "edge_color": state.vector_colours if len(state.vectors) else "white",
        "edge_width": arrow_width(state),
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


def point_styles(state: OverlayState) -> dict[str, Any]:
    """Looks of the points, each an array over all of them."""
    if not len(state.rows):
        return {}
    return {
        "face_color": fill_colours(state),
        "border_color": state.face_colours,
        "border_width": np.where(state.kept, RIM, 0.0),
        "symbol": state.symbols,
        "size": state.sizes,
        "shown": state.shown,
    }


def fill_colours(state: OverlayState) -> Any:
    """Colours inside of the rims, shape (n, 4)."""
    fill = state.face_colours.copy()
    fill[:, 3] *= np.where(state.kept, FILL_ALPHA, 1.0)
    return fill


def arrow_width(state: OverlayState) -> float:
    """Width of the arrows in voxels."""
    return ARROW_WIDTH * state.session.diameter / state.voxel_size
