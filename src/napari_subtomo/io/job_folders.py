"""Making job folders and telling RELION about them."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from napari_subtomo.errors import InputError, JobError
from napari_subtomo.io.pipeline import Pipeline, Status, node_label, relion_lock, touch_nodes, write_job_pipeline, write_job_star
from napari_subtomo.io.project import JobFolder, Project

_NUMBER = re.compile(r"^job(\d{3,})$")
_NAME = re.compile(r"^[^/]+/job(\d{3,})$")


def job_folders(project: Project) -> Iterator[tuple[int, Path]]:
    """Number and path of every job folder `*/jobNNN` of the project."""
    if not project.root.is_dir():
        return
    for kind in sorted(project.root.iterdir()):
        if not kind.name.startswith(".") and kind.is_dir():
            for folder in sorted(kind.iterdir()):
                match = _NUMBER.match(folder.name)
                if match and folder.is_dir():
                    yield int(match.group(1)), folder


def next_number(project: Project) -> int:
    """The number that the next job would get: RELION's counter where there is one, never one that a job folder has."""
    above = max((number for number, _ in job_folders(project)), default=0) + 1
    return max(above, Pipeline.read(project.root).counter) if project.has_pipeline else above


def allocate(project: Project, kind: str, output: str | Path | None = None, *, command: str = "napari-subtomo") -> JobFolder:
    """Make the folder of a new job.

    With RELION's pipeline in the project its counter gives the number and the job is listed in RELION's GUI as running; otherwise the
    number is one above the highest of all job folders. Two jobs that start at once never get the same number.

    Parameters
    ----------
    project : Project
    kind : str
        Folder of the job type, e.g. "Extract".
    output : str or Path, optional
        The folder that the user named (relative to the current folder), which may exist. RELION's pipeline lists it if it is a job
        folder of the project.
    command : str
        The command line, for RELION's GUI.

    Raises
    ------
    JobError
        The folder cannot be made, or RELION's lock stays taken.
    InputError
        `output` is a file.
    """
    if output is not None:
        folder = JobFolder(project, Path(output))
        if folder.path.exists() and not folder.path.is_dir():
            raise InputError(f"Expected a folder for the output, found the file {folder.path}; choose another name.")
        _make(folder.path, exist_ok=True)
        if project.has_pipeline and _NAME.match(folder.name()):
            with relion_lock(project.root, f"napari-subtomo: {folder.name()}"):
                return _register(folder, Pipeline.read(project.root), command)
        return folder
    if project.has_pipeline:
        with relion_lock(project.root, f"napari-subtomo: new job in {kind}"):
            pipeline = Pipeline.read(project.root)
            taken = {number for number, _ in job_folders(project)}
            number = pipeline.counter
            while number in taken or not _make(_path(project, kind, number), exist_ok=False):
                number += 1
            return _register(JobFolder(project, _path(project, kind, number)), pipeline, command)
    return JobFolder(project, _unlocked(project, kind))


def _path(project: Project, kind: str, number: int) -> Path:
    return project.root / kind / f"job{number:03d}"


def _unlocked(project: Project, kind: str) -> Path:
    """A new folder without RELION's lock: whoever made it first keeps the number; of two kinds with one number both step back."""
    while True:
        number = max((n for n, _ in job_folders(project)), default=0) + 1
        folder = _path(project, kind, number)
        if not _make(folder, exist_ok=False):
            continue
        if sum(n == number for n, _ in job_folders(project)) == 1:
            return folder
        folder.rmdir()
        time.sleep(random.uniform(0, 0.05))


def _make(folder: Path, *, exist_ok: bool) -> bool:
    """Make a folder; False if it is there and must not be."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(exist_ok=exist_ok)
    except FileExistsError:
        return False
    except OSError as error:
        raise JobError(f"Cannot make the job folder {folder}: {error.strerror or error}; check permissions and space.") from error
    return True


def _register(folder: JobFolder, pipeline: Pipeline, command: str) -> JobFolder:
    """List a job as running; the lock is held. Pipelines of RELION 3 get the counter only."""
    match = _NAME.match(folder.name())
    assert match is not None
    pipeline.counter = max(pipeline.counter, int(match.group(1)) + 1)
    job = folder.name() + "/"
    if pipeline.has_labels:
        pipeline.set_job(job, "Running")
        write_job_star(folder.path, command)
        write_job_pipeline(folder.path, job, "Running", (), ())
    pipeline.write(folder.project.root)
    return replace(folder, registered=pipeline.has_labels)


def finish(folder: JobFolder, status: Status, inputs: Iterable[str | Path] = (), outputs: Iterable[str | Path] = ()) -> None:
    """Tell RELION's pipeline how a job ended, what it read and what it wrote; nothing where it is not listed.

    Parameters
    ----------
    folder : JobFolder
    status : "Succeeded", "Failed" or "Aborted"
    inputs, outputs : paths
        Files (absolute, or relative to the project). Outputs that do not exist, files outside the project and files of no type that
        RELION knows are left out.

    Raises
    ------
    JobError
        RELION's lock stays taken.
    """
    if not folder.registered:
        return
    project, job = folder.project, folder.name() + "/"

    def names(paths: Iterable[str | Path]) -> list[str]:
        texts = dict.fromkeys(project.name(path) for path in paths)
        return [t for t in texts if not Path(t).is_absolute() and node_label(t) and (project.root / t).exists()]

    reads, wrote = names(inputs), names(outputs)
    with relion_lock(project.root, f"napari-subtomo: {job} {status}"):
        pipeline = Pipeline.read(project.root)
        pipeline.set_job(job, status)
        pipeline.add_inputs(job, reads)
        pipeline.add_outputs(job, wrote)
        pipeline.write(project.root)
    write_job_pipeline(folder.path, job, status, reads, wrote)
    touch_nodes(project.root, wrote)
