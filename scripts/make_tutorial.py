"""Drive napari through the whole loop as a user does: docks from the menu, mouse and buttons; print what was seen, take pictures.

    napari-subtomo simulate sample
    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/make_tutorial.py sample --pictures docs/images

The pictures are those of tutorial.md. The tests run the same, quicker: `--quick` picks the surface of a sphere in a small sample, without
pictures, and saves and opens the particles a hundred times.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

#: Seconds that a job may take before it is given up.
PATIENCE = 900.0
MENU = ("Plugins", "Subtomogram analysis")


def shrink(path: Path) -> None:
    """Write a picture again with 256 colours, which takes a quarter of the room: pages and wheels carry it."""
    from PIL import Image

    with Image.open(path) as picture:
        # a colour of a few pixels, such as a class's, is kept
        small = picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


class Tour:
    """One window and what is done in it.

    Parameters
    ----------
    pictures : Path or None
        Folder for pictures of the window.
    """

    def __init__(self, pictures: Path | None) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        self.pictures = pictures
        self.facts: dict[str, Any] = {}
        self.viewer = napari.Viewer(title="napari-subtomo")
        self.window = self.viewer.window._qt_window
        self.window.resize(1400, 900)
        self.application = QApplication.instance()
        self.settle(0.5)

    def settle(self, seconds: float = 0.3) -> None:
        """Let the window work and draw."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.application.processEvents()
            time.sleep(0.01)

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Let the window work until something is true."""
        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"Waited {PATIENCE:.0f} s for {what}.")
            self.settle(0.05)

    def shoot(self, name: str) -> None:
        """Take a picture of the window."""
        if self.pictures is not None:
            self.settle(1.5)
            self.pictures.mkdir(parents=True, exist_ok=True)
            path = self.pictures / f"{name}.png"
            self.viewer.window.screenshot(str(path), canvas_only=False, flash=False)
            shrink(path)

    def dock(self, title: str) -> Any:
        """Open a dock by its menu action, or bring its tab forward; the widget in it."""
        name = f"{title} ({MENU[1]})"
        if name not in self.viewer.window._wrapped_dock_widgets:
            self.trigger(title)
            self.wait(lambda: name in self.viewer.window._wrapped_dock_widgets, f"the dock {title}")
            self.settle()
        holder = self.viewer.window._wrapped_dock_widgets[name]
        holder.raise_()
        self.settle()
        return holder.widget()

    def trigger(self, title: str) -> None:
        """Choose an entry of the plugin's menu."""
        menu = self.window.menuBar()
        actions = menu.actions()
        for text in (*MENU, title):
            action = next(action for action in actions if action.text().replace("&", "") == text)
            if action.menu() is not None:
                action.menu().aboutToShow.emit()
                actions = action.menu().actions()
        action.trigger()

    def click(self, button: Any) -> None:
        """Press a button with the mouse."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        assert button.isEnabled() and button.isVisible(), f"“{button.text()}” cannot be pressed"
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.settle()

    def click_canvas(self) -> None:
        """Click the middle of the picture."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas.native
        QTest.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=canvas.rect().center())
        self.settle()

    # --- the steps ---------------------------------------------------------------------------------------------------------

    def open(self, folder: Path) -> Any:
        """Type a folder into the dock Project."""
        from napari_subtomo.viewer.view import view_of

        project = self.dock("Project")
        project.form.path.setText(str(folder))
        project.form.path.returnPressed.emit()
        self.wait(lambda: view_of(self.viewer) is not None and not project._opening.running, "the project")
        self.viewer.reset_view()
        self.settle()
        return project

    def view(self) -> Any:
        """What is shown."""
        from napari_subtomo.viewer.view import view_of

        return view_of(self.viewer)

    def pick_sphere(self) -> Path:
        """Click the centre of a sphere of 300 Å, make particles every 60 Å on it, and save them."""
        picking = self.dock("Picking")
        self.facts["particles before"] = self.view().session.totals()[0]
        picking.radius.setValue(300)
        picking.spacing.setValue(60)
        self.click(picking.tools.buttons["sphere"])
        self.click_canvas()
        self.facts["lattice"] = picking.count.text()
        self.shoot("tutorial-2-sphere")
        self.click(picking.add_one)
        self.facts["particles picked"] = self.view().session.totals()[0]
        return self.save_picks(picking)

    def save_picks(self, picking: Any) -> Path:
        """Press “Save particle annotations”."""
        folder = Path(str(picking.target.value))
        self.click(picking.save_button)
        self.wait(lambda: (folder / "particles.star").is_file() and not picking.files.running, "the particles")
        self.settle()
        return folder

    def import_picks(self, path: Path) -> Path:
        """Pick with the particles of a file."""
        picking = self.dock("Picking")
        picking.import_file(path)
        self.wait(lambda: not picking.files.running, "the import")
        self.shoot("tutorial-2-pick")
        return self.save_picks(picking)

    def job(self, title: str, values: dict[str, Any], picture: str, tab: str = "", half_way: float = 0.0) -> Any:
        """Open the dock of a job, enter values, run it, and wait for its end."""
        dock = self.dock(title)
        self.wait(lambda: dock.form._reading is None or not dock.form._reading.running, "suggestions")
        dock.form.form.set_values(values, touched=True)
        dock.form.form.bring_forward(tab)
        self.settle()
        self.shoot(f"{picture}-form")
        self.click(dock.run_button)
        if half_way and self.pictures is not None:
            self.wait(lambda: dock.monitor.state.over or dock.monitor._iteration >= half_way, "iterations")
            self.shoot(f"{picture}-running")
        self.wait(lambda: dock.monitor.state.over, title)
        assert dock.monitor.state.status == "finished", dock.monitor.state.error
        self.settle(1.0)
        self.shoot(picture)
        return dock

    def choose(self, classes: list[int], picture: str) -> Path:
        """Click classes in the gallery, save them, and return the folder of the selection."""
        from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtTest import QTest

        selection = self.dock("Subset selection")
        self.wait(lambda: selection.gallery is not None and not selection._reading.running, "the classes")
        self.settle(1.0)
        cards = selection.form.cards
        places = [cards.visualRect(cards.cards.index(cards.cards.order.index(number))).center() for number in classes]
        none, plain = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
        there = QPointF(places[0]), QPointF(cards.viewport().mapToGlobal(QPoint(places[0])))
        self.application.sendEvent(cards.viewport(), QMouseEvent(QEvent.Type.MouseMove, *there, none, none, plain))
        self.settle()
        self.shoot(f"{picture}-hover")
        for place in places:
            QTest.mouseClick(cards.viewport(), Qt.MouseButton.LeftButton, plain, place)
            self.settle()
        self.facts["total"] = selection.form.total.text()
        self.click(selection.form.save_button)
        self.wait(lambda: not selection._saver.worker.running, "the selection")
        self.settle(1.0)
        self.shoot(picture)
        return Path(self.view().session.project) / self.view().session.title

    def overlay(self) -> int:
        """Number of particles that are drawn as kept on all tomograms."""
        from napari_subtomo.viewer import layers

        drawn = 0
        for name in self.view().session.names:
            self.view().update(shown=name)
            self.settle()
            layer = layers.find_layer(self.viewer, layers.PARTICLES)
            drawn += int((np.asarray(layer.features["kept"], dtype=bool) & layer.shown).sum())
        return drawn

    def save_and_open(self, project: Any, times: int) -> list[str]:
        """Save the particles shown and open what was saved, again and again; a fingerprint of the particles each time."""
        from superqt import QCollapsible

        prints = []
        self.click(next(part for part in project.findChildren(QCollapsible) if part.text() == "Save").toggleButton())
        self.settle(0.5)
        root = Path(self.view().session.project)
        for number in range(times):
            folder = root / "Picks" / f"cycle{number:03d}"
            project.form.target.setText(str(folder))
            self.click(project.form.save_button)
            prints.append(fingerprint(folder))
            project.form.path.setText(str(folder / "particles.star"))
            project.form.path.returnPressed.emit()
            self.wait(lambda: not project._opening.running, "the particles that were saved")
        return prints


