"""After an extraction: some of the subtomograms, so that the eye can tell whether they are centred and bright."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.results.montage import Montage, read_montage
from napari_subtomo.viewer.results.pictures import Tile, grey
from napari_subtomo.widgets.results.base import Line, ResultView
from napari_subtomo.widgets.results.images import TileGrid


class MontageView(ResultView):
    """Central slices of some subtomograms of a job, their mean first; a click picks a particle."""

    #: name of the particle that was clicked
    picked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._page = 0
        self.caption = Line(self)
        self.others = QPushButton("Others", self)
        self.others.setToolTip("Show other particles, again evenly from all tomograms")
        self.others.clicked.connect(self._turn)
        self.grid = TileGrid(smallest=44, largest=110, pickable=True, fit=True, parent=self)
        self.grid.setAccessibleName("Subtomograms")
        self.grid.picked.connect(self.picked)
        self.treatment = Line(self)
        second = QHBoxLayout()
        second.addWidget(self.treatment, 1)
        second.addWidget(self.others)
        layout: Any = self.layout()
        layout.addWidget(self.caption)
        layout.addLayout(second)
        layout.addWidget(self.grid, 1)
        layout.addWidget(self.status)
        self._blank()

    def show_job(self, folder: Path, project: Project) -> None:
        """Show particles of an extraction; the first choice of them if it is another folder than before."""
        if folder != self._folder:
            self._page = 0
        super().show_job(folder, project)

    def _turn(self) -> None:
        if self._folder is not None and self._project is not None:
            self._page += 1
            self._start()

    def _arguments(self) -> dict[str, Any]:
        return {"page": self._page}

    @staticmethod
    def _read(folder: Path, project: Project, reporter: Reporter, page: int = 0) -> tuple[Montage, list[Tile]]:
        montage = read_montage(folder, project, reporter, page)
        mean = Tile("", grey(montage.mean, montage.limits), (), f"Mean of the {len(montage.names)} particles shown, as they lie")
        tiles = [
            Tile(name, grey(image, montage.limits), (), f"{name}: click to go to it")
            for name, image in zip(montage.names, montage.images, strict=True)
        ]
        return montage, [mean, *tiles]

    def _show(self, result: tuple[Montage, list[Tile]]) -> None:
        montage, tiles = result
        self.caption.say(f"<b>{escape(montage.title)}</b>: {montage.caption}")
        self.treatment.say(montage.treatment)
        self.grid.set_tiles(tiles, montage.pixel_size)
        self.grid.setVisible(True)
        self.others.setVisible(montage.total > len(montage.names))
        if montage.broken:
            self.status.warn(f"{len(montage.broken)} cannot be read. {montage.broken[0]}")

    def _blank(self) -> None:
        self.caption.say("")
        self.treatment.say("")
        self.others.setVisible(False)
        self.grid.set_tiles(())
        self.grid.setVisible(False)
