"""The dock "Project": open files and folders, go through the tomograms, and choose what is shown of them and how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QFileDialog, QVBoxLayout

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.columns import colour_columns
from napari_subtomo.viewer.desk import desk_of
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking.unsaved import Unsaved, find_unsaved
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.settings import settings
from napari_subtomo.viewer.sources import Source, find_sources
from napari_subtomo.viewer.view import ProjectView, open_session, own_viewer, view_events, view_of
from napari_subtomo.widgets.dock import Dock
from napari_subtomo.widgets.prefetch import Prefetch
from napari_subtomo.widgets.project_form import ProjectForm
from napari_subtomo.widgets.saver import Saver
from napari_subtomo.widgets.showing import Stage
from napari_subtomo.widgets.worker import Worker

if TYPE_CHECKING:
    from napari.components import ViewerModel

NOTHING = "Open a project folder, a job folder, a STAR file or an MRC volume, or drop one here."
ENDINGS = "STAR files and volumes (*.star *.mrc *.rec *.map *.mrcs);;All files (*)"


class ProjectPanel(Dock):
    """Shows the particles of a project on its tomograms.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Given by napari; a model without a window will do.
    """

    title = "Project"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer: Any = own_viewer(napari_viewer)
        self._view: ProjectView | None = None
        self._sources: list[Source] = []
        self._columns: tuple[Any, list[str]] | None = None
        self._vectors: Any = None
        self._filling = False  # values are being set to what is shown, not by the user
        self.form = ProjectForm(self._viewer)
        self.status = self.form.status
        self._saver = Saver(self.form.target, self.status)
        self._stage = Stage(self._viewer, self.status)
        self._opening = Worker(self.status, self._enable_opening)
        self._listing = Worker(self.status)
        self._looking = Worker(self.status)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        self.setAcceptDrops(True)
        self._neighbours = Prefetch(self.status, self)
        self._connect()
        self.status.say(NOTHING)
        self._follow(view_of(self._viewer))

    def _connect(self) -> None:
        form = self.form
        form.path.returnPressed.connect(lambda: self.open(Path(form.path.text()).expanduser()))
        form.file_button.clicked.connect(self._choose_file)
        form.folder_button.clicked.connect(self._choose_folder)
        form.previous.clicked.connect(lambda: self._try(lambda view: view.step(-1)))
        form.following.clicked.connect(lambda: self._try(lambda view: view.step(1)))
        form.tomograms.chosen.connect(lambda name: self._change(shown=name))
        form.source.activated.connect(lambda _: self._choose_source(form.source.currentText()))
        form.colour_by.currentTextChanged.connect(lambda column: self._change(colour_by=column))
        form.rejected.currentTextChanged.connect(lambda how: self._change(rejected=how))
        form.diameter.valueChanged.connect(lambda value: self._change(diameter=float(value)))
        form.arrows.toggled.connect(self._show_arrows)
        form.legend.hovered.connect(lambda label: self._change(hover_label=label))
        form.browse_button.clicked.connect(self._saver.choose)
        form.save_button.clicked.connect(lambda: self.save(Path(form.target.text()).expanduser()))
        view_events.opened.connect(self._view_opened)
        desk_of(self._viewer).produced.connect(self._list_sources)
        self._viewer.layers.events.inserted.connect(self._watch_arrows)

    def let_go(self) -> None:
        """The dock is closed: its tasks stop, and it listens to nobody any more."""
        for worker in (self._opening, self._listing, self._looking, self._neighbours):
            worker.close()
        view_events.opened.disconnect(self._view_opened, missing_ok=True)
        desk_of(self._viewer).produced.disconnect(self._list_sources, missing_ok=True)
        self._viewer.layers.events.inserted.disconnect(self._watch_arrows)
        self.form.grey.disconnect_all()
        if self._vectors is not None:
            self._vectors.events.visible.disconnect(self._arrows_changed)
        if self._view is not None:
            self._view.changed.disconnect(self._fill, missing_ok=True)

    # --- opening -----------------------------------------------------------------------------------------------------------

    def open(self, path: Path, source: Source | None = None) -> None:
        """Read a folder or file beside the window, and show it; `source` chooses what of a project."""
        if self._opening.running:
            return
        if self._view is not None and source is None and self._go_to_volume(path):
            return
        if not self._stage.may_replace(f"open {path} {source}"):
            return

        def read(_: Reporter) -> tuple[Session, list[Source]]:
            session = load_session(path, None if source is None else Project(path), source)
            colour_columns(session.table)  # looks at every cell; remembered
            return session, find_sources(Project(session.project))

        self.status.say(f"Reading {path} …")
        self._opening.run(read, self._opened)

    def _opened(self, result: tuple[Session, list[Source]]) -> None:
        session, sources = result
        former = self._view.session if self._view is not None else None
        if former is not None and former.project == session.project and former.shown in session.names:
            session = replace(session, shown=former.shown, rejected=former.rejected)  # another set of the same tomograms
        self._sources = sources
        try:
            self._follow(open_session(self._viewer, session))
        except (SubtomoError, OSError) as error:
            self.status.fail(error)
            return
        self._looking.run(lambda _: find_unsaved(session.project), self._say_unsaved)

    def _say_unsaved(self, found: list[Unsaved]) -> None:
        edits = sum(unsaved.edits for unsaved in found)
        if edits:
            self.status.warn(f"{edits} edit{'s were' if edits > 1 else ' was'} never saved here: open the dock Picking to get them back.")

    def _enable_opening(self) -> None:
        form = self.form
        for control in (form.path, form.file_button, form.folder_button):
            control.setEnabled(not self._opening.running)
        form.source.setEnabled(not self._opening.running and self._view is not None)

    def _go_to_volume(self, path: Path) -> bool:
        """Go to the tomogram whose volume a path is, if it is one of the project's."""
        assert self._view is not None
        for tomogram in self._view.session.tomograms:
            volumes = (tomogram.tomogram_path, tomogram.denoised_path, *(tomogram.half_paths or ()))
            if any(volume is not None and volume.resolve() == path.resolve() for volume in volumes):
                self._change(shown=tomogram.name)
                return True
        return False

    def _choose_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open", self._start(), ENDINGS)
        if name:
            self.open(Path(name))

    def _choose_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a project or job folder", self._start())
        if name:
            self.open(Path(name))

    def _start(self) -> str:
        """Where dialogs begin: at what is shown, else at the user's projects."""
        return str(self._view.session.project) if self._view is not None else settings().project_folder

    def _choose_source(self, title: str) -> None:
        source = next((source for source in self._sources if source.title == title), None)
        if source is not None and self._view is not None and not self._filling and title != self._view.session.title:
            self.open(self._view.session.project, source)
            self._fill(self._view.session)  # until it is read, what is shown is what the box says

    def dragEnterEvent(self, event: Any) -> None:
        """Take files and folders of this machine."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Open what was dropped: one thing at a time."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        event.acceptProposedAction()
        if len(paths) > 1:
            self.status.fail(
                f"Expected one file or folder, found {len(paths)}; drop the project folder, or a STAR file that names them all."
            )
        elif paths:
            self.open(paths[0])

    # --- following the view ------------------------------------------------------------------------------------------------

    def _follow(self, view: ProjectView | None) -> None:
        if view is not self._view:
            if self._view is not None:
                self._view.changed.disconnect(self._fill)
            self._view = view
            if view is not None:
                view.changed.connect(self._fill)
        for control in self.form.project_controls():
            control.setEnabled(view is not None)
        if view is not None:
            self._watch_arrows()
            self.form.grey.follow()
            self._fill(view.session)
            self.status.say("")

    def _view_opened(self, view: ProjectView) -> None:
        if view is view_of(self._viewer) and view is not self._view:  # a file was opened, or the sample
            self._follow(view)
            self._list_sources()

    def _list_sources(self, _: Any = None) -> None:
        """Look again, beside the window, for what the project offers."""
        if self._view is None:
            return
        root = self._view.session.project
        self._listing.run(lambda _: find_sources(Project(root)), lambda sources: self._listed(root, sources))

    def _listed(self, root: Path, sources: list[Source]) -> None:
        if self._view is not None and self._view.session.project == root:
            self._sources = sources
            self._fill(self._view.session)

    def _fill(self, session: Session) -> None:
        """Show in the form what the view shows."""
        form, view = self.form, self._view
        self._filling = True
        try:
            form.path.setText(str(_place(session)))
            titles = [source.title for source in self._sources]
            _choose(form.source, titles if session.title in titles else [session.title, *titles], session.title)
            form.tomograms.show_session(session)
            place = session.names.index(session.shown) if session.shown in session.names else 0
            form.previous.setEnabled(place > 0)
            form.following.setEnabled(place + 1 < len(session.names))
            columns = self._columns_of(session)
            _choose(form.colour_by, columns, session.colour_by if session.colour_by in columns else columns[0])
            form.rejected.setCurrentText(session.rejected)
            form.diameter.setValue(session.diameter)
            self._saver.suggest(session)
            if view is not None and view.state.session is session:
                form.legend.show_entries(view.state.legend)
        finally:
            self._filling = False
        if view is not None:
            self._neighbours.around(view)

    def _columns_of(self, session: Session) -> list[str]:
        if self._columns is None or self._columns[0] is not session.sets:  # the files' columns: edits by hand change none
            self._columns = (session.sets, colour_columns(session.table))
        return self._columns[1]

    # --- what the user does ------------------------------------------------------------------------------------------------

    def _change(self, **changes: Any) -> None:
        if not self._filling and self._view is not None:
            self._try(lambda view: view.update(**changes))

    def _watch_arrows(self, _: Any = None) -> None:
        """Let the box follow the layer's eye."""
        layer = layers.find_layer(self._viewer, layers.ORIENTATIONS)
        if layer is not None and layer is not self._vectors:
            self._vectors = layer
            layer.events.visible.connect(self._arrows_changed)
            self._arrows_changed()

    def _arrows_changed(self, _: Any = None) -> None:
        self.form.arrows.setChecked(bool(self._vectors.visible))

    def _show_arrows(self, visible: bool) -> None:
        layer = layers.find_layer(self._viewer, layers.ORIENTATIONS)
        if layer is not None and layer.visible != visible:
            layer.visible = visible

    def save(self, folder: Path) -> None:
        """Write the kept particles and their annotations into a folder."""
        if self._view is None:
            self.status.warn(NOTHING)
        elif self._saver.save(self._view, folder):
            self._list_sources()

    def _try(self, action: Any) -> None:
        if self._view is None:
            self.status.warn(NOTHING)
            return
        try:
            action(self._view)
        except (SubtomoError, OSError) as error:
            self._fill(self._view.session)
            self.status.fail(error)


def _choose(box: Any, choices: list[str], value: str) -> None:
    """Show `value` among `choices`, which are replaced only if they differ."""
    if [box.itemText(place) for place in range(box.count())] != choices:
        box.clear()
        box.addItems(choices)
    box.setCurrentText(value)


def _place(session: Session) -> Path:
    """What was opened: the project folder, or the volume that stands alone."""
    alone = session.tomogram_set is None and session.tomograms and session.tomograms[0].tomogram_path
    return alone or session.project
