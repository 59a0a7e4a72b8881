"""A session on a viewer: the only place that holds state, and it holds one frozen session at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from psygnal import Signal

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.errors import SubtomoError
from napari_subtomo.viewer import apply, edits, layers
from napari_subtomo.viewer.overlay import OverlayState, resolve
from napari_subtomo.viewer.picking.editor import Editor
from napari_subtomo.viewer.picking.slab import thicken
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.volume import Volume, tomogram_volume

if TYPE_CHECKING:
    from napari.components import ViewerModel


class ViewEvents:
    """What happens to views of any viewer; docks listen to find the view of theirs."""

    opened = Signal(object)  # ProjectView, once it is drawn


view_events = ViewEvents()
_views: WeakValueDictionary[int, ProjectView] = WeakValueDictionary()
#: Actions of a points layer's data event that end an edit.
_DONE = ("added", "changed", "removed")
#: Opened volumes that are kept, so that going back and forth between tomograms is at once.
KEEP_OPEN = 6


class ProjectView:
    """Shows a session in a viewer and follows it.

    Parameters
    ----------
    viewer : ViewerModel
        A window's viewer or a model without one.
    session : Session
    """

    changed = Signal(Session)

    def __init__(self, viewer: ViewerModel, session: Session) -> None:
        self.viewer: ViewerModel = own_viewer(viewer)
        self._session = session
        self._state: OverlayState | None = None
        self._volumes: dict[str, Volume | None] = {}
        self._drawing = False
        self._dressed = False
        self._drawn: Volume | None = None
        self._listened: Any = None
        #: undo, redo and the edit journal
        self.editor = Editor(self, session)
        self.changed.connect(self.editor.follow)
        self._bind_keys()
        self.viewer.dims.events.ndisplay.connect(self._dimensions_changed)
        self._draw(centre=True)
        _views[id(self.viewer)] = self
        view_events.opened.emit(self)

    @property
    def session(self) -> Session:
        """The session as shown, edits by hand in the points layer included."""
        self._collect()
        return self._session

    @property
    def state(self) -> OverlayState:
        """What is drawn."""
        assert self._state is not None
        return self._state

    @property
    def volume(self) -> Volume | None:
        """The volume shown, None if the tomogram's file is not on disk."""
        return self._open(self._session.shown)

    def update(self, **changes: Any) -> None:
        """Change fields of the session (see `Session`) and redraw what differs."""
        self.show(replace(self.session, **changes))

    def show(self, session: Session) -> None:
        """Show another session; edits of the former one are kept only if `session` was made from `self.session`."""
        moved_on = session.shown != self._session.shown or session.project != self._session.project
        if session.project != self._session.project:
            self._volumes.clear()
            self._drawn = None
        former, self._session = self._session, session
        try:
            self._draw(centre=moved_on)
        except SubtomoError:
            self._session = former  # what is on the screen
            raise

    def step(self, step: int) -> None:
        """Show the tomogram `step` places further in the list."""
        self.show(self.session.stepped(step))

    def unopened(self) -> tuple[Tomogram, ...]:
        """Tomograms before and after the one shown whose volumes are not open yet."""
        session = self._session
        here = session.names.index(session.shown) if session.shown in session.names else 0
        near = session.tomograms[max(here - 1, 0) : here + 2]
        return tuple(tomogram for tomogram in near if tomogram.name not in self._volumes)

    def hold(self, tomogram: Tomogram, volume: Volume | None) -> None:
        """Keep a volume that was opened beside the window (`viewer.volume.tomogram_volume`) until it is shown."""
        if tomogram in self._session.tomograms and tomogram.name not in self._volumes:
            self._volumes[tomogram.name] = volume
            self._open(self._session.shown)  # the one on the screen stays

    def close(self) -> None:
        """Take the layers away and leave the viewer alone."""
        self.editor.close()
        self._drawing = True
        self.viewer.dims.events.ndisplay.disconnect(self._dimensions_changed)
        for role in (layers.ORIENTATIONS, layers.PARTICLES, layers.TOMOGRAM):
            layer = layers.find_layer(self.viewer, role)
            if layer is not None:
                self.viewer.layers.remove(layer)
        self.viewer.canvas.overlays.text.visible = False
        _views.pop(id(self.viewer), None)

    def centre(self) -> bool:
        """Go to the slice with most of the kept particles, or to the middle; whether that is another slice than before."""
        volume, state = self.volume, self.state
        chosen = state.points_zyx[state.kept]
        depth = volume.data.shape if volume is not None else None
        if len(chosen):
            counts, edges = np.histogram(chosen[:, 0], bins=max(1, int(np.ceil(np.ptp(chosen[:, 0]) / max(state.sizes.max(), 1)))))
            best = int(np.argmax(counts))
            inside = chosen[(chosen[:, 0] >= edges[best]) & (chosen[:, 0] <= edges[best + 1])]
            target = [float(np.median(inside[:, 0])), *np.median(chosen[:, 1:], axis=0)]
        elif depth is not None:
            target = [(n - 1) / 2 for n in depth]
        else:
            return False
        dims = self.viewer.dims
        before = tuple(dims.point)
        dims.point = tuple(state.voxel_size * value for value in target)
        return any(dims.point[axis] != before[axis] for axis in dims.not_displayed)

    def _draw(self, centre: bool) -> None:
        session = self._session
        if not session.tomograms:
            return
        state, volume = resolve(session, self._state), self._open(session.shown)  # fail before anything is changed
        self._drawing = True
        try:
            with apply.held(self.viewer):
                stale = apply.apply_image(self.viewer, session, volume, self._drawn)
                stale += apply.apply_overlay(self.viewer, session, state, self._state)
                self._state, self._drawn = state, volume
                self._listen()
                stale += [layer for layer in self._dress() if layer not in stale]
                sliced = centre and self.centre()
            for layer in stale:
                if not sliced:
                    layer.refresh(thumbnail=False)
        finally:
            self._drawing = False
        self._caption()
        self.changed.emit(session)

    def _dress(self) -> list[Any]:
        """Slab, scale bar and active layer; napari tells all layers of each, so only what differs is set. Layers to slice again."""
        usual = "none" if self._drawn is None else str(layers.image_display(self._drawn)["projection_mode"])
        stale = thicken(self.viewer, self._session, usual)
        if not self._dressed:
            self._dressed = True
            self.viewer.canvas.overlays.scale_bar.visible = True
            self.viewer.layers.selection.active = layers.find_layer(self.viewer, layers.PARTICLES)
        return stale

    def _caption(self) -> None:
        session = self._session
        kept, rejected = session.counts(session.shown)
        place = f"{session.names.index(session.shown) + 1}/{len(session.names)}"
        missing = "" if self.volume is not None else " · the tomogram's file is not here"
        turned_down = f", {rejected} rejected" if rejected else ""
        text = f"{session.shown} ({place}) · {session.title} · {kept} kept{turned_down}{missing}"
        overlay = self.viewer.canvas.overlays.text
        overlay.text = text
        overlay.position = "top_left"  # the scale bar has the other corner
        overlay.visible = True

    def _open(self, name: str) -> Volume | None:
        if name in self._volumes:
            volume = self._volumes.pop(name)
        else:
            volume = tomogram_volume(next(t for t in self._session.tomograms if t.name == name), self._session.diameter)
        self._volumes[name] = volume  # the one that was not shown for longest goes first
        while len(self._volumes) > KEEP_OPEN:
            self._volumes.pop(next(iter(self._volumes)))
        return volume

    def _collect(self) -> None:
        """Take what was moved, added and deleted by hand in the points layer into the session."""
        layer: Any = layers.find_layer(self.viewer, layers.PARTICLES)
        if layer is None or self._state is None or self._drawing:
            return
        rows = np.asarray(layer.features["row"], dtype=np.int64) if len(layer.data) else np.zeros(0, dtype=np.int64)
        edited = edits.absorb(self._session, self._state, rows, np.asarray(layer.data, dtype=np.float64).reshape(-1, 3))
        if edited is not self._session:
            self._session = edited
            self._draw(centre=False)

    def _listen(self) -> None:
        """Follow edits of the points layer as they are made."""
        layer: Any = layers.find_layer(self.viewer, layers.PARTICLES)
        if layer is not None and layer is not self._listened:
            self._listened = layer
            layer.events.data.connect(self._edited)

    def _edited(self, event: Any) -> None:
        if str(getattr(event, "action", "")) in _DONE:
            self._collect()

    def _dimensions_changed(self, _: Any = None) -> None:
        volume = self.volume
        if volume is not None:
            apply.match_limits(self.viewer, volume)

    def _bind_keys(self) -> None:
        def previous(_: Any) -> None:
            self.step(-1)

        def following(_: Any) -> None:
            self.step(1)

        self.viewer.bind_key("[", previous, overwrite=True)
        self.viewer.bind_key("]", following, overwrite=True)


def view_of(viewer: ViewerModel) -> ProjectView | None:
    """The view that lives on a viewer, or None."""
    viewer = own_viewer(viewer)
    found = _views.get(id(viewer))
    return found if found is not None and found.viewer is viewer else None


def own_viewer(viewer: ViewerModel) -> ViewerModel:
    """The viewer itself: napari hands plugins a proxy of it, which is another object."""
    own: ViewerModel = getattr(viewer, "__wrapped__", viewer)
    return own


def open_session(viewer: ViewerModel, session: Session) -> ProjectView:
    """Show a session on a viewer, in the view that is there already if there is one."""
    view = view_of(viewer)
    if view is None:
        return ProjectView(viewer, session)
    view.show(session)
    return view
