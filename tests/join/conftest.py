"""A fresh project for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.join_world import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "project")
