"""Small grey pictures side by side, with captions, frames in class colours and a scale bar."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QRect, QSize, Qt, Signal  # type: ignore[attr-defined]  # qtpy adds the name at run time
from qtpy.QtGui import QColor, QFontMetrics, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_subtomo.viewer.figures import nice_length
from napari_subtomo.viewer.results.pictures import Grid, Tile, best_grid, grid_of_width
from napari_subtomo.widgets.results.base import small_font

GAP, FRAME = 4, 2


class TileGrid(QWidget):
    """Pictures in rows, as large as they fit; painted in one go, so a change does not flicker.

    Parameters
    ----------
    smallest, largest : int
        Limits of the side of a picture, px.
    pickable : bool
        Whether a click or the Enter key picks a picture.
    fit : bool
        Whether the side follows the height of the widget too, not only its width.
    """

    #: key of the tile
    picked = Signal(str)

    def __init__(
        self, smallest: int = 48, largest: int = 120, *, pickable: bool = False, fit: bool = False, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._smallest, self._largest, self._pickable, self._fit = smallest, largest, pickable, fit
        self._tiles: tuple[Tile, ...] = ()
        self._images: list[QImage | None] = []
        self._voxel_size = 0.0
        self._current = -1
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding if fit else QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setMouseTracking(True)
        if pickable:
            self.setFocusPolicy(Qt.FocusPolicy.TabFocus)

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """What is shown."""
        return self._tiles

    def set_tiles(self, tiles: Sequence[Tile], voxel_size: float = 0.0) -> None:
        """Show other pictures.

        Parameters
        ----------
        tiles : sequence of Tile
        voxel_size : float
            Å a picture's pixel, for the scale bar; 0 draws none.
        """
        resized = [len(tile.lines) for tile in tiles] != [len(tile.lines) for tile in self._tiles]
        self._images = [_qimage(tile) for tile in tiles]
        self._tiles, self._voxel_size = tuple(tiles), voxel_size
        self._current = min(self._current, len(self._tiles) - 1)
        if resized:
            self.updateGeometry()
        self.update()

    # --- layout ---------------------------------------------------------------------------------------------------------------

    @property
    def _caption(self) -> int:
        """Height of the captions, px."""
        lines = max((len(tile.lines) for tile in self._tiles), default=0)
        return lines * QFontMetrics(small_font(self.font())).height() + (2 if lines else 0)

    def _grid(self) -> Grid:
        n, width = len(self._tiles), self.width()
        if not self._fit:
            return grid_of_width(n, width, GAP, self._smallest, self._largest)
        return best_grid(n, width, self.height(), self._caption, GAP, self._smallest, self._largest)

    def hasHeightForWidth(self) -> bool:
        """Captions need the more rows the narrower the dock is."""
        return True

    def heightForWidth(self, width: int) -> int:
        """Height at which no tile is cut off."""
        if not self._tiles:
            return 0
        grid = grid_of_width(len(self._tiles), width, GAP, self._smallest, self._largest)
        return grid.rows * ((self._smallest if self._fit else grid.side) + self._caption + GAP) - GAP

    def sizeHint(self) -> QSize:
        """For a dock 360 px wide."""
        return QSize(360, self.heightForWidth(360))

    def minimumSizeHint(self) -> QSize:
        """One column; the height follows the width."""
        return QSize(self._smallest, self.heightForWidth(max(self.width(), 280)))

    def _place(self, index: int, grid: Grid) -> QRect:
        """Rectangle of a picture without its caption."""
        row, column = divmod(index, grid.columns)
        step = grid.side + GAP
        left = max((self.width() - (grid.columns * step - GAP)) // 2, 0) if grid.rows > 1 or self._fit else 0
        return QRect(left + column * step, row * (step + self._caption), grid.side, grid.side)

    def tile_at(self, position: QPoint) -> int:
        """Index of the tile under a point; -1 for none."""
        grid = self._grid()
        for index in range(len(self._tiles)):
            if self._place(index, grid).adjusted(0, 0, 0, self._caption).contains(position):
                return index
        return -1

    # --- painting -------------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw all tiles."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        grid = self._grid()
        font = small_font(self.font())
        painter.setFont(font)
        ink = self.palette().windowText().color()
        for index, tile in enumerate(self._tiles):
            self._paint(painter, tile, index, self._place(index, grid), ink)
        painter.end()

    def _paint(self, painter: QPainter, tile: Tile, index: int, place: QRect, ink: QColor) -> None:
        image = self._images[index]
        faint = QColor(ink)
        faint.setAlpha(90)
        if image is not None:
            painter.drawImage(place, image)
            if index == 0 and self._voxel_size > 0:
                _scale_bar(painter, place, image.width() * self._voxel_size)
        else:
            painter.fillRect(place, QColor(128, 128, 128, 50))
            painter.setPen(ink)
            painter.drawText(place, int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap), "map\nmissing")
        current = index == self._current and self._pickable
        if tile.colour or current:
            painter.setPen(QPen(ink if current else QColor(tile.colour), FRAME))
            inset = FRAME // 2
            painter.drawRect(place.adjusted(inset, inset, -inset, -inset))
        painter.setPen(ink)
        metrics = painter.fontMetrics()
        for number, line in enumerate(tile.lines):
            below = QRect(place.left() - 1, place.bottom() + 2 + number * metrics.height(), place.width() + 2, metrics.height())
            text = metrics.elidedText(line, Qt.TextElideMode.ElideRight, below.width())
            painter.drawText(below, Qt.AlignmentFlag.AlignCenter, text)

    # --- mouse and keys -------------------------------------------------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Frame the tile under the mouse."""
        if event is not None:
            self._point_at(self.tile_at(event.pos()))

    def leaveEvent(self, event: QEvent | None) -> None:
        """Frame none."""
        if not self.hasFocus():
            self._point_at(-1)

    def _point_at(self, index: int) -> None:
        if index != self._current:
            self._current = index
            can = self._pickable and index >= 0 and bool(self._tiles[index].key)
            self.setCursor(Qt.CursorShape.PointingHandCursor if can else Qt.CursorShape.ArrowCursor)
            self.update()

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:
        """Pick the tile under the mouse."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self._pick(self.tile_at(event.pos()))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Arrow keys go from tile to tile, Enter and Space pick."""
        if event is None:
            return
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Up: -self._grid().columns, Qt.Key.Key_Down: self._grid().columns}
        key = Qt.Key(event.key())
        if key in steps and self._tiles:
            self._point_at(max(0, min(self._current + steps[key], len(self._tiles) - 1)))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self._pick(self._current)
        else:
            super().keyPressEvent(event)

    def _pick(self, index: int) -> None:
        if self._pickable and 0 <= index < len(self._tiles) and self._tiles[index].key:
            self.picked.emit(self._tiles[index].key)

    def event(self, event: QEvent | None) -> bool:
        """Say what the tile under the mouse is."""
        if event is not None and event.type() == QEvent.Type.ToolTip:
            index = self.tile_at(event.pos())  # type: ignore[attr-defined]  # a QHelpEvent
            QToolTip.showText(event.globalPos(), self._tiles[index].tip if index >= 0 else "", self)  # type: ignore[attr-defined]
            return True
        return bool(super().event(event))


