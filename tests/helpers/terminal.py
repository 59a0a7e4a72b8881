"""The program as a user meets it: command lines in a project folder, in this process or in one of their own."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from napari_subtomo.cli.main import main

#: options of `simulate` for 20 picks in two tomograms, 16 of them particles that are easily seen
SMALL = "--tomograms 2 --particles 8 --thickness 800 --tilt-step 6 --snr 0.3 --false-fraction 0.2 --seed 2"


@dataclass(frozen=True)
class Answer:
    """What a command line left: exit status and both streams."""

    status: int
    out: str
    err: str


def environment() -> dict[str, str]:
    """Of a machine without a display, with one thread in the numerical libraries."""
    away = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    kept = {k: v for k, v in os.environ.items() if k not in away}
    if not sys.platform.startswith("linux"):
        kept["QT_QPA_PLATFORM"] = "offscreen"
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def program() -> list[str]:
    """The installed command, or the module where the scripts are not beside Python."""
    script = Path(sys.executable).with_name("napari-subtomo")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "napari_subtomo.cli.main"]


def shell(line: str, folder: Path) -> Answer:
    """A command line in a process of its own."""
    done = subprocess.run(
        [*program(), *shlex.split(line)], cwd=folder, env=environment(), capture_output=True, text=True, timeout=300, check=False
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def here(line: str, folder: Path) -> Answer:
    """A command line in this process, which saves the start of Python."""
    out, err = io.StringIO(), io.StringIO()
    with patch.dict(os.environ, environment(), clear=True), chdir(folder), redirect_stdout(out), redirect_stderr(err):
        status = main(shlex.split(line))
    return Answer(status, out.getvalue(), err.getvalue())


def succeed(line: str, folder: Path) -> Answer:
    """A command line in this process that must go well."""
    answer = here(line, folder)
    assert answer.status == 0, f"{line}\n{answer.err}"
    return answer
