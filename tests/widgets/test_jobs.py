"""The docks that run jobs."""

from __future__ import annotations

import gc
import os
import signal
import weakref
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from qtpy.QtGui import QGuiApplication

from napari_subtomo.io import relion as r
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.io.project import Project
from napari_subtomo.jobs import launch
from napari_subtomo.jobs.follow import job_state
from napari_subtomo.jobs.record import load_options, read_record
from napari_subtomo.jobs.registry import get_job
from napari_subtomo.jobs.runner import run_job
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.viewer import settings as preferences
from napari_subtomo.viewer.desk import Product, desk_of
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.view import open_session, view_of
from napari_subtomo.widgets import jobdock, jobform
from napari_subtomo.widgets.panels.average import AveragePanel
from napari_subtomo.widgets.panels.classification import ClassificationPanel
from napari_subtomo.widgets.panels.extraction import ExtractionPanel

pytestmark = pytest.mark.gui
SECOND = 1000


def opened(copy: Path) -> ViewerModel:
    viewer = ViewerModel()
    open_session(viewer, load_session(copy))
    return viewer


def extract(copy: Path, box: int = 24) -> Path:
    options = ExtractOptions(tomograms=copy / "tomograms.star", particles=copy / "particles.star", source="tomogram", box_size=box)
    folder, _ = run_job("extract", options, project=Project(copy))
    return folder.path


