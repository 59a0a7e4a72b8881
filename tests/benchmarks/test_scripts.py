"""Benchmarks keep up with the package: all of them can be imported, and what they watch is there."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

NAMES = sorted(path.stem for path in (Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_can_be_imported(name: str) -> None:
    assert importlib.import_module(name).__doc__


def test_the_parts_of_an_iteration_that_are_watched_are_there() -> None:
    iteration = importlib.import_module("iteration")
    for module, function in iteration.PARTS.values():
        assert callable(getattr(module, function))
