"""Where the tests find what RELION wrote."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


_numbers = count()


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pointers to edit journals stay out of the user's state folder, and out of that of other tests."""
    monkeypatch.setenv("SUBTOMO_STATE", str(tmp_path_factory.getbasetemp() / "state" / str(next(_numbers))))


@pytest.fixture(scope="session")
def golden() -> Path:
    """Files that RELION 5.0.1 wrote (a project folder)."""
    return ROOT / "tests" / "golden" / "relion5"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Larger test data that are not part of the repository; tests that need them are skipped where they are absent."""
    path = Path(os.environ.get("SUBTOMO_SHARED", ROOT.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"the shared test data are not at {path} (set SUBTOMO_SHARED)")
    return path
