"""Waiting for the dock of picking, and what napari was told."""

from __future__ import annotations

from typing import Any

from napari.utils.notifications import notification_manager


def finish(qtbot: Any, panel: Any) -> None:
    """Wait for what runs beside the window."""
    qtbot.waitUntil(lambda: not panel.files.running and not panel.rescue.running, timeout=10000)
    qtbot.wait(20)


def errors() -> list[str]:
    """napari's notifications."""
    return [str(notice.message) for notice in notification_manager.records]
