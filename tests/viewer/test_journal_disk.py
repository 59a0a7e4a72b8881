"""Journals that are damaged, and disks that cannot be written."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.picking import content, edit

from napari_subtomo.errors import FileFormatError
from napari_subtomo.viewer.picking import journal
from napari_subtomo.viewer.picking import unsaved as unsaved_edits
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.recovery import recover
from napari_subtomo.viewer.view import ProjectView


def test_a_line_that_was_cut_off_costs_that_edit_alone(view: ProjectView, picker: Picker, project: Any) -> None:
    edit(view, picker)
    view.close()
    (unsaved,) = unsaved_edits.find_unsaved(project.root)
    whole = unsaved.path.read_bytes()
    unsaved.path.write_bytes(whole[:-20])
    assert [found.edits for found in unsaved_edits.find_unsaved(project.root)] == [3]


def test_of_a_damaged_journal_the_edits_before_the_damage_are_offered(view: ProjectView, picker: Picker, project: Any) -> None:
    edit(view, picker)
    view.close()
    (unsaved,) = unsaved_edits.find_unsaved(project.root)
    lines = unsaved.path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 8  # first line, saved, and six edits, undo among them
    unsaved.path.write_bytes(b"".join([*lines[:4], b'{"do": {"rows"\x00', *lines[4:]]))
    (found,) = unsaved_edits.find_unsaved(project.root)
    assert (found.edits, found.whole) == (2, False)
    assert "damaged" in found.sentence
    _, history = recover(found.path)
    assert len(history.done) == 2
    unsaved.path.write_bytes(b"".join([lines[0], b"nonsense\n"]))
    os.utime(unsaved.path, (0, 0))
    assert unsaved_edits.find_unsaved(project.root) == []
    assert unsaved.path.is_file()  # not cleared away: there may be something in it
    unsaved.path.write_bytes(b"nonsense\n")
    with pytest.raises(FileFormatError, match="found no first line"):
        unsaved_edits.read_journal(unsaved.path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_project_that_cannot_be_written_has_its_journal_in_the_state_folder(view: ProjectView, picker: Picker, project: Any) -> None:
    project.root.chmod(0o555)
    try:
        edit(view, picker)
    finally:
        project.root.chmod(0o755)
    view.close()
    assert unsaved_edits.find_unsaved()[0].path.parent == journal.state_folder().resolve()


def test_where_no_folder_can_be_made_the_next_one_is_taken(view: ProjectView, picker: Picker, project: Any) -> None:
    (project.root / ".subtomo").write_text("a file in the way")
    edit(view, picker)
    view.close()
    (unsaved,) = unsaved_edits.find_unsaved(project.root)
    assert unsaved.path.parent == journal.state_folder().resolve()
    assert content(recover(unsaved.path)[0]) == content(view.session)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for the name of an open file")
def test_a_full_disk_costs_no_edit(view: ProjectView, picker: Picker, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(view, picker)
    first = view.editor.journal.path
    assert first is not None
    write, room = os.write, [30]

    def full(file: int, data: Any) -> int:
        """Thirty bytes, then no space is left, until another file is begun."""
        if Path(os.readlink(f"/proc/self/fd/{file}")).parent != first.parent:
            return write(file, data)
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "no space left")
        room[0] = 0
        return write(file, data[:30])

    monkeypatch.setattr(os, "write", full)
    picker.click(np.array([9.0, 9.0, 9.0]))
    assert view.editor.failure is None
    second = view.editor.journal.path
    assert second is not None and second.parent == journal.state_folder().resolve()
    assert not first.exists()
    view.close()
    (unsaved,) = unsaved_edits.find_unsaved(project.root)
    assert unsaved.edits == 5
    assert content(recover(unsaved.path)[0]) == content(view.session)


def test_edits_that_can_be_written_nowhere_are_told_and_written_as_soon_as_they_can(
    view: ProjectView, picker: Picker, project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    picker.click(np.array([8.0, 8.0, 8.0]))

    def full(file: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, "no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        picker.click(np.array([9.0, 9.0, 9.0]))
        assert view.editor.failure is not None
        assert len(view.session.table) == 14  # the edit itself is made
        assert unsaved_edits.find_unsaved() == []  # this program has it still
    picker.click(np.array([10.0, 9.0, 9.0]))
    assert view.editor.failure is None
    assert len(list((project.root / ".subtomo").iterdir())) == 1
    view.close()
    (unsaved,) = unsaved_edits.find_unsaved()
    assert unsaved.edits == 3
    assert content(recover(unsaved.path)[0]) == content(view.session)
