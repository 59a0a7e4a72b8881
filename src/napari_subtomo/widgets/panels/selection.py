"""The dock "Subset selection": choose classes of a classification, see their particles on the tomogram, and save them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QMenu, QVBoxLayout

from napari_subtomo.errors import FileMissingError, SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.select.auto import Proposal
from napari_subtomo.viewer.choosing import Choice, proposals, total_sentence
from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.gallery import Gallery, SliceCache, ordered
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.shelf import Shelf, place_of, read_shelf
from napari_subtomo.viewer.view import ProjectView, own_viewer, view_events, view_of
from napari_subtomo.widgets.class_menu import class_menu
from napari_subtomo.widgets.class_overlay import ClassOverlay
from napari_subtomo.widgets.class_saving import ClassSaver
from napari_subtomo.widgets.dock import Dock
from napari_subtomo.widgets.selection_form import SelectionForm
from napari_subtomo.widgets.showing import Stage
from napari_subtomo.widgets.worker import Worker

if TYPE_CHECKING:
    from napari.components import ViewerModel

NOTHING = "Open a project in the dock Project, or a classification with “…”."
NO_CLASSES = "There is no classification in this project yet: run one in the dock 3D classification, or in RELION."
REASONS = 420  # characters of the reasons of a proposal that have room at the foot of the dock
HINT = "Click the classes to keep; under the pointer a class lights up on the tomogram."


class SelectionPanel(Dock):
    """Shows the classes of an iteration, lights up their particles, and saves the chosen ones.

    Parameters
    ----------
    napari_viewer : ViewerModel
        Given by napari; a model without a window will do.
    """

    title = "Select"

    def __init__(self, napari_viewer: ViewerModel) -> None:
        super().__init__()
        self._viewer: Any = own_viewer(napari_viewer)
        self.form = SelectionForm(self._viewer)
        self.status = self.form.status
        self._stage = Stage(self._viewer, self.status)
        self._reading = Worker(self.status)
        self._overlay = ClassOverlay(self._stage, self.status)
        self._layers = Worker(self.status)
        self._proposing = Worker(self.status)
        self._saver = ClassSaver(self._stage, self.status, self._busy)
        self._cache = SliceCache()
        self._shelf: Shelf | None = None
        self._choices: dict[Path, Choice] = {}
        self._followed: ProjectView | None = None
        self._seen: tuple[Any, Path] | None = None  # particles and project that were looked at last
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.form)
        self._connect()
        self.status.say(NOTHING)
        self._follow(view_of(self._viewer))

    def _connect(self) -> None:
        form, desk = self.form, desk_of(self._viewer)
        form.job_chosen.connect(lambda folder: self._read(folder, None))
        form.iteration_chosen.connect(self._choose_iteration)
        form.arranged.connect(self._arrange)
        form.file_chosen.connect(self.open)
        form.show_button.clicked.connect(self._show_classes)
        form.all_button.clicked.connect(self._all_or_none)
        form.propose_button.clicked.connect(self.propose)
        form.save_button.clicked.connect(self.save)
        form.copy_button.clicked.connect(self._copy)
        form.cards.hovered.connect(lambda number: self._overlay.light_up(self.gallery, number))
        form.cards.picked.connect(self.pick)
        form.cards.all_asked.connect(self._all_or_none)
        form.cards.menu_asked.connect(lambda number, place: self.class_menu(number).popup(place))
        view_events.opened.connect(self._view_opened)
        desk.iterated.connect(self._iterated)
        desk.produced.connect(self._produced)

    # --- what is there -------------------------------------------------------------------------------------------------------

    @property
    def gallery(self) -> Gallery | None:
        """The iteration that is shown."""
        return self._shelf.gallery if self._shelf is not None else None

    @property
    def choice(self) -> Choice:
        """The chosen classes."""
        gallery = self.gallery
        return Choice() if gallery is None else self._choices.get(gallery.folder, Choice()).within(gallery)

    def open(self, path: Path) -> None:
        """Open the classification that a model, optimiser or data file belongs to."""
        try:
            if not path.is_file():
                raise FileMissingError(f"Expected a model, optimiser or data STAR file, found nothing at {path}; choose another one.")
            project, folder, iteration = place_of(path)
        except (SubtomoError, OSError) as error:
            self.status.fail(error)
            return
        self._read(folder, iteration, project)

    def _read(self, folder: Path | None, iteration: int | None, project: Project | None = None, overlay: bool = False) -> None:
        """Read a classification beside the window; `overlay`: then show its particles, if those of another iteration are shown."""
        project = project or (self._shelf.project if self._shelf is not None else None)
        if project is None:
            self.status.fail(NOTHING)
            return
        place, cache = project, self._cache

        def read(reporter: Reporter) -> Shelf:
            return read_shelf(place, folder, iteration, cache, reporter)

        self._reading.run(read, lambda shelf: self._loaded(shelf, overlay))

    def _loaded(self, shelf: Shelf, overlay: bool) -> None:
        self._shelf = shelf
        gallery = shelf.gallery
        self.form.fill(shelf)
        self.status.say(NO_CLASSES if gallery is None else "" if self.choice.numbers else HINT)
        if gallery is not None and gallery.missing:
            self.status.warn(gallery.missing_sentence)
        self._arrange()
        self._choice_changed(draw=False)
        if overlay and gallery is not None and self._overlay.shows_sibling(gallery):
            self._overlay.show(gallery, lambda: self.choice)
        elif gallery is not None and self.choice.numbers:
            self._overlay.keep(gallery, self.choice)

    def _arrange(self) -> None:
        """Sort again, and draw with the grey scale and along the axis of the form."""
        if self._shelf is not None and self._shelf.gallery is not None:
            entries = self._shelf.gallery.entries
            self.form.cards.cards.show(entries, ordered(entries, *self.form.sorting), self._shelf.slices)
            self.form.cards.cards.picture(self.form.limits(self._shelf.limits), self.form.axis)
        else:
            self.form.cards.cards.show((), (), {})

    def let_go(self) -> None:
        """Listen to nobody any more."""
        for worker in (self._reading, self._overlay.worker, self._layers, self._proposing, self._saver.worker, self.form.duplicates.worker):
            worker.close()
        desk = desk_of(self._viewer)
        view_events.opened.disconnect(self._view_opened, missing_ok=True)
        desk.iterated.disconnect(self._iterated, missing_ok=True)
        desk.produced.disconnect(self._produced, missing_ok=True)
        self._follow(None)

    # --- following the view and the desk -------------------------------------------------------------------------------------

    def _view_opened(self, view: ProjectView) -> None:
        if view is view_of(self._viewer):
            self._follow(view)

    def _follow(self, view: ProjectView | None) -> None:
        if view is not self._followed:
            if self._followed is not None:
                self._followed.changed.disconnect(self._view_changed, missing_ok=True)
            self._followed = view
            if view is not None:
                view.changed.connect(self._view_changed)
        if view is not None:
            self._view_changed(view.session)

    def _view_changed(self, session: Session) -> None:
        """Called at every hover, too: nothing is done unless other particles are shown."""
        if self._seen is not None and self._seen[0] is session.sets and self._seen[1] == session.project:
            return
        self._seen = (session.sets, session.project)
        self.form.duplicates.follow(session)
        self._update_show_button()
        path = session.sets[0].path if session.sets else None
        project = Project(session.project)
        if path is not None and Path(path).name.endswith("_data.star"):  # a classification was opened elsewhere: its classes
            _, folder, iteration = place_of(Path(path))
            if not self._overlay.shows(self.gallery) and not self._is_news(folder, iteration):
                self._read(folder, iteration, project)
        elif self._shelf is None or self._shelf.project.root != project.root:
            self._read(None, None, project)

    def _is_news(self, folder: Path, iteration: int | None) -> bool:
        """Whether a running classification went on while the user looks at an earlier iteration of it, which stays."""
        gallery, shelf = self.gallery, self._shelf
        if gallery is None or shelf is None or gallery.folder.resolve() != folder.resolve():
            return False
        return iteration not in shelf.iterations and gallery.iteration != max(shelf.iterations)

    def _iterated(self, folder: Path, iteration: int) -> None:
        """A classification that runs has a new iteration: show it if the last one before was shown."""
        same = self.gallery is None or self.gallery.folder.resolve() == folder.resolve()
        if self._shelf is not None and same and not self._is_news(folder, iteration):
            self._read(folder, iteration)

    def _produced(self, product: Product) -> None:
        if self._shelf is None:
            return
        self.form.name_next(self._shelf.project)
        self._busy()
        if product.job != "classify":
            return
        gallery = self.gallery
        if gallery is None or not self.choice.numbers or gallery.folder.resolve() == product.folder.resolve():
            self._read(product.folder, None)
        else:
            self.form.offer(product.folder)
            self.status.say(f"{self._shelf.project.name(product.folder)} has finished: choose it under “Job”.")

    # --- choosing ------------------------------------------------------------------------------------------------------------

    def pick(self, number: int, ranged: bool = False) -> None:
        """Choose a class, or the classes from the last one chosen up to this one; those chosen are left out again."""
        order = self.form.cards.cards.order
        self._choose(self.choice.ranged(order, number) if ranged else self.choice.toggled(number))

    def _all_or_none(self) -> None:
        self._choose(self.choice.all_or_none(self.form.cards.cards.order))

    def propose(self) -> None:
        """Choose the classes that `select --auto` would, and say why."""
        gallery = self.gallery
        if gallery is not None:
            self._proposing.run(lambda _: proposals(gallery), lambda found: self._proposed(gallery, found))

    def _proposed(self, gallery: Gallery, found: tuple[Proposal, ...]) -> None:
        if gallery is self.gallery:
            reasons = "\n".join(one.reason for one in found)
            kept = Choice(frozenset(one.number for one in found if one.keep))
            self._choose(kept, lambda: self.status.say_briefly(reasons, REASONS))

    def _choose(self, choice: Choice, say: Callable[[], None] | None = None) -> None:
        if self.gallery is not None:
            self._choices[self.gallery.folder] = choice
            self._choice_changed(draw=True, say=say)

    def _choice_changed(self, draw: bool, say: Callable[[], None] | None = None) -> None:
        gallery, choice = self.gallery, self.choice
        self.form.cards.cards.choose(choice)
        self.form.total.setText(total_sentence(gallery, choice) if gallery is not None else "")
        self._busy()
        self._update_show_button()
        if draw and gallery is not None:
            self._overlay.choose(gallery, lambda: self.choice, say)

    def _show_classes(self) -> None:
        if self.gallery is not None and self._stage.may_replace("show"):
            self._overlay.show(self.gallery, lambda: self.choice)

    def _choose_iteration(self, iteration: int) -> None:
        if self.gallery is not None:
            self._read(self.gallery.folder, iteration, overlay=True)

    def _update_show_button(self) -> None:
        self.form.show_button.setVisible(self.gallery is not None and not self._overlay.shows(self.gallery))

    # --- what can be done with them ------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Run the job `select` for the chosen classes and show what it kept; while it runs, stop it."""
        if self.gallery is None:
            self.status.fail(NOTHING)
        else:
            self._saver.save(self.gallery, self.choice)

    def _copy(self) -> None:
        if self.gallery is not None:
            self._saver.copy(self.gallery, self.choice)

    def _busy(self) -> None:
        self.form.allow_saving(bool(self.choice.numbers), self._saver.worker.running)

    def class_menu(self, number: int) -> QMenu:
        """The menu of one class."""
        assert self.gallery is not None
        return class_menu(self, self.gallery, number, self._layers, self._viewer, self.save if self.choice.numbers else None)
