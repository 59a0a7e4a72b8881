"""How long the window takes to answer: from what the user does to the moment at which napari's layers hold the new data.

    python benchmarks/latency.py                       # table on the terminal, figures into benchmarks/latency.json
    python benchmarks/latency.py --particles 20000 --repeats 40 --out ""

Painting is left out: it depends on the graphics card. All numbers of particles and both layouts (spread evenly over ten tomograms, all
in one) run side by side: one round of each action at each size before the next round, so that whatever else the machine does
falls on all of them alike. The Project dock is attached and follows, as it does in a window.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

TOMOGRAMS = 10
#: Voxels (z, y, x) of a tomogram, and Å each.
SHAPE, VOXEL = (128, 512, 512), 10.0
CLASSES = 6
LAYOUTS = ("spread", "one")
ACTIONS = ("hover class", "keep / reject class", "colour by column", "hide rejected", "switch tomogram")
RESULT = Path(__file__).with_suffix(".json")


def make_session(folder: Path, particles: int, layout: str) -> Any:
    """A session of simulated particles; the tomograms are links to one file of noise."""
    from napari_subtomo.data.tomogram import Tomogram
    from napari_subtomo.geometry.orientations import random_matrices
    from napari_subtomo.io import relion as r
    from napari_subtomo.viewer.session import Session
    from napari_subtomo.viewer.table import ParticleTable

    rng = np.random.default_rng(particles)
    names = [f"TS_{number:02d}" for number in range(1, TOMOGRAMS + 1)]
    where = np.arange(particles) % TOMOGRAMS if layout == "spread" else np.zeros(particles, dtype=int)
    size = np.asarray(SHAPE[::-1]) * VOXEL
    classes = rng.integers(1, CLASSES + 1, particles)
    scores = rng.uniform(0.2, 1.0, particles)
    columns = {
        r.CLASS_NUMBER: tuple(str(number) for number in classes),
        r.RANDOM_SUBSET: tuple(str(number) for number in 1 + np.arange(particles) % 2),
        r.MAX_VALUE_PROB_DISTRIBUTION: tuple(f"{score:.6f}" for score in scores),
        r.GROUP_NAME: tuple(f"group_{number % 5}" for number in range(particles)),
    }
    table = ParticleTable(
        tomograms=np.asarray(names)[where],
        positions=rng.uniform(-0.48, 0.48, (particles, 3)) * size,
        orientations=random_matrices(particles, rng),
        classes=classes.astype(np.int64),
        scores=scores,
        names=np.asarray([f"{names[place]}/{number}" for number, place in enumerate(where)]),
        source=np.zeros(particles, dtype=np.int64),
        row=np.arange(particles, dtype=np.int64),
        alive=np.ones(particles, dtype=bool),
        columns=columns,
    )
    pixels = tuple(SHAPE[::-1])
    tomograms = tuple(
        Tomogram(name, size_xyz=pixels, pixel_size=VOXEL, binning=1.0, tomogram_path=folder / f"{name}.mrc") for name in names
    )
    kept = np.isin(classes, range(1, CLASSES))
    return Session(folder, tomograms, table=table, kept=kept, shown=names[0], diameter=200.0, title="benchmark", saved=table)


def write_volumes(folder: Path) -> None:
    """One file of noise under the name of every tomogram."""
    from napari_subtomo.io.mrc import write_mrc

    first = folder / "TS_01.mrc"
    write_mrc(first, np.random.default_rng(0).normal(size=SHAPE).astype(np.float32), VOXEL)
    for number in range(2, TOMOGRAMS + 1):
        os.link(first, folder / f"TS_{number:02d}.mrc")


def actions(view: Any, layout: str) -> dict[str, Iterator[Callable[[], object]]]:
    """Endless variants of each action, none of which repeats the state before it."""
    from napari_subtomo.io import relion as r

    def hover() -> Iterator[Callable[[], object]]:
        while True:
            for number in (*range(1, CLASSES + 1), None):
                yield lambda number=number: view.update(hover_class=number)

    def keep() -> Iterator[Callable[[], object]]:
        while True:
            for number in range(1, CLASSES + 1):
                yield lambda number=number: view.update(kept=view.session.kept ^ (view.session.table.classes == number))

    def colour() -> Iterator[Callable[[], object]]:
        while True:
            for column in (r.RANDOM_SUBSET, r.MAX_VALUE_PROB_DISTRIBUTION, r.GROUP_NAME, r.CLASS_NUMBER):
                yield lambda column=column: view.update(colour_by=column)

    def hide() -> Iterator[Callable[[], object]]:
        while True:
            for how in ("hidden", "dimmed"):
                yield lambda how=how: view.update(rejected=how)

    def switch() -> Iterator[Callable[[], object]]:
        steps = [1] * (TOMOGRAMS - 1) + [-1] * (TOMOGRAMS - 1) if layout == "spread" else [1, -1]  # away from the full one, and back
        while True:
            for step in steps:
                yield lambda step=step: view.step(step)

    return dict(zip(ACTIONS, (hover(), keep(), colour(), hide(), switch()), strict=True))


@dataclass
class Bench:
    """One size and layout: its viewer, and the times measured so far, in ms."""

    particles: int
    layout: str
    viewer: Any
    dock: Any
    plan: dict[str, Iterator[Callable[[], object]]]
    times: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ACTIONS})

    def round(self, name: str, settle: Callable[[Bench], None]) -> None:
        """Do an action once, and let the window do what it put off."""
        act = next(self.plan[name])
        start = time.perf_counter()
        act()
        self.times[name].append(1000 * (time.perf_counter() - start))
        settle(self)


def make_bench(folder: Path, particles: int, layout: str, window: bool) -> Bench:
    """A viewer with the session and the dock."""
    from napari_subtomo.viewer.view import open_session
    from napari_subtomo.widgets.panels.project import ProjectPanel

    viewer, dock = _viewer(window)
    view = open_session(viewer, make_session(folder, particles, layout))
    dock = ProjectPanel(viewer)
    if window:
        viewer.window.add_dock_widget(dock, name="Project", area="right")
    return Bench(particles, layout, viewer, dock, actions(view, layout))


def _viewer(window: bool) -> tuple[Any, Any]:
    if window:
        import napari

        return napari.Viewer(), None
    from napari.components import ViewerModel

    return ViewerModel(), None


def measure(particles: list[int], repeats: int, window: bool) -> list[Bench]:
    """Interleaved rounds over all sizes and layouts."""
    from qtpy.QtWidgets import QApplication

    from napari_subtomo.viewer.view import view_of

    if not window:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    app = QApplication.instance() or QApplication([])

    def settle(bench: Bench) -> None:
        """Let the window do what it put off; after a switch the user looks at least until the neighbours are open."""
        view, end = view_of(bench.viewer), time.monotonic() + 2
        while view.unopened() and time.monotonic() < end:
            app.processEvents()
            time.sleep(0.005)
        for _ in range(3):
            app.processEvents()

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_volumes(folder)
        benches = [make_bench(folder, count, layout, window) for count in particles for layout in LAYOUTS]
        for _ in range(repeats):
            for action in ACTIONS:
                for bench in benches * (2 if action == "switch tomogram" else 1):
                    bench.round(action, settle)
        for bench in benches:
            if window:
                bench.viewer.close()
        return benches


def table(benches: list[Bench]) -> str:
    """Median and worst in ms, one line an action."""
    head = "| action | " + " | ".join(f"{b.particles} {'over ten' if b.layout == 'spread' else 'in one'}" for b in benches) + " |"
    lines = [head, "|---" * (len(benches) + 1) + "|"]
    for action in ACTIONS:
        cells = [f"{statistics.median(b.times[action]):.0f} ({max(b.times[action]):.0f})" for b in benches]
        lines.append(f"| {action} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--particles", type=int, nargs="+", default=[1_000, 20_000, 100_000])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--window", action="store_true", help="in real windows, with the work of napari's canvas short of painting")
    parser.add_argument("--out", default=str(RESULT), help='JSON file; "" for none')
    options = parser.parse_args()
    benches = measure(options.particles, options.repeats, options.window)
    print(table(benches))
    if options.out:
        rows = [
            {"particles": b.particles, "layout": b.layout, "action": action, "median_ms": round(statistics.median(b.times[action]), 2)}
            | {"worst_ms": round(max(b.times[action]), 2), "all_ms": [round(value, 2) for value in b.times[action]]}
            for b in benches
            for action in ACTIONS
        ]
        machine = {
            "python": platform.python_version(),
            "processors": os.cpu_count(),
            "machine": platform.machine(),
            "window": options.window,
        }
        Path(options.out).write_text(json.dumps({"setting": machine | {"repeats": options.repeats}, "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
