"""A viewer follows the folder alone, whatever wrote it."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_subtomo.jobs.events import EVENTS, Event, EventLog, plain
from napari_subtomo.jobs.follow import SILENCE, Follower, fold, job_state
from napari_subtomo.jobs.process import is_alive, process_token
from napari_subtomo.jobs.reporter import JobReporter

ME = {"job": "count", "pid": os.getpid(), "host": socket.gethostname(), "token": process_token(os.getpid())}


def append(folder: Path, time: float, kind: str, **data: Any) -> None:
    with (folder / EVENTS).open("a") as stream:
        stream.write(json.dumps({"time": time, "kind": kind, "data": data}) + "\n")


def test_the_state_is_a_fold_over_the_events() -> None:
    state = fold(
        [
            Event(10, "start", ME),
            Event(11, "stage", {"name": "E-step", "total": 40, "unit": "particles"}),
            Event(14, "iteration", {"iteration": 1}),
            Event(15, "progress", {"done": 10, "total": 40}),
        ]
    )
    assert (state.status, state.job, state.stage, state.fraction) == ("running", "count", "E-step", 0.25)
    assert state.eta_seconds == pytest.approx(12)  # 10 in 4 s, so 30 more in 12 s
    assert list(state.iterations) == [{"iteration": 1}]
    over = fold([Event(20, "end", {"status": "failed", "error": "no"})], state)
    assert (over.status, over.error, over.started, over.ended, over.eta_seconds) == ("failed", "no", 10, 20, None)


def test_a_resumed_run_keeps_its_iterations_and_a_new_one_does_not() -> None:
    first = [Event(1, "start", ME), Event(2, "iteration", {"iteration": 1})]
    assert len(fold([*first, Event(3, "start", {**ME, "resumed": 1})]).iterations) == 1
    assert len(fold([*first, Event(3, "start", {**ME, "resumed": 0})]).iterations) == 0


def test_a_follower_reads_what_is_new_and_waits_for_whole_lines(tmp_path: Path) -> None:
    follower = Follower(tmp_path / "job")
    assert follower.poll().status == "waiting"
    (tmp_path / "job").mkdir()
    append(tmp_path / "job", 1, "start", **ME)
    append(tmp_path / "job", 2, "message", text="line\u2028one")
    assert follower.poll().messages == ("line\u2028one",)
    half = json.dumps({"time": 3, "kind": "message", "data": {"text": "two"}})
    with (tmp_path / "job" / EVENTS).open("a") as stream:
        stream.write(half[:20])
    assert len(follower.poll().messages) == 1
    with (tmp_path / "job" / EVENTS).open("a") as stream:
        stream.write(half[20:] + "\n")
    assert follower.poll().messages[1] == "two"
    assert follower.damaged == 0


def test_a_line_torn_by_a_kill_is_passed_over(tmp_path: Path) -> None:
    append(tmp_path, 1, "start", **ME)
    with (tmp_path / EVENTS).open("a") as stream:
        stream.write('{"time": 2, "ki')
    log = EventLog(tmp_path / EVENTS)
    log.write("message", {"text": "after"})
    log.close()
    follower = Follower(tmp_path)
    assert follower.poll().messages == ("after",)
    assert follower.damaged == 1


def test_a_file_that_began_anew_is_read_from_its_beginning(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    append(tmp_path, 1, "start", **ME)
    for number in range(5):
        append(tmp_path, 2, "message", text=str(number))
    follower.poll()
    (tmp_path / EVENTS).unlink()
    append(tmp_path, 9, "start", **ME)
    assert follower.poll().messages == ()
    assert follower.state.started == 9


def test_a_job_whose_process_went_away_is_dead(tmp_path: Path) -> None:
    append(tmp_path, 1, "start", **ME)
    assert job_state(tmp_path).status == "running"
    (tmp_path / EVENTS).unlink()
    append(tmp_path, 1, "start", **{**ME, "pid": 2**22 + 1})
    assert job_state(tmp_path).status == "dead"


@pytest.mark.skipif(not process_token(os.getpid()), reason="this system does not tell when a process began")
def test_another_process_with_the_same_number_is_not_the_job(tmp_path: Path) -> None:
    assert is_alive(os.getpid(), process_token(os.getpid()))
    append(tmp_path, 1, "start", **{**ME, "token": "1"})
    assert job_state(tmp_path).status == "dead"


def test_a_job_of_another_computer_is_judged_by_its_silence(tmp_path: Path) -> None:
    append(tmp_path, 1, "start", **{**ME, "host": "cluster-node-7", "pid": 1})
    assert job_state(tmp_path).status == "running"
    old = time.time() - SILENCE - 1
    os.utime(tmp_path / EVENTS, (old, old))
    assert job_state(tmp_path).status == "dead"


def test_a_relion_job_is_known_by_its_markers(tmp_path: Path) -> None:
    (tmp_path / "run.out").touch()
    assert job_state(tmp_path).status == "running"
    (tmp_path / "RELION_JOB_EXIT_SUCCESS").touch()
    assert job_state(tmp_path).status == "finished"


def test_progress_is_limited_but_its_last_count_is_always_there(tmp_path: Path) -> None:
    job = JobReporter(tmp_path)
    job.stage("Work", 10000)
    for _ in range(9999):
        job.advance()
    job.stage("Rest")
    job.advance(3)
    job.close()
    lines = [json.loads(line) for line in (tmp_path / EVENTS).read_text().splitlines()]
    counts = [line["data"]["done"] for line in lines if line["kind"] == "progress"]
    assert 9999 in counts and counts[-1] == 3 and counts[0] == 1
    # 5 a second at most: the time that the loop took is in the events themselves
    assert len(counts) <= 5 * (lines[-1]["time"] - lines[0]["time"]) + 5


def test_events_hold_numbers_that_any_reader_of_json_takes() -> None:
    data = {"a": np.float32(0.5), "b": np.arange(2), "c": float("nan"), "d": Path("x/y"), "e": (1, np.inf), "f": {3: np.bool_(True)}}
    assert json.loads(json.dumps(plain(data), allow_nan=False)) == {
        "a": 0.5, "b": [0, 1], "c": None, "d": "x/y", "e": [1, None], "f": {"3": True},
    }  # fmt: skip
