"""A fresh project for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.tilt_world import TiltWorld


@pytest.fixture
def world(tmp_path: Path) -> TiltWorld:
    """An empty project."""
    return TiltWorld(tmp_path)
