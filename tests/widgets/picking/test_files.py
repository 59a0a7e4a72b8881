"""Files of the dock of picking: import, saving, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.picking_dock import errors, finish
from napari.components import ViewerModel
from qtpy.QtWidgets import QFileDialog

from napari_subtomo.io.annotations import read_annotations
from napari_subtomo.io.particles import read_particles
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking.spheres import Sphere, count
from napari_subtomo.viewer.view import open_session
from napari_subtomo.widgets.panels.picking import PickingPanel

pytestmark = pytest.mark.gui


def test_a_sphere_becomes_particles_and_files_that_other_docks_hear_of(
    panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any
) -> None:
    view = open_session(viewer, load_session(project.tomograms))
    assert panel.caption.text() == "TS_01: 0 particles, 0 spheres"
    panel.tools.buttons["sphere"].click()
    assert panel._picker is not None
    panel._picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 300))
    assert panel.spheres.count() == 1
    panel.spacing.setValue(60)
    assert panel.count.text() == "323 particles"
    panel.radius.setValue(150)
    assert panel.count.text() == f"{count(150, 60)} particles"
    assert "r = 150 Å" in panel.spheres.item(0).text()
    panel.radius.setValue(300)
    assert panel.unsaved.text() == "3 edits not saved"
    panel.add_one.click()
    assert panel.status.text() == "⚠ 323 particles added, 299 of them outside of the tomogram."
    assert panel.caption.text() == "TS_01: 323 particles, 1 sphere"
    panel.add_all.click()
    assert "already" in panel.status.text()
    panel.undo.click()
    assert view.session.totals() == (0, 0)
    panel.redo.click()
    assert view.session.totals() == (323, 0)
    assert panel.unsaved.text() == "4 edits not saved"
    heard: list[Product] = []
    desk_of(viewer).produced.connect(heard.append)
    folder = Path(str(panel.target.value))
    panel.save_button.click()
    finish(qtbot, panel)
    assert folder == project.root / "Picks" / "job006"
    assert panel.unsaved.text() == "All edits saved"
    assert panel.status.text().startswith("323 particles (323 added) saved to")
    assert [(product.job, product.folder) for product in heard] == [("pick", folder)]
    assert read_particles(heard[0].outputs["particles"]).n == 323
    assert len(read_annotations(heard[0].outputs["annotations"] / "TS_01_spheres.star")) == 1
    assert not (project.root / ".subtomo").exists()
    panel.undo.click()
    panel.save(folder)
    finish(qtbot, panel)
    assert read_particles(folder / "particles.star").n == 0


def test_a_folder_with_files_is_an_error_in_the_dock_and_in_napari(
    panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any
) -> None:
    open_session(viewer, load_session(project.root))
    panel.save(project.kept.parent)
    finish(qtbot, panel)
    assert "new or empty folder" in panel.status.text()
    assert "new or empty folder" in errors()[-1]


def test_particles_of_a_file_are_added_in_one_edit(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    view = open_session(viewer, load_session(project.tomograms))
    panel.import_file(project.kept)
    finish(qtbot, panel)
    assert panel.status.text() == "8 particles imported."
    assert view.session.totals() == (8, 0)
    assert len(layers.find_layer(viewer, layers.ORIENTATIONS).data) == 4  # type: ignore[union-attr]
    panel.undo.click()
    assert view.session.totals() == (0, 0)
    panel.import_file(project.root / "nothing.csv")
    finish(qtbot, panel)
    assert "nothing there" in panel.status.text()


def test_the_button_import_asks_for_a_file(
    panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = open_session(viewer, load_session(project.tomograms))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(project.kept), ""))
    panel.imports.click()
    finish(qtbot, panel)
    assert view.session.totals() == (8, 0)
    panel.imports.click()
    finish(qtbot, panel)
    assert panel.status.text() == "0 particles imported, 8 were there already."
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    panel.imports.click()
    assert not panel.files.running


def test_imported_points_outside_of_the_tomogram_are_told(
    panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any, tmp_path: Path
) -> None:
    open_session(viewer, load_session(project.tomograms))
    (tmp_path / "pixels.csv").write_text("x,y,z\n10,10,10\n90,70,60\n")
    panel.import_file(tmp_path / "pixels.csv")
    finish(qtbot, panel)
    assert panel.status.text() == "⚠ 2 particles imported, 1 of them outside of the tomogram."


def test_what_was_read_for_a_project_that_was_left_is_dropped(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    open_session(viewer, load_session(project.tomograms))
    panel.import_file(project.kept)
    view = open_session(viewer, load_session(project.root))
    before = view.session.totals()
    finish(qtbot, panel)
    assert view.session.totals() == before


def test_a_folder_that_the_user_chose_stays(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    view = open_session(viewer, load_session(project.root))
    assert panel.files.target == project.root / "Picks" / "job006"
    chosen = project.root / "Picks" / "mine"
    panel.target.value = chosen
    assert panel._picker is not None
    panel._picker.click(np.array([8.0, 8.0, 8.0]))
    view.step(1)
    assert panel.files.target == chosen
    panel.save_button.click()
    finish(qtbot, panel)
    assert (chosen / "particles.star").is_file()
    assert "9 particles (1 added) saved" in panel.status.text()


def test_a_number_that_another_job_has_taken_is_not_used(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    open_session(viewer, load_session(project.root))
    (project.root / "Extract" / "job006").mkdir(parents=True)
    panel.save_button.click()
    finish(qtbot, panel)
    assert (project.root / "Picks" / "job007" / "particles.star").is_file()
    assert not (project.root / "Picks" / "job006").exists()


def test_what_was_saved_is_not_overwritten_by_other_files(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    open_session(viewer, load_session(project.root))
    panel.save_button.click()
    finish(qtbot, panel)
    first = project.root / "Picks" / "job006" / "particles.star"
    text = first.read_bytes()
    open_session(viewer, load_session(project.tomograms))  # no particles
    panel.save_button.click()
    finish(qtbot, panel)
    assert first.read_bytes() == text
    assert read_particles(project.root / "Picks" / "job007" / "particles.star").n == 0


def test_two_things_are_not_done_at_once(panel: PickingPanel, viewer: ViewerModel, project: Any, qtbot: Any) -> None:
    view = open_session(viewer, load_session(project.root))
    panel.save(project.root / "Picks" / "job006")
    panel.import_file(project.picks)
    assert "Still at work" in panel.status.text()
    finish(qtbot, panel)
    assert view.session.totals() == (8, 4)
    assert (project.root / "Picks" / "job006" / "particles.star").is_file()
