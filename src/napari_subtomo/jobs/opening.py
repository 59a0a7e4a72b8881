"""May a job write to this folder, and does it begin or go on?"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import FileFormatError, InputError, JobError
from napari_subtomo.io.project import Project
from napari_subtomo.jobs.commandline import key
from napari_subtomo.jobs.events import EVENTS, plain
from napari_subtomo.jobs.follow import MARKERS, job_state
from napari_subtomo.jobs.record import RECORD, JobRecord, read_record
from napari_subtomo.jobs.registry import JobSpec
from napari_subtomo.jobs.reporter import ABORT_FILES, PAUSE_FILE

#: where RELION keeps what a user removed
TRASH = "Trash"
#: a claim older than this (s) was left by a process that was killed; claims are held for milliseconds
CLAIM = 60.0
#: what a run writes before and besides its results
TRACES = frozenset((RECORD, EVENTS, "run.out", "run.err", "note.txt", "job.star", "job_pipeline.star", *MARKERS, *ABORT_FILES, PAUSE_FILE))
STOP = "wait for it, or stop it by an empty file 'cancel' in that folder"


def holds_traces_only(folder: Path) -> bool:
    """Whether a run left its record, logs and markers there and nothing that a next run could mistake for its own."""
    return all(path.name.startswith(".") or (path.name in TRACES and path.is_file()) for path in folder.iterdir())


def is_empty(folder: Path) -> bool:
    """Whether there is nothing in it but hidden files."""
    return not folder.is_dir() or all(path.name.startswith(".") for path in folder.iterdir())


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep a second process from starting in the same folder at the same moment.

    Raises
    ------
    JobError
        Another one is just starting there.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"Expected a folder for the output, found the file {folder}; choose another name.")
    claim = folder / ".starting"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if time.time() - claim.stat().st_mtime > CLAIM:
                claim.rmdir()
        claim.mkdir()
    except FileExistsError:
        raise JobError(f"Another job is just starting in {folder}; choose another folder with -o.") from None
    except OSError as error:
        raise JobError(f"Cannot write into {folder}: {error.strerror or error}; check permissions and space.") from error
    try:
        yield
    finally:
        with suppress(OSError):
            claim.rmdir()


def differences(spec: JobSpec, former: Mapping[str, Any], resolved: Mapping[str, Any]) -> list[str]:
    """Names of the options that differ and matter for the result; one that an older record does not know had its default."""
    defaults = {key(name, info): plain(info.get_default()) for name, info in spec.model.model_fields.items() if not info.is_required()}
    former = {**defaults, **former}
    names = former.keys() | resolved.keys()
    return sorted(name for name in names if name not in spec.free and former.get(name) != resolved.get(name))


def check_folder(folder: Path, spec: JobSpec, resolved: Mapping[str, Any]) -> JobRecord | None:
    """Whether a job with options `resolved` may use a folder that exists.

    Returns
    -------
    JobRecord or None
        The record of the run that is gone on with: unfinished and with the same options, or asked to become longer. None: begin.

    Raises
    ------
    JobError
        The folder holds something else: a finished job, another job, other options, a running job, files of no job of ours.
    """
    if is_empty(folder):
        return None
    another = f"choose another folder{'' if spec.place else ' with -o'}, or add --overwrite to put the former content into the trash"
    if not (folder / RECORD).is_file():
        raise JobError(f"Expected an empty or new folder for the output, found files of something else in {folder}; {another}.")
    try:
        record = read_record(folder)
    except FileFormatError as error:
        raise JobError(f"Expected a record of this program in {folder}, found a damaged one; {another}.") from error
    if job_state(folder).status == "running":
        raise JobError(f"A {record.job} job is still running in {folder}; {STOP}.")
    if record.job != spec.name:
        raise JobError(f"Expected a {spec.name} job in {folder}, found a {record.job} job; {another}.")
    differ = differences(spec, record.resolved, resolved)
    longer = {spec.extends} if spec.extends in differ and resolved[spec.extends] > record.resolved.get(spec.extends, 0) else set()
    longer |= {spec.stops} if spec.stops in differ and not resolved[spec.stops] else set()
    differ = [name for name in differ if name not in longer]
    if longer and not differ:
        return record
    if record.exit_status == "finished":
        other = f" (with other options: {', '.join(differ)})" if differ else ""
        raise JobError(f"A finished {record.job} job{other} is in {folder}; {another}.")
    if differ and holds_traces_only(folder):
        return None  # refused input is corrected and tried again
    if differ:
        raise JobError(f"The unfinished {spec.name} job in {folder} was begun with other options ({', '.join(differ)}); {another}.")
    return record if spec.resumes else None


def finished_result(folder: Path, spec: JobSpec, resolved: Mapping[str, Any], project: Project) -> JobResult | None:
    """What a finished job with the same options left in a folder, all of it still there; None where there is no such job."""
    if not (folder / RECORD).is_file():
        return None
    try:
        record = read_record(folder)
    except FileFormatError:
        return None
    if record.job != spec.name or record.exit_status != "finished" or differences(spec, record.resolved, resolved):
        return None
    outputs = {role: project.resolve(name) for role, name in record.outputs.items()}
    if not all(path.exists() for path in outputs.values()):
        return None
    return JobResult(outputs, tuple(record.summary), record.numbers)


def clear_traces(folder: Path, *, resumed: bool) -> None:
    """Remove what would tell of a former run: markers, abort and pause files, and unless it is gone on with, its events and logs."""
    for name in (*MARKERS, *ABORT_FILES, PAUSE_FILE):
        (folder / name).unlink(missing_ok=True)
    if not resumed:
        for name in (EVENTS, "run.out", "run.err"):
            (folder / name).unlink(missing_ok=True)


def put_aside(folder: Path, project: Project | None) -> Path | None:
    """Move a folder to the trash of its project, or to a new name beside it where it is in none; nothing is deleted.

    Returns
    -------
    Path or None
        Where it is now; None where there was nothing to move.

    Raises
    ------
    JobError
        A job runs in it, it holds the project itself, or it cannot be moved.
    """
    if is_empty(folder):
        return None
    if (project and project.root.is_relative_to(folder)) or Path.cwd().is_relative_to(folder):
        raise JobError(f"--overwrite would move {folder}, which holds the project or the current folder; choose another folder with -o.")
    if (folder / RECORD).is_file() and job_state(folder).status == "running":
        raise JobError(f"A job is still running in {folder}; {STOP}.")
    if project and folder.is_relative_to(project.root):
        base = project.root / TRASH / folder.relative_to(project.root)
    else:
        base = folder.with_name(f"{folder.name}.former")
    target, number = base, 1
    while target.exists():
        number += 1
        target = base.with_name(f"{base.name}_{number}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, target)
    except OSError as error:
        raise JobError(f"Cannot move {folder} to {target}: {error.strerror or error}; move it away by hand.") from error
    return target
