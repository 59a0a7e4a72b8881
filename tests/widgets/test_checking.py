"""The button that checks an extraction: it runs the job, shows its verdicts, and finds them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QLabel

from napari_subtomo.io.project import Project
from napari_subtomo.jobs.runner import run_job
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.viewer import settings as preferences
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.results.checks import check_of, read_checks
from napari_subtomo.viewer.show import open_session
from napari_subtomo.widgets import beside
from napari_subtomo.widgets.panels.extraction import ExtractionPanel
from napari_subtomo.widgets.results import ChecksView

pytestmark = pytest.mark.gui
SECOND = 1000
VERDICTS = [
    {
        "name": "signal",
        "title": "Signal at all",
        "verdict": "pass",
        "sentence": "There is <signal>.",
        "rule": "A rule.",
        "picture": "signal.png",
    },
    {
        "name": "hand",
        "title": "CTF handedness",
        "verdict": "cannot tell",
        "sentence": "Too few.",
        "rule": "Another.",
        "picture": "../x.png",
    },
]


def text_of(widget: Any) -> str:
    return " ".join(label.text() for label in widget.findChildren(QLabel))


@pytest.fixture
def checked(tmp_path: Path) -> Path:
    """A project with the verdicts of a check of Extract/job001."""
    folder = tmp_path / "Check" / "job002"
    folder.mkdir(parents=True)
    content = {"particles": 90, "particle_set": "Extract/job001/particles.star", "checks": VERDICTS}
    (folder / "checks.json").write_text(json.dumps(content))
    return folder


def test_verdicts_are_shown_with_their_sentences_and_rules(qtbot: Any, checked: Path) -> None:
    view = ChecksView()
    qtbot.addWidget(view)
    view.show_job(checked, Project(checked.parents[1]))
    qtbot.waitUntil(lambda: bool(view.rows), timeout=20 * SECOND)
    text = text_of(view)
    assert "1 passed, 0 failed, 1 cannot tell (90 particles)" in text
    assert "There is &lt;signal&gt;." in text and "CTF handedness" in text
    assert any("Another." in label.toolTip() for label in view.findChildren(QLabel))
    assert all(row.picture is None for row in view.rows)  # one is missing, the other one lies outside of the folder


def test_the_newest_check_of_an_extraction_is_found(checked: Path) -> None:
    project = Project(checked.parents[1])
    assert check_of(project.root / "Extract/job001", project) == checked
    assert check_of(project.root / "Extract/job003", project) is None
    (project.root / "Check/job004").mkdir()
    (project.root / "Check/job004/checks.json").write_text("[1]")  # not verdicts
    assert check_of(project.root / "Extract/job001", project) == checked


def test_a_file_that_is_no_verdict_is_said_in_one_sentence(qtbot: Any, checked: Path) -> None:
    (checked / "checks.json").write_text('{"checks": [{"name": 3}]}')
    view, heard = ChecksView(), []
    qtbot.addWidget(view)
    view.failed.connect(heard.append)
    view.show_job(checked, Project(checked.parents[1]))
    qtbot.waitUntil(lambda: bool(heard), timeout=20 * SECOND)
    assert "Expected verdicts of check-extraction" in str(heard[0])


def test_the_button_checks_what_was_extracted(qtbot: Any, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "settings", lambda: preferences.Settings(run_in="thread"))
    project = Project(copy)
    options = ExtractOptions(tomograms=copy / "tomograms.star", particles=copy / "particles.star", source="tomogram", box_size=48)
    extraction, _ = run_job("extract", options, project=project)
    viewer = ViewerModel()
    open_session(viewer, load_session(copy))
    dock = ExtractionPanel(viewer)
    qtbot.addWidget(dock)
    assert not dock.checking.button.isEnabled()  # nothing was extracted here
    dock.follow(extraction.path)
    assert dock.checking.button.isEnabled() and not dock.checking.tabs.isTabVisible(1)
    dock.checking.button.click()
    assert not dock.checking.button.isEnabled()
    qtbot.waitUntil(lambda: len(dock.checking.view.rows) == 7, timeout=60 * SECOND)
    assert dock.checking.button.isEnabled() and dock.checking.tabs.currentIndex() == 1
    folder = copy / "Check/job002"
    found = read_checks(folder, project, None)  # type: ignore[arg-type]
    assert [row.name for row in found.rows] == ["signal", "centre", "box", "contrast", "hand", "wedge", "pixels"]
    assert "passed" in text_of(dock.checking.view)
    other = ExtractionPanel(viewer)
    qtbot.addWidget(other)
    other.follow(extraction.path)
    qtbot.waitUntil(lambda: len(other.checking.view.rows) == 7, timeout=20 * SECOND)  # found again
