"""The demo does not redo what is finished, keeps classes by rules that need no truth, and is honest about the truth afterwards."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from napari_subtomo.errors import JobCancelled, JobError
from napari_subtomo.io.project import Project
from napari_subtomo.jobs.demo import Demo, _simulate
from napari_subtomo.jobs.truth import compare
from napari_subtomo.options.simulate import SimulateOptions
from napari_subtomo.progress import Silent


def walk(fake: ModuleType, root: Path, first: int = 3, second: int = 4) -> list[bool]:
    """Two steps; which of them were taken from an earlier run."""
    demo = Demo(root, Silent())
    demo.step("found", fake.CountOptions(steps=first), ".")
    demo.step("recount", fake.CountOptions(steps=second, particles=root / "numbers.txt"), "Count/job001")
    return [step.reused for step in demo.steps]


def test_finished_steps_are_not_done_again(fake: ModuleType, tmp_path: Path) -> None:
    assert walk(fake, tmp_path / "demo") == [False, False]
    assert walk(fake, tmp_path / "demo") == [True, True]


def test_a_changed_step_is_done_again_and_its_former_result_kept(fake: ModuleType, tmp_path: Path) -> None:
    walk(fake, tmp_path / "demo")
    assert walk(fake, tmp_path / "demo", second=6) == [True, False]
    assert (tmp_path / "demo" / "Trash" / "Count" / "job001" / "numbers.txt").read_text().split() == list("0123")


def test_what_follows_a_step_that_was_done_again_is_done_again(fake: ModuleType, tmp_path: Path) -> None:
    walk(fake, tmp_path / "demo")
    (tmp_path / "demo" / "numbers.txt").unlink()  # an output of the first step is gone
    (tmp_path / "demo" / "job_record.json").unlink()
    with pytest.raises(JobError, match="something else"):
        walk(fake, tmp_path / "demo")
    demo = Demo(tmp_path / "demo", Silent())
    demo.step("recount", fake.CountOptions(steps=2), "Count/job002")
    demo.step("recount", fake.CountOptions(steps=4, particles=tmp_path / "demo" / "numbers.txt"), "Count/job001")
    assert [step.reused for step in demo.steps] == [False, False]


def test_an_unfinished_step_goes_on(fake: ModuleType, tmp_path: Path) -> None:
    class Stop(Silent):
        def event(self, kind: str, **data: object) -> None:
            if data.get("iteration") == 2:
                raise JobCancelled("enough")

    with pytest.raises(JobCancelled):
        Demo(tmp_path, Stop()).step("count", fake.CountOptions(steps=4), "Count/job001")
    demo = Demo(tmp_path, Silent())
    demo.step("count", fake.CountOptions(steps=4), "Count/job001")
    assert not demo.steps[0].reused and not (tmp_path / "Trash").exists()
    assert (tmp_path / "Count" / "job001" / "numbers.txt").read_text().split() == list("0123")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tomograms.star").write_text("mine")
    with pytest.raises(JobError, match="Expected a new folder or an earlier demo"):
        _simulate(Demo(tmp_path, Silent()), SimulateOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["tomograms.star"]


def star(path: Path, rows: list[tuple[str, int]], label: str) -> Path:
    lines = [f"t1 {name} {number}" for name, number in rows]
    path.write_text(f"data_particles\n\nloop_\n_rlnTomoName\n_rlnTomoParticleName\n_{label}\n" + "\n".join(lines) + "\n")
    return path


def test_agreement_counts_by_name_whatever_the_order(tmp_path: Path) -> None:
    truth = star(tmp_path / "truth.star", [("t1/1", 1), ("t1/2", 1), ("t1/3", 2), ("t1/4", 2), ("t1/5", 0), ("t1/6", 0)], "trueClass")
    rows = [("t1/6", 3), ("t1/5", 3), ("t1/4", 1), ("t1/3", 1), ("t1/2", 2), ("t1/1", 2)]
    classified = star(tmp_path / "data.star", rows, "rlnClassNumber")
    kept = star(tmp_path / "kept.star", [rows[0], *rows[2:5]], "rlnClassNumber")
    agreement = compare(truth, classified, kept)
    assert agreement.rand_index == 1.0
    assert (agreement.true, agreement.true_kept, agreement.false, agreement.false_kept) == (4, 3, 2, 1)
    assert agreement.sentences()[1] == "3 of 4 true particles kept, 1 of 2 false picks rejected."
    mixed = star(tmp_path / "mixed.star", [(name, 1) for name, _ in rows], "rlnClassNumber")
    assert compare(truth, mixed, kept).rand_index == 0.0


def test_step_options_are_paths_of_the_project(fake: ModuleType, tmp_path: Path) -> None:
    from napari_subtomo.jobs.record import read_record

    demo = Demo(tmp_path / "demo", Silent())
    demo.step("found", fake.CountOptions(), ".")
    demo.step("count", fake.CountOptions(particles=Project(tmp_path / "demo").resolve("numbers.txt")), "Count/job001")
    assert read_record(tmp_path / "demo" / "Count" / "job001").resolved["particles"] == "numbers.txt"
    assert read_record(tmp_path / "demo").command_line == ["found", "."]
