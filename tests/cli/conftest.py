"""The made-up jobs of the runner's tests, for the command line."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from napari_subtomo.jobs.registry import JOBS


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module of the made-up jobs, registered; the current folder is an empty one."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "jobs"))
    module = importlib.import_module("fake_program")
    jobs = dict(JOBS)
    module.register(jobs)
    for name in jobs.keys() - JOBS.keys():
        monkeypatch.setitem(JOBS, name, jobs[name])
    monkeypatch.chdir(tmp_path)
    return module
