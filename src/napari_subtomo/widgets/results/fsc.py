"""After an average: its Fourier shell correlation, and central slices of the map."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.results.fsc import FscResult, read_fsc
from napari_subtomo.viewer.results.pictures import SECTIONS, Tile, grey, shared_limits
from napari_subtomo.widgets.results.base import Line, ResultView
from napari_subtomo.widgets.results.images import TileGrid

if TYPE_CHECKING:
    from napari_subtomo.widgets.results.curves import CurvePlot

_SIDE = 84  # of a slice, px


class FscView(ResultView):
    """Curves with the resolutions in the title, and sections xy, xz and yz of the map beside them."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = Line(self)
        self.kind = Line(self)
        self.grid = TileGrid(smallest=44, largest=_SIDE, fit=True, parent=self)
        self.grid.setFixedWidth(_SIDE)
        self.plot: CurvePlot | None = None
        self._row = QHBoxLayout()
        self._row.addWidget(self.grid)
        layout: Any = self.layout()
        layout.addWidget(self.title)
        layout.addWidget(self.kind)
        layout.addLayout(self._row, 1)
        layout.addWidget(self.status)
        self._blank()

    @staticmethod
    def _read(folder: Path, project: Project, reporter: Reporter) -> FscResult:
        result = read_fsc(folder, project, reporter)
        if result.curves:
            from napari_subtomo.widgets.results import curves  # noqa: F401  # here, because it takes its time
        return result

    def _show(self, result: FscResult) -> None:
        self.title.say(f"<b>{escape(result.title)}</b>{escape(result.headline.removeprefix(result.title))}")
        self.kind.say(f"FSC {result.kind}" if result.kind else "")
        limits = shared_limits([result.sections])
        tiles = [
            Tile(name, grey(image, limits), (name,), f"Central {name} slice of {result.map_name}")
            for name, image in zip(SECTIONS, result.sections, strict=False)
        ]
        self.grid.set_tiles(tiles, result.voxel_size)
        self.grid.setVisible(bool(tiles))
        if result.curves and self.plot is None:
            from napari_subtomo.widgets.results.curves import CurvePlot

            self.plot = CurvePlot(self)
            self._row.insertWidget(0, self.plot, 1)
        if self.plot is not None:
            self.plot.setVisible(bool(result.curves))
            if result.curves:
                self.plot.set_plot(result.plot())
        if result.note:
            self.status.warn(result.note)

    def _blank(self) -> None:
        for label in (self.title, self.kind):
            label.say("")
        self.grid.set_tiles(())
        self.grid.setVisible(False)
        if self.plot is not None:
            self.plot.setVisible(False)
