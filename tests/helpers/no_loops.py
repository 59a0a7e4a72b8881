"""Arrays in place of compiled loops, as where numba is not installed."""

from __future__ import annotations

import importlib

import pytest

MODULES = ("em.back_rotation", "em.pose_sums", "em.start", "numerics.few_nodes", "numerics.rotate")


def without_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no module find them."""
    for name in MODULES:
        monkeypatch.setattr(importlib.import_module(f"napari_subtomo.{name}"), "loops", lambda: None)
