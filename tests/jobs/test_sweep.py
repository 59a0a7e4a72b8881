"""A sweep: one ordinary classification a cell, a comparison, and what happens when a cell fails, is stopped, or the whole is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import em_files
from helpers.em_world import World, simulate
from pydantic import ValidationError

from napari_subtomo.cli.main import main
from napari_subtomo.em.start import rand_index
from napari_subtomo.errors import JobCancelled, JobError
from napari_subtomo.io import relion as r
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import read_star
from napari_subtomo.jobs import sweep
from napari_subtomo.jobs.follow import job_state
from napari_subtomo.jobs.runner import run_job
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.options.sweep import SweepOptions
from napari_subtomo.progress import Silent


@pytest.fixture(scope="module")
def world() -> World:
    return simulate(n=16, count=16, empty=4, snr=1.0, species=2, error=5.0, seed=2, domain=2.0)


@pytest.fixture
def project(world: World, tmp_path: Path) -> Path:
    em_files.write_project(tmp_path, world)
    return tmp_path


def sweep_options(project: Path, world: World, **changed: Any) -> Any:
    """Two cells of two quick iterations."""
    shared = em_files.options_for(project, world, iterations=2, consensus_iterations=1, restarts=1)
    given = shared.model_dump(include=shared.model_fields_set - {"classes"})
    return SweepOptions(**{**given, "classes": (1, 2), "regularisation": (1.0,), **changed})


class Stopper(Silent):
    """Stops at a message, in one of the ways a job is stopped."""

    def __init__(self, at: str = "", how: Any = None) -> None:
        self.said: list[str] = []
        self._at, self._how = at, how

    def message(self, text: str) -> None:
        self.said.append(text)
        if self._at and text.startswith(self._at):
            self._at = ""
            self._how()

    warn = message


def cells(folder: JobFolder) -> Any:
    return read_star(folder.file("sweep.star"))[r.SWEEP_CELLS]


def test_every_cell_is_a_classification_of_its_own_and_the_table_compares_them(project: Path, world: World) -> None:
    folder, result = run_job("sweep", sweep_options(project, world, regularisation=(0.5, 2.0)), project=project)
    assert folder.name() == "Sweep/job001"
    table = cells(folder)
    assert table.texts(r.CELL_FOLDER) == tuple(f"Class3D/job{n:03d}" for n in (2, 3, 4, 5))
    assert list(zip(table.ints(r.CELL_CLASSES), table.floats(r.TAU2_FUDGE_FACTOR), strict=True)) == [(1, 0.5), (2, 0.5), (1, 2.0), (2, 2.0)]
    assert set(table.texts(r.CELL_STATUS)) == {"finished"}
    labels = [read_particles(project / name / "run_it002_data.star").class_numbers for name in table.texts(r.CELL_FOLDER)]
    pairs = read_star(folder.file("sweep.star"))[r.SWEEP_AGREEMENT]
    assert len(pairs) == 6
    for a, b, value in zip(*(pairs.floats(label) for label in (*r.CELL_PAIR, r.RAND_INDEX)), strict=True):
        assert value == pytest.approx(rand_index(labels[int(a) - 1], labels[int(b) - 1]), abs=1e-5)
    of_class = read_star(folder.file("sweep.star"))[r.SWEEP_CLASSES]
    assert len(of_class) == 2 + 3 + 2 + 3  # with the empty class of each
    model = read_star(project / "Class3D/job003/run_it002_model.star")[r.MODEL_CLASSES]
    mine = of_class.rows(of_class.ints(r.CELL) == 2)
    np.testing.assert_allclose(mine.floats(r.CLASS_DISTRIBUTION), model.floats(r.CLASS_DISTRIBUTION), atol=1e-5)
    assert mine.ints(r.CLASS_PARTICLES).tolist() == np.bincount(labels[1], minlength=4)[1:].tolist()
    assert result.numbers == {"cells": 4, "finished": 4}
    assert [line.split()[:3] for line in folder.file("sweep.txt").read_text().splitlines()[1:]] == [
        [str(i + 1), str(k), f"{t:g}"] for i, (t, k) in enumerate((t, k) for t in (0.5, 2.0) for k in (1, 2))
    ]
    assert folder.file("sweep.png").read_bytes().startswith(b"\x89PNG")
    assert result.outputs["optimiser_3"] == project / "Class3D/job004/run_it002_optimiser.star"
    record = job_state(project / "Class3D/job003")
    assert record.status == "finished"


def test_a_cell_that_fails_lets_the_others_run_and_is_tried_again(project: Path, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sweep.run_job

    def broken(name: str, options: ClassifyOptions, **more: Any) -> Any:
        if options.classes == 1:
            raise JobError("The disk is full; make room.")
        return whole(name, options, **more)

    options = sweep_options(project, world)
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "run_job", broken)
        with pytest.raises(JobError, match=r"found 1 of 2 failed.*-o Sweep/job001 tries those again\. K = 1, T = 1: The disk is full"):
            run_job("sweep", options, project=project)
    folder = JobFolder(Project(project), project / "Sweep/job001")
    assert cells(folder).texts(r.CELL_STATUS) == ("failed", "finished")
    assert folder.file("sweep.png").is_file()
    before = (project / "Class3D/job003/run_it002_model.star").stat().st_mtime_ns
    _, result = run_job("sweep", options, project=project, output="Sweep/job001")
    assert cells(folder).texts(r.CELL_STATUS) == ("finished", "finished")
    assert cells(folder).texts(r.CELL_FOLDER) == ("Class3D/job002", "Class3D/job003")
    assert (project / "Class3D/job003/run_it002_model.star").stat().st_mtime_ns == before
    assert result.numbers["finished"] == 2


def test_a_file_in_the_folder_of_a_cell_stops_that_cell_alone(project: Path, world: World) -> None:
    stopper = Stopper("Iteration 2", lambda: (project / "Class3D/job002/RELION_JOB_ABORT_NOW").touch())
    options = sweep_options(project, world, iterations=40, stop_when_converged=False)  # a long way to go when the file is seen
    folder, result = run_job("sweep", options, project=project, reporter=stopper)
    assert cells(folder).texts(r.CELL_STATUS) == ("cancelled", "finished")
    assert cells(folder).ints(r.CURRENT_ITERATION).tolist()[1] == 40
    assert result.numbers == {"cells": 2, "finished": 1}
    assert any(line.startswith("Cell 1 (K = 1, T = 1) is cancelled") for line in stopper.said)


def test_a_sweep_that_is_stopped_goes_on_where_it_was(project: Path, world: World) -> None:
    options = sweep_options(project, world)
    stopper = Stopper("--- Cell 2", lambda: (project / "Sweep/job001/RELION_JOB_ABORT_NOW").touch())
    with pytest.raises(JobCancelled):
        run_job("sweep", options, project=project, reporter=stopper)
    folder = JobFolder(Project(project), project / "Sweep/job001")
    assert cells(folder).texts(r.CELL_STATUS)[0] == "finished"
    again = Stopper()
    run_job("sweep", options, project=project, output="Sweep/job001", reporter=again)
    assert "Finished earlier, not done again." in again.said
    assert cells(folder).texts(r.CELL_FOLDER) == ("Class3D/job002", "Class3D/job003")
    assert cells(folder).texts(r.CELL_STATUS) == ("finished", "finished")


@pytest.mark.parametrize(
    "wrong", [{"classes": ()}, {"classes": (2, 2)}, {"classes": (0,)}, {"regularisation": (-1.0,)}, {"offset_range": 1, "offset_step": 9}]
)
def test_values_that_no_cell_could_use_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SweepOptions(reference=Path("a.mrc"), mask_diameter=100, **wrong)


def test_a_sweep_has_every_option_of_a_classification_with_the_same_default() -> None:
    for name, info in ClassifyOptions.model_fields.items():
        assert name in SweepOptions.model_fields
        if name not in ("classes", "regularisation"):
            assert SweepOptions.model_fields[name].default == info.default
    (one,) = SweepOptions(reference=Path("a.mrc"), mask_diameter=100).cells()
    assert one == ClassifyOptions(reference=Path("a.mrc"), mask_diameter=100)


def test_the_command_line_takes_several_values(project: Path, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    words = f"sweep --particles {project / 'none.star'} --reference x.mrc --mask-diameter 100 --classes 2 2".split()
    assert main([*words, "--project", str(project)]) == 2
    assert "expected different values for --classes" in capsys.readouterr().err.lower()
