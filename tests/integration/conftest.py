"""Small projects as `simulate` makes them, once for all tests that only read them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers.terminal import SMALL, succeed


@pytest.fixture(scope="session")
def coarse_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 picks in two tomograms with pixels of 20 Å, 16 of them particles; nothing may be written there."""
    root = tmp_path_factory.mktemp("coarse") / "project"
    succeed(f"simulate {root} --pixel-size 20 --width 112 {SMALL}", root.parent)
    return root


@pytest.fixture
def coarse(coarse_original: Path, tmp_path: Path) -> Path:
    """A copy of the project that may be written to."""
    return shutil.copytree(coarse_original, tmp_path / "project")
