"""A project in pictures, for machines without a display."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_subtomo.errors import InputError, SubtomoError
from napari_subtomo.viewer.class_figures import curves_figure, gallery_figure
from napari_subtomo.viewer.classjob import ClassJob, find_class_job
from napari_subtomo.viewer.figures import tomogram_figure
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.overlay import resolve
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.sources import class_folders, project_of
from napari_subtomo.viewer.volume import tomogram_volume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "pictures"


def make_pictures(directory: str | Path, out: str | Path | None = None) -> list[Path]:
    """Write what `open` would show as PNG files.

    One picture a tomogram with particles (a slab with kept particles coloured by class, rejected ones as crosses, scale bar, legend with
    counts); `classes.png` and `curves.png` of the newest classification, also of one by RELION.

    Parameters
    ----------
    directory : str or Path
        Project folder, job folder or STAR file.
    out : str or Path, optional
        Folder of the pictures; `pictures` in the project or beside the file by default.

    Returns
    -------
    list of Path
        Tomograms first.

    Raises
    ------
    InputError
        There is nothing to show.
    """
    path = Path(directory)
    folder = Path(out) if out is not None else (path if path.is_dir() else path.parent) / FOLDER
    session, failure = _session(path)
    job = class_job_of(path)
    if session is None and job is None:
        assert failure is not None
        raise failure
    written: list[Path] = []
    if session is not None:
        for name in session.names:
            if session.counts(name) != (0, 0) or len(session.names) == 1:
                written.append(_write(_tomogram_picture(session, name), folder / f"tomogram_{_safe(name)}.png"))
    if job is not None:
        if any(path is not None for path in job.maps):
            written.append(_write(gallery_figure(job, _kept_classes(session)), folder / "classes.png"))
        written.append(_write(curves_figure(job), folder / "curves.png"))
    return written


def _session(path: Path) -> tuple[Session | None, SubtomoError | None]:
    try:
        return load_session(path), None
    except InputError as error:
        return None, error


def class_job_of(path: Path) -> ClassJob | None:
    """The classification that a path belongs to: in its own folder, else the newest one of the project."""
    if not path.exists():
        return None
    project = project_of(path)
    own = path if path.is_dir() else path.parent
    for folder in [own, *class_folders(project)]:
        job = find_class_job(folder, project)
        if job is not None:
            return job
    return None


def _kept_classes(session: Session | None) -> frozenset[int] | None:
    """Classes of the kept particles, if the session is a selection."""
    if session is None or session.kept.all():
        return None
    return frozenset(int(number) for number in session.table.classes[session.kept])


def _tomogram_picture(session: Session, name: str) -> Figure:
    shown = replace(session, shown=name)
    kept, rejected = shown.counts(name)
    turned_down = f", {rejected} rejected" if rejected else ""
    title = f"{name} · {session.title} · {kept} kept{turned_down}"
    volume = tomogram_volume(shown.tomogram)
    shape = shown.tomogram.frame.file_shape_zyx() if volume is None else volume.data.shape
    return tomogram_figure(resolve(shown), volume, (shape[0], shape[1], shape[2]), title)


def _write(figure: Figure, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight", pad_inches=0.15)
    return path


def _safe(name: str) -> str:
    """A tomogram's name as part of a file name: `TS 1.mrc` becomes `TS_1.mrc`."""
    return re.sub(r"[^\w.+-]", "_", name)