def _qimage(tile: Tile) -> QImage | None:
    """The picture with y upwards."""
    if tile.image is None:
        return None
    pixels = np.flipud(tile.image).copy()
    height, width = pixels.shape
    return QImage(pixels.tobytes(), width, height, width, QImage.Format.Format_Grayscale8).copy()


def _scale_bar(painter: QPainter, place: QRect, extent: float) -> None:
    """A bar of at most half of the picture, which is `extent` Å wide, with its length where there is room."""
    length = nice_length(extent / 2)
    width = round(place.width() * length / extent)
    left, bottom = place.left() + 4, place.bottom() - 4
    text = f"{length:g} Å"
    metrics = painter.fontMetrics()
    room = metrics.horizontalAdvance(text) + 8 <= place.width() and metrics.height() + 8 <= place.height() // 2
    box = QRect(left - 2, bottom - 4 - (metrics.height() if room else 0), max(width, metrics.horizontalAdvance(text) if room else 0) + 4, 0)
    box.setBottom(bottom + 2)
    painter.fillRect(box, QColor(0, 0, 0, 120))
    painter.fillRect(QRect(left, bottom - 2, width, 3), QColor("white"))
    if room:
        painter.setPen(QColor("white"))
        painter.drawText(QRect(left, bottom - 3 - metrics.height(), place.width(), metrics.height()), Qt.AlignmentFlag.AlignLeft, text)
