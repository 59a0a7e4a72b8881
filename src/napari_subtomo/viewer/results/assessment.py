"""What an assessment says, read from its job folder, and which assessment belongs to which classification."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_subtomo.assess.job import PICTURE
from napari_subtomo.errors import SubtomoError
from napari_subtomo.io.project import Project
from napari_subtomo.jobs.record import JobRecord, read_record
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.prefill import jobs_of
from napari_subtomo.viewer.results.pictures import job_title

FOLDER = "Assess"


@dataclass(frozen=True)
class Assessment:
    """Of one job.

    Attributes
    ----------
    title : str
        The job.
    lines : tuple of str
        Its summary.
    picture : Path or None
    """

    title: str
    lines: tuple[str, ...]
    picture: Path | None


def read_assessment(folder: Path, project: Project, reporter: Reporter) -> Assessment:
    """Read the summary and the picture of a job folder. Errors as in `read_record`."""
    record = read_record(folder)
    picture = folder / PICTURE
    return Assessment(job_title(folder, project), tuple(record.summary), picture if picture.is_file() else None)


def assessment_of(classification: Path, project: Project) -> Path | None:
    """The newest finished assessment of any iteration of a classification."""
    for folder in jobs_of(project, FOLDER):
        try:
            record: JobRecord = read_record(folder)
        except SubtomoError:
            continue
        optimiser = record.resolved.get("optimiser")
        if record.exit_status == "finished" and isinstance(optimiser, str) and project.resolve(optimiser).parent == classification:
            return folder
    return None
