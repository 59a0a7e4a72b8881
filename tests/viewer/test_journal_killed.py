"""A program that is killed in the middle of picking."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo.viewer.picking import unsaved as unsaved_edits
from napari_subtomo.viewer.picking.recovery import recover
from napari_subtomo.viewer.picking.spheres import Sphere

KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from napari.components import ViewerModel
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.spheres import Sphere
from napari_subtomo.viewer.view import open_session

view = open_session(ViewerModel(), load_session(Path(sys.argv[1])))
picker = Picker(view)
points = layers.find_layer(view.viewer, layers.PARTICLES)
rng = np.random.default_rng(4)
for place in rng.uniform(2, 25, (20, 3)):
    points.add([place])
picker.add_sphere(Sphere.at("TS_01", (0, 0, 0), 90.0))
picker.spacing = 30.0
picker.add_particles([0])
np.save(sys.argv[2], view.session.table.positions[view.session.table.alive])
print("edited", flush=True)
time.sleep(600)
"""


def test_a_killed_program_loses_no_edit(project: Any, tmp_path: Path) -> None:
    expected = tmp_path / "expected.npy"
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(project.root), str(expected)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "edited\n"
        assert unsaved_edits.find_unsaved() == []  # it lives
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    (unsaved,) = unsaved_edits.find_unsaved()
    assert unsaved.edits == 22
    session, history = recover(unsaved.path)
    assert len(history.done) == 22
    np.testing.assert_array_equal(session.table.positions[session.table.alive], np.load(expected))
    assert session.spheres == (Sphere.at("TS_01", (0, 0, 0), 90.0),)


RESTLESS = """
import sys
from pathlib import Path
import numpy as np
from napari.components import ViewerModel
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.view import open_session

view = open_session(ViewerModel(), load_session(Path(sys.argv[1])))
picker = Picker(view)
for number in range(100000):
    picker.click(np.array([5.0, 5.0, 5.0 + number / 100]))
    if number % 3 == 2:
        picker.undo()
    print(number + 1, flush=True)
"""


def test_a_kill_at_any_moment_costs_at_most_the_edit_being_made(project: Any) -> None:
    child = subprocess.Popen([sys.executable, "-c", RESTLESS, str(project.root)], stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        time.sleep(0.4)
    finally:
        os.kill(child.pid, signal.SIGKILL)
        said, _ = child.communicate()
    told = int(said.split()[-1]) if said.split() else 1
    (unsaved,) = unsaved_edits.find_unsaved()
    session, history = recover(unsaved.path)
    assert unsaved.whole
    standing = [told + more - (told + more) // 3 for more in (0, 1)]  # the edit after the last one told may be there already
    assert len(history.done) in (*standing, standing[-1] + 1)  # or made, and not undone yet
    assert int(session.table.alive.sum()) == 12 + len(history.done)
