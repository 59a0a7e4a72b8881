"""A job's folder tells everything about it, however the job ends."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from napari_subtomo.errors import DeviceError, InputError, JobCancelled, JobError
from napari_subtomo.jobs.follow import job_state
from napari_subtomo.jobs.record import read_record
from napari_subtomo.jobs.runner import rerun, run_job
from napari_subtomo.progress import Silent


class StopAt(Silent):
    """Asks for a stop at the n-th step."""

    def __init__(self, step: int) -> None:
        self.left = step

    def advance(self, steps: int = 1) -> None:
        self.left -= steps

    def check(self) -> None:
        if self.left <= 0:
            raise JobCancelled("enough")


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def test_a_finished_job_leaves_record_events_logs_and_marker(fake: ModuleType, tmp_path: Path) -> None:
    folder, result = run_job("count", fake.CountOptions(steps=3, keep=(1, 3)))
    assert folder.path == tmp_path / "Count" / "job001"
    assert {path.name for path in folder.path.iterdir()} == {
        "numbers.txt", "job_record.json", "events.jsonl", "run.out", "run.err", "note.txt", "RELION_JOB_EXIT_SUCCESS",
    }  # fmt: skip
    record = read_record(folder.path)
    assert (record.job, record.exit_status, record.error, record.project) == ("count", "finished", None, "../..")
    assert record.options == {"steps": 3, "keep": [1, 3]}
    assert record.resolved["align"] is True and record.resolved["steps"] == 3
    assert record.outputs == {"particles": "Count/job001/numbers.txt"}
    assert record.numbers == {"steps": 3} and record.summary == ["Counted to 3."] == list(result.summary)
    assert record.versions.keys() >= {"python", "numpy", "napari-subtomo"}
    assert record.started and record.ended and record.started < record.ended
    assert record.command_line == ["count", "--steps", "3", "--keep", "1", "3", "-o", "Count/job001"]
    kinds = [event["kind"] for event in events(folder.path)]
    assert kinds[0] == "start" and kinds[-1] == "end" and kinds.count("iteration") == 3 and kinds.count("stage") == 1
    assert events(folder.path)[-1]["data"]["status"] == "finished"
    out, err = (folder.path / "run.out").read_text(), (folder.path / "run.err").read_text()
    assert "Counting (3 steps)" in out and out.endswith("WARNING: Numbers never end.\nCounted to 3.\n")
    assert err == "WARNING: Numbers never end.\n"
    assert "napari-subtomo count --steps 3" in (folder.path / "note.txt").read_text()


def test_job_numbers_rise_over_all_kinds(fake: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "Extract" / "job007").mkdir(parents=True)
    assert run_job("count", fake.CountOptions())[0].path.name == "job008"
    assert run_job("count", fake.CountOptions())[0].path.name == "job009"


@pytest.mark.parametrize(
    ("fail", "kind", "said"),
    [
        ("input", InputError, "Expected a star"),
        ("job", JobError, "cannot go on"),
        ("device", DeviceError, "no GPU"),
        ("memory", JobError, "not enough memory"),
        ("disk", JobError, "No space left on device (map.mrc)"),
        ("bug", ZeroDivisionError, "a slip"),
    ],
)
def test_a_failed_job_says_why_in_record_events_and_run_err(fake: ModuleType, fail: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind):
        run_job("count", fake.CountOptions(fail=fail), output="out")
    folder = Path("out")
    record = read_record(folder)
    assert record.exit_status == "failed" and said in str(record.error)
    assert (folder / "RELION_JOB_EXIT_FAILURE").exists() and not (folder / "RELION_JOB_EXIT_SUCCESS").exists()
    assert "Traceback" in (folder / "run.err").read_text()
    state = job_state(folder)
    assert state.status == "failed" and said in state.error


@pytest.mark.parametrize("name", ["cancel", "RELION_JOB_ABORT_NOW"])
def test_an_abort_file_stops_the_job(fake: ModuleType, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    timer = threading.Timer(0.3, (folder / name).touch)
    timer.start()
    with pytest.raises(JobCancelled):
        run_job("count", fake.CountOptions(steps=1000, sleep=0.02), output=folder)
    timer.join()
    assert read_record(folder).exit_status == job_state(folder).status == "cancelled"
    assert (folder / "RELION_JOB_EXIT_ABORTED").exists()


def test_a_reporter_can_stop_the_job_and_the_run_goes_on_later(fake: ModuleType) -> None:
    options = fake.CountOptions(steps=6)
    with pytest.raises(JobCancelled):
        run_job("count", options, output="out", reporter=StopAt(2))
    assert Path("out/numbers.txt").read_text() == "0\n1\n"
    run_job("count", options, output="out")
    assert Path("out/numbers.txt").read_text() == "0\n1\n2\n3\n4\n5\n"
    assert read_record(Path("out")).resumed == 1
    state = job_state(Path("out"))
    assert state.status == "finished"
    assert [iteration["iteration"] for iteration in state.iterations] == [1, 2, 3, 4, 5, 6]
    assert not Path("out/RELION_JOB_EXIT_ABORTED").exists()


def test_a_job_that_cannot_resume_begins_again(fake: ModuleType) -> None:
    options = fake.CountOptions(steps=6)
    with pytest.raises(JobCancelled):
        run_job("recount", options, output="out", reporter=StopAt(2))
    Path("out/numbers.txt").unlink()
    run_job("recount", options, output="out")
    assert read_record(Path("out")).resumed == 0
    assert len(job_state(Path("out")).iterations) == 6


def test_a_folder_with_something_else_is_refused(fake: ModuleType) -> None:
    run_job("count", fake.CountOptions(), output="finished")
    with pytest.raises(JobError, match=r"finished count job is in .*--overwrite"):
        run_job("count", fake.CountOptions(), output="finished")
    with pytest.raises(JobCancelled):
        run_job("count", fake.CountOptions(steps=6), output="stopped", reporter=StopAt(2))
    with pytest.raises(JobError, match=r"other options \(keep, steps\)"):
        run_job("count", fake.CountOptions(steps=5, keep=(1,)), output="stopped")
    with pytest.raises(JobError, match="found a count job"):
        run_job("recount", fake.CountOptions(steps=6), output="stopped")
    Path("mine").mkdir()
    Path("mine/thesis.tex").write_text("x")
    with pytest.raises(JobError, match="files of something else"):
        run_job("count", fake.CountOptions(), output="mine")
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.tex"]
    Path("file").write_text("x")
    with pytest.raises(InputError, match="found the file"):
        run_job("count", fake.CountOptions(), output="file")
    Path("damaged").mkdir()
    Path("damaged/job_record.json").write_text("{")
    with pytest.raises(JobError, match="damaged"):
        run_job("count", fake.CountOptions(), output="damaged")


def test_a_record_of_a_version_without_an_option_goes_on_with_its_default(fake: ModuleType) -> None:
    with pytest.raises(JobCancelled):
        run_job("count", fake.CountOptions(steps=6), output="out", reporter=StopAt(2))
    path = Path("out/job_record.json")
    record = json.loads(path.read_text())
    del record["resolved"]["from"]
    path.write_text(json.dumps(record))
    with pytest.raises(JobError, match=r"other options \(from\)"):
        run_job("count", fake.CountOptions(steps=6, source="images"), output="out")
    run_job("count", fake.CountOptions(steps=6), output="out")
    assert read_record(Path("out")).resumed == 1


def test_overwrite_puts_the_former_content_into_the_trash(fake: ModuleType) -> None:
    for steps in (2, 3, 4):
        run_job("count", fake.CountOptions(steps=steps), output="Count/job001", overwrite=True)
    assert read_record(Path("Count/job001")).numbers == {"steps": 4}
    assert read_record(Path("Trash/Count/job001")).numbers == {"steps": 2}
    assert read_record(Path("Trash/Count/job001_2")).numbers == {"steps": 3}
    with pytest.raises(JobError, match="holds the project"):
        run_job("count", fake.CountOptions(), output=".", overwrite=True)


def test_a_run_goes_on_with_other_devices_and_can_be_made_longer(fake: ModuleType) -> None:
    run_job("count", fake.CountOptions(steps=3, threads=1), output="out")
    run_job("count", fake.CountOptions(steps=5, threads=4), output="out")
    assert Path("out/numbers.txt").read_text().split() == list("01234")
    with pytest.raises(JobError, match="finished count job"):
        run_job("count", fake.CountOptions(steps=4), output="out")


def test_a_job_that_makes_a_project_writes_there(fake: ModuleType, tmp_path: Path) -> None:
    folder, _ = run_job("found", fake.CountOptions(), output="new")
    assert folder.path == folder.project.root == tmp_path / "new"
    assert read_record(folder.path).project == "."
    with pytest.raises(InputError, match="Expected the folder to write to"):
        run_job("found", fake.CountOptions())


def test_paths_in_the_record_are_relative_to_the_project_and_a_moved_project_reruns(fake: ModuleType, tmp_path: Path) -> None:
    root = tmp_path / "project"
    (root / "Extract").mkdir(parents=True)
    (root / "particles.star").write_text("data_particles\n\nloop_\n_rlnTomoName\nt1\n")
    away = tmp_path / "elsewhere.star"
    away.write_text("data_x\n")
    options = fake.CountOptions(particles=Path("particles.star"), tomograms=away, steps=2)
    folder, _ = run_job("count", options, project=root)
    record = read_record(folder.path)
    assert record.resolved["particles"] == "particles.star" and record.resolved["tomograms"] == str(away)
    assert folder.path.parent.parent == root
    moved = tmp_path / "moved"
    root.rename(moved)
    again, _ = rerun(moved / "Count" / "job001")
    assert again.path == moved / "Count" / "job002"
    assert read_record(again.path).resolved == record.resolved


def test_rerun_repeats_every_option(fake: ModuleType) -> None:
    run_job("count", fake.CountOptions(steps=4, centre=(1, 2.5, -3), align=False), output="a/b")
    rerun(Path("a/b/job_record.json"), output="c")
    first, second = read_record(Path("a/b")), read_record(Path("c"))
    assert first.resolved == second.resolved and second.resolved["centre"] == [1, 2.5, -3]
    assert first.options == second.options and second.command_line[-2:] == ["-o", "c"]
    with pytest.raises(InputError, match="Expected a job record at"):
        rerun(Path("a"))


def test_jobs_are_listed_in_relions_pipeline(fake: ModuleType, tmp_path: Path) -> None:
    from napari_subtomo.io.star import read_star

    (tmp_path / "default_pipeline.star").write_text("# version 50001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 12\n")
    (tmp_path / "particles.star").write_text("data_particles\n\nloop_\n_rlnTomoName\nt1\n")
    folder, _ = run_job("count", fake.CountOptions(particles=Path("particles.star")))
    assert folder.path.name == "job012"
    with pytest.raises(InputError):
        run_job("count", fake.CountOptions(fail="input"), output="Count/job020")
    star = read_star(tmp_path / "default_pipeline.star")
    assert star["pipeline_general"].ints("rlnPipeLineJobCounter")[0] == 21
    processes = star["pipeline_processes"]
    assert processes.texts("rlnPipeLineProcessName") == ("Count/job012/", "Count/job020/")
    assert processes.texts("rlnPipeLineProcessStatusLabel") == ("Succeeded", "Failed")
    assert star["pipeline_input_edges"].texts("rlnPipeLineEdgeFromNode") == ("particles.star",)


def test_a_second_start_in_the_same_folder_is_refused_while_the_first_runs(fake: ModuleType) -> None:
    said: list[str] = []

    class Intruder(Silent):
        def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
            with pytest.raises(JobError, match="still running") as caught:
                run_job("count", fake.CountOptions(), output="out", overwrite=True)
            said.append(str(caught.value))

    run_job("count", fake.CountOptions(), output="out", reporter=Intruder())
    assert len(said) == 1 and read_record(Path("out")).exit_status == "finished"
