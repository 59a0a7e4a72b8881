"""A simulated extraction with detail, and each fault planted in it, as the benchmark does."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "check_extraction.py"
SEED = 7


@pytest.fixture(scope="session")
def bench() -> Any:
    """The benchmark as a module: it knows how to plant faults."""
    spec = importlib.util.spec_from_file_location("check_extraction_benchmark", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def project(bench: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tomogram of 320 px with 40 particles, 21 tilts; faults write beside the sound files."""
    folder = tmp_path_factory.mktemp("check")
    bench.simulate(folder, SEED, 40, 0.3, tomograms=1, tilt_step=6.0, width=320)
    return folder / "project"


@pytest.fixture(scope="session")
def checked(bench: Any, project: Path) -> Callable[[str, str], Any]:
    """What is found of a fault, each computed once."""
    known: dict[tuple[str, str], Any] = {}

    def find(name: str, kind: str = "2D stacks") -> Any:
        if (name, kind) not in known:
            number = list(bench.faults()).index(name)
            known[name, kind] = bench.one(project, bench.faults()[name], SEED, f"f{number}", kind)
        return known[name, kind]

    return find
