"""What a dock says: one line at its foot, errors as napari's notification too, and a button for its page in the documentation."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton, QSizePolicy, QWidget

from napari_subtomo.errors import SubtomoError
from napari_subtomo.widgets.help import show_page

#: Of errors and warnings: readable on napari's dark and light themes.
ERROR, WARNING = "#E4572E", "#C98A00"


def sentence(error: BaseException) -> str:
    """What the user reads: our own sentences as they are, anything else with its kind."""
    return str(error) if isinstance(error, SubtomoError) else f"{type(error).__name__}: {error}"


class StatusLine(QLabel):
    """A line of text that wraps, can be selected and copied, and takes no room while it is empty."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setVisible(bool(text))

    def say(self, text: str) -> None:
        """Show a line; "" hides it."""
        self.setStyleSheet("")
        self._show(text)

    def say_briefly(self, text: str, most: int = 150) -> None:
        """Show as much of a text as there is room for beside results; the whole of it is the tooltip."""
        self.say(text if len(text) <= most else text[:most].rsplit(" ", 1)[0] + " …")
        self.setToolTip(text if len(text) > most else "")

    def warn(self, text: str) -> None:
        """Show a warning, in its colour and with its sign."""
        self.setStyleSheet(f"color: {WARNING};")
        self._show(f"⚠ {text}")

    def fail(self, error: BaseException | str) -> None:
        """Show an error, in its colour and with its sign, and as napari's notification."""
        from napari.utils.notifications import show_error

        text = error if isinstance(error, str) else sentence(error)
        if self.text() == f"✖ {text}":
            return  # said already: a job's end is heard of from its process and from its folder
        self.setStyleSheet(f"color: {ERROR};")
        self._show(f"✖ {text}")
        show_error(text)

    def _show(self, text: str) -> None:
        self.setText(text)
        self.setToolTip("")
        self.setVisible(bool(text))


def help_button(page: str, parent: QWidget | None = None) -> QPushButton:
    """A small "?" that opens a page of the documentation, e.g. "picking.md"."""
    button = QPushButton("?", parent)
    button.setFixedWidth(28)
    button.setToolTip(f"Open the documentation of this dock ({page})")
    button.clicked.connect(lambda: show_page(page, button))
    return button
