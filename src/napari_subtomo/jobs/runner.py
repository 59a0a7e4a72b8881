"""Run a job in its folder: record, events, logs, RELION's markers, and a clean end on errors, signals and abort files."""

from __future__ import annotations

import os
import socket
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import InputError, JobCancelled, JobError, SubtomoError
from napari_subtomo.io.job_folders import finish
from napari_subtomo.io.pipeline import Status
from napari_subtomo.io.project import JobFolder, Project, allocate_job, find_project
from napari_subtomo.jobs import record as records
from napari_subtomo.jobs.commandline import command_words, shown
from napari_subtomo.jobs.events import EVENTS, plain
from napari_subtomo.jobs.lifetime import pulse, stop_on_signals
from napari_subtomo.jobs.opening import check_folder, claimed, clear_traces, put_aside
from napari_subtomo.jobs.process import process_token
from napari_subtomo.jobs.registry import JobSpec, get_job
from napari_subtomo.jobs.reporter import JobReporter
from napari_subtomo.options.base import JobOptions
from napari_subtomo.progress import Reporter

MARKER = {"finished": "RELION_JOB_EXIT_SUCCESS", "failed": "RELION_JOB_EXIT_FAILURE", "cancelled": "RELION_JOB_EXIT_ABORTED"}
PIPELINE: dict[str, Status] = {"finished": "Succeeded", "failed": "Failed", "cancelled": "Aborted"}


def run_job(
    name: str,
    options: JobOptions,
    *,
    output: str | Path | None = None,
    project: str | Path | Project | None = None,
    reporter: Reporter | None = None,
    overwrite: bool = False,
) -> tuple[JobFolder, JobResult]:
    """Run the job `name` and leave a folder that tells everything about it.

    Parameters
    ----------
    name : str
        Name in `registry.JOBS`.
    options : JobOptions
        Relative paths are taken from the current folder, or from `project` where only that holds the file.
    output : path, optional
        The job's folder, relative to the current folder (to `project`, if given); without it the next number in the project.
    project : path or Project, optional
        Without it the project is found from the first STAR file among the options.
    reporter : Reporter, optional
        Hears what is written to the folder as well; its `check` may stop the job.
    overwrite : bool
        Put former content of `output` into the project's trash.

    Returns
    -------
    JobFolder, JobResult

    Raises
    ------
    JobCancelled
        By SIGINT or SIGTERM (main thread), by an abort file in the folder, or by the reporter.
    JobError
        The folder is taken, or the system refused something (disk full, memory).
    SubtomoError
        What the verb found wrong.
    """
    spec = get_job(name)
    home = _project(spec, options, output, project)
    options = records.anchored(options, lambda path: _place(path, home if project is not None else None))
    if spec.folder is None and not spec.place:
        return _run_plain(spec, options, home, reporter)
    given = records.dump_options(options, home.name, given_only=True)
    resolved = records.dump_options(options, home.name)
    words = command_words(name, type(options), given, spec.positionals)
    path = _folder(spec, home, output, explicit=project is not None)
    if path is not None and overwrite:
        put_aside(path, None if spec.place else home)
    with claimed(path) if path is not None else nullcontext():
        former = check_folder(path, spec, resolved) if path is not None else None
        folder = JobFolder(home, home.root) if spec.place else allocate_job(home, str(spec.folder), path, command=shown(words))
        words = [*words[:1], folder.name(), *words[1:]] if spec.place else [*words, "-o", folder.name()]
        record = records.JobRecord(
            job=name,
            command_line=words,
            project=_way(folder.path, home),
            options=given,
            resolved=resolved,
            versions=records.versions(),
            started=records.now(),
            resumed=former.resumed + 1 if former else 0,
        )
        clear_traces(folder.path, resumed=former is not None)
        records.write_record(folder.path, record)
        _note(folder.path, words)
    job = JobReporter(folder.path, reporter)
    try:
        return folder, _run_recorded(spec, options, folder, job, record)
    finally:
        job.close()


def rerun(
    path: Path, *, output: str | Path | None = None, reporter: Reporter | None = None, overwrite: bool = False
) -> tuple[JobFolder, JobResult]:
    """Run the job of a record again with every option as it was, in a new folder of the same project.

    Parameters
    ----------
    path : Path
        A job_record.json or its folder.
    output : path, optional
        As in `run_job`; for a job that makes a whole project it is needed.
    """
    record = records.read_record(path)
    spec = get_job(record.job)
    folder = path if path.is_dir() else path.parent
    root = Path(os.path.normpath(folder.absolute() / record.project))
    if output is None and spec.place:
        raise InputError(f"Expected a folder for the new project, found none; give it with -o, e.g. -o {folder.name or 'project'}-again.")
    options = records.load_options(spec.model, record, root)
    target = Path(output).absolute() if output is not None else None
    return run_job(record.job, options, output=target, project=None if spec.place else root, reporter=reporter, overwrite=overwrite)