@pytest.fixture(params=["process", "thread"])
def where(request: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(jobdock, "settings", lambda: preferences.Settings(run_in=request.param))
    return str(request.param)


def test_without_a_project_run_says_what_to_do(qtbot: Any) -> None:
    dock = ExtractionPanel(ViewerModel())
    qtbot.addWidget(dock)
    dock.run()
    assert "Open a project first" in dock.status.text()
    assert "Open a project first" in notification_manager.records[-1].message


def test_files_of_the_window_are_filled_in_with_suggestions(qtbot: Any, copy: Path) -> None:
    viewer = opened(copy)
    dock = ExtractionPanel(viewer)
    qtbot.addWidget(dock)
    with qtbot.waitSignal(dock.form.known, timeout=20 * SECOND):
        pass
    form = dock.form.form
    assert form.widgets["particles"].value == copy / "particles.star"
    assert form.widgets["tomograms"].value == copy / "tomograms.star"
    assert form.widgets["box_size"].value >= 1.5 * dock.form.diameter.value() / 10  # 10 Å pixels
    assert "Å" in form.widgets["box_size"].native.toolTip().splitlines()[-1]
    assert "memory" in dock.form.needs.text()


def test_the_forecast_is_that_of_the_values_in_the_form_whoever_put_them_there(qtbot: Any, copy: Path) -> None:
    dock = ExtractionPanel(opened(copy))
    qtbot.addWidget(dock)
    with qtbot.waitSignal(dock.form.known, timeout=20 * SECOND):
        pass
    form, needs = dock.form.form, dock.form.needs
    before = needs.text()
    form.set_values({"box_size": 512}, touched=True)
    filled = needs.text()
    assert "memory" in filled and filled != before
    form.widgets["box_size"].value = 32
    form.widgets["box_size"].value = 512
    assert needs.text() == filled


def test_a_job_that_is_shown_keeps_its_options_and_has_a_forecast_of_its_own(qtbot: Any, copy: Path) -> None:
    extract(copy, box=28)
    dock = ExtractionPanel(opened(copy))
    qtbot.addWidget(dock)
    with qtbot.waitSignal(dock.form.known, timeout=20 * SECOND):
        pass
    assert dock.form.form.widgets["box_size"].value != 28  # what is suggested
    dock.form._settled.start()  # what fills in suggestions, on its way
    with qtbot.waitSignal(dock.form.known, timeout=20 * SECOND):
        dock.follow(copy / "Extract" / "job001")
    qtbot.wait(2 * jobform.SETTLE)
    assert dock.form.form.widgets["box_size"].value == 28
    shown = dock.form.needs.text()
    dock.form._forecast()
    assert "memory" in shown and dock.form.needs.text() == shown


def test_a_dock_runs_its_job_and_the_next_dock_gets_the_particles(qtbot: Any, copy: Path, where: str) -> None:
    viewer = opened(copy)
    heard: list[Product] = []
    desk_of(viewer).produced.connect(heard.append)
    dock, average = ExtractionPanel(viewer), AveragePanel(viewer)
    qtbot.addWidget(dock)
    qtbot.addWidget(average)
    dock.form.form.set_values({"box_size": 24}, touched=True)
    dock.run()
    qtbot.waitUntil(lambda: bool(heard), timeout=60 * SECOND)
    folder = copy / "Extract" / "job001"
    assert heard == [Product("extract", folder, heard[0].outputs)]
    assert heard[0].outputs["particles"] == folder / "particles.star"
    assert read_record(folder).exit_status == "finished"
    assert read_particles(folder / "particles.star").n == read_particles(copy / "particles.star").n
    assert average.form.form.widgets["particles"].value == folder / "particles.star"
    assert dock.which.currentText() == "Extract/job001"
    assert dock.run_button.isEnabled() and dock.run_button.text() == "Run"
    qtbot.waitUntil(lambda: len(dock.montage.findChildren(object)) > 0 and "2D tilt stacks" in text_of(dock.montage), timeout=20 * SECOND)


def text_of(widget: Any) -> str:
    from qtpy.QtWidgets import QLabel

    return " ".join(label.text() for label in widget.findChildren(QLabel))


def test_what_the_dock_writes_is_what_its_command_writes(qtbot: Any, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_subtomo.cli.main import main

    first = extract(copy)
    viewer = opened(copy)
    dock = AveragePanel(viewer)
    qtbot.addWidget(dock)
    assert dock.form.form.widgets["particles"].value == first / "particles.star"
    dock.form.form.set_values({"symmetry": "C2"}, touched=True)
    dock.copy_command()
    text = QGuiApplication.clipboard().text()
    words = text.split(" && ")[1].split()
    assert words[:2] == ["napari-subtomo", "reconstruct"] and "C2" in words
    dock.run()
    qtbot.waitUntil(lambda: dock.monitor.state.status == "finished", timeout=60 * SECOND)
    monkeypatch.chdir(copy)
    assert main([*words[1:-1], "Reconstruct/again", "--quiet"]) == 0
    assert (copy / "Reconstruct/again/merged.mrc").read_bytes()[1024:] == (copy / "Reconstruct/job002/merged.mrc").read_bytes()[1024:]


def test_wrong_options_are_said_in_the_words_of_the_form(qtbot: Any, copy: Path) -> None:
    dock = ClassificationPanel(opened(copy))
    qtbot.addWidget(dock)
    dock.run()
    assert "“Reference map” is needed" in dock.status.text()
    assert not (copy / "Class3D").exists()


def test_what_a_job_finds_wrong_reaches_the_user(qtbot: Any, copy: Path, where: str) -> None:
    dock = ExtractionPanel(opened(copy))
    qtbot.addWidget(dock)
    dock.form.form.set_values({"box_size": 4000}, touched=True)
    dock.run()
    qtbot.waitUntil(lambda: "✖" in dock.status.text(), timeout=60 * SECOND)
    assert "4000" in dock.status.text()
    assert "4000" in notification_manager.records[-1].message
    qtbot.waitUntil(dock.run_button.isEnabled, timeout=10 * SECOND)


def test_a_runtime_error_of_the_device_reaches_the_user(qtbot: Any, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobdock, "settings", lambda: preferences.Settings(run_in="thread"))

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr("napari_subtomo.extract.run", broken)
    dock = ExtractionPanel(opened(copy))
    qtbot.addWidget(dock)
    dock.run()
    qtbot.waitUntil(lambda: "CUDA error" in dock.status.text(), timeout=30 * SECOND)
    assert "CUDA error" in notification_manager.records[-1].message


def slow(dock: Any, copy: Path) -> None:
    """Options of a classification that takes long enough to be stopped."""
    first = extract(copy)
    run_job("reconstruct", ReconstructOptions(particles=first / "particles.star"), project=Project(copy))
    values = {"particles": first / "particles.star", "reference": copy / "Reconstruct/job002/merged.mrc", "mask_diameter": 200.0}
    values |= {"classes": 2, "iterations": 3000, "local_range": 10.0, "angular_step": 15.0, "offset_range": 1.0}
    values["stop_when_converged"] = False
    dock.form.form.set_values(values, touched=True)


def test_a_classification_is_followed_paused_cancelled_and_resumed(qtbot: Any, copy: Path, where: str) -> None:
    viewer = opened(copy)
    dock = ClassificationPanel(viewer)
    qtbot.addWidget(dock)
    slow(dock, copy)
    heard: list[int] = []
    desk_of(viewer).iterated.connect(lambda _, iteration: heard.append(iteration))
    dock.run()
    qtbot.waitUntil(lambda: any(number > 1 for number in heard), timeout=120 * SECOND)
    view = view_of(viewer)
    assert view is not None
    qtbot.waitUntil(lambda: "Class3D/job003, iteration" in view.session.title, timeout=20 * SECOND)
    dock.pause()
    qtbot.waitUntil(lambda: dock.monitor.state.status == "paused", timeout=30 * SECOND)
    assert dock.pause_button.text() == "Go on"
    dock.cancel()
    qtbot.waitUntil(lambda: dock.monitor.state.status == "cancelled", timeout=30 * SECOND)
    qtbot.waitUntil(lambda: dock.run_button.text() == "Resume" and dock.run_button.isEnabled(), timeout=10 * SECOND)
    last = max(heard)
    assert last < 3000
    dock.run()
    qtbot.waitUntil(lambda: max(heard) > last and dock.monitor.state.status == "running", timeout=120 * SECOND)
    dock.cancel()
    qtbot.waitUntil(lambda: dock.monitor.state.status == "cancelled", timeout=30 * SECOND)
    assert read_record(copy / "Class3D" / "job003").resumed == 1


def repeat(path: Path, times: int) -> None:
    """The particles of a file, many times over."""
    particles = read_particles(path)
    many = particles.select(list(range(particles.n)) * times)
    write_particles(path, many.with_columns({r.TOMO_PARTICLE_NAME: [f"{name}/{row}" for row, name in enumerate(many.tomo_names, start=1)]}))


@pytest.mark.parametrize(("panel", "job"), [(ExtractionPanel, "extract"), (AveragePanel, "reconstruct")])
def test_a_job_is_cancelled_in_the_middle_and_its_next_run_ends_as_if_it_had_not_been(
    qtbot: Any, copy: Path, where: str, panel: Any, job: str
) -> None:
    repeat(copy / "particles.star", 40)
    made = {"extract": "Extract/job001", "reconstruct": "Reconstruct/job002"}[job]
    if job == "reconstruct":
        extract(copy)
    dock = panel(opened(copy))
    qtbot.addWidget(dock)
    dock.form.form.set_values({"source": "tomogram", "box_size": 24} if job == "extract" else {"seed": 3}, touched=True)
    dock.run()
    folder = copy / made
    qtbot.waitUntil(lambda: folder.is_dir() and job_state(folder).status == "running", timeout=60 * SECOND)
    launch.pause(folder)  # in the middle, however fast the machine is
    qtbot.waitUntil(lambda: dock.monitor.state.status == "paused", timeout=60 * SECOND)
    dock.cancel()
    qtbot.waitUntil(lambda: dock.monitor.state.status == "cancelled", timeout=60 * SECOND)
    assert not (folder / "optimisation_set.star").exists() and not (folder / "merged.mrc").exists()
    qtbot.waitUntil(dock.run_button.isEnabled, timeout=10 * SECOND)
    dock.run()
    qtbot.waitUntil(lambda: dock.monitor.state.status == "finished", timeout=120 * SECOND)
    again = dock.monitor.folder
    assert (again == folder) == get_job(job).resumes
    whole, _ = run_job(job, load_options(get_job(job).model, read_record(again), copy), project=Project(copy), output=copy / "whole")
    names = ["merged.mrc", "half1.mrc"] if job == "reconstruct" else sorted(p.relative_to(again) for p in again.rglob("*_data.mrc"))
    assert len(names) > 1
    for name in names:
        assert (again / name).read_bytes()[1024:] == (whole.path / name).read_bytes()[1024:]


def test_a_killed_job_is_seen_and_can_be_resumed(qtbot: Any, copy: Path) -> None:
    dock = ClassificationPanel(opened(copy))
    qtbot.addWidget(dock)
    slow(dock, copy)
    dock.run()
    qtbot.waitUntil(lambda: dock.monitor.state.pid is not None and len(dock.monitor.state.iterations) > 0, timeout=120 * SECOND)
    os.kill(dock.monitor.state.pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: "✖" in dock.status.text() and dock.run_button.text() == "Resume", timeout=30 * SECOND)
    assert dock.monitor.state.status == "dead"


def test_a_job_started_elsewhere_is_followed_by_its_folder(qtbot: Any, copy: Path) -> None:
    folder = extract(copy, box=20)
    dock = ExtractionPanel(opened(copy))
    qtbot.addWidget(dock)
    place = dock.which.findText("Extract/job001")
    dock.which.setCurrentIndex(place)
    dock.which.activated.emit(place)
    qtbot.waitUntil(lambda: dock.monitor.state.status == "finished", timeout=10 * SECOND)
    assert dock.form.form.widgets["box_size"].value == 20
    assert "of" in dock.status.text() and "particles extracted" in dock.status.text()
    assert dock.monitor.folder == folder
    assert desk_of(dock._viewer).products == ()  # nobody made it here


def test_a_closed_dock_listens_no_more_and_is_gone(qtbot: Any, copy: Path) -> None:
    viewer = opened(copy)
    for panel in (ExtractionPanel, AveragePanel, ClassificationPanel):
        dock = panel(viewer)
        gone = weakref.ref(dock)
        dock.deleteLater()
        del dock
        qtbot.wait(500)  # a task that reads facts ends first
        gc.collect()
        qtbot.waitUntil(lambda gone=gone: gc.collect() >= 0 and gone() is None, timeout=10 * SECOND)
    open_session(viewer, load_session(copy))
    desk_of(viewer).produce(Product("pick", copy, {}))
