"""The menu of a class in the gallery: its metadata, its map and its surface as layers, and saving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu, QWidget

from napari_subtomo.progress import Reporter
from napari_subtomo.viewer import layers, palette
from napari_subtomo.viewer.class_surface import map_layer, surface_layer
from napari_subtomo.viewer.gallery import ClassEntry, Gallery
from napari_subtomo.viewer.view import view_of
from napari_subtomo.widgets.class_table import show_class_table
from napari_subtomo.widgets.worker import Worker


def class_menu(parent: QWidget, gallery: Gallery, number: int, worker: Worker, viewer: Any, save: Callable[[], None] | None) -> QMenu:
    """The menu of one class.

    Parameters
    ----------
    parent : QWidget
    gallery : Gallery
    number : int
        Of the class.
    worker : Worker
        Reads maps beside the window.
    viewer : ViewerModel
        Gets the layers.
    save : callable or None
        Saves the chosen classes; None while none is chosen.
    """
    entry = gallery.entry(number)
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    menu.setToolTipsVisible(True)
    here = entry.path is not None
    actions: tuple[tuple[str, str, Callable[[], Any], bool], ...] = (
        ("Show metadata this class", "All that the model says of it", lambda: show_class_table(gallery, entry, parent), True),
        ("Open map as layer", "With its voxel size, at its own grey scale", lambda: _open(gallery, entry, worker, viewer), here),
        (
            "Open surface as layer",
            "The surface 3 standard deviations above the mean, to be seen in 3D",
            lambda: _open(gallery, entry, worker, viewer, surface=True),
            here and not entry.is_empty,
        ),
        ("Save selected classes", "Run the job select", save or (lambda: None), save is not None),
    )
    for text, tip, action, enabled in actions:
        added = menu.addAction(text)
        assert added is not None
        added.setToolTip(tip)
        added.setEnabled(enabled)
        added.triggered.connect(lambda _=False, action=action: action())
    return menu


def _open(gallery: Gallery, entry: ClassEntry, worker: Worker, viewer: Any, surface: bool = False) -> None:
    """Read the map beside the window, then add it; over a tomogram it stands where the user looks."""
    path, name = entry.path, f"{gallery.title}, class {entry.number}"
    assert path is not None
    centre = viewer.dims.point if view_of(viewer) is not None and viewer.dims.ndim == 3 else None
    colour = palette.to_hex(palette.class_colours([entry.number])[0])

    def make(reporter: Reporter) -> layers.LayerData:
        reporter.stage("Making the surface" if surface else "Reading the map")
        return surface_layer(path, name, colour, centre) if surface else map_layer(path, name, centre)

    def add(layer_data: layers.LayerData) -> None:
        layers.add_layer_data(viewer, layer_data)
        worker.say("Surfaces are seen in 3D: press the cube below the list of layers." if surface else f"Opened as layer: {name}.")

    worker.run(make, add)
