"""Where the files of a form come from: what was made last in this window, else what is shown, else the newest of the project."""

from __future__ import annotations

from pathlib import Path

from napari_subtomo.io.project import Project
from napari_subtomo.viewer.desk import Desk
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.sources import job_folders

#: Jobs whose particles a job takes, in no order: the newest product counts.
MAKERS = {
    "extract": ("pick", "select", "remove-duplicates", "extract"),
    "reconstruct": ("extract", "select", "remove-duplicates", "classify"),
    "classify": ("extract", "select", "remove-duplicates"),
}
#: Folders of jobs whose particles have images.
WITH_IMAGES = ("Extract", "Select")


def prefill(job: str, session: Session | None, desk: Desk) -> dict[str, Path]:
    """Files for the fields of a job's form, by field name; only fields with something to put in.

    Parameters
    ----------
    job : "extract", "reconstruct" or "classify"
    session : Session or None
        What the viewer shows.
    desk : Desk
        What was made in this viewer.
    """
    root = session.project if session is not None else None
    project = Project(root) if root is not None else None
    found: dict[str, Path | None] = {"particles": desk.latest("particles", *MAKERS[job], project=root)}
    if session is not None and session.tomogram_set is not None:
        found["tomograms"] = session.tomogram_set.path
    if found["particles"] is None and session is not None and project is not None:
        shown = session.sets[0].path if session.sets else None
        found["particles"] = shown if job == "extract" else newest(project, "particles.star", WITH_IMAGES) or shown
    if job == "classify":
        there = newest(project, "merged.mrc", ("Reconstruct",)) if project else None
        found["reference"] = desk.latest("merged", "reconstruct", project=root) or there
    return {name: path for name, path in found.items() if path is not None}


def newest(project: Project, name: str, kinds: tuple[str, ...]) -> Path | None:
    """The file of that name in the job with the highest number among jobs of some kinds."""
    for folder in job_folders(project.root):
        if folder.parent.name in kinds and (folder / name).is_file():
            return folder / name
    return None


def jobs_of(project: Project, kind: str) -> list[Path]:
    """Folders of one kind of job ("Extract", "Class3D", …), the newest first."""
    return [folder for folder in job_folders(project.root) if folder.parent.name == kind]
