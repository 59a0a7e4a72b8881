"""The small project, for tests of what is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.small_project import SmallProject, write_project
from napari.components import ViewerModel

from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.view import ProjectView, open_session

if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # docks without a canvas need no screen


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    return write_project(tmp_path / "project")


@pytest.fixture
def view(project: SmallProject) -> ProjectView:
    """The selection of the small project in a viewer without a window."""
    return open_session(ViewerModel(), load_session(project.root))


@pytest.fixture
def picker(view: ProjectView) -> Iterator[Picker]:
    """A picker on that view, particles of spheres 20 Å apart."""
    picker = Picker(view)
    picker.spacing = 20.0
    yield picker
    picker.close()
