"""File > Open Sample: a small simulated project, made once and kept in the user's cache."""

from __future__ import annotations

from pathlib import Path

from napari_subtomo.progress import Reporter, Silent
from napari_subtomo.viewer.layers import LayerData
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.readers import hand_over
from napari_subtomo.viewer.samples import sample_folder, sample_project


def open_sample() -> list[LayerData]:
    """Layers of the sample project; the first time it is simulated, behind a dialog that can be cancelled if there is a window.

    Raises
    ------
    JobCancelled
        The user cancelled; nothing of the unfinished project stays.
    """
    return hand_over(load_session(_made()))


def _made() -> Path:
    folder = sample_folder()
    if (folder / "tomograms.star").is_file() or not _has_window():
        return sample_project(Silent())
    from napari_subtomo.widgets.task import run_with_dialog

    def make(reporter: Reporter) -> Path:
        return sample_project(reporter)

    return run_with_dialog("Simulating two small tomograms, once", make)


def _has_window() -> bool:
    """Whether a Qt application runs, so that a dialog can be shown and the window must not freeze."""
    try:
        from qtpy.QtWidgets import QApplication
    except Exception:  # no Qt, or not the libraries it needs
        return False
    return QApplication.instance() is not None
