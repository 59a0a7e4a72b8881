"""Take the pictures of docs/picking.md: a sphere, rim clicks, an oblique plane, and edits that were never saved.

    napari-subtomo simulate project
    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/make_picking_pictures.py project

Any project with two tomograms and picks will do; it is not written to. Look at each picture before it is committed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from make_screenshots import IMAGES, SIZE, settle, shoot
from make_tutorial import shrink


class Picking:
    """A window with the dock of picking.

    Parameters
    ----------
    path : Path
        What is opened.
    """

    def __init__(self, path: Path) -> None:
        import napari

        from napari_subtomo.viewer.show import open_project
        from napari_subtomo.widgets.panels.picking import PickingPanel

        self.viewer = napari.Viewer(title="napari-subtomo")
        self.viewer.window._qt_window.resize(*SIZE)
        self.view: Any = open_project(path, show=False, viewer=self.viewer)
        self.dock = PickingPanel(self.viewer)
        self.viewer.window.add_dock_widget(self.dock, name="Picking", area="right", tabify=True)
        settle(2)
        self.viewer.reset_view()
        self.picker: Any = self.dock._picker

    @property
    def middle(self) -> Any:
        """Voxel (3,) zyx in the middle of the tomogram."""
        return np.asarray(self.view.volume.data.shape, dtype=float) // 2

    def show_slice(self, axes: str, voxels: Any) -> None:
        """Slices of a kind, through a point."""
        self.dock.axes.buttons[axes].click()
        self.viewer.dims.point = tuple(np.asarray(voxels) * self.view.state.voxel_size)
        settle(0.5)


def sphere(path: Path, out: Path) -> None:
    """A sphere with its lattice, and rim clicks of another one in another kind of slice."""
    picking = Picking(path)
    dock, middle, voxel = picking.dock, picking.middle, picking.view.state.voxel_size
    picking.show_slice("XY", middle)
    dock.tools.buttons["sphere"].click()
    picking.picker.click(np.add(middle, (0, -40, -60)))
    dock.add_one.click()
    picking.picker.click(np.add(middle, (0, 50, 40)))
    dock.radius.setValue(420)
    dock.slab.setValue(200)
    shoot(picking.viewer, out / "picking-sphere.png")
    picking.show_slice("XZ", middle)
    dock.tools.buttons["rim"].click()
    for angle in np.deg2rad([200, 290, 20]):
        picking.picker.click(middle + 300 / voxel * np.asarray([np.sin(angle), 0, np.cos(angle)]))
    shoot(picking.viewer, out / "picking-rim.png")
    picking.viewer.close()


def plane(path: Path, out: Path) -> None:
    """An oblique plane with the particles near it."""
    picking = Picking(path)
    dock = picking.dock
    dock.axes.buttons["oblique"].click()
    picking.viewer.scene.camera.angles = (0, 35, 60)
    dock.slab.setValue(250)
    dock.face_view.click()
    dock.only_near.click()
    shoot(picking.viewer, out / "picking-oblique.png")
    picking.viewer.close()


def recovery(path: Path, out: Path) -> None:
    """What the dock offers after a program that was killed."""
    former = Picking(path)
    former.dock.tools.buttons["points"].click()
    for place in (40, 60, 80):
        former.picker.click(np.asarray([20.0, place, place]))
    former.view.close()
    former.viewer.close()
    picking = Picking(path)
    settle(2)
    dock = picking.dock.grab()
    picture = dock.copy(0, 0, dock.width(), int(0.3 * dock.height()))
    picture.save(str(out / "picking-recovery.png"))
    shrink(out / "picking-recovery.png")
    print(out / "picking-recovery.png")
    picking.viewer.close()


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="project folder")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SUBTOMO_STATE"] = str(Path(folder) / "state")
        project = Path(folder) / options.project.resolve().name
        shutil.copytree(options.project, project)
        sphere(project / "tomograms.star", options.out)
        plane(project / "particles.star", options.out)
        recovery(project / "particles.star", options.out)


if __name__ == "__main__":
    main()
