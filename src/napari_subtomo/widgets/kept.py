"""The dock "Kept particles": choose a project and what to show of it, and save the particles that are kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magicgui.types import FileDialogMode
from magicgui.widgets import CheckBox, ComboBox, Container, FileEdit, FloatSpinBox, Label, PushButton

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.columns import colour_columns
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.overlay import LegendEntry
from napari_subtomo.viewer.saving import next_folder, save_annotations
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.sources import Source, find_sources
from napari_subtomo.viewer.view import ProjectView, open_session, view_events, view_of
from napari_subtomo.widgets.task import Task

if TYPE_CHECKING:
    from napari.components import ViewerModel

NOTHING = "Choose a project folder or a job folder, and press Open; or open a STAR file with File > Open."
UNSAVED = "Particles were moved, added or deleted and not saved: save them, or do the same again to drop these edits."


class KeptParticles(Container[Any]):
    """Shows the particles of a project on its tomograms, and saves the kept ones.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Given by napari; a model without a window will do.
    """

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__(labels=True)
        self._viewer = napari_viewer
        self._view: ProjectView | None = None
        self._task: Task[Any] | None = None
        self._sources: list[Source] = []
        self._choices: dict[str, list[Any]] = {"source": [], "tomogram": [], "colour_by": []}
        self._filling = False  # values are being set to what is shown, not by the user
        self._columns: tuple[Any, list[str]] | None = None
        self._warned = False
        self._written: set[Path] = set()  # folders that were saved to, which may be saved to again
        self._build()
        self._connect()
        self._follow(view_of(napari_viewer))

    def _build(self) -> None:
        folder, tips = FileDialogMode.EXISTING_DIRECTORY, _TIPS
        self.folder = FileEdit(label="Project", mode=folder, tooltip=tips["folder"])
        self.open_button = PushButton(text="Open", tooltip=tips["open"])
        # choices are functions: napari asks every dock for its choices again whenever a layer comes or goes
        self.source = ComboBox(label="Show", choices=lambda _: self._choices["source"], tooltip=tips["source"])
        self.tomogram = ComboBox(label="Tomogram", choices=lambda _: self._choices["tomogram"], tooltip=tips["tomogram"])
        self.previous = PushButton(text="◀ previous", tooltip="Previous tomogram; key [")
        self.following = PushButton(text="next ▶", tooltip="Next tomogram; key ]")
        steps = Container[Any](widgets=[self.previous, self.following], layout="horizontal", labels=False, label=" ")
        self.colour_by = ComboBox(label="Colour by", choices=lambda _: self._choices["colour_by"], tooltip=tips["colour_by"])
        self.rejected = ComboBox(label="Rejected", choices=["dimmed", "hidden"], tooltip=tips["rejected"])
        self.diameter = FloatSpinBox(label="Diameter (Å)", value=200, min=1, max=10000, step=10, tooltip=tips["diameter"])
        self.arrows = CheckBox(text="show orientations", value=True, tooltip=tips["arrows"])
        self.legend = Label(label="Legend")
        self.target = FileEdit(label="Save to", mode=folder, tooltip=tips["target"])
        self.save_button = PushButton(text="Save particle annotations", tooltip=tips["save"])
        self.status = Label(value=NOTHING, label=" ")
        self.extend([self.folder, self.open_button, self.source, self.tomogram, steps, self.colour_by, self.rejected, self.diameter])
        self.extend([self.arrows, self.legend, self.target, self.save_button, self.status])
        self.status.native.setWordWrap(True)
        steps.margins = (0, 0, 0, 0)

    def _connect(self) -> None:
        self.open_button.changed.connect(lambda: self.open(_path(self.folder)))
        self.previous.changed.connect(lambda: self._step(-1))
        self.following.changed.connect(lambda: self._step(1))
        self.source.changed.connect(self._choose_source)
        self.tomogram.changed.connect(lambda name: self._change(shown=name))
        self.colour_by.changed.connect(lambda column: self._change(colour_by=column))
        self.rejected.changed.connect(lambda how: self._change(rejected=how))
        self.diameter.changed.connect(lambda value: self._change(diameter=float(value)))
        self.arrows.changed.connect(self._show_arrows)
        self.save_button.changed.connect(lambda: self.save(_path(self.target)))
        view_events.opened.connect(self._view_opened)

    # --- opening -----------------------------------------------------------------------------------------------------------

    def open(self, path: Path, source: Source | None = None) -> None:
        """Read a project folder, job folder or STAR file beside the window, and show it; `source` chooses what of a project."""
        if self._task is not None and self._task.running:
            return
        if self._view is not None and self._view.session.edited and not self._warned:
            self._warned = True
            self._say(UNSAVED, error=True)
            return

        def read(_: Reporter) -> tuple[Session, list[Source]]:
            session = load_session(path, None if source is None else Project(path), source)
            return session, find_sources(Project(session.project))

        self._say(f"Reading {path} …")
        self.open_button.enabled = False
        self._task = Task(read)
        self._task.finished.connect(self._opened)
        self._task.failed.connect(self._failed)
        self._task.start()

    def _opened(self, result: tuple[Session, list[Source]]) -> None:
        session, self._sources = result
        self._warned = False
        self.open_button.enabled = True
        try:
            self._follow(open_session(self._viewer, session))
        except SubtomoError as error:
            self._say(str(error), error=True)

    def _failed(self, error: BaseException) -> None:
        self.open_button.enabled = True
        self._say(_sentence(error), error=True)

    def _choose_source(self, title: str) -> None:
        if self._filling or self._view is None:
            return
        source = next((source for source in self._sources if source.title == title), None)
        if source is not None:
            self.open(self._view.session.project, source)

    # --- following the view ------------------------------------------------------------------------------------------------

    def _follow(self, view: ProjectView | None) -> None:
        if view is not self._view:
            if self._view is not None:
                self._view.changed.disconnect(self._fill)
            self._view = view
            if view is not None:
                view.changed.connect(self._fill)
        if view is not None:
            session = view.session
            if not self._sources or session.title not in {source.title for source in self._sources}:
                self._sources = find_sources(Project(session.project))
            self._fill(session)
            self._say("")

    def _view_opened(self, view: ProjectView) -> None:
        if view is view_of(self._viewer):  # a file was opened, or the sample
            self._sources = []
            self._follow(view)

    def _fill(self, session: Session) -> None:
        """Show in the form what the view shows."""
        self._filling = True
        try:
            self.folder.value = session.project
            titles = [source.title for source in self._sources]
            self._choose("source", titles if session.title in titles else [session.title, *titles], session.title)
            self._choose("tomogram", [(_counted(session, name), name) for name in session.names], session.shown)
            columns = self._columns_of(session)
            self._choose("colour_by", columns, session.colour_by if session.colour_by in columns else columns[0])
            self.rejected.value = session.rejected
            self.diameter.value = session.diameter
            if _path(self.target) not in self._written:
                self.target.value = next_folder(session)
            if self._view is not None and self._view.session is session:
                self.legend.value = legend_html(self._view.state.legend)
        finally:
            self._filling = False

    def _choose(self, name: str, choices: list[Any], value: Any) -> None:
        box = getattr(self, name)
        if self._choices[name] != choices:
            self._choices[name] = choices
            box.reset_choices()
        box.value = value

    def _columns_of(self, session: Session) -> list[str]:
        if self._columns is None or self._columns[0] is not session.table.columns:  # it looks at every cell: once a file
            self._columns = (session.table.columns, colour_columns(session.table))
        return self._columns[1]

    # --- what the user does ------------------------------------------------------------------------------------------------

    def _change(self, **changes: Any) -> None:
        if not self._filling and self._view is not None:
            self._try(lambda view: view.update(**changes))

    def _step(self, step: int) -> None:
        self._try(lambda view: view.step(step))

    def _show_arrows(self, visible: bool) -> None:
        layer = layers.find_layer(self._viewer, layers.ORIENTATIONS)
        if layer is not None:
            layer.visible = visible

    def save(self, folder: Path) -> None:
        """Write the kept particles and their annotations into a folder."""
        if self._view is None:
            self._say(NOTHING, error=True)
            return
        session = self._view.session
        try:
            saved = save_annotations(session, folder, overwrite=folder in self._written)
        except (SubtomoError, OSError) as error:
            self._say(_sentence(error), error=True)
            return
        self._written.add(folder)
        self._view.show(replace(session, saved=session.table))
        self._say(saved.sentence)

    def _try(self, action: Any) -> None:
        if self._view is None:
            self._say(NOTHING, error=True)
            return
        try:
            action(self._view)
        except SubtomoError as error:
            self._say(str(error), error=True)

    def _say(self, text: str, error: bool = False) -> None:
        self.status.value = text
        if error:
            from napari.utils.notifications import show_error

            show_error(text)


def legend_html(entries: tuple[LegendEntry, ...]) -> str:
    """The legend as lines of a coloured sign, a label and the counts in this tomogram and in all."""
    lines = []
    for entry in entries:
        sign = "✕" if entry.label == "rejected" else "⬤"
        count = f"{entry.here}" if entry.here == entry.total else f"{entry.here} of {entry.total}"
        lines.append(f'<span style="color:{entry.colour}">{sign}</span> {entry.label}: {count}')
    return "<br>".join(lines)


def _counted(session: Session, name: str) -> str:
    kept, rejected = session.counts(name)
    return f"{name}: {kept} kept" + (f", {rejected} rejected" if rejected else "")


def _path(edit: FileEdit) -> Path:
    return Path(str(edit.value))


def _sentence(error: BaseException) -> str:
    """What the user reads: our own sentences as they are, anything else with its kind."""
    return str(error) if isinstance(error, SubtomoError) else f"{type(error).__name__}: {error}"


_TIPS = {
    "folder": "Project folder, or a job folder in it.",
    "open": "Read the project and show its latest selection.",
    "source": "Selections, classifications and particle sets of the project; the newest of each kind first.",
    "tomogram": "Tomograms with their kept and rejected particles; keys [ and ] step through them.",
    "colour_by": "Column of the particles that colours the kept ones.",
    "rejected": "Rejected particles as small grey crosses, or not at all.",
    "diameter": "Size of the drawn particles; in a slice they show where it cuts their sphere.",
    "arrows": "Arrows along the particles' z axes.",
    "target": "Folder for particles.star, optimisation_set.star and the annotations of each tomogram.",
    "save": "Write the kept particles of all tomograms, with what was moved, added or deleted by hand.",
}
