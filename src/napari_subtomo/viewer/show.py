"""`napari-subtomo open`: a project in napari, or in pictures where there is no display."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from napari_subtomo.errors import InputError
from napari_subtomo.viewer.class_figures import curves_figure, gallery_figure, missing_sentence
from napari_subtomo.viewer.classjob import ClassJob
from napari_subtomo.viewer.figures import pixels_of
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.pictures import class_job_of, make_pictures
from napari_subtomo.viewer.view import ProjectView, open_session

if TYPE_CHECKING:
    from napari import Viewer
    from napari.components import ViewerModel

#: Command of the dock in the manifest, and the name by which napari's menu knows the dock.
DOCK_COMMAND, DOCK_NAME = "napari-subtomo.project", "Project (Subtomogram analysis)"

X11_LIBRARIES = ("libxcb-cursor.so.0", "libxcb-icccm.so.4", "libxcb-keysyms.so.1", "libxcb-shape.so.0", "libxkbcommon-x11.so.0")


def display_available() -> bool:
    """Whether a window can be opened: Qt, and on Linux a screen (X11 or Wayland); not with Qt's windowless platforms."""
    if os.environ.get("QT_QPA_PLATFORM", "") in ("offscreen", "minimal"):
        return False
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    return _has_qt() and not missing_libraries()


def missing_libraries() -> tuple[str, ...]:
    """System libraries that Qt needs for a window on X11 and that are not here; without them Qt does not fail, it aborts the program."""
    if not sys.platform.startswith("linux") or not os.environ.get("DISPLAY") or os.environ.get("QT_QPA_PLATFORM", "xcb") != "xcb":
        return ()
    missing = []
    for name in X11_LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError:
            missing.append(name)
    return tuple(missing)


def open_project(directory: str | Path, show: bool = True, viewer: ViewerModel | None = None) -> ProjectView | None:
    """Show tomogram, particles and the latest selection of a project.

    Parameters
    ----------
    directory : str or Path
        Project folder, job folder or STAR file.
    show : bool
        Open a window and return when it is closed; otherwise only fill a viewer.
    viewer : ViewerModel, optional
        Viewer to fill; a new one by default (a model without a window if `show` is false).

    Returns
    -------
    ProjectView or None
        None for a classification without particles or tomograms at hand: its curves (and maps) are shown as pictures.

    Raises
    ------
    InputError
        Nothing to show there; found out before any window opens.
    """
    try:
        session = load_session(Path(directory))
    except InputError as error:
        job = class_job_of(Path(directory))
        if job is None:
            raise
        _show_job(job, error, show, viewer)
        return None
    if viewer is not None:
        return open_session(viewer, session)
    if not show:
        from napari.components import ViewerModel

        return open_session(ViewerModel(), session)
    import napari

    window = napari.Viewer(title=f"{session.title} - napari-subtomo")
    view = open_session(window, session)
    add_dock(window)
    window.reset_view()  # the dock took part of the canvas
    view.centre()
    napari.run()
    return view


def add_dock(window: Viewer) -> None:
    """Add the dock Project to a window, under the name that the menu gives it, so that the menu shows and hides the same dock."""
    from npe2 import PluginManager

    make = PluginManager.instance().commands.get(DOCK_COMMAND)
    window.window.add_dock_widget(make(window), name=DOCK_NAME, area="right", tabify=True)


def _show_job(job: ClassJob, reason: InputError, show: bool, viewer: ViewerModel | None) -> None:
    """Curves and class maps of a job as pictures in a viewer, with what is missing."""
    if viewer is None and show:
        from napari import Viewer

        viewer = Viewer(title=f"{job.title} - napari-subtomo")
    elif viewer is None:
        from napari.components import ViewerModel

        viewer = ViewerModel()
    if any(path is not None for path in job.maps):
        viewer.add_image(pixels_of(gallery_figure(job)), name="Classes", rgb=True)
    viewer.add_image(pixels_of(curves_figure(job)), name="Curves", rgb=True)
    from napari.utils.notifications import show_warning

    show_warning(f"{reason} {missing_sentence(job)}" if job.missing else str(reason))
    if show:
        from napari import run

        run()


def present(directory: str | Path, out: str | Path | None = None) -> list[Path]:
    """Open a project in napari; without a display, or without napari's Qt, write pictures instead.

    Parameters
    ----------
    directory : str or Path
    out : str or Path, optional
        Folder of the pictures.

    Returns
    -------
    list of Path
        The pictures; empty if a window was shown.
    """
    if display_available():
        open_project(directory)
        return []
    missing = missing_libraries()
    if missing:
        warnings.warn(f"No window can be opened without {', '.join(missing)}; install them. Pictures are written instead.", stacklevel=2)
    return make_pictures(directory, out)


def _has_qt() -> bool:
    try:
        import qtpy.QtWidgets  # noqa: F401 - only asks whether it is there
    except Exception:  # qtpy raises its own classes, and ImportError for missing system libraries
        return False
    return True
