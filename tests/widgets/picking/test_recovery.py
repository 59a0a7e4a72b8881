"""Edits that were never saved, in the dock of picking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.picking import content
from helpers.picking_dock import errors, finish
from napari.components import ViewerModel
from qtpy.QtCore import Qt

from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.view import open_session, view_of
from napari_subtomo.widgets.panels.picking import PickingPanel

pytestmark = pytest.mark.gui


def test_edits_of_a_closed_window_are_offered_and_recovered(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    former = open_session(ViewerModel(), load_session(project.root))
    points: Any = layers.find_layer(former.viewer, layers.PARTICLES)
    points.add([[10.0, 20.0, 30.0]])
    points.add([[11.0, 20.0, 30.0]])
    before = content(former.session)
    former.close()
    assert not panel.recovery.isVisible()
    panel.rescue.look()  # as at the next start
    finish(qtbot, panel)
    assert panel.recovery.isVisible()
    assert "2 edits of Select/job005 in project" in panel.recovery.text.text()
    qtbot.mouseClick(panel.recovery.recover_button, Qt.MouseButton.LeftButton)
    finish(qtbot, panel)
    view = view_of(viewer)
    assert view is not None
    assert content(view.session) == before
    assert panel.unsaved.text() == "2 edits not saved"
    finish(qtbot, panel)
    assert not panel.recovery.isVisible()
    assert len(list((project.root / ".subtomo").iterdir())) == 1
    panel.undo.click()
    panel.undo.click()
    assert panel.unsaved.text() == "All edits saved"


def test_edits_can_be_discarded(panel: PickingPanel, project: Any, qtbot: Any) -> None:
    former = open_session(ViewerModel(), load_session(project.root))
    layers.find_layer(former.viewer, layers.PARTICLES).add([[10.0, 20.0, 30.0]])  # type: ignore[union-attr]
    former.close()
    panel.rescue.look()
    finish(qtbot, panel)
    panel.recovery.discard_button.click()
    assert panel.recovery.discard_button.text() == "Discard for ever?"
    assert len(list((project.root / ".subtomo").iterdir())) == 1
    panel.recovery.discard_button.click()
    finish(qtbot, panel)
    assert not panel.recovery.isVisible()
    assert not (project.root / ".subtomo").exists()


def test_another_project_in_the_same_window_offers_what_was_left_unsaved(
    panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any
) -> None:
    view = open_session(viewer, load_session(project.root))
    assert panel._picker is not None
    panel._picker.click(np.array([8.0, 8.0, 8.0]))
    before = content(view.session)
    open_session(viewer, load_session(project.tomograms))
    finish(qtbot, panel)
    assert panel.recovery.isVisible()
    assert "1 edit of Select/job005 in project" in panel.recovery.text.text()
    panel.recovery.recover_button.click()
    finish(qtbot, panel)
    assert content(view.session) == before
    assert not panel.recovery.isVisible()


def test_of_several_journals_one_is_chosen(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    for number, path in enumerate((project.root, project.tomograms), 1):
        former = open_session(ViewerModel(), load_session(path))
        points: Any = layers.find_layer(former.viewer, layers.PARTICLES)
        for _ in range(number):
            points.add([[10.0, 20.0, 30.0]])
        former.close()
    panel.rescue.look()
    finish(qtbot, panel)
    assert panel.recovery.which.isVisible()
    assert sorted(offer.edits for offer in panel.recovery.offers) == [1, 2]
    place = next(place for place, offer in enumerate(panel.recovery.offers) if offer.edits == 1)
    panel.recovery.discard_button.click()
    panel.recovery.which.setCurrentIndex(1 - place)
    panel.recovery.which.setCurrentIndex(place)
    assert panel.recovery.discard_button.text() == "Discard"  # the question was about another one
    panel.recovery.recover_button.click()
    finish(qtbot, panel)
    view = view_of(viewer)
    assert view is not None and view.session.title == "Select/job005"
    assert [offer.edits for offer in panel.recovery.offers] == [2]  # the other one waits
    assert not panel.recovery.which.isVisible()


def test_particles_that_changed_since_are_not_edited_again(panel: PickingPanel, project: Any, qtbot: Any) -> None:
    former = open_session(ViewerModel(), load_session(project.root))
    layers.find_layer(former.viewer, layers.PARTICLES).add([[10.0, 20.0, 30.0]])  # type: ignore[union-attr]
    former.close()
    for path in (project.kept, project.rejected):
        write_particles(path, read_particles(path).select(np.arange(2)))
    panel.rescue.look()
    finish(qtbot, panel)
    panel.recovery.recover_button.click()
    finish(qtbot, panel)
    assert "as it was when it was edited" in panel.status.text()
    assert "as it was when it was edited" in errors()[-1]
    assert panel.recovery.isVisible()
