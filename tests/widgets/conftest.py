"""The small project, for tests of docks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from helpers.small_project import SmallProject, write_project

if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # docks without a canvas need no screen


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    return write_project(tmp_path / "project")
