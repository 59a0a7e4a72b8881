"""The button that assesses a classification: when it is offered, what it runs, and what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.small_project import SmallProject
from napari.components import ViewerModel
from qtpy.QtGui import QImage

from napari_subtomo.assess.job import PICTURE
from napari_subtomo.assess.picture import draw_scores
from napari_subtomo.io.project import Project
from napari_subtomo.jobs.record import JobRecord, write_record
from napari_subtomo.viewer import settings as preferences
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.results.assessment import assessment_of
from napari_subtomo.viewer.show import open_session
from napari_subtomo.widgets import beside
from napari_subtomo.widgets.panels.classification import ClassificationPanel
from napari_subtomo.widgets.results.assessment import AssessmentView

pytestmark = pytest.mark.gui
SECOND = 1000
LINES = ["160 of 228 particles are accepted <at> 5 %.", "  class 1: 82 of 82"]


def write_assessment(root: Path, name: str, classification: str, status: str = "finished") -> Path:
    """A job folder as `assess` leaves it."""
    folder = root / name
    folder.mkdir(parents=True)
    resolved = {"optimiser": f"{classification}/run_it002_optimiser.star"}
    write_record(folder, JobRecord(job="assess", exit_status=status, project="../..", resolved=resolved, summary=LINES))
    scores = np.linspace(-5, 20, 60)
    draw_scores(folder / PICTURE, {"one": (scores, scores[:20], np.linspace(1, 0, 60)), "two": (scores, None, np.linspace(1, 0, 60))})
    return folder


def test_what_an_assessment_says_is_shown_with_its_picture(qtbot: Any, tmp_path: Path) -> None:
    folder = write_assessment(tmp_path, "Assess/job005", "Class3D/job004")
    view = AssessmentView()
    qtbot.addWidget(view)
    view.show_job(folder, Project(tmp_path))
    qtbot.waitUntil(lambda: bool(view.text.text()), timeout=20 * SECOND)
    assert "160 of 228 particles are accepted &lt;at&gt; 5 %." in view.text.text() and "class 1" in view.text.text()
    assert not QImage(str(folder / PICTURE)).isNull() and not view.picture.pixmap().isNull()


def test_the_newest_finished_assessment_of_a_classification_is_found(tmp_path: Path) -> None:
    project, classification = Project(tmp_path), tmp_path / "Class3D" / "job004"
    assert assessment_of(classification, project) is None
    first = write_assessment(tmp_path, "Assess/job005", "Class3D/job004")
    write_assessment(tmp_path, "Assess/job006", "Class3D/job004", status="failed")
    write_assessment(tmp_path, "Assess/job007", "Class3D/job003")
    assert assessment_of(classification, project) == first


def test_the_button_is_offered_when_the_classification_has_ended_and_says_why_it_cannot(
    qtbot: Any, project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "settings", lambda: preferences.Settings(run_in="thread"))
    folder = project.root / "Class3D" / "job004"
    viewer = ViewerModel()
    open_session(viewer, load_session(project.root))
    dock, heard = ClassificationPanel(viewer), []
    qtbot.addWidget(dock)
    dock.assessing.failed.connect(heard.append)
    dock.follow(folder)
    assert not dock.assessing.button.isEnabled()  # it has no end, and RELION's have no state
    (folder / "run_it002_state.npz").write_bytes(b"")
    (folder / "RELION_JOB_EXIT_SUCCESS").touch()
    dock.follow(folder)
    assert dock.assessing.button.isEnabled() and not dock.assessing.tabs.isTabVisible(1)
    dock.assessing.button.click()
    assert not dock.assessing.button.isEnabled()
    qtbot.waitUntil(lambda: bool(heard), timeout=30 * SECOND)
    assert "only classifications made here can be assessed" in str(heard[0])
    qtbot.waitUntil(dock.assessing.button.isEnabled, timeout=20 * SECOND)
