"""Make the pictures of the documentation from a demo project.

    napari-subtomo demo napari-subtomo-demo --no-show
    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/make_screenshots.py napari-subtomo-demo

Windows need a screen, a virtual one is enough; without one only the pictures that need none are made. Look at each of them before
they are committed.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from make_tutorial import shrink

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = (1400, 900)


def settle(seconds: float = 1.5) -> None:
    """Let the window draw."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


def shoot(viewer: Any, path: Path) -> None:
    """Save the whole window."""
    settle()
    viewer.window.screenshot(str(path), size=None, canvas_only=False, flash=False)
    shrink(path)
    print(path)


def windows(project: Path, out: Path) -> None:
    """The opened project: slices and 3D, with the dock Project."""
    import napari

    from napari_subtomo.viewer.show import add_dock, open_project

    viewer = napari.Viewer(title="napari-subtomo")
    viewer.window._qt_window.resize(*SIZE)
    view = open_project(project, show=False, viewer=viewer)
    add_dock(viewer)
    settle(0.5)
    viewer.reset_view()
    if view is not None:
        view.centre()
    shoot(viewer, out / "open.png")
    viewer.dims.ndisplay = 3
    viewer.scene.camera.angles = (10, 30, 60)
    shoot(viewer, out / "open_3d.png")
    viewer.close()


def docks(project: Path, out: Path) -> None:
    """Each other dock, on the jobs that the demo has run."""
    import napari

    from napari_subtomo.viewer.show import open_project
    from napari_subtomo.widgets.panels.average import AveragePanel
    from napari_subtomo.widgets.panels.classification import ClassificationPanel
    from napari_subtomo.widgets.panels.extraction import ExtractionPanel
    from napari_subtomo.widgets.panels.picking import PickingPanel
    from napari_subtomo.widgets.panels.selection import SelectionPanel

    panels: dict[str, Any] = {
        "picking": PickingPanel,
        "extraction": ExtractionPanel,
        "average": AveragePanel,
        "classification": ClassificationPanel,
        "subset-selection": SelectionPanel,
    }
    for name, make in panels.items():
        viewer = napari.Viewer(title="napari-subtomo")
        viewer.window._qt_window.resize(*SIZE)
        open_project(project, show=False, viewer=viewer)
        dock = make(viewer)
        viewer.window.add_dock_widget(dock, name=f"{name.replace('-', ' ').capitalize()}", area="right", tabify=True)
        settle(4)
        if name in ("extraction", "average", "classification"):
            dock.which.setCurrentIndex(dock.which.count() - 1)  # the demo's own
            dock.which.activated.emit(dock.which.count() - 1)
            settle(6)
        if name == "subset-selection":
            dock.propose()
            settle(3)
        viewer.reset_view()
        shoot(viewer, out / f"{name}.png")
        viewer.close()


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="project folder, e.g. of the demo")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    options = parser.parse_args()

    from napari_subtomo.viewer.pictures import make_pictures
    from napari_subtomo.viewer.show import display_available

    options.out.mkdir(parents=True, exist_ok=True)
    for picture in make_pictures(options.project, options.out):
        print(picture)
    if display_available():
        windows(options.project, options.out)
        docks(options.project, options.out)


if __name__ == "__main__":
    main()
