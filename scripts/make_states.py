"""Take a picture of each dock in each state: nothing open, a project loaded, at work, after an error; in the dark and the light theme.

    napari-subtomo demo napari-subtomo-demo --no-show
    xvfb-run -a -s "-screen 0 1600x1000x24" python scripts/make_states.py napari-subtomo-demo

The pictures are those of docs/docks.md; look at each of them before they are committed. Jobs that are started here are cancelled, their
folders stay in a copy of the project.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from make_tutorial import Tour, shrink

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images" / "docks"
DOCKS = {
    "project": "Project",
    "picking": "Picking",
    "extraction": "Extraction",
    "average": "Average",
    "classification": "3D classification",
    "selection": "Subset selection",
}
JOBS = ("extraction", "average", "classification")


class States(Tour):
    """A window whose docks are photographed alone."""

    def __init__(self, out: Path, theme: str) -> None:
        super().__init__(None)
        self.out, self.theme = out, theme
        self.viewer.theme = theme
        self.settle(0.5)

    def shoot_dock(self, key: str, state: str) -> None:
        """Save a dock as it is."""
        widget = self.dock(DOCKS[key])
        self.settle(1.0)
        path = self.out / f"{key}-{state}-{self.theme}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        widget.grab().save(str(path))
        shrink(path)
        print(path)

    def newest(self, key: str) -> None:
        """Show the newest finished job in its dock."""
        dock = self.dock(DOCKS[key])
        place = dock.which.count() - 1
        dock.which.setCurrentIndex(place)
        dock.which.activated.emit(place)
        self.wait(lambda: dock.monitor.state.over, "the job's state")
        self.settle(3)

    def run(self, key: str, values: dict[str, Any], until: str) -> Any:
        """Start a job and wait for a state of it."""
        dock = self.dock(DOCKS[key])
        dock.which.setCurrentIndex(0)
        dock.which.activated.emit(0)
        self.settle(1.5)
        dock.form.form.set_values(values, touched=True)
        self.click(dock.run_button)
        self.wait(lambda: dock.monitor.state.over or dock.monitor.state.status == until, until)
        return dock


def take(states: States, project: Path) -> None:
    """All pictures of one theme."""
    for key in DOCKS:
        states.shoot_dock(key, "empty")
    states.open(project)
    states.settle(3)
    for key in DOCKS:
        states.dock(DOCKS[key])
        if key in JOBS:
            states.newest(key)
        states.shoot_dock(key, "loaded")
    for key in JOBS:
        dock = states.run(key, {}, "running")
        states.settle(0.5 if key != "classification" else 25)
        states.shoot_dock(key, "running")
        dock.cancel()
        states.wait(lambda dock=dock: dock.monitor.state.over, "the end")
        states.shoot_dock(key, "cancelled")
    wrong = {"extraction": {"box_size": 4000}, "average": {"crop_size": 400}, "classification": {"mask_diameter": 4000.0}}
    for key, values in wrong.items():
        dock = states.run(key, values, "failed")
        states.wait(lambda dock=dock: "✖" in dock.status.text(), "the sentence")
        states.shoot_dock(key, "error")
    for key, path in {"project": "nothing.star", "selection": "run_it001_model.star"}.items():
        states.dock(DOCKS[key]).open(project / path)
        states.settle(1.0)
        states.shoot_dock(key, "error")
    broken = project / "broken.csv"
    broken.write_text("x,y\n1,2\n", encoding="utf-8")
    states.dock(DOCKS["picking"]).import_file(broken)
    states.settle(1.5)
    states.shoot_dock("picking", "error")


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="project folder of a finished demo")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder of the pictures")
    parser.add_argument("--themes", nargs="+", default=["dark", "light"])
    options = parser.parse_args()
    for theme in options.themes:
        with tempfile.TemporaryDirectory() as folder:
            project = Path(folder) / "napari-subtomo-demo"
            shutil.copytree(options.project, project)
            states = States(options.out, theme)
            take(states, project)
            states.viewer.close()


if __name__ == "__main__":
    main()
