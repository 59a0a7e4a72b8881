"""The help window."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QWidget

from napari_subtomo import widgets
from napari_subtomo.widgets.help import PAGES, HelpWindow, show_page
from napari_subtomo.widgets.status import help_button

pytestmark = pytest.mark.gui


@pytest.fixture
def window(qtbot: Any) -> Iterator[QWidget]:
    made = QWidget()
    qtbot.addWidget(made)
    yield made
    for child in made.findChildren(HelpWindow):
        child.close()


def test_the_button_of_a_dock_shows_its_page(qtbot: Any, window: QWidget) -> None:
    button = help_button("picking.md", window)
    button.click()
    button.click()
    (help_window,) = window.findChildren(HelpWindow)
    heading = (PAGES / "picking.md").read_text(encoding="utf-8").splitlines()[0].strip("# ")
    assert help_window.browser.toPlainText().startswith(heading)


def test_links_lead_to_other_pages_and_back(qtbot: Any, window: QWidget, monkeypatch: pytest.MonkeyPatch) -> None:
    outside: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: outside.append(url.toString()))
    help_window = show_page("index.md", window)
    assert not help_window.back.isEnabled()
    help_window.browser.anchorClicked.emit(QUrl("picking.md"))
    assert help_window.browser.source().fileName() == "picking.md"
    help_window.browser.anchorClicked.emit(QUrl("https://relion.readthedocs.io"))
    assert outside == ["https://relion.readthedocs.io"]
    assert help_window.browser.source().fileName() == "picking.md"
    help_window.back.click()
    assert help_window.browser.source().fileName() == "index.md"
    help_window.browser.anchorClicked.emit(QUrl("decisions/"))
    assert help_window.browser.source().fileName() == "README.md"


@pytest.mark.parametrize("page", ["tutorial.md", "docks.md"])
def test_pictures_are_not_wider_than_the_window(qtbot: Any, window: QWidget, page: str) -> None:
    assert "](images/" in (PAGES / page).read_text(encoding="utf-8")
    help_window = show_page(page, window)
    assert help_window.browser.document().idealWidth() <= help_window.browser.viewport().width()


def test_every_page_that_a_dock_names_is_there() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(widgets.__file__).parent.rglob("*.py"))
    pages = set(re.findall(r'(?:help_button\("|page: ClassVar\[str\] = ")([^"]+)"', sources))
    assert len(pages) > 3
    assert [page for page in pages if not (PAGES / page).is_file()] == []
