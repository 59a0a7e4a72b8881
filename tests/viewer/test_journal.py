"""The edit journal, and a program that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.picking import content, edit
from napari.components import ViewerModel

from napari_subtomo.errors import FileFormatError, InputError
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking import journal
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.recovery import recover
from napari_subtomo.viewer.picking.spheres import Sphere
from napari_subtomo.viewer.saving import next_folder, save_annotations
from napari_subtomo.viewer.view import ProjectView, open_session


@pytest.fixture(autouse=True)
def state_of_this_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBTOMO_STATE", str(tmp_path / "state"))


@pytest.fixture
def view(project: Any) -> ProjectView:
    return open_session(ViewerModel(), load_session(project.root))


@pytest.fixture
def picker(view: ProjectView) -> Any:
    picker = Picker(view)
    picker.spacing = 20.0
    yield picker
    picker.close()


def test_closing_without_saving_offers_the_edits_again(view: ProjectView, picker: Picker, project: Any) -> None:
    edit(view, picker)
    assert journal.find_unsaved(project.root) == []  # they are not lost yet: this view has them
    before = content(view.session)
    view.close()
    (unsaved,) = journal.find_unsaved()
    assert unsaved.path.parent == project.root / ".subtomo"
    assert (unsaved.project, unsaved.title, unsaved.edits) == (project.root, "Select/job005", 4)
    assert "4 edits of Select/job005" in unsaved.sentence
    session, history = recover(unsaved.path)
    assert content(session) == before
    assert session.shown == "TS_02"
    again = open_session(ViewerModel(), session)
    again.editor.take(history)
    journal.remove(unsaved.path)
    assert again.editor.history.unsaved == 4
    while again.editor.undo():
        pass
    assert not again.session.edited
    for _ in range(4):
        again.editor.redo()
    assert content(again.session) == before
    again.close()
    assert [found.edits for found in journal.find_unsaved(project.root)] == [4]


def test_saving_ends_the_journal_and_the_next_edit_begins_one_that_knows_all(view: ProjectView, picker: Picker, project: Any) -> None:
    edit(view, picker)
    folder = project.root / ".subtomo"
    assert len(list(folder.iterdir())) == 1
    save_annotations(view.session, next_folder(view.session))
    view.editor.undo()
    view.update(saved=view.session.table, saved_spheres=view.session.spheres)
    assert not folder.exists()
    view.editor.undo()
    view.editor.undo()
    view.editor.redo()
    before = content(view.session)
    view.close()
    (unsaved,) = journal.find_unsaved(project.root)
    session, history = recover(unsaved.path)
    assert (unsaved.edits, len(history.done), len(history.undone)) == (1, 2, 2)
    assert content(session) == before


def test_a_line_that_was_cut_off_costs_that_edit_alone(view: ProjectView, picker: Picker, project: Any) -> None:
    edit(view, picker)
    view.close()
    (unsaved,) = journal.find_unsaved(project.root)
    whole = unsaved.path.read_bytes()
    unsaved.path.write_bytes(whole[:-20])
    assert [found.edits for found in journal.find_unsaved(project.root)] == [3]
    unsaved.path.write_bytes(whole.replace(b'"do"', b'"od{', 1))
    assert journal.find_unsaved(project.root) == []
    with pytest.raises(FileFormatError, match="Expected an edit in line"):
        journal.read_journal(unsaved.path)


def test_other_particles_than_those_that_were_edited_are_left_alone(view: ProjectView, picker: Picker, project: Any) -> None:
    edit(view, picker)
    view.close()
    (unsaved,) = journal.find_unsaved(project.root)
    for path in (project.kept, project.rejected):
        write_particles(path, read_particles(path).select(np.arange(2)))
    with pytest.raises(InputError, match="as it was when it was edited"):
        recover(unsaved.path)
    assert unsaved.path.is_file()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_project_that_cannot_be_written_has_its_journal_in_the_state_folder(view: ProjectView, picker: Picker, project: Any) -> None:
    project.root.chmod(0o555)
    try:
        edit(view, picker)
    finally:
        project.root.chmod(0o755)
    view.close()
    assert journal.find_unsaved()[0].path.parent == journal.state_folder().resolve()


def test_where_no_folder_can_be_made_the_next_one_is_taken(view: ProjectView, picker: Picker, project: Any) -> None:
    (project.root / ".subtomo").write_text("a file in the way")
    edit(view, picker)
    view.close()
    (unsaved,) = journal.find_unsaved(project.root)
    assert unsaved.path.parent == journal.state_folder().resolve()
    assert content(recover(unsaved.path)[0]) == content(view.session)


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
        assert journal.find_unsaved() == []  # it lives
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    (unsaved,) = journal.find_unsaved()
    assert unsaved.edits == 22
    session, history = recover(unsaved.path)
    assert len(history.done) == 22
    np.testing.assert_array_equal(session.table.positions[session.table.alive], np.load(expected))
    assert session.spheres == (Sphere.at("TS_01", (0, 0, 0), 90.0),)
