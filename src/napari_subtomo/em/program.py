"""Run an outside program to its end, or until the job is asked to stop."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from napari_subtomo.errors import FileMissingError, JobError, OptionError
from napari_subtomo.progress import Reporter

POLL = 0.2  # seconds between two looks for a stop


def words_of(command: str) -> tuple[str, ...]:
    """The words of a command line.

    Raises
    ------
    OptionError
        A quote that is opened and never closed.
    """
    try:
        return tuple(shlex.split(command, posix=os.name != "nt"))
    except ValueError as error:
        raise OptionError(f"Expected a program and its arguments, found {command!r} ({error}); close the quote.") from error


def found_program(words: Sequence[str], root: Path, missing: str) -> tuple[str, ...]:
    """The words with the whole path of the program, which is looked for on the path and from the folder `root`.

    Raises
    ------
    FileMissingError
        With the sentence `missing`.
    """
    beside = root / words[0]
    program = shutil.which(words[0]) or (str(beside) if beside.is_file() and os.access(beside, os.X_OK) else None)
    if program is None:
        raise FileMissingError(missing)
    return program, *words[1:]


def run_program(words: Sequence[str], root: Path, log: Path, reporter: Reporter) -> int:
    """Run a program in the folder `root` and wait for its end; its process group ends with us, however that comes.

    Parameters
    ----------
    words : sequence of str
    root : Path
    log : Path
        Gets both of its output streams.
    reporter : Reporter
        Asked for a stop.

    Returns
    -------
    int
        Exit status; negative: the number of the signal that ended it.

    Raises
    ------
    JobCancelled
        A stop was asked for; the program was killed.
    JobError
        It cannot be started.
    """
    with log.open("wb") as said:
        try:
            process = subprocess.Popen(
                words, cwd=root, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise JobError(f"Cannot run {shlex.join(words)}: {error.strerror or error}; check that it is a program.") from error
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(POLL)
                reporter.check()
        finally:
            if process.poll() is None:
                _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started; where there are no process groups, the process alone."""
    if os.name == "posix":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()
