"""The documentation in a window of its own: the pages come with the plugin, so that they fit it and need no network."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QColor, QDesktopServices, QPalette, QTextDocument
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QTextBrowser, QVBoxLayout, QWidget

import napari_subtomo

_PACKAGE = Path(napari_subtomo.__file__).parent
#: Folder of the pages: in the wheel, or beside the sources that an editable install runs.
PAGES = _PACKAGE / "docs" if (_PACKAGE / "docs").is_dir() else _PACKAGE.parents[1] / "docs"
INDEX = "index.md"
#: Of links: readable on napari's dark and light themes.
LINK = "#3D8FD6"


class HelpWindow(QWidget):
    """Shows a page; links lead to other pages, those that leave the documentation to the user's browser.

    Parameters
    ----------
    parent : QWidget
        Its window closes this one with it.
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Window)
        self.setWindowTitle("Subtomogram analysis: documentation")
        self.resize(860, 760)
        self.browser = _Pages()
        self.back, contents = QPushButton("◀ Back"), QPushButton("Contents")
        self.back.setEnabled(False)
        self.back.clicked.connect(self.browser.backward)
        contents.clicked.connect(lambda: self.show_page(INDEX))
        self.browser.backwardAvailable.connect(self.back.setEnabled)
        row, layout = QHBoxLayout(), QVBoxLayout(self)
        row.addWidget(self.back)
        row.addWidget(contents)
        row.addStretch(1)
        layout.addLayout(row)
        layout.addWidget(self.browser)

    def show_page(self, page: str) -> None:
        """Show a page, e.g. "picking.md"."""
        self.browser.setSource(QUrl.fromLocalFile(str(PAGES / page)))
        self.show()
        self.raise_()


class _Pages(QTextBrowser):
    """Reads Markdown, and fits pictures into the window."""

    def __init__(self) -> None:
        super().__init__()
        self.setOpenLinks(False)
        palette = self.palette()
        for role in (QPalette.ColorRole.Link, QPalette.ColorRole.LinkVisited):
            palette.setColor(role, QColor(LINK))
        self.setPalette(palette)
        self.anchorClicked.connect(self._follow)

    def doSetSource(self, name: QUrl, type: QTextDocument.ResourceType = QTextDocument.ResourceType.MarkdownResource) -> None:
        """Every page is Markdown."""
        super().doSetSource(name, QTextDocument.ResourceType.MarkdownResource)
        self._fit()

    def _follow(self, link: QUrl) -> None:
        target = self.source().resolved(link)
        if not target.isLocalFile():
            QDesktopServices.openUrl(target)
            return
        path = Path(target.toLocalFile())
        if path.is_dir():
            path, target = path / "README.md", QUrl.fromLocalFile(str(path / "README.md"))
        if path.suffix == ".md" and path.is_file() and path.resolve().is_relative_to(PAGES.resolve()):
            self.setSource(target)
            if link.hasFragment():
                self.scrollToAnchor(link.fragment())

    def _fit(self) -> None:
        """Pictures are as wide as the window at most."""
        document, viewport = self.document(), self.viewport()
        if document is None or viewport is None:
            return
        widest = viewport.width() - 2 * int(document.documentMargin()) - 16
        block = document.begin()
        while block.isValid():
            fragments = block.begin()
            while not fragments.atEnd():
                piece = fragments.fragment()
                picture = piece.charFormat().toImageFormat()
                if picture.isValid():
                    self._narrow(piece.position(), piece.length(), picture.name(), widest)
                fragments += 1
            block = block.next()

    def _narrow(self, position: int, length: int, name: str, widest: int) -> None:
        from qtpy.QtGui import QImage, QTextCursor

        image = QImage(self.source().resolved(QUrl(name)).toLocalFile())
        cursor = QTextCursor(self.document())
        cursor.setPosition(position)
        table = cursor.currentTable()
        if table is not None:
            widest = widest // table.columns() - 12
        if image.width() <= widest:
            return
        cursor.setPosition(position + length, QTextCursor.MoveMode.KeepAnchor)
        shape = cursor.charFormat().toImageFormat()
        shape.setWidth(widest)
        shape.setHeight(widest * image.height() / image.width())
        cursor.setCharFormat(shape)


def show_page(page: str, near: QWidget) -> HelpWindow:
    """Show a page of the documentation in the one help window of a window.

    Parameters
    ----------
    page : str
        File name, e.g. "picking.md".
    near : QWidget
        Any widget of the window.

    Returns
    -------
    HelpWindow
    """
    window = near.window()
    assert window is not None
    found = next((child for child in window.findChildren(HelpWindow)), None) or HelpWindow(window)
    found.show_page(page)
    return found
