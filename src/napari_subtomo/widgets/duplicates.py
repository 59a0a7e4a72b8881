"""The form that removes duplicates from the selection shown: a preview on the tomogram, then the job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from magicgui.widgets import ComboBox, Container
from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QApplication, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.options.duplicates import DuplicatesOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.choosing import command_line
from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.shelf import run_and_load
from napari_subtomo.viewer.thinning import Preview, duplicates_options, preview, score_columns
from napari_subtomo.widgets.number import NumberBox
from napari_subtomo.widgets.showing import Stage
from napari_subtomo.widgets.status import StatusLine
from napari_subtomo.widgets.worker import Worker

FIRST_STAYS = "– (the first in the file stays)"
JOB, REMOVE = "remove-duplicates", "Remove duplicates"


class DuplicatesBox(QWidget):
    """Minimum distance, score and rule; Preview marks those that would go, Remove runs the job.

    Parameters
    ----------
    stage : Stage
    status : StatusLine
    parent : QWidget, optional
    """

    resized = Signal()  # a line came or went

    def __init__(self, stage: Stage, status: StatusLine, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stage, self._status = stage, status
        self.worker = Worker(status, self._busy)
        self._scores: list[str] = []
        self._sets: Any = None
        self._marked: Any = None  # the particles marked on the tomogram while the preview is on
        self._build()

    def _build(self) -> None:
        fields = DuplicatesOptions.model_fields
        tips = {name: str(fields[name].description) for name in ("min_distance", "score", "rule")}
        distance = float(fields["min_distance"].default)
        self.distance = NumberBox(
            label="Minimum distance (Å)", value=distance, min=0.1, max=10000, step=5, tooltip=f"{tips['min_distance']} Å."
        )
        # choices are functions: napari asks every dock for its choices again whenever a layer comes or goes
        self.score = ComboBox(label="Score column", choices=lambda _: [FIRST_STAYS, *self._scores], tooltip=tips["score"])
        self.rule = ComboBox(label="Rule", choices=["greedy", "relion"], tooltip=tips["rule"])
        form = Container[Any](widgets=[self.distance, self.score, self.rule])
        form.margins = (0, 0, 0, 0)
        self.preview_button = QPushButton("Preview")
        self.preview_button.setCheckable(True)
        self.preview_button.setToolTip("Mark on the tomogram those that would go, as rejected; nothing is written")
        self.remove_button = QPushButton(REMOVE)
        self.remove_button.setToolTip("Run the job remove-duplicates on the selection shown, and show what stays")
        self.copy_button = QPushButton("Copy as command")
        self.copy_button.setToolTip("Copy the command line that does the same")
        self.count = QLabel("")
        self.count.setWordWrap(True)
        self.count.setVisible(False)
        buttons = QHBoxLayout()
        for button in (self.preview_button, self.remove_button):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(form.native)
        layout.addLayout(buttons)
        layout.addWidget(self.copy_button)
        layout.addWidget(self.count)
        self.preview_button.clicked.connect(self._preview)
        self.remove_button.clicked.connect(self._remove)
        self.copy_button.clicked.connect(self._copy)
        for widget in (self.distance, self.score, self.rule):
            widget.changed.connect(self._changed)
        self._changed_rule()

    @property
    def previewing(self) -> bool:
        """Whether those that would go are marked."""
        return self._marked is not None

    def follow(self, session: Session) -> None:
        """Offer the columns of the particles that are shown now; a preview of others is over."""
        if self._sets is not session.sets:
            self._sets, self._marked = session.sets, None
            self.preview_button.setChecked(False)
            self._say("")
            scores = score_columns(session)
            if scores != self._scores:
                self._scores = scores
                self.score.reset_choices()

    def _asked(self) -> tuple[Session, float, str | None, str] | None:
        """What the form asks for; None, and a sentence, where nothing is shown."""
        session = self._stage.session
        if session is None:
            self._fail("Open a project first, in the dock Project or with File > Open.")
            return None
        score = None if self.score.value in (None, FIRST_STAYS) else str(self.score.value)
        return session, float(self.distance.value), score, str(self.rule.value)

    def _changed(self) -> None:
        self._changed_rule()
        if self.previewing:
            self._clear()
            self._preview()

    def _changed_rule(self) -> None:
        self.score.enabled = self.rule.value != "relion"  # RELION's rule looks at the order of rows alone

    def _preview(self) -> None:
        if not self.preview_button.isChecked() and self.previewing:
            self._clear()
            return
        asked = self._asked()
        if asked is None:
            return

        def look(reporter: Reporter) -> tuple[Session, Preview]:
            reporter.stage("Looking for duplicates")
            return asked[0], preview(asked[0], duplicates_options(*asked))

        self.worker.run(look, self._mark)

    def _mark(self, found: tuple[Session, Preview]) -> None:
        asked, marks = found
        view = self._stage.view
        self._status.say("")
        if view is None or view.session.sets is not asked.sets or len(view.session.table) != len(marks.removed):
            self.preview_button.setChecked(False)
            return
        self._marked = marks.removed
        view.update(marked=marks.removed)
        self.preview_button.setChecked(True)
        self._say(f"{marks.sentence} They are drawn as rejected; nothing is written.")

    def _clear(self) -> None:
        """Take the marks away, unless other particles are shown meanwhile."""
        marked, self._marked = self._marked, None
        self.preview_button.setChecked(False)
        self._say("")
        view = self._stage.view
        if marked is not None and view is not None and view.session.marked is marked:
            view.update(marked=None)

    def _remove(self) -> None:
        """Run the job; while anything runs, stop it."""
        if self.worker.running:
            self.worker.cancel()
            return
        asked = self._asked()
        if asked is None:
            return

        def remove(reporter: Reporter) -> Any:
            return run_and_load(JOB, duplicates_options(*asked), Project(asked[0].project), reporter)

        self.worker.run(remove, self._removed)

    def _removed(self, made: Any) -> None:
        folder, result, session = made
        self._try(lambda: self._stage.show(session))
        self._status.say(f"{folder.name()}: {result.summary[0]}")
        desk_of(self._stage.viewer).produce(Product(JOB, folder.path, result.outputs))

    def _copy(self) -> None:
        asked = self._asked()
        if asked is not None:
            project = Project(asked[0].project)
            self._try(lambda: copy_line(command_line(JOB, duplicates_options(*asked), project), self._status))

    def _say(self, text: str) -> None:
        self.count.setText(text)
        self.count.setVisible(bool(text))
        self.resized.emit()

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except (SubtomoError, OSError) as error:
            self._fail(error)

    def _fail(self, error: BaseException | str) -> None:
        self.preview_button.setChecked(self.previewing)
        self._status.fail(error)

    def _busy(self) -> None:
        self.preview_button.setEnabled(not self.worker.running)
        self.remove_button.setText("Cancel" if self.worker.running else REMOVE)
        self.preview_button.setChecked(self.previewing)


def copy_line(line: str, status: StatusLine) -> None:
    """Put a command line on the clipboard, and show it."""
    clipboard = QApplication.clipboard()
    if clipboard is not None:
        clipboard.setText(line)
    status.say(f"Copied: {line}")
