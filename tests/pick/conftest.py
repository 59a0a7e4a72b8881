"""A small project with two tomograms of odd names and shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.data.result import JobResult
from napari_subtomo.io import relion
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.io.tomograms import TomogramSet, read_tomograms
from napari_subtomo.options.pick import PickOptions
from napari_subtomo.pick import run
from napari_subtomo.progress import Silent

PIXEL, BINNING = 1.35, 7.407407
SIZES = {"01": (4000, 4000, 2000), "TS 1.mrc": (1000, 1440, 600)}


class Listener(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.messages: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    sizes = np.array(list(SIZES.values()))
    columns = {relion.TOMO_NAME: list(SIZES), relion.TILT_SERIES_PIXEL_SIZE: [PIXEL] * 2, relion.TOMO_BINNING: [BINNING] * 2}
    columns |= dict(zip((relion.TOMO_SIZE_X, relion.TOMO_SIZE_Y, relion.TOMO_SIZE_Z), sizes.T, strict=True))
    columns[relion.OPTICS_GROUP_NAME] = ["first", "second"]
    write_star(tmp_path / "tomograms.star", [StarBlock.loop(relion.GLOBAL, columns)])
    return Project(tmp_path)


@pytest.fixture
def tomograms(project: Project) -> TomogramSet:
    return read_tomograms(project.root / "tomograms.star", project)


@pytest.fixture
def pick(project: Project) -> Callable[..., JobResult]:
    """Run a pick job in Picks/jobNNN of the project."""

    def go(number: int = 2, listener: Silent | None = None, **options: object) -> JobResult:
        folder = project.root / "Picks" / f"job{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        options.setdefault("tomograms", project.root / "tomograms.star")
        return run(PickOptions.model_validate(options), JobFolder(project, folder), listener or Silent())

    return go
