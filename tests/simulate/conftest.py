"""A small sample that several tests look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_subtomo.data.result import JobResult
from napari_subtomo.options.simulate import SimulateOptions
from napari_subtomo.simulate import make_sample

SMALL = {
    "tomograms": 2,
    "particles": 14,
    "diameter": 160.0,
    "width": 160,
    "thickness": 480.0,
    "tilt_step": 6.0,
    "snr": 0.05,
    "false_fraction": 0.3,
    "threads": 1,
}


@pytest.fixture(scope="session")
def small_options() -> SimulateOptions:
    return SimulateOptions(seed=5, **SMALL)


@pytest.fixture(scope="session")
def small_sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, JobResult]:
    """Folder and result of a sample of 2 × 20 picks."""
    folder = tmp_path_factory.mktemp("sample")
    return folder, make_sample(folder, seed=5, **SMALL)
