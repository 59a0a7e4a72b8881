"""Points layers to particles.star, for napari's File > Save."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_subtomo.errors import InputError
from napari_subtomo.viewer import edits, layers
from napari_subtomo.viewer.overlay import resolve
from napari_subtomo.viewer.saving import save_particles
from napari_subtomo.viewer.session import Session

if TYPE_CHECKING:
    from napari.components import ViewerModel


def write_points(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a points layer as particles.star.

    The layer of an opened project writes the kept particles of all its tomograms, edits included and every other column kept. Any
    other points layer writes its points as new particles of the tomogram that is shown with it.

    Parameters
    ----------
    path : str
    data : array_like, shape (n, 3)
        Points of the layer, zyx.
    meta : dict
        The layer's settings as napari hands them over.

    Returns
    -------
    list of str
        The path written.

    Raises
    ------
    InputError
        The layer belongs to no tomogram, so that its points are no positions.
    """
    points = np.asarray(data, dtype=np.float64).reshape(-1, 3) if np.size(data) else np.zeros((0, 3))
    mark = meta.get("metadata", {}).get(layers.KEY)
    if mark is not None:
        session: Session = mark["session"]
        rows = np.asarray(meta["features"]["row"], dtype=np.int64) if len(points) else np.zeros(0, dtype=np.int64)
        save_particles(edits.absorb(session, resolve(session), rows, points), Path(path))
        return [path]
    shown = _session_shown()
    if shown is None:
        raise InputError(
            f"Expected a points layer of an opened project, found “{meta.get('name', 'points')}” beside no tomogram with a known size; "
            "open a project, tomograms.star or particles.star first."
        )
    save_particles(_new_particles(shown, points, meta), Path(path))
    return [path]


def _new_particles(shown: Session, points: np.ndarray[Any, Any], meta: dict[str, Any]) -> Session:
    """A session with nothing but `points` (n, 3), zyx of a layer with the transform in `meta`, in the tomogram shown."""
    voxel = shown.tomogram.frame.voxel_size
    scale = np.asarray(meta.get("scale", (1.0,) * 3), dtype=np.float64)
    translate = np.asarray(meta.get("translate", (0.0,) * 3), dtype=np.float64)
    voxels = (points * scale + translate) / voxel
    empty = Session(project=shown.project, tomograms=shown.tomograms, tomogram_set=shown.tomogram_set, shown=shown.shown)
    return edits.absorb(empty, resolve(empty), np.full(len(points), -1), voxels)


def _session_shown() -> Session | None:
    """The session of the viewer in use, if a project is shown there."""
    from napari import current_viewer

    from napari_subtomo.viewer.view import view_of

    viewer: ViewerModel | None = current_viewer()
    if viewer is None:
        return None
    view = view_of(viewer)
    if view is not None:
        return view.session
    layer = layers.find_layer(viewer, layers.TOMOGRAM)
    return None if layer is None else layer.metadata[layers.KEY]["session"]
