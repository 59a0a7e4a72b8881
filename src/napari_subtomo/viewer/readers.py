"""Files that napari opens: RELION's STAR files and MRC volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_subtomo.errors import InputError
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.load import VOLUME_ENDINGS, load_session
from napari_subtomo.viewer.overlay import resolve
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.volume import open_volume, tomogram_volume

if TYPE_CHECKING:
    from napari.components import ViewerModel

Reader = Callable[[str | Sequence[str]], list[layers.LayerData]]


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(one) for one in path]


def star_reader(path: str | Sequence[str]) -> Reader | None:
    """Reader of particles, tomograms, optimisation sets, optimisers and models; None for what is no STAR file."""
    return read_star_layers if all(one.suffix.lower() == ".star" for one in _paths(path)) else None


def folder_reader(path: str | Sequence[str]) -> Reader | None:
    """Reader of project and job folders; None for folders with nothing of the kind in them, which may be another plugin's."""
    return read_star_layers if all(_is_ours(one) for one in _paths(path)) else None


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and any(next(folder.glob(pattern), None) for pattern in ("*.star", "*/job[0-9]*/*.star", "*/*.star"))


def mrc_reader(path: str | Sequence[str]) -> Reader | None:
    """Reader of MRC volumes and stacks; None for what does not look like one."""
    return read_mrc_layers if all(one.suffix.lower() in VOLUME_ENDINGS for one in _paths(path)) else None


def read_star_layers(path: str | Sequence[str]) -> list[layers.LayerData]:
    """Tomogram, particles and orientations of the first tomogram with particles, from a STAR file or folder (of several, the last).

    Raises
    ------
    InputError
        Nothing in the file can be shown, or the window shows particles with edits that were not saved.
    """
    return hand_over(load_session(_paths(path)[-1]))


def hand_over(session: Session) -> list[layers.LayerData]:
    """The layers of a session for napari to add, which the window in use then follows.

    A project that the window shows already makes room, unless it has edits that were not saved.
    """
    from napari import current_viewer

    from napari_subtomo.viewer.view import view_of

    viewer = current_viewer()
    view = None if viewer is None else view_of(viewer)
    if view is not None:
        if view.session.edited:
            raise InputError(
                "The particles shown have edits that were not saved; save them in the dock “Project”, or remove the "
                "layer “Particles” to drop them, then open the file again."
            )
        view.close()
    if viewer is not None:
        _follow_when_added(viewer)
    return session_layers(session)


def _follow_when_added(viewer: ViewerModel) -> None:
    def added(event: Any) -> None:
        if event.value.metadata.get(layers.KEY, {}).get("role") == layers.ORIENTATIONS:  # the last one
            viewer.layers.events.inserted.disconnect(added)
            follow_layers(viewer)

    viewer.layers.events.inserted.connect(added)


def _activate_next(viewer: ViewerModel, points: Any) -> None:
    """Let the particles be the active layer, whose keys are those of picking, where napari is about to activate the layer added last."""
    active = viewer.layers.selection.events.active

    def activated(event: Any) -> None:
        if event.value is layers.find_layer(viewer, layers.ORIENTATIONS):
            active.disconnect(activated)
            viewer.layers.selection.active = points

    active.connect(activated)


def session_layers(session: Session) -> list[layers.LayerData]:
    """The layers of a session, as readers and samples hand them to napari."""
    state = resolve(session)
    volume = tomogram_volume(session.tomogram, session.diameter)
    image = [] if volume is None else [layers.image_layer(session, volume)]
    return [*image, layers.points_layer(session, state), layers.vectors_layer(session, state)]


def read_mrc_layers(path: str | Sequence[str]) -> list[layers.LayerData]:
    """MRC files as images that stay on disk, with the voxel size of their headers in Å (1 voxel where the header has none)."""
    found: list[layers.LayerData] = []
    for one in _paths(path):
        volume = open_volume(one)
        settings: dict[str, object] = {"name": one.stem, "colormap": "gray", "contrast_limits": volume.contrast_limits}
        if volume.voxel_size > 0:
            settings |= {"scale": (volume.voxel_size,) * 3, "units": layers.UNITS}
        found.append((volume.data, settings, "image"))
    if all("units" in settings for _, settings, _ in found):
        _show_scale_bar()
    return found


def _show_scale_bar() -> None:
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        viewer.canvas.overlays.scale_bar.visible = True


def follow_layers(viewer: ViewerModel) -> None:
    """Let a viewer follow the session of layers that a reader or sample added, if it does not yet."""
    from napari_subtomo.viewer.view import open_session, view_of

    points = layers.find_layer(viewer, layers.PARTICLES)
    if points is not None and view_of(viewer) is None:
        open_session(viewer, points.metadata[layers.KEY]["session"])
        _activate_next(viewer, points)
