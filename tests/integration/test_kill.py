"""An extraction that is killed in the middle goes on with what is left to do and ends with the same result."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.terminal import environment, program, succeed

from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.jobs.follow import job_state
from napari_subtomo.jobs.record import read_record

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX systems")
LINE = "extract --from tomogram --optimisation-set optimisation_set.star --box-size 64 --crop-size 24 --threads 1 -o Extract/"
ENOUGH = 4


def subtomograms(folder: Path) -> set[Path]:
    """Files with data that have their final name."""
    return {path.relative_to(folder) for path in folder.glob("Subtomograms/*/*_data.mrc")}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """54 picks in two tomograms that are high enough for a box of 64 pixels."""
    sample = "--pixel-size 20 --width 160 --thickness 1600 --tilt-step 6 --particles 24 --false-fraction 0.1 --snr 1 --seed 3"
    succeed(f"simulate {tmp_path}/project {sample}", tmp_path)
    return tmp_path / "project"


def kill_in_the_middle(project: Path, folder: Path) -> set[Path]:
    """Start, kill once some particles are written; what was there then."""
    process = subprocess.Popen([*program(), *shlex.split(LINE + folder.name)], cwd=project, env=environment(), stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while len(subtomograms(folder)) < ENOUGH:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
    finally:
        process.kill()
        process.wait()
    return subtomograms(folder)


def test_only_the_rest_is_done_and_the_result_is_that_of_an_uninterrupted_run(project: Path) -> None:
    whole, broken = project / "Extract/whole", project / "Extract/broken"
    succeed(LINE + whole.name, project)
    done = kill_in_the_middle(project, broken)
    everything = subtomograms(whole)
    assert ENOUGH <= len(done) < len(everything)
    assert job_state(broken).status == "dead" and not (broken / "particles.star").exists()
    times = {path: (broken / path).stat().st_mtime_ns for path in done}

    succeed(LINE + broken.name, project)
    record = read_record(broken)
    assert (record.exit_status, record.resumed) == ("finished", 1)
    assert record.numbers["skipped"] == len(done)
    assert {path: (broken / path).stat().st_mtime_ns for path in done} == times

    assert subtomograms(broken) == everything
    assert not [path for path in broken.rglob(".*") if path.is_file()]
    for path in sorted(whole.glob("Subtomograms/*/*.mrc")):
        np.testing.assert_array_equal(read_mrc(broken / path.relative_to(whole)), read_mrc(path))
    one, other = (read_particles(folder / "particles.star") for folder in (whole, broken))
    assert one.table.labels == other.table.labels
    for label in one.table.labels:
        assert [text.replace("/whole/", "/broken/") for text in one.texts(label)] == list(other.texts(label))


def test_a_line_with_other_options_does_not_mix_with_what_was_begun(project: Path) -> None:
    folder = project / "Extract/broken"
    done = kill_in_the_middle(project, folder)
    answer = subprocess.run(
        [*program(), *shlex.split(LINE.replace("--crop-size 24", "--crop-size 32") + "broken")],
        cwd=project, env=environment(), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert answer.returncode == 3 and "was begun with other options (crop_size)" in answer.stderr
    assert subtomograms(folder) == done
