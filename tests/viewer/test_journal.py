"""The edit journal, and a program that is killed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers.picking import content, edit
from napari.components import ViewerModel

from napari_subtomo.errors import InputError
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.viewer.picking import journal
from napari_subtomo.viewer.picking import unsaved as unsaved_edits
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.recovery import recover
from napari_subtomo.viewer.saving import next_folder, save_annotations
from napari_subtomo.viewer.view import ProjectView, open_session


def test_closing_without_saving_offers_the_edits_again(view: ProjectView, picker: Picker, project: Any) -> None:
    edit(view, picker)
    assert unsaved_edits.find_unsaved(project.root) == []  # they are not lost yet: this view has them
    before = content(view.session)
    view.close()
    (unsaved,) = unsaved_edits.find_unsaved()
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
    assert [found.edits for found in unsaved_edits.find_unsaved(project.root)] == [4]


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
    (unsaved,) = unsaved_edits.find_unsaved(project.root)
    session, history = recover(unsaved.path)
    assert (unsaved.edits, len(history.done), len(history.undone)) == (1, 2, 2)
    assert content(session) == before


def test_other_particles_than_those_that_were_edited_are_left_alone(view: ProjectView, picker: Picker, project: Any) -> None:
    edit(view, picker)
    view.close()
    (unsaved,) = unsaved_edits.find_unsaved(project.root)
    for path in (project.kept, project.rejected):
        write_particles(path, read_particles(path).select(np.arange(2)))
    with pytest.raises(InputError, match="as it was when it was edited"):
        recover(unsaved.path)
    assert unsaved.path.is_file()