def fingerprint(folder: Path) -> str:
    """Of the particles and annotations in a folder."""
    print_of = hashlib.sha256()
    for path in (folder / "particles.star", *sorted((folder / "annotations").iterdir())):
        print_of.update(path.name.encode() + path.read_bytes())
    return print_of.hexdigest()


def quick(tour: Tour, folder: Path) -> None:
    """The loop on the surface of a sphere: counts and files, no meaning."""
    from napari_subtomo.io.particles import read_particles

    project = tour.open(folder / "tomograms.star")
    picks = tour.pick_sphere()
    tour.facts["particles in file"] = read_particles(picks / "particles.star").n
    tour.job("Extraction", {"source": "tomogram", "box_size": 16, "binning": 2.0}, "extract")
    tour.job("Average", {}, "average")
    options = {"classes": 2, "iterations": 2, "consensus_iterations": 1, "restarts": 1, "folds": 1, "mask_diameter": 200.0}
    tour.job("3D classification", options | {"angular_step": 15.0, "local_range": 15.0, "offset_range": 1.0}, "classify")
    selected = tour.choose([1], "select")
    rows = read_particles(selected / "particles.star").n
    tour.facts |= {"selection": str(selected), "rows": rows, "drawn": tour.overlay()}
    tour.dock("Project")
    tour.facts["cycles"] = tour.save_and_open(project, 100)


def full(tour: Tour, folder: Path) -> None:
    """The tutorial: the simulated sample, from its tomograms to the particles of its real classes."""
    tour.open(folder / "tomograms.star")
    tour.shoot("tutorial-1-open")
    tour.import_picks(folder / "particles.star")
    tour.job("Extraction", {"box_size": 64, "crop_size": 48}, "tutorial-3-extract", "box_size")
    tour.job("Average", {}, "tutorial-4-average")
    options = {"classes": 3, "iterations": 15, "mask_diameter": 380.0, "local_range": 15.0, "offset_range": 3.0}
    tour.job("3D classification", options, "tutorial-5-classify", "classes", half_way=3)
    tour.facts["selection"] = str(tour.choose([1, 2], "tutorial-6-select"))
    tour.facts["drawn"] = tour.overlay()
    tour.dock("Project")
    tour.shoot("tutorial-7-overlay")


def main() -> None:
    """Make the tour and print what was seen as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="simulated project")
    parser.add_argument("--pictures", type=Path, help="folder of the pictures")
    parser.add_argument("--quick", action="store_true", help="the tour of the tests")
    options = parser.parse_args()
    tour = Tour(options.pictures)
    (quick if options.quick else full)(tour, options.project.resolve())
    tour.viewer.close()
    print("TOUR" + json.dumps(tour.facts))


if __name__ == "__main__":
    main()
