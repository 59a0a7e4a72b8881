"""The dock of picking on a viewer without a window."""

from __future__ import annotations

from typing import Any

import pytest
from napari.components import ViewerModel

from napari_subtomo.widgets.panels.picking import PickingPanel


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def panel(qtbot: Any, viewer: ViewerModel) -> PickingPanel:
    panel = PickingPanel(viewer)
    qtbot.addWidget(panel)
    panel.resize(400, 750)
    panel.show()
    return panel
