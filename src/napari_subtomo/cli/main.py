"""``napari-subtomo``: one command a job, made from the option models; nothing is imported but what the command needs."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from napari_subtomo.errors import DeviceError, InputError, JobCancelled, JobError, OptionError, SubtomoError
from napari_subtomo.jobs.commandline import PROGRAM
from napari_subtomo.jobs.registry import JOBS

#: exit status by kind of error, the first that fits
EXIT = ((JobCancelled, 130), (InputError, 2), (JobError, 3), (DeviceError, 4), (Exception, 1))


@dataclass(frozen=True)
class Command:
    """A command that is not a job."""

    help: str
    module: str


COMMANDS = {
    "demo": Command("the whole loop on a simulated sample, in a few minutes", "demo"),
    "open": Command("show a project's tomograms, particles and selection in napari, or as pictures", "open"),
    "rerun": Command("run the job of a job_record.json again", "rerun"),
}


def main(words: list[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    words : list of str, optional
        Without the program's name; default `sys.argv`.

    Returns
    -------
    int
        0; 2 wrong input, 3 the job cannot go on, 4 device, 130 stopped by the user, 1 an error of the program.
    """
    from napari_subtomo.cli.parser import silence_stdout, tolerant_streams

    words = sys.argv[1:] if words is None else list(words)
    tolerant_streams()
    command = words[0] if words else ""
    try:
        if command in ("", "-h", "--help", "help"):
            print(overview())
            return 0
        if command in ("-V", "--version"):
            from importlib.metadata import version

            print(f"{PROGRAM} {version(PROGRAM)}")
            return 0
        _find(command)(words[1:])
        sys.stdout.flush()
        return 0
    except SystemExit as leave:  # argparse, after --help
        return int(leave.code or 0)
    except BrokenPipeError:
        silence_stdout()
        return 0
    except KeyboardInterrupt:
        return _complain(command, JobCancelled("Interrupted."), debug=False)
    except Exception as error:
        return _complain(command, error, debug="--debug" in words)


def overview() -> str:
    """Text of ``napari-subtomo --help``."""
    lines = [f"usage: {PROGRAM} COMMAND ...", "", "Pick, extract, average, classify, choose, and hand back to RELION 5.", "", "Jobs:"]
    jobs = [(name, spec.help) for name, spec in JOBS.items() if spec.available]
    width = max(len(name) for name in (*JOBS, *COMMANDS)) + 2
    lines += [f"  {name:<{width}}{help}" for name, help in jobs]
    lines += ["", "Other commands:"]
    lines += [f"  {name:<{width}}{command.help}" for name, command in COMMANDS.items()]
    lines += ["", f"`{PROGRAM} COMMAND --help` explains a command, `{PROGRAM} --version` tells the version."]
    lines += ["Exit status: 0 done, 2 wrong input, 3 the job cannot go on, 4 device, 130 stopped, 1 an error of the program."]
    return "\n".join(lines)


def _find(name: str) -> Callable[[list[str]], None]:
    """The function of a command."""
    import importlib

    if name in COMMANDS:
        function: Callable[[list[str]], None] = importlib.import_module(f"napari_subtomo.cli.{COMMANDS[name].module}_command").run
        return function
    if name in JOBS:
        from functools import partial

        from napari_subtomo.cli.job_command import run

        return partial(run, name)
    from napari_subtomo.cli.parser import similar

    raise OptionError(f"There is no command '{name}'{similar(name, (*JOBS, *COMMANDS))}; see {PROGRAM} --help.")


def _complain(command: str, error: Exception, *, debug: bool) -> int:
    """Say what went wrong in one sentence; the exit status."""
    status = next(status for kind, status in EXIT if isinstance(error, kind))
    if debug:
        traceback.print_exception(error)
    who = f"{PROGRAM} {command}" if command in JOBS or command in COMMANDS else PROGRAM
    if isinstance(error, SubtomoError):
        print(f"{who}: {error}", file=sys.stderr)
    else:
        hint = "" if debug else " (an error of the program; --debug shows where, and run.err in the job's folder has it)"
        print(f"{who}: {type(error).__name__}: {error}{hint}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
