"""While classes are sought and after: their slices, and how the numbers go from iteration to iteration."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QTabBar, QWidget

from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.results.classification import CHOICES, Progress, ProgressReader
from napari_subtomo.viewer.results.pictures import Tile
from napari_subtomo.widgets.results.base import Line, ResultView
from napari_subtomo.widgets.results.images import TileGrid

if TYPE_CHECKING:
    from napari_subtomo.widgets.results.curves import CurvePlot


class ClassificationView(ResultView):
    """Classes of the last whole iteration and curves over all of them; call `show_job` again after each iteration."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reader: ProgressReader | None = None
        self._progress: Progress | None = None
        self.title = Line(self)
        self.grid = TileGrid(smallest=64, largest=92, parent=self)
        self.tabs = QTabBar(self)
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self.tabs.setUsesScrollButtons(True)
        for name, tip in CHOICES.items():
            self.tabs.setTabToolTip(self.tabs.addTab(name), tip)
        self.tabs.currentChanged.connect(self._draw)
        self.plot: CurvePlot | None = None
        layout: Any = self.layout()
        for widget in (self.title, self.grid, self.tabs):
            layout.addWidget(widget)
        layout.addWidget(self.status)
        self._blank()

    @property
    def progress(self) -> Progress | None:
        """What is shown."""
        return self._progress

    def clear(self) -> None:
        """Show nothing, and stop reading."""
        super().clear()
        self._reader = None  # a task that has not stopped yet may still use it

    def _arguments(self) -> dict[str, Any]:
        assert self._folder is not None and self._project is not None
        if self._reader is None or self._reader.folder != self._folder or self._reader.project != self._project:
            self._reader = ProgressReader(self._folder, self._project)
        return {"reader": self._reader}

    @staticmethod
    def _read(
        folder: Path, project: Project, reporter: Reporter, reader: ProgressReader | None = None
    ) -> tuple[Progress, tuple[Tile, ...]] | None:
        progress = (reader or ProgressReader(folder, project)).read(reporter)
        if progress is None:
            return None
        from napari_subtomo.widgets.results import curves  # noqa: F401  # here, because it takes its time

        return progress, progress.tiles()

    def _show(self, result: tuple[Progress, tuple[Tile, ...]] | None) -> None:
        if result is None:
            self._blank()
            name = self._project.name(self._folder) if self._project is not None and self._folder is not None else "this job"
            self.status.say(f"Waiting for the first iteration of {name}.")
            return
        self._progress, tiles = result
        self.title.say(f"<b>{escape(self._progress.title)}</b>")
        self.grid.set_tiles(tiles, self._progress.voxel_size)
        if self.plot is None:
            from napari_subtomo.widgets.results.curves import CurvePlot

            self.plot = CurvePlot(self)
            layout: Any = self.layout()
            layout.insertWidget(layout.indexOf(self.status), self.plot, 1)
        for widget in (self.grid, self.tabs, self.plot):
            widget.setVisible(True)
        self._draw()
        if self._progress.note:
            self.status.warn(self._progress.note)

    def _draw(self, *_: object) -> None:
        if self.plot is not None and self._progress is not None:
            self.plot.set_plot(self._progress.plot(self.tabs.tabText(self.tabs.currentIndex())))

    def _blank(self) -> None:
        self._progress = None
        self.title.say("")
        self.grid.set_tiles(())
        for widget in (self.grid, self.tabs, self.plot):
            if widget is not None:
                widget.setVisible(False)
