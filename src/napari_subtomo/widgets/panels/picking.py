"""The dock "Picking": points and spheres, undo and redo, and saving what was picked."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog

from napari_subtomo.errors import SubtomoError
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.picking import journal, slab
from napari_subtomo.viewer.picking.files import Imported, import_picks
from napari_subtomo.viewer.picking.history import History
from napari_subtomo.viewer.picking.journal import Unsaved
from napari_subtomo.viewer.picking.keys import Hand
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.recovery import recover
from napari_subtomo.viewer.saving import Saved, next_folder, save_annotations
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.view import ProjectView, open_session, own_viewer, view_events, view_of
from napari_subtomo.widgets.pickforms import PickingForm
from napari_subtomo.widgets.task import Task

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

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer = own_viewer(napari_viewer)
        self._hand = Hand()  # what it holds of the viewer
        weakref.finalize(self, self._hand.drop)
        self._task: Task[Any] | None = None  # reading or writing
        self._search: Task[list[Unsaved]] | None = None
        self._filling = False  # values are being set to what is shown, not by the user
        self._written: set[Path] = set()  # folders that were saved to, which may be saved to again
        self._connect()
        self._fill()
        self._follow(view_of(self._viewer))
        self._look_for_unsaved()

    def _connect(self) -> None:
        view_events.opened.connect(self._view_opened)
        self._viewer.dims.events.connect(self._dimensions_changed)
        self.tools.chosen.connect(lambda tool: self._do(lambda picker: picker.use(tool)))
        self.axes.chosen.connect(lambda axes: self._do(lambda _: slab.show_axes(self._viewer, axes)))
        self.slab.valueChanged.connect(lambda value: self._set(lambda picker: picker.view.update(slab=value)))
        self.arrows.toggled.connect(self._show_arrows)
        self.face_view.clicked.connect(lambda: self._plane(slab.face_camera))
        self.look_at.clicked.connect(lambda: self._plane(slab.face_plane))
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
        self.save_button.clicked.connect(lambda: self.save(Path(str(self.target.value))))
        self.recovery.recover.connect(self._recover)
        self.recovery.discard.connect(self._discard)

    # --- following the view ------------------------------------------------------------------------------------------------

    def _view_opened(self, view: ProjectView) -> None:
        if view is view_of(self._viewer):
            self._follow(view)
            self._look_for_unsaved()

    def _follow(self, view: ProjectView | None) -> None:
        if view is not None and (self._picker is None or self._picker.view is not view):
            picker = self._hand.take(view)
            picker.changed.connect(self._fill)
            picker.failed.connect(self._fail)
            view.editor.changed.connect(self._fill)
        self._fill()

    @property
    def _picker(self) -> Picker | None:
        return self._hand.picker

    def _fail(self, error: BaseException) -> None:
        self.status.fail(error)

    def _dimensions_changed(self, _: Any = None) -> None:
        axes = slab.axes_of(self._viewer)
        self.axes.show_choice(axes)
        self.plane_row.setVisible(axes == "oblique")

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
            self._fill_from(picker, picker.view._session)
        finally:
            self._filling = False

    def _fill_from(self, picker: Picker, session: Session) -> None:
        kept, _ = session.counts(session.shown)
        self.spheres.fill(picker.spheres, session.shown, picker.spacing, picker.chosen)
        self.caption.setText(f"{session.shown}: {_some(kept, 'particle')}, {_some(len(self.spheres.indices), 'sphere')}")
        self.tools.show_choice(picker.tool)
        self.slab.setValue(session.slab)
        self.radius.setValue(picker.radius)
        self.spacing.setValue(picker.spacing)
        self.seed.setValue(picker.seed)
        self.count.setText(_preview(picker))
        self.make.setEnabled(picker.fit is not None)
        self.add_one.setEnabled(picker.sphere is not None)
        self.delete.setEnabled(picker.sphere is not None)
        self.add_all.setEnabled(bool(session.spheres))
        editor = picker.view.editor
        self.undo.setEnabled(bool(editor.history.done) or len(picker.clicks) > 0)
        self.redo.setEnabled(bool(editor.history.undone))
        unsafe = f" (not in the edit journal: {editor.failure})" if editor.failure is not None else ""
        self.unsaved.setText((editor.sentence or "All edits saved") + unsafe)
        if Path(str(self.target.value)) not in self._written:
            self.target.value = next_folder(session)

    # --- what the user does ------------------------------------------------------------------------------------------------

    def _do(self, action: Callable[[Picker], Any]) -> None:
        if self._picker is None:
            self.status.fail(NOTHING)
            return
        try:
            self.status.say("")
            action(self._picker)
        except SubtomoError as error:
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
        outside = picker.outside(n) if n else 0
        if outside:
            self.status.warn(f"{_some(n, 'particle')} added, {outside} of them outside of the tomogram.")
        else:
            self.status.say(f"{_some(n, 'particle')} added." if n else "These particles are there already.")

    def _show_arrows(self, visible: bool) -> None:
        layer = layers.find_layer(self._viewer, layers.ORIENTATIONS)
        if layer is not None:
            layer.visible = visible

    def _plane(self, turn: Callable[[Any, Any], None]) -> None:
        image = layers.find_layer(self._viewer, layers.TOMOGRAM)
        if image is not None:
            turn(self._viewer, image)

    # --- files -------------------------------------------------------------------------------------------------------------

    def _run(self, function: Callable[[Reporter], Any], done: Callable[[Any], None], text: str) -> None:
        if self._task is not None and self._task.running:
            self.status.warn("Still at work; try again in a moment.")
            return
        self.status.say(text)
        task: Task[Any] = Task(function, self)
        task.finished.connect(done)
        task.failed.connect(self.status.fail)
        self._task = task
        task.start()

    def _ask_import(self) -> None:
        start = str(self._picker.view.session.project) if self._picker is not None else ""
        name, _ = QFileDialog.getOpenFileName(self, "Import particles, points or spheres", start, "Coordinates (*.star *.csv *.txt)")
        if name:
            self.import_file(Path(name))

    def import_file(self, path: Path) -> None:
        """Add what a STAR or CSV file holds to the particles and spheres shown."""
        session = None if self._picker is None else self._picker.view.session
        if session is None or session.tomogram_set is None:
            self.status.fail(NOTHING)
            return
        tomograms, shown = session.tomogram_set, session.shown

        def done(picks: Imported) -> None:
            self._do(lambda picker: picker.add_imported(picks))
            self.status.say(picks.sentence)

        self._run(lambda _: import_picks(path, tomograms, shown), done, f"Reading {path} …")

    def save(self, folder: Path) -> None:
        """Write the kept particles, the spheres and their annotations into a folder."""
        if self._picker is None:
            self.status.fail(NOTHING)
            return
        session = self._picker.view.session
        again = folder in self._written

        def done(saved: Saved) -> None:
            self._written.add(folder)
            view = view_of(self._viewer)
            if view is not None and view.session.tomogram_set is session.tomogram_set:
                view.update(saved=session.table, saved_spheres=session.spheres)
            self.status.say(saved.sentence)
            outputs = {name: folder / f"{name}.star" for name in ("particles", "optimisation_set")}
            desk_of(self._viewer).produce(Product("pick", folder, outputs | {"annotations": folder / "annotations"}))
            self._fill()

        self._run(lambda _: save_annotations(session, folder, overwrite=again), done, f"Saving to {folder} …")

    # --- edits that were never saved ---------------------------------------------------------------------------------------

    def _look_for_unsaved(self) -> None:
        view = view_of(self._viewer)
        project = view.session.project if view is not None else None
        search: Task[list[Unsaved]] = Task(lambda _: journal.find_unsaved(project) or journal.find_unsaved(), self)
        search.finished.connect(self.recovery.offer)
        search.failed.connect(self.status.fail)
        self._search = search
        search.start()

    def _recover(self, unsaved: Unsaved) -> None:
        def done(found: tuple[Session, History]) -> None:
            session, history = found
            try:
                view = open_session(self._viewer, session)
            except SubtomoError as error:
                self.status.fail(error)
                return
            view.editor.take(history)
            if view.editor.failure is None:
                journal.remove(unsaved.path)  # its edits are in the journal of this view by now
            self._follow(view)
            self.status.say(f"{_some(unsaved.edits, 'edit')} recovered; save them, or undo what you do not want.")
            self._look_for_unsaved()

        self._run(lambda _: recover(unsaved.path), done, "Making the edits again …")

    def _discard(self, unsaved: Unsaved) -> None:
        journal.remove(unsaved.path)
        self._look_for_unsaved()

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
        self._viewer.dims.events.disconnect(self._dimensions_changed)
        for task in (self._task, self._search):
            if task is not None:
                task.cancel()
        if picker is not None:
            picker.changed.disconnect(self._fill, missing_ok=True)
            picker.failed.disconnect(self._fail, missing_ok=True)
            picker.view.editor.changed.disconnect(self._fill, missing_ok=True)


def _some(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _preview(picker: Picker) -> str:
    """How many particles the sphere of the preview would get."""
    if len(picker.clicks):
        fit = picker.fit
        if fit is None:
            return f"{_some(len(picker.clicks), 'rim click')}; three in one slice, or four in several, make a sphere"
        kind = "circle in this slice" if fit.flat else "sphere"
        return f"{_some(len(picker.clicks), 'rim click')}: {kind}, r = {fit.radius:.0f} ± {fit.residual:.0f} Å, {picker.count} particles"
    return f"{_some(picker.count, 'particle')}" if picker.sphere is not None else "No sphere chosen"
