"""The controls of the Project dock and where they stand; what they do is in the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible

from napari_subtomo.widgets.grey_scale import GreyScale
from napari_subtomo.widgets.legend import Legend
from napari_subtomo.widgets.status import StatusLine, help_button
from napari_subtomo.widgets.tomogram_list import TomogramList

if TYPE_CHECKING:
    from napari.components import ViewerModel

TIPS = {
    "path": "Project folder, job folder, STAR file (tomograms, particles, optimisation set, optimiser) or MRC volume; Enter opens it",
    "file": "Choose a STAR file or an MRC volume; files can also be dropped here or on the picture",
    "folder": "Choose a project folder or a job folder",
    "source": "Selections, classifications and particle sets of the project; the newest of each kind first",
    "previous": "Previous tomogram; key [",
    "following": "Next tomogram; key ]",
    "colour_by": "Column that colours the kept particles: their class, or any other that differs between them",
    "rejected": "Rejected particles as small grey crosses, or not at all",
    "diameter": "Drawn size of the particles in Å; in a slice they show where it cuts their sphere",
    "arrows": "Arrows along the particles' z axes, as long as the diameter",
    "target": "Folder for particles.star, optimisation_set.star and the annotations of each tomogram",
    "browse": "Choose another folder",
    "save": "Write the kept particles of all tomograms, with what was moved, added or deleted by hand",
}


class ProjectForm(QScrollArea):
    """All controls, in one column that scrolls where the dock is low."""

    def __init__(self, viewer: ViewerModel) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.path = QLineEdit()
        self.path.setPlaceholderText("Drop a STAR file, a folder or an MRC volume here")
        self.path.setAcceptDrops(False)  # the dock takes what is dropped
        self.file_button, self.folder_button = QPushButton("Open file…"), QPushButton("Open folder…")
        self.source, self.colour_by, self.rejected = _choice(), _choice(), _choice()
        self.rejected.addItems(["dimmed", "hidden"])
        self.tomograms = TomogramList()
        self.previous, self.following = QPushButton("◀ Previous"), QPushButton("Next ▶")
        self.grey = GreyScale(viewer)
        self.diameter = QDoubleSpinBox()
        self.diameter.setRange(1, 100_000)
        self.diameter.setDecimals(0)
        self.diameter.setValue(200)
        self.diameter.setSingleStep(10)
        self.diameter.setKeyboardTracking(False)
        self.arrows = QCheckBox("Orientations")
        self.legend = Legend()
        self.target = QLineEdit()
        self.browse_button, self.save_button = QPushButton("…"), QPushButton("Save kept particles")
        self.browse_button.setFixedWidth(28)
        self.status = StatusLine()
        for name, tip in TIPS.items():
            control: Any = getattr(self, name if hasattr(self, name) else f"{name}_button")  # an empty box is false
            control.setToolTip(tip)
        self._arrange()

    def project_controls(self) -> tuple[QWidget, ...]:
        """What makes sense only while something is shown."""
        looks = (self.source, self.tomograms, self.previous, self.following, self.colour_by, self.rejected, self.diameter, self.arrows)
        return (*looks, self.target, self.browse_button, self.save_button)

    def _arrange(self) -> None:
        body = QWidget()
        column = QVBoxLayout(body)
        column.setContentsMargins(6, 6, 6, 6)
        column.setSpacing(6)
        column.addWidget(self.path)
        column.addLayout(_row(self.file_button, self.folder_button, help_button("project.md")))
        show = QGridLayout()
        show.setColumnStretch(1, 1)
        show.addWidget(QLabel("Show"), 0, 0)
        show.addWidget(self.source, 0, 1)
        column.addLayout(show)
        column.addWidget(self.tomograms, 3)
        column.addLayout(_row(self.previous, self.following))
        column.addWidget(_title("Grey scale"))
        column.addWidget(self.grey)
        column.addWidget(_title("Particles"))
        looks = QGridLayout()
        looks.setColumnStretch(1, 1)
        for row, (text, control) in enumerate((("Colour by", self.colour_by), ("Rejected", self.rejected))):
            looks.addWidget(QLabel(text), row, 0)
            looks.addWidget(control, row, 1, 1, 2)
        looks.addWidget(QLabel("Diameter (Å)"), 2, 0)
        looks.addWidget(self.diameter, 2, 1)
        looks.addWidget(self.arrows, 2, 2)
        column.addLayout(looks)
        column.addWidget(self.legend)
        column.addWidget(self._save_group())
        column.addWidget(self.status)
        column.addStretch(1)
        self.setWidget(body)

    def minimumSizeHint(self) -> QSize:
        """As wide as the controls need, so that nothing is cut off at the side; low docks scroll."""
        body, bar = self.widget(), self.verticalScrollBar()
        assert body is not None and bar is not None
        return QSize(body.minimumSizeHint().width() + bar.sizeHint().width(), 200)

    def sizeHint(self) -> QSize:
        """A little wider than the least."""
        return QSize(max(400, self.minimumSizeHint().width()), 700)

    def _save_group(self) -> QWidget:
        group: Any = QCollapsible("Save")
        group.setDuration(0)
        inner = QWidget()
        rows = QVBoxLayout(inner)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.addLayout(_row(QLabel("Folder"), self.target, self.browse_button))
        rows.addWidget(self.save_button)
        group.addWidget(inner)
        group.layout().setContentsMargins(0, 0, 0, 0)
        self.save_group: Any = group
        saving: QWidget = group
        return saving


def _choice() -> QComboBox:
    """A box that gets narrower than its longest choice."""
    box = QComboBox()
    box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    box.setMinimumContentsLength(10)
    return box


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row


def _title(text: str) -> QLabel:
    label = QLabel(text)
    label.setStyleSheet("font-weight: bold;")
    return label
