"""Start a job in a process of its own, and talk to any running job through its folder.

A process of its own keeps the window alive whatever a job does, gives all memory of a device back at its end, and outlives the window.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from weakref import finalize

from napari_subtomo.io.job_folders import next_number
from napari_subtomo.io.project import Project
from napari_subtomo.jobs.commandline import command_words
from napari_subtomo.jobs.record import dump_options, read_record
from napari_subtomo.jobs.registry import get_job
from napari_subtomo.jobs.reporter import ABORT_FILES, PAUSE_FILE
from napari_subtomo.options.base import JobOptions

#: characters of a process's last words that are kept
LAST_WORDS = 4000


@dataclass
class Launched:
    """A job in a process of its own.

    Attributes
    ----------
    folder : Path
        Where it writes, once it has begun.
    words : list of str
        The command after the program's name.
    """

    folder: Path
    words: list[str]
    process: subprocess.Popen[bytes]
    _said: Path

    def __post_init__(self) -> None:
        finalize(self, _leave, self.process, self._said)

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self.process.poll() is None

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self.process.pid

    def detach(self) -> None:
        """Let it run on without anybody here who waits for its end."""
        _leave(self.process, self._said)

    def complaint(self) -> str:
        """What it wrote to its error stream: the reason, where a job ended before it had a folder."""
        text = self._said.read_text(encoding="utf-8", errors="replace").strip()[-LAST_WORDS:]
        last = text.splitlines()[-1] if text else ""
        return last.split(": ", 1)[1] if last.startswith("napari-subtomo ") and ": " in last else last


def _leave(process: subprocess.Popen[bytes], said: Path) -> None:
    """Let a process run on; nobody here asks for its end."""
    said.unlink(missing_ok=True)
    if process.poll() is None:
        process.returncode = 0


def job_words(name: str, options: JobOptions, project: Project, folder: Path) -> list[str]:
    """The words after the program's name that run a job into a folder, with paths as seen from the project.

    Parameters
    ----------
    name : str
        Job in the registry.
    options : JobOptions
    project : Project
    folder : Path
        Job folder.
    """
    spec = get_job(name)
    given = dump_options(options, project.name, given_only=True)
    return [*command_words(name, type(options), given, spec.positionals), "-o", project.name(folder)]


def launch(words: list[str], project: Project, folder: Path) -> Launched:
    """Start a command in the project's folder, in a session of its own, so that it lives on when the window is closed.

    Parameters
    ----------
    words : list of str
        As of `job_words` or of a job's record.
    project : Project
    folder : Path
        The folder that the words name.
    """
    handle, said = tempfile.mkstemp(prefix="napari-subtomo-", suffix=".err")
    command = [sys.executable, "-m", "napari_subtomo", *words, "--quiet"]
    try:
        process = subprocess.Popen(
            command, cwd=project.root, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=handle, start_new_session=True
        )
    finally:
        os.close(handle)
    return Launched(folder, words, process, Path(said))


def resume_words(folder: Path) -> tuple[list[str], Project]:
    """The words that go on with the job of a folder, and its project.

    Raises
    ------
    FileMissingError
        The folder has no record of ours.
    """
    record = read_record(folder)
    root = (folder / record.project).resolve()
    return list(record.command_line), Project(root)


def next_folder(name: str, project: Project) -> Path:
    """The folder that the next job of this kind gets: RELION's counter where the project has one, else one above the highest number."""
    kind = get_job(name).folder
    assert kind is not None
    return project.root / kind / f"job{next_number(project):03d}"


def cancel(folder: Path) -> None:
    """Ask the job of a folder to stop: by the file that RELION's own programs look for."""
    (folder / ABORT_FILES[0]).touch()
    (folder / PAUSE_FILE).unlink(missing_ok=True)


def pause(folder: Path) -> None:
    """Make the job of a folder wait at its next check; `unpause` lets it go on. RELION's programs know no pause."""
    (folder / PAUSE_FILE).touch()


def unpause(folder: Path) -> None:
    """Let a paused job go on."""
    (folder / PAUSE_FILE).unlink(missing_ok=True)