def _run_recorded(spec: JobSpec, options: JobOptions, folder: JobFolder, job: JobReporter, record: records.JobRecord) -> JobResult:
    """Run, and write how it ended whatever happens."""
    begun = time.monotonic()
    token = process_token(os.getpid())
    job.write("start", job=spec.name, pid=os.getpid(), host=socket.gethostname(), token=token, resumed=record.resumed)
    result: JobResult | None = None
    status, sentence = "failed", None
    try:
        with stop_on_signals(job.cancel), pulse(folder.path / EVENTS):
            result = _call(spec, options, folder, job)
        status = "finished"
        job.conclude(result.summary)
        return result
    except JobCancelled as error:
        status, sentence = "cancelled", str(error)
        raise
    except BaseException as error:
        sentence = str(error) if isinstance(error, SubtomoError) else f"{type(error).__name__}: {error}"
        job.error_log(traceback.format_exc())
        raise
    finally:
        seconds = round(time.monotonic() - begun, 3)
        outcome: dict[str, Any] = {"exit_status": status, "error": sentence, "ended": records.now(), "seconds": seconds}
        outputs = result.outputs if result is not None else {}
        if result is not None:
            outcome["outputs"] = {role: folder.project.name(path) for role, path in outputs.items()}
            outcome["numbers"] = plain(dict(result.numbers))
            outcome["summary"] = list(result.summary)
        _finish(folder, job, options, record.model_copy(update=outcome), outputs.values())


def _call(spec: JobSpec, options: JobOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """The verb, with the system's errors turned into sentences."""
    try:
        return spec.function(options, folder, reporter)
    except KeyboardInterrupt:
        raise JobCancelled("The job was interrupted; what it had finished is kept.") from None
    except MemoryError as error:
        raise JobError("There was not enough memory; use a smaller box, fewer classes or fewer threads.") from error
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise JobError(f"The system refused a file operation: {error.strerror or error}{where}; check space and permissions.") from error


def _finish(folder: JobFolder, job: JobReporter, options: JobOptions, record: records.JobRecord, outputs: Iterable[Path]) -> None:
    """Record first, then markers, the event last: who sees the event finds the rest."""
    try:
        records.write_record(folder.path, record)
        (folder.path / MARKER[record.exit_status]).touch()
        finish(folder, PIPELINE[record.exit_status], [path for path in _paths(options) if path.is_file()], outputs)
    finally:
        job.write("end", status=record.exit_status, error=record.error, seconds=record.seconds)


def _run_plain(spec: JobSpec, options: JobOptions, home: Project, reporter: Reporter | None) -> tuple[JobFolder, JobResult]:
    """A job without folder and record (`table`)."""
    folder = JobFolder(home, Path.cwd())
    job = JobReporter(None, reporter)
    with stop_on_signals(job.cancel):
        result = _call(spec, options, folder, job)
    job.conclude(result.summary)
    return folder, result


def _project(spec: JobSpec, options: JobOptions, output: str | Path | None, project: str | Path | Project | None) -> Project:
    if isinstance(project, Project):
        return project
    if spec.place:
        if output is None:
            raise InputError(f"Expected the folder to write to, found none; give it, e.g. {shown([spec.name, spec.place])}.")
        return Project(Path(output))
    star = next((path for path in _paths(options) if path.suffix == ".star" and path.is_file()), None)
    return find_project(star, project)


def _folder(spec: JobSpec, home: Project, output: str | Path | None, *, explicit: bool) -> Path | None:
    """The folder that the user named; None: the next number."""
    if spec.place:
        return home.root
    if output is None:
        return None
    return home.resolve(output) if explicit else Path(os.path.abspath(output))


def _paths(options: JobOptions) -> Iterator[Path]:
    """All paths among the options, in the order of the model."""
    for name in type(options).model_fields:
        value = getattr(options, name)
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(item, Path):
                yield item


def _place(path: Path, project: Project | None) -> Path:
    here = Path(os.path.abspath(path))
    if project is None or here.exists():
        return here
    there = project.resolve(path)
    return there if there.exists() else here


def _way(folder: Path, project: Project) -> str:
    """How to get from a job folder to its project: relative inside the project, absolute outside."""
    inside = folder.is_relative_to(project.root)
    return Path(os.path.relpath(project.root, folder)).as_posix() if inside else project.root.as_posix()


def _note(folder: Path, words: list[str]) -> None:
    """RELION's note of a job: when it was started and with what."""
    with (folder / "note.txt").open("a", encoding="utf-8") as stream:
        stream.write(f" ++++ Executing job on {records.now()}\n ++++ with the following command(s):\n{shown(words)}\n ++++\n")
