"""The sample project of File > Open Sample, in the user's cache folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from napari_subtomo.progress import Reporter

#: Part of the folder's name; raised whenever the simulated project changes.
VERSION = 1


def sample_folder() -> Path:
    """Where the sample project lies or will lie: SUBTOMO_CACHE, else the user's cache folder."""
    chosen = os.environ.get("SUBTOMO_CACHE")
    if chosen:
        return Path(chosen) / f"sample-{VERSION}"
    from platformdirs import user_cache_path

    return user_cache_path("napari-subtomo", appauthor=False) / f"sample-{VERSION}"


def sample_project(reporter: Reporter) -> Path:
    """The sample project's folder; it is simulated if it is not there yet, and appears whole or not at all.

    Parameters
    ----------
    reporter : Reporter

    Raises
    ------
    JobCancelled
        The reporter asked to stop.
    """
    folder = sample_folder()
    if (folder / "tomograms.star").is_file():
        return folder
    from napari_subtomo.simulate import make_sample

    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=folder.parent))
    try:
        make_sample(unfinished, reporter=reporter)
        if folder.exists():
            shutil.rmtree(folder)  # remains of a former version without tomograms
        os.replace(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
