"""Jobs in processes of their own, and the files by which they are paused and stopped."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import ModuleType

import pytest

from napari_subtomo.errors import JobCancelled
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.jobs import launch
from napari_subtomo.jobs.events import Event
from napari_subtomo.jobs.follow import Follower, fold, job_state
from napari_subtomo.jobs.record import read_record
from napari_subtomo.jobs.reporter import JobReporter
from napari_subtomo.options.duplicates import DuplicatesOptions


def wait(condition, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_launched_job_leaves_the_folder_that_the_command_leaves(golden: Path, tmp_path: Path) -> None:
    project = Project(tmp_path)
    options = DuplicatesOptions(particles=golden / "particles.star", tomograms=golden / "tomograms.star", min_distance=10.0)
    folder = launch.next_folder("remove-duplicates", project)
    job = launch.launch(launch.job_words("remove-duplicates", options, project, folder), project, folder)
    follower = Follower(folder)
    assert wait(lambda: follower.poll().over), job.complaint()
    assert follower.state.status == "finished", job.complaint()
    assert wait(lambda: not job.running)
    assert folder == tmp_path / "Select" / "job001"
    assert read_particles(folder / "particles.star").n > 0
    assert launch.next_folder("extract", project).name == "job002"


def test_what_a_job_complains_of_before_it_has_a_folder_is_kept(tmp_path: Path) -> None:
    project = Project(tmp_path)
    words = ["remove-duplicates", "--particles", "none.star", "--min-distance", "-3", "-o", "Select/job001"]
    job = launch.launch(words, project, tmp_path / "Select" / "job001")
    assert wait(lambda: not job.running)
    assert "--min-distance" in job.complaint() and "greater than 0" in job.complaint()
    assert "Traceback" not in job.complaint()


def count(reporter: JobReporter, seen: list[int]) -> None:
    reporter.stage("count", 1000)
    for step in range(1000):
        reporter.advance()
        seen.append(step)
        time.sleep(0.002)


def test_a_pause_file_makes_a_job_wait_until_it_is_gone(tmp_path: Path) -> None:
    seen: list[int] = []
    reporter = JobReporter(tmp_path)
    launch.pause(tmp_path)
    thread = threading.Thread(target=count, args=(reporter, seen))
    thread.start()
    assert wait(lambda: fold(events(tmp_path)).status == "paused")
    stopped = len(seen)
    time.sleep(0.5)
    assert len(seen) == stopped < 1000
    launch.unpause(tmp_path)
    thread.join(30)
    reporter.close()
    assert len(seen) == 1000
    assert [event.kind for event in events(tmp_path) if "pause" in event.kind] == ["paused", "unpaused"]


def test_a_paused_job_can_be_cancelled(tmp_path: Path) -> None:
    reporter, ended = JobReporter(tmp_path), []

    def work() -> None:
        try:
            count(reporter, [])
        except JobCancelled:
            ended.append("cancelled")

    launch.pause(tmp_path)
    thread = threading.Thread(target=work)
    thread.start()
    assert wait(lambda: fold(events(tmp_path)).status == "paused")
    launch.cancel(tmp_path)
    thread.join(10)
    reporter.close()
    assert ended == ["cancelled"]
    assert not (tmp_path / "pause").exists()


def events(folder: Path) -> list[Event]:
    from napari_subtomo.jobs.events import EVENTS, parse

    return [event for line in (folder / EVENTS).read_text().splitlines() if (event := parse(line)) is not None]


def test_a_pause_is_no_part_of_the_time_that_a_stage_takes() -> None:
    story = [
        Event(0.0, "start", {"job": "extract"}),
        Event(0.0, "stage", {"name": "cut", "total": 10}),
        Event(10.0, "progress", {"done": 5, "total": 10}),
        Event(11.0, "paused"),
        Event(1011.0, "unpaused"),
    ]
    state = fold(story)
    assert state.status == "running"
    assert state.eta_seconds == pytest.approx(11.0)  # five steps took the eleven seconds that it ran
    assert fold(story[:4]).status == "paused"


def test_the_words_of_a_cancelled_job_go_on_with_it(fake: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from napari_subtomo.cli.main import main
    from napari_subtomo.jobs.runner import run_job

    folder = tmp_path / "Count" / "job001"
    timer = threading.Timer(0.3, lambda: launch.cancel(folder))
    timer.start()
    with pytest.raises(JobCancelled):
        run_job("count", fake.CountOptions(steps=100, sleep=0.01), output=folder, project=tmp_path)
    timer.join()
    done = len((folder / "numbers.txt").read_text().splitlines())
    assert 0 < done < 100
    words, project = launch.resume_words(folder)
    monkeypatch.chdir(project.root)
    assert main([*words, "--quiet"]) == 0
    assert (folder / "numbers.txt").read_text().split() == [str(n) for n in range(100)]
    assert read_record(folder).resumed == 1
    assert job_state(folder).status == "finished"
