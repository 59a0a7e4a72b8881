"""Cards of classes in a list view: picture, colour, label, and a red border around the chosen ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QAbstractListModel, QEvent, QModelIndex, QPersistentModelIndex, QPoint, QRect, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPen, QPixmap, QPolygon
from qtpy.QtWidgets import QAbstractItemView, QListView, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from napari_subtomo.viewer import palette
from napari_subtomo.viewer.choosing import Choice
from napari_subtomo.viewer.gallery import ClassEntry, Slices, to_grey

Index = QModelIndex | QPersistentModelIndex

#: Border of chosen classes; a tick in the corner says the same without colour.
CHOSEN = "#F03A3A"
#: Side of the pictures in pixels of the screen: smallest, first, largest.
SIDES = (56, 96, 240)
_MARGIN = 6
_BORDER = 3

NUMBER = Qt.ItemDataRole.UserRole
LINES = Qt.ItemDataRole.UserRole + 1
COLOUR = Qt.ItemDataRole.UserRole + 2
CHECKED = Qt.ItemDataRole.UserRole + 3


class ClassModel(QAbstractListModel):
    """Classes in the order shown; pictures are made when they are first looked at."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._entries: dict[int, ClassEntry] = {}
        self._order: tuple[int, ...] = ()
        self._slices: Mapping[int, Slices | None] = {}
        self._limits = (0.0, 1.0)
        self._axis = 0
        self._choice = Choice()
        self._pixmaps: dict[int, QPixmap] = {}

    @property
    def order(self) -> tuple[int, ...]:
        """Class numbers as shown."""
        return self._order

    def show(self, entries: Sequence[ClassEntry], order: Sequence[int], slices: Mapping[int, Slices | None]) -> None:
        """Show other classes."""
        self.beginResetModel()
        self._entries, self._order, self._slices = {entry.number: entry for entry in entries}, tuple(order), slices
        self._pixmaps.clear()
        self.endResetModel()

    def picture(self, limits: tuple[float, float], axis: int) -> None:
        """Show with other grey limits, cut across another axis (0, 1, 2 for z, y, x)."""
        self._limits, self._axis = limits, axis
        self._pixmaps.clear()
        self._all_changed()

    def choose(self, choice: Choice) -> None:
        """Mark the chosen classes."""
        self._choice = choice
        self._all_changed()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own signature
        """Number of classes."""
        return 0 if parent.isValid() else len(self._order)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What the delegate draws, screen readers say and tooltips show."""
        if not index.isValid() or index.row() >= len(self._order):
            return None
        entry = self._entries[self._order[index.row()]]
        if role == NUMBER:
            return entry.number
        if role == CHECKED:
            return entry.number in self._choice.numbers
        if role == LINES:
            return entry.lines
        if role == Qt.ItemDataRole.DecorationRole:
            return self._pixmap(entry.number)
        if role == COLOUR:
            return palette.GREY if entry.is_empty else palette.to_hex(palette.class_colours([entry.number])[0])
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return ", ".join(entry.lines) + (", chosen" if entry.number in self._choice.numbers else "")
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join((*entry.lines, "" if entry.path else f"Its map is not here: {entry.cell}", _CARD_TIP)).replace("\n\n", "\n")
        return None

    def _pixmap(self, number: int) -> QPixmap | None:
        slices = self._slices.get(number)
        if slices is None:
            return None
        if number not in self._pixmaps:
            grey = to_grey(slices.sections[self._axis], *self._limits)
            height, width = grey.shape
            image = QImage(grey.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
            self._pixmaps[number] = QPixmap.fromImage(image)  # a copy: the bytes may go
        return self._pixmaps[number]

    def _all_changed(self) -> None:
        if self._order:
            self.dataChanged.emit(self.index(0), self.index(len(self._order) - 1))


class ClassDelegate(QStyledItemDelegate):
    """Draws a card."""

    def __init__(self, view: QListView) -> None:
        super().__init__(view)
        self.side = SIDES[1]

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """The same for all cards."""
        line = option.fontMetrics.lineSpacing()
        widest = option.fontMetrics.horizontalAdvance("class 000 · 00.0 %")
        return QSize(max(self.side + 2 * _MARGIN, widest + 2 * _BORDER), self.side + 3 * line + 2 * _MARGIN + 4)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: Index) -> None:
        """Picture, colour of the class, three lines, border."""
        assert painter is not None
        view = self.parent()
        assert isinstance(view, GalleryView)
        rect: QRect = option.rect.adjusted(1, 1, -1, -1)
        text = view.palette().text().color()
        painter.save()
        picture = QRect(rect.left() + (rect.width() - self.side) // 2, rect.top() + _MARGIN, self.side, self.side)
        pixmap = index.data(Qt.ItemDataRole.DecorationRole)
        painter.setPen(text)
        if pixmap is None:
            painter.drawRect(picture.adjusted(0, 0, -1, -1))
            painter.drawText(picture, Qt.AlignmentFlag.AlignCenter, "map\nmissing")
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawPixmap(picture, pixmap)
        tag = QRect(picture.left(), picture.bottom() - 4, picture.width(), 5)
        painter.fillRect(tag, QColor(index.data(COLOUR)))
        line = option.fontMetrics.lineSpacing()
        below = QRect(rect.left(), picture.bottom() + 4, rect.width(), line)
        for words in index.data(LINES):
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignVCenter, words)
            below.translate(0, line)
        if index.data(CHECKED):
            _mark(painter, rect, picture)
        if view.hasFocus() and index == view.currentIndex():
            painter.setPen(QPen(text, 1, Qt.PenStyle.DashLine))
            painter.drawRect(rect.adjusted(_BORDER, _BORDER, -_BORDER - 1, -_BORDER - 1))
        painter.restore()


def _mark(painter: QPainter, rect: QRect, picture: QRect) -> None:
    """The red border and the tick of a chosen class."""
    painter.setPen(QPen(QColor(CHOSEN), _BORDER))
    painter.drawRect(rect.adjusted(1, 1, -2, -2))
    corner = QRect(picture.right() - 18, picture.top(), 19, 19)
    painter.fillRect(corner, QColor(CHOSEN))
    painter.setPen(QPen(QColor("white"), 2))
    left, top = corner.left(), corner.top()
    painter.drawPolyline(QPolygon([QPoint(left + 4, top + 10), QPoint(left + 8, top + 14), QPoint(left + 15, top + 5)]))


class GalleryView(QListView):
    """The cards; it tells what the user does and changes nothing by itself."""

    hovered = Signal(object)  # class number under the pointer or reached by keyboard, None when it is left
    picked = Signal(int, bool)  # class number, whether Shift was down (a range)
    all_asked = Signal()  # the key A
    menu_asked = Signal(int, QPoint)  # class number, place on the screen

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cards = ClassModel(self)
        self.delegate = ClassDelegate(self)
        self.setModel(self.cards)
        self.setItemDelegate(self.delegate)
        self.setViewMode(QListView.ViewMode.IconMode)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setSpacing(1)
        self.setMouseTracking(True)
        self.setMinimumHeight(SIDES[1] + 90)
        self.setAccessibleName("Classes")
        self.entered.connect(lambda index: self._hover(index.data(NUMBER)))
        self.viewportEntered.connect(lambda: self._hover(None))
        self._hovered: int | None = None

    def resize_cards(self, side: int) -> None:
        """Pictures of another size, px."""
        self.delegate.side = side
        self.scheduleDelayedItemsLayout()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Left: choose, with Shift a range; right is left to the menu."""
        assert event is not None
        index = self.indexAt(event.position().toPoint())
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        if event.button() == Qt.MouseButton.LeftButton and index.isValid():
            self.setCurrentIndex(index)
            self.picked.emit(index.data(NUMBER), bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        event.accept()

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        """Two fast clicks are two clicks."""
        self.mousePressEvent(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Space: choose; A: all or none; Menu: the menu; arrows move."""
        assert event is not None
        index, key = self.currentIndex(), event.key()
        if key == Qt.Key.Key_A:
            self.all_asked.emit()
        elif key in (Qt.Key.Key_Space, Qt.Key.Key_Return, Qt.Key.Key_Enter) and index.isValid():
            self.picked.emit(index.data(NUMBER), bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier))
        elif key == Qt.Key.Key_Menu and index.isValid():
            self.menu_asked.emit(index.data(NUMBER), self.viewport().mapToGlobal(self.visualRect(index).center()))  # type: ignore[union-attr]
        else:
            super().keyPressEvent(event)
            if self.currentIndex().isValid() and self.currentIndex() != index:
                self._hover(self.currentIndex().data(NUMBER))

    def contextMenuEvent(self, event: Any) -> None:
        """Ask for the menu of the class under the pointer."""
        index = self.indexAt(event.pos())
        if index.isValid():
            self.menu_asked.emit(index.data(NUMBER), event.globalPos())

    def leaveEvent(self, event: QEvent | None) -> None:
        """Nothing is under the pointer any more."""
        self._hover(None)
        super().leaveEvent(event)

    def focusOutEvent(self, event: Any) -> None:
        """The class reached by keyboard is left."""
        self._hover(None)
        super().focusOutEvent(event)

    def _hover(self, number: int | None) -> None:
        if number != self._hovered:
            self._hovered = number
            self.hovered.emit(number)


_CARD_TIP = "Click or Space: choose · Shift: range · A: all or none · right click: menu"
