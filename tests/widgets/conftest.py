"""The small project for tests of docks, and a simulated one on which their jobs run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.small_project import SmallProject, write_project

from napari_subtomo.progress import Silent

if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # docks without a canvas need no screen


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    return write_project(tmp_path / "project")


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated project; do not write into it."""
    from napari_subtomo.simulate import make_sample

    folder = tmp_path_factory.mktemp("sample") / "project"
    make_sample(folder, seed=2, width=256, tomograms=1, particles=12, tilt_step=10.0, reporter=Silent())
    return folder


@pytest.fixture
def copy(sample: Path, tmp_path: Path) -> Path:
    """A project of one's own: STAR files are copies, volumes links."""
    target = tmp_path / "project"
    for path in sample.rglob("*"):
        place = target / path.relative_to(sample)
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif path.suffix == ".mrc":
            os.link(path, place)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    return target


@pytest.fixture(autouse=True)
def no_leak(qapp: Any) -> Any:
    """No test leaves a window behind."""
    before = set(qapp.topLevelWidgets())
    yield
    for _ in range(3):
        qapp.processEvents()
    left = [widget for widget in qapp.topLevelWidgets() if widget not in before and widget.isVisible()]
    assert not left
