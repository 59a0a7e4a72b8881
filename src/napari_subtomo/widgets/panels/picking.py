"""The dock "Picking": points and spheres, undo and redo, and saving what was picked."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_subtomo.errors import SubtomoError
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.desk import desk_of
from napari_subtomo.viewer.picking import slab
from napari_subtomo.viewer.picking.files import Imported
from napari_subtomo.viewer.picking.keys import Hand
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.view import ProjectView, own_viewer, view_events, view_of
from napari_subtomo.widgets.pickfiles import PickFiles
from napari_subtomo.widgets.pickforms import PickingForm
from napari_subtomo.widgets.pickparts import preview_text, some
from napari_subtomo.widgets.recovery import Rescue

if TYPE_CHECKING:
    from napari.components import ViewerModel

NOTHING = "Open a project first, in the Project dock or with File > Open."


class PickingPanel(PickingForm):
    """Picks particles and spheres in the tomogram that the viewer shows.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Given by napari; a model without a window will do.
    """

    title = "Picking"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = own_viewer(napari_viewer)
        self._hand = Hand()  # what it holds of the viewer
        weakref.finalize(self, self._hand.drop)
        self._filling = False  # values are being set to what is shown, not by the user
        self._arrows: Any = None
        self.files = PickFiles(self._viewer, self.target, self.status)
        self.rescue = Rescue(self._viewer, self.recovery, self.files, self.status, self._follow)
        self._connect()
        self._fill()
        self._follow(view_of(self._viewer))
        self.rescue.look()

    def _connect(self) -> None:
        view_events.opened.connect(self._view_opened)
        desk_of(self._viewer).produced.connect(self._produced)
        self._viewer.dims.events.connect(self._dimensions_changed)
        self._viewer.layers.events.inserted.connect(self._watch_arrows)
        self.tools.chosen.connect(lambda tool: self._do(lambda picker: picker.use(tool)))
        self.axes.chosen.connect(lambda axes: self._do(lambda _: slab.show_axes(self._viewer, axes)))
        self.slab.valueChanged.connect(lambda value: self._set(lambda picker: picker.view.update(slab=value)))
        self.arrows.toggled.connect(self._show_arrows)
        self.only_near.toggled.connect(lambda only: self._set(lambda picker: picker.show_only_near(only)))
        self.face_view.clicked.connect(lambda: self._plane(slab.face_camera))
        self.look_at.clicked.connect(lambda: self._plane(slab.face_plane))
        for axis, button in enumerate(self.normals):
            button.clicked.connect(lambda _=False, axis=axis: self._plane(lambda viewer, image: slab.turn_plane(viewer, image, axis)))
        self.spheres.chosen.connect(lambda index: self._set(lambda picker: picker.choose(index)))
        self.radius.valueChanged.connect(lambda value: self._set(lambda picker: picker.set_radius(value)))
        for box in (self.spacing, self.seed):
            box.valueChanged.connect(lambda _: self._set(lambda picker: picker.set_spacing(self.spacing.value(), self.seed.value())))
        self.make.clicked.connect(lambda: self._do(lambda picker: picker.accept()))
        self.add_one.clicked.connect(lambda: self._do(self._add_chosen))
        self.add_all.clicked.connect(lambda: self._do(self._add_all))
        self.delete.clicked.connect(lambda: self._do(lambda picker: picker.delete_sphere()))
        self.undo.clicked.connect(lambda: self._do(lambda picker: picker.undo()))
        self.redo.clicked.connect(lambda: self._do(lambda picker: picker.redo()))
        self.imports.clicked.connect(self._ask_import)
        self.save_button.clicked.connect(self._save)

    # --- following the view ------------------------------------------------------------------------------------------------

    def _view_opened(self, view: ProjectView) -> None:
        if view is view_of(self._viewer):
            self._follow(view)
            self.rescue.look()

    def _follow(self, view: ProjectView | None) -> None:
        if view is not None and (self._picker is None or self._picker.view is not view):
            picker = self._hand.take(view)
            picker.changed.connect(self._fill)
            picker.elsewhere.connect(self._opened_else)
            picker.failed.connect(self._fail)
            view.editor.changed.connect(self._fill)
            picker.show_only_near(self.only_near.isChecked())
        self._watch_arrows()
        self._fill()

    def _opened_else(self) -> None:
        """Other files are shown in the same view: edits of the former ones may wait in their journal."""
        self.rescue.look()

    def _produced(self, _: Any = None) -> None:
        self.files.suggest()

    @property
    def _picker(self) -> Picker | None:
        return self._hand.picker

    def _fail(self, error: BaseException) -> None:
        self.status.fail(error)

    def _dimensions_changed(self, _: Any = None) -> None:
        axes = slab.axes_of(self._viewer)
        self.axes.show_choice(axes)
        self.plane_box.setVisible(axes == "oblique")

    def _watch_arrows(self, _: Any = None) -> None:
        """Let the box follow the eye of the layer."""
        layer = layers.find_layer(self._viewer, layers.ORIENTATIONS)
        if layer is not None and layer is not self._arrows:
            self._arrows = layer
            layer.events.visible.connect(self._arrows_changed)
            self._arrows_changed()

    def _arrows_changed(self, _: Any = None) -> None:
        self.arrows.setChecked(bool(self._arrows.visible))

    def _fill(self) -> None:
        """Show in the form what the view and the picker hold."""
        picker = self._picker
        for part in (self.tools, self.view_box, self.sphere_box, self.edit_row, self.target.native, self.save_button):
            part.setEnabled(picker is not None)
        self._dimensions_changed()
        if picker is None:
            self.caption.setText(NOTHING)
            return
        self._filling = True
        try:
            self.files.follow(picker.view._session)
            self._fill_from(picker, picker.view._session)
        finally:
            self._filling = False

    def _fill_from(self, picker: Picker, session: Session) -> None:
        kept, _ = session.counts(session.shown)
        self.spheres.fill(picker.spheres, session.shown, picker.spacing, picker.chosen)
        self.caption.setText(f"{session.shown}: {some(kept, 'particle')}, {some(len(self.spheres.indices), 'sphere')}")
        self.tools.show_choice(picker.tool)
        self.slab.setValue(session.slab)
        self.radius.setValue(picker.radius)
        self.spacing.setValue(picker.spacing)
        self.seed.setValue(picker.seed)
        self.count.setText(preview_text(picker))
        self.make.setEnabled(picker.fit is not None)
        self.add_one.setEnabled(picker.sphere is not None)
        self.delete.setEnabled(picker.sphere is not None)
        self.add_all.setEnabled(bool(session.spheres))
        editor = picker.view.editor
        self.undo.setEnabled(bool(editor.history.done) or len(picker.clicks) > 0)
        self.redo.setEnabled(bool(editor.history.undone))
        unsafe = f" (not in the edit journal: {editor.failure})" if editor.failure is not None else ""
        self.unsaved.setText((editor.sentence or "All edits saved") + unsafe)

    # --- what the user does ------------------------------------------------------------------------------------------------

    def _do(self, action: Callable[[Picker], Any]) -> None:
        if self._picker is None:
            self.status.fail(NOTHING)
            return
        try:
            self.status.say("")
            action(self._picker)
        except (SubtomoError, OSError) as error:
            self.status.fail(error)
        self._fill()

    def _set(self, action: Callable[[Picker], Any]) -> None:
        if not self._filling and self._picker is not None:
            self._do(action)

    def _add_chosen(self, picker: Picker) -> None:
        self._added(picker, picker.add_particles([] if picker.chosen is None else [picker.chosen]))

    def _add_all(self, picker: Picker) -> None:
        self._added(picker, picker.add_particles(range(len(picker.view.session.spheres))))

    def _added(self, picker: Picker, n: int) -> None:
        if n:
            self._tell_outside(picker, n, f"{some(n, 'particle')} added")
        else:
            self.status.say("These particles are there already.")

    def _tell_outside(self, picker: Picker, n: int, what: str) -> None:
        outside = picker.outside(n)
        if outside:
            self.status.warn(f"{what}, {outside} of them outside of the tomogram.")
        else:
            self.status.say(f"{what}.")

    def _show_arrows(self, visible: bool) -> None:
        layer = layers.find_layer(self._viewer, layers.ORIENTATIONS)
        if layer is not None and layer.visible != visible:
            layer.visible = visible

    def _plane(self, turn: Callable[[Any, Any], None]) -> None:
        image = layers.find_layer(self._viewer, layers.TOMOGRAM)
        if image is not None:
            turn(self._viewer, image)

    # --- files -------------------------------------------------------------------------------------------------------------

    def _ask_import(self) -> None:
        path = self.files.ask_import(self)
        if path is not None:
            self.import_file(path)

    def import_file(self, path: Path) -> None:
        """Add what a STAR or CSV file holds to the particles and spheres shown."""
        if self._picker is None:
            self.status.fail(NOTHING)
            return
        self.files.read(self._picker.view.session, path, lambda picks: self._do(lambda picker: self._import(picker, picks)))

    def _import(self, picker: Picker, picks: Imported) -> None:
        particles, spheres = picker.add_imported(picks)
        given, noun = (len(picks.spheres), "sphere") if picks.spheres else (len(picks.tomograms), "particle")
        new = spheres if picks.spheres else particles
        there = f", {given - new} were there already" if given > new else ""
        self._tell_outside(picker, particles, f"{some(new, noun)} imported{there}")

    def _save(self) -> None:
        self.files.suggest()  # another job may have taken the number
        self.save(self.files.target)

    def save(self, folder: Path) -> None:
        """Write the kept particles, the spheres and their annotations into a folder."""
        if self._picker is None:
            self.status.fail(NOTHING)
        else:
            self.files.save(self._picker.view, folder)

    # --- closing -----------------------------------------------------------------------------------------------------------

    def closeEvent(self, event: Any) -> None:
        """Leave the viewer alone; edits that were not saved stay in the journal."""
        self.release()
        super().closeEvent(event)

    def let_go(self) -> None:
        """Stop listening, give keys, mouse and layers back."""
        picker = self._picker
        self._hand.drop()
        view_events.opened.disconnect(self._view_opened, missing_ok=True)
        desk_of(self._viewer).produced.disconnect(self._produced, missing_ok=True)
        self._viewer.dims.events.disconnect(self._dimensions_changed)
        self._viewer.layers.events.inserted.disconnect(self._watch_arrows)
        if self._arrows is not None:
            self._arrows.events.visible.disconnect(self._arrows_changed)
        if picker is not None:
            picker.changed.disconnect(self._fill, missing_ok=True)
            picker.elsewhere.disconnect(self._opened_else, missing_ok=True)
            picker.failed.disconnect(self._fail, missing_ok=True)
            picker.view.editor.changed.disconnect(self._fill, missing_ok=True)
        self.files.close()
        self.rescue.close()
