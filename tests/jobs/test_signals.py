"""A program that is stopped or killed leaves a folder that says so and goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from napari_subtomo.jobs.follow import Follower, job_state
from napari_subtomo.jobs.record import read_record

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX systems")
WORDS = ["count", "--steps", "40", "--sleep", "0.05", "-o", "out"]


@contextmanager
def started(program: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The program, once it has counted to 3."""
    # A shell starts programs in the background with Ctrl+C ignored, and they pass that on.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen([sys.executable, str(program), *WORDS], cwd=folder, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, former)
    follower = Follower(folder / "out")
    deadline = time.monotonic() + 60
    try:
        while len(follower.poll().iterations) < 3:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_at_the_next_check(program: Path, tmp_path: Path, number: signal.Signals) -> None:
    with started(program, tmp_path) as process:
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 130
    assert "napari-subtomo count: The job was stopped on request" in said and "Traceback" not in said
    assert read_record(tmp_path / "out").exit_status == job_state(tmp_path / "out").status == "cancelled"
    assert (tmp_path / "out" / "RELION_JOB_EXIT_ABORTED").exists()


def test_a_killed_job_is_seen_as_dead_and_goes_on_where_it_was(program: Path, tmp_path: Path) -> None:
    with started(program, tmp_path) as process:
        assert job_state(tmp_path / "out").status == "running"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
    assert job_state(tmp_path / "out").status == "dead"
    assert read_record(tmp_path / "out").exit_status == "running"
    before = (tmp_path / "out" / "numbers.txt").read_text().splitlines()
    assert 3 <= len(before) < 40
    done = subprocess.run([sys.executable, str(program), *WORDS], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"Starting after {len(before)}." in done.stderr
    assert (tmp_path / "out" / "numbers.txt").read_text().split() == [str(number) for number in range(40)]
    state = job_state(tmp_path / "out")
    assert state.status == "finished" and len(state.iterations) in (39, 40)  # a kill between file and event costs one
