"""The controls of the dock "Subset selection": which classes, how they are drawn, the cards, and what can be done with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtGui import QDoubleValidator
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.io.relion import CLASS_DISTRIBUTION
from napari_subtomo.viewer.choosing import next_job
from napari_subtomo.viewer.gallery import PLANES, SORTS
from napari_subtomo.viewer.shelf import Shelf
from napari_subtomo.widgets.duplicates import DuplicatesBox
from napari_subtomo.widgets.gallery import SIDES, GalleryView
from napari_subtomo.widgets.showing import Stage
from napari_subtomo.widgets.status import StatusLine, help_button

if TYPE_CHECKING:
    from napari.components import ViewerModel

SAVE = "Save selected classes"


class SelectionForm(QScrollArea):
    """Controls and cards; it holds no state but what the user set.

    Parameters
    ----------
    viewer : ViewerModel
    """

    job_chosen = Signal(object)  # Path of the job folder
    iteration_chosen = Signal(int)
    file_chosen = Signal(object)  # Path of a model, optimiser or data file
    arranged = Signal()  # order, grey scale or axis changed

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QScrollArea.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.status = StatusLine()
        self._iterations: tuple[int, ...] = ()
        self._next_job = ""
        self._root = ""  # where the dialog for files begins
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(self._source_rows())
        layout.addLayout(self._display_rows())
        self.cards = GalleryView()
        layout.addWidget(self.cards, stretch=1)
        layout.addLayout(self._total_row())
        layout.addLayout(self._save_row())
        self.duplicates = DuplicatesBox(Stage(viewer, self.status), self.status)
        group = QCollapsible("Remove duplicates")
        group.setToolTip("Remove particles of the saved selection that lie too close to a better one")
        group.addWidget(self.duplicates)
        # an open group keeps the height that its content had
        self.duplicates.resized.connect(lambda: group.expand(animate=False) if group.isExpanded() else None)
        layout.addWidget(group)
        layout.addWidget(self.status)
        self.setWidget(inner)
        self._connect()
        self.allow_saving(False, False)
        self.show_button.setVisible(False)

    # --- building ------------------------------------------------------------------------------------------------------------

    def _source_rows(self) -> QGridLayout:
        self.job = _combo("Classifications of the project, made here or by RELION; the newest first")
        self.browse_button = QPushButton("…")
        self.browse_button.setFixedWidth(28)
        self.browse_button.setToolTip("Open a classification that is not in the list, by its model, optimiser or data STAR file")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setToolTip("Iteration; arrow keys step through them")
        self.slider.setPageStep(1)
        self.iteration = _combo("Iteration: RELION may keep only some of them")
        self.iteration.setMinimumContentsLength(3)
        rows = QGridLayout()
        rows.addWidget(QLabel("Job"), 0, 0)
        rows.addWidget(self.job, 0, 1)
        rows.addWidget(self.browse_button, 0, 2)
        rows.addWidget(help_button("subset-selection.md"), 0, 3)
        rows.addWidget(QLabel("Iteration"), 1, 0)
        rows.addWidget(self.slider, 1, 1)
        rows.addWidget(self.iteration, 1, 2, 1, 2)
        rows.setColumnStretch(1, 1)
        return rows

    def _display_rows(self) -> QGridLayout:
        self.sort = _combo(f"Order of the classes; class distribution is the fraction of the particles by weight ({CLASS_DISTRIBUTION})")
        self.sort.addItems(SORTS)
        self.reverse = QCheckBox("reverse")
        self.reverse.setToolTip("The other way round")
        self.plane = _combo("Axis that the central slices are cut across")
        self.plane.addItems(PLANES)
        self.low, self.high = QLineEdit(), QLineEdit()
        for edit, what in ((self.low, "black"), (self.high, "white")):
            edit.setValidator(QDoubleValidator())
            edit.setMinimumWidth(60)
            edit.setToolTip(f"Density shown {what} in all pictures; type a value and press Enter")
        self.automatic = QCheckBox("auto")
        self.automatic.setChecked(True)
        self.automatic.setToolTip("Take black and white from the maps: what most particles need")
        self.picture_size = QSlider(Qt.Orientation.Horizontal)
        self.picture_size.setRange(SIDES[0], SIDES[2])
        self.picture_size.setValue(SIDES[1])
        self.picture_size.setToolTip("Size of the pictures")
        rows = QGridLayout()
        rows.addWidget(QLabel("Sort by"), 0, 0)
        rows.addWidget(self.sort, 0, 1, 1, 2)
        rows.addWidget(self.reverse, 0, 3)
        rows.addWidget(QLabel("Min, max"), 1, 0)
        rows.addWidget(self.low, 1, 1)
        rows.addWidget(self.high, 1, 2)
        rows.addWidget(self.automatic, 1, 3)
        rows.addWidget(QLabel("Slice"), 2, 0)
        rows.addWidget(self.plane, 2, 1)
        rows.addWidget(QLabel("Size"), 2, 2, Qt.AlignmentFlag.AlignRight)
        rows.addWidget(self.picture_size, 2, 3)
        rows.setColumnStretch(1, 1)
        rows.setColumnStretch(2, 1)
        return rows

    def _total_row(self) -> QHBoxLayout:
        self.total = QLabel("")
        self.total.setStyleSheet("font-weight: bold;")
        self.total.setToolTip("Particles whose best class is chosen, and all of the iteration")
        self.all_button = QPushButton("All / none")
        self.all_button.setToolTip("Choose all classes, or none; key A")
        row = QHBoxLayout()
        row.addWidget(self.total, stretch=1)
        self.propose_button = QPushButton("Propose")
        self.propose_button.setToolTip(
            "Choose classes by their size, resolution, evidence, stability and maps, and say why: what select --auto does. Look at the maps"
        )
        row.addWidget(self.propose_button)
        row.addWidget(self.all_button)
        return row

    def _save_row(self) -> QVBoxLayout:
        self.save_button = QPushButton(SAVE)
        self.copy_button = QPushButton("Copy as command")
        self.copy_button.setToolTip("Copy the command line that saves the same classes")
        self.show_button = QPushButton("Show on tomogram")
        self.show_button.setToolTip("Show the particles of this iteration on the tomogram, in place of those shown now")
        rows, row = QVBoxLayout(), QHBoxLayout()
        rows.addWidget(self.save_button)
        row.addWidget(self.show_button)
        row.addWidget(self.copy_button)
        rows.addLayout(row)
        return rows

    def _connect(self) -> None:
        self.job.activated.connect(lambda row: self.job_chosen.emit(self.job.itemData(row)))
        self.browse_button.clicked.connect(self._browse)
        self.iteration.activated.connect(lambda row: self.slider.setValue(row))
        self.slider.valueChanged.connect(self._slid)
        self._resting = QTimer(self)
        self._resting.setSingleShot(True)
        self._resting.setInterval(60)
        self._resting.timeout.connect(self._rested)
        self.sort.currentIndexChanged.connect(lambda _: self.arranged.emit())
        self.plane.currentIndexChanged.connect(lambda _: self.arranged.emit())
        self.reverse.toggled.connect(lambda _: self.arranged.emit())
        self.automatic.toggled.connect(lambda _: self.arranged.emit())
        self.picture_size.valueChanged.connect(self.cards.resize_cards)
        for edit in (self.low, self.high):
            edit.editingFinished.connect(self._typed)

    def _browse(self) -> None:
        wanted = "Iterations of a classification (*_model.star *_optimiser.star *_data.star)"
        path, _ = QFileDialog.getOpenFileName(self, "Open a classification", self._root, wanted)
        if path:
            self.file_chosen.emit(Path(path))

    def _slid(self, row: int) -> None:
        if 0 <= row < len(self._iterations):
            self.iteration.setCurrentIndex(row)
            self._resting.start()

    def _rested(self) -> None:
        """The slider stood still for a moment: what it passed on its way need not be read."""
        row = self.slider.value()
        if 0 <= row < len(self._iterations):
            self.iteration_chosen.emit(self._iterations[row])

    def _typed(self) -> None:
        sender = self.low if self.low.isModified() else self.high
        if sender.isModified():
            self.low.setModified(False)
            self.high.setModified(False)
            with QSignalBlocker(self.automatic):
                self.automatic.setChecked(False)
            self.arranged.emit()

    # --- what it says --------------------------------------------------------------------------------------------------------

    @property
    def sorting(self) -> tuple[str, bool]:
        """Order and whether it is reversed."""
        return self.sort.currentText(), self.reverse.isChecked()

    @property
    def axis(self) -> int:
        """0, 1, 2 for slices across z, y, x."""
        return self.plane.currentIndex()

    def limits(self, automatic: tuple[float, float]) -> tuple[float, float]:
        """Grey limits: those typed, or those of the maps, which are then written into the fields."""
        if not self.automatic.isChecked():
            try:
                return float(self.low.text()), float(self.high.text())
            except ValueError:
                self.automatic.setChecked(True)
        self.low.setText(f"{automatic[0]:.4g}")
        self.high.setText(f"{automatic[1]:.4g}")
        return automatic

    # --- what it shows -------------------------------------------------------------------------------------------------------

    def fill(self, shelf: Shelf) -> None:
        """Offer the classifications and iterations there are, with the opened one chosen."""
        gallery = shelf.gallery
        with QSignalBlocker(self.job), QSignalBlocker(self.iteration), QSignalBlocker(self.slider):
            self.job.clear()
            for folder in shelf.folders:
                self.job.addItem(shelf.project.name(folder), folder)
            self.iteration.clear()
            self._iterations = shelf.iterations
            self.iteration.addItems([str(number) for number in shelf.iterations])
            self.slider.setRange(0, max(0, len(shelf.iterations) - 1))
            if gallery is not None:
                self.job.setCurrentIndex([folder.resolve() for folder in shelf.folders].index(gallery.folder.resolve()))
                row = shelf.iterations.index(gallery.iteration)
                self.iteration.setCurrentIndex(row)
                self.slider.setValue(row)
        for widget in (self.slider, self.iteration):
            widget.setEnabled(len(shelf.iterations) > 1)
        self._next_job = shelf.next_job
        self._root = str(shelf.project.root)

    def offer(self, folder: Path) -> None:
        """Add a classification at the top of the list."""
        if all(self.job.itemData(row) != folder for row in range(self.job.count())):
            self.job.insertItem(0, f"{folder.parent.name}/{folder.name}", folder)

    def name_next(self, project: Project) -> None:
        """Say which job the next saving makes."""
        try:
            self._next_job = next_job(project, "Select")
        except (SubtomoError, OSError):
            self._next_job = ""

    def allow_saving(self, chosen: bool, running: bool) -> None:
        """Name the job that saving makes; while it runs the button cancels it."""
        target = f" → {self._next_job}" if self._next_job else ""
        self.save_button.setText("Cancel" if running else SAVE + target)
        self.save_button.setEnabled(chosen or running)
        self.copy_button.setEnabled(chosen)
        self.propose_button.setEnabled(bool(self.cards.cards.order) and not running)
        tip = "Stop saving" if running else "Run the job select: particles.star, the rejected ones and the maps of the chosen classes"
        self.save_button.setToolTip(tip if chosen or running else f"{tip}. Choose a class first: click it")


def _combo(tip: str) -> QComboBox:
    """A combo box that may be narrower than its longest line."""
    box = QComboBox()
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(7)
    return box
