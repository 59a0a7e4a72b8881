"""A fresh project for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.extract_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty project."""
    return World(tmp_path)
