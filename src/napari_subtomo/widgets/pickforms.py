"""What the picking dock looks like: all its controls and where they stand."""

from __future__ import annotations

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_subtomo.widgets.dock import Dock
from napari_subtomo.widgets.pickparts import Choice, SphereList, length_box
from napari_subtomo.widgets.recovery import RecoveryStrip
from napari_subtomo.widgets.status import StatusLine, help_button

TOOLS = {
    "move": ("Move view", "Drag moves the view (key 4 or Z). Alt+click adds a particle with this tool too, as in RELION's picker."),
    "points": ("Add points", "Click adds a particle (key 2 or P); in 3D it lands on the plane."),
    "select": ("Select", "Click or drag a box to select, drag to move, Delete removes (key 3 or S; A selects all in the slice)."),
    "sphere": ("Sphere: centre", "Click where a sphere has its centre, then drag the diamond on its rim, or point and press R."),
    "rim": ("Sphere: rim clicks", "Click three places on the rim in one slice, or four in several; N makes the sphere."),
}
AXES = {
    "XY": ("XY", "Slices across Z."),
    "XZ": ("XZ", "Slices across Y."),
    "YZ": ("YZ", "Slices across X."),
    "oblique": ("Oblique", "A plane in 3D: Shift+drag moves it; turn the view and press Face view to tilt it."),
}
#: Axes z, y, x across which the plane can be turned, and their keys.
NORMALS = (("Z", ""), ("Y", " (key Y)"), ("X", " (key X)"))


class PickingForm(Dock):
    """The controls of picking, which do nothing by themselves."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._build()
        self._arrange()

    def _build(self) -> None:
        self.recovery = RecoveryStrip()
        self.caption = QLabel()
        self.caption.setWordWrap(True)
        self.caption.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.tools = Choice(TOOLS, 3)
        self.axes = Choice(AXES, 4)
        self.slab = length_box(0, 0, 100000, 10, "Thickness of the slab that is averaged and picked in; 0: as thick as a particle.")
        self.slab.setSpecialValueText("one particle")
        self.arrows = QCheckBox("Show orientations")
        self.arrows.setChecked(True)
        self.arrows.setToolTip("Show the particles' z axes as arrows.")
        self.face_view = QPushButton("Face view")
        self.face_view.setToolTip("Turn the plane so that it faces you (key O).")
        self.look_at = QPushButton("Look at plane")
        self.look_at.setToolTip("Turn the view so that it looks straight at the plane.")
        self.normals = [_button(axis, f"Turn the plane across the {axis} axis{key}.") for axis, key in NORMALS]
        self.only_near = QCheckBox("Only particles near the plane")
        self.only_near.setToolTip("Hide particles outside of the slab around the plane; hidden ones are not selected either.")
        self.spheres = SphereList()
        self.radius = length_box(300, 1, 1000000, 10, "Radius of the chosen sphere, or of the next one.")
        self.spacing = length_box(60, 1, 100000, 5, "Distance between neighbouring particles on a sphere.")
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setValue(1)
        self.seed.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.seed.setToolTip("Seed of the random in-plane angles; the same as the --seed of napari-subtomo pick.")
        self.count = QLabel()
        self.count.setWordWrap(True)
        self.count.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.make = _button("Make sphere", "Make the sphere through the rim clicks and go on to the next one (key N).")
        self.add_one = _button("Add particles", "Turn the lattice of the chosen sphere into particles.")
        self.add_all = _button("Add on all spheres", "Particles on all spheres of all tomograms.")
        self.delete = _button("Delete sphere", "Delete the chosen sphere; its particles stay.")
        self.undo = _button("↶ Undo", "Take the last edit back (Ctrl+Z).")
        self.redo = _button("↷ Redo", "Make the edit again that was undone last (Ctrl+Shift+Z).")
        self.unsaved = QLabel()
        self.imports = _button("Import…", "Add particles, points or spheres of a STAR or CSV file to those shown.")
        self.target = FileEdit(
            mode=FileDialogMode.EXISTING_DIRECTORY, tooltip="Folder for particles.star, optimisation_set.star, annotations."
        )
        self.target.choose_btn.text = "…"
        self.save_button = _button("Save particle annotations", "Write the kept particles and the spheres of all tomograms.")
        self.status = StatusLine()

    def _arrange(self) -> None:
        view = QFormLayout()
        self.view_box = _group("View", view)
        view.addRow(self.axes)
        view.addRow("Slab thickness (Å)", self.slab)
        view.addRow(self.arrows)
        self.plane_box = QWidget()
        plane = QVBoxLayout(self.plane_box)
        plane.setContentsMargins(0, 0, 0, 0)
        plane.addWidget(self.only_near)
        plane.addWidget(_row(self.face_view, self.look_at))
        plane.addWidget(_row(QLabel("Plane across"), *self.normals))
        view.addRow(self.plane_box)
        spheres = QFormLayout()
        self.sphere_box = _group("Spheres", spheres)
        spheres.addRow(self.spheres)
        spheres.addRow("Radius (Å)", self.radius)
        spheres.addRow("Particle spacing (Å)", self.spacing)
        spheres.addRow("Random seed", self.seed)
        spheres.addRow(self.count)
        spheres.addRow(_row(self.make, self.delete))
        spheres.addRow(_row(self.add_one, self.add_all))
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(6, 6, 6, 6)
        for part in (self.recovery, _row(self.caption, help_button("picking.md")), self.tools, self.view_box, self.sphere_box):
            column.addWidget(part)
        self.edit_row = _row(self.undo, self.redo, self.imports)
        column.addWidget(self.edit_row)
        column.addWidget(self.unsaved)
        column.addWidget(_row(QLabel("Save to"), self.target.native))
        column.addWidget(self.save_button)
        column.addWidget(self.status)
        column.addStretch()
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scroll)


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    return button


def _row(*parts: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)
    return row


def _group(title: str, layout: QFormLayout) -> QGroupBox:
    box = QGroupBox(title)
    box.setLayout(layout)
    return box
