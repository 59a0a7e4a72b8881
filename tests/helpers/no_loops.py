"""Arrays in place of compiled loops, as where numba is not installed."""

from __future__ import annotations

import pytest

from napari_subtomo.numerics import backend


def without_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing find them."""
    monkeypatch.setattr(backend, "_loaded_loops", lambda: None)
