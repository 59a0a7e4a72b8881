"""The golden stacks as a project."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.stack_project import StackProject, copy_golden


@pytest.fixture
def world(golden: Path, tmp_path: Path) -> StackProject:
    return copy_golden(golden, tmp_path / "project")
