"""A classification as its folder tells it, read again and again while it grows."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.small_project import SmallProject

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io import relion as r
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star, write_star
from napari_subtomo.progress import Silent
from napari_subtomo.viewer.results import classification
from napari_subtomo.viewer.results.classification import CHOICES, ProgressReader


def with_plan(folder: Path, planned: int) -> None:
    """Let the optimisers say how many iterations there are to be."""
    for path in folder.glob("run_it*_optimiser.star"):
        star = read_star(path)
        block = star[r.OPTIMISER_GENERAL].with_column(r.NUMBER_OF_ITERATIONS, [planned])
        write_star(path, star.replace(block))


def grown(project: SmallProject, last: int) -> Path:
    """A copy of the small project's job that has come to an iteration."""
    folder = project.root / "Class3D" / "job009"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in project.data.parent.iterdir():
        if int(path.name[6:9]) <= last:
            text = path.read_bytes().replace(b"job004", b"job009") if path.suffix == ".star" else path.read_bytes()
            (folder / path.name).write_bytes(text)
    return folder


def test_title_tiles_and_curves(project: SmallProject) -> None:
    folder = project.data.parent
    with_plan(folder, 15)
    progress = ProgressReader(folder, Project(project.root)).read(Silent())
    assert progress is not None and progress.title == "Class3D/job004, iteration 2 of 15" and progress.note == ""
    tiles = progress.tiles()
    assert [tile.lines for tile in tiles] == [
        ("1 · 50.0 %", "n = 4", "25.0 Å"),
        ("2 · 30.0 %", "n = 4", "28.0 Å"),
        ("3 · 20.0 %", "n = 4", "–"),
    ]
    assert len({tile.colour for tile in tiles}) == 3 and all(tile.image is not None for tile in tiles)
    occupancy = progress.plot("Occupancy")
    assert occupancy.x_range == (0.0, 15.0)
    np.testing.assert_allclose(occupancy.curves[1].y, 30.0)
    changes = progress.plot("Changes")
    np.testing.assert_array_equal(changes.curves[0].y, [np.nan, 25.0, 25.0])
    assert "%" in changes.y_label and "°" in progress.plot("Angles").y_label and "Å" in progress.plot("Offsets").y_label
    assert progress.plot("Resolution").curves[-1].y.tolist() == [30.0, 29.0, 28.0]


def test_only_what_is_new_is_read(project: SmallProject, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def counted(path: Path) -> object:
        read.append(path.name)
        return read_star(path)

    monkeypatch.setattr(classification, "read_star", counted)
    folder = grown(project, 1)
    reader = ProgressReader(folder, Project(project.root))
    first = reader.read(Silent())
    assert first is not None and first.iteration == 1
    read.clear()
    again = reader.read(Silent())
    assert again is not None and read == []
    assert again.sections[0] is not None and first.sections[0] is not None and again.sections[0][0] is first.sections[0][0]
    for path in project.data.parent.glob("run_it002*"):
        (folder / path.name).write_bytes(path.read_bytes())
    second = reader.read(Silent())
    assert second is not None and second.iteration == 2
    assert sorted(read) == ["run_it002_data.star", "run_it002_model.star", "run_it002_optimiser.star"]


def test_from_iteration_0_on_and_before(project: SmallProject) -> None:
    empty = project.root / "Class3D" / "job010"
    empty.mkdir()
    assert ProgressReader(empty, Project(project.root)).read(Silent()) is None
    progress = ProgressReader(grown(project, 0), Project(project.root)).read(Silent())
    assert progress is not None and progress.iteration == 0
    assert all(progress.plot(choice).ticks() for choice in CHOICES)
    assert progress.plot("Changes").shown == () and progress.plot("Changes").empty
    assert len(progress.plot("Occupancy").shown) == 3


@pytest.mark.parametrize("what", ["half a model", "no optimiser", "no data", "no map"])
def test_an_iteration_that_is_being_written_is_not_shown(project: SmallProject, what: str) -> None:
    folder = grown(project, 2)
    model = folder / "run_it002_model.star"
    if what == "half a model":
        model.write_bytes(model.read_bytes()[:200])
    else:
        name = {"no optimiser": "optimiser.star", "no data": "data.star", "no map": "class002.mrc"}[what]
        (folder / f"run_it002_{name}").unlink()
    progress = ProgressReader(folder, Project(project.root)).read(Silent())
    assert progress is not None and progress.iteration == 1 and progress.note == ""


def test_what_stays_missing_is_named_when_the_files_are_old(project: SmallProject) -> None:
    folder = grown(project, 2)
    (folder / "run_it002_data.star").unlink()
    (folder / "run_it002_class002.mrc").unlink()
    for path in folder.iterdir():
        os.utime(path, (time.time() - 1000, time.time() - 1000))
    progress = ProgressReader(folder, Project(project.root)).read(Silent())
    assert progress is not None and progress.iteration == 2
    assert "run_it002_data.star" in progress.note and "run_it002_class002.mrc" in progress.note
    tiles = progress.tiles()
    assert tiles[1].image is None and tiles[0].image is not None
    assert not any("n =" in line for line in tiles[0].lines)


def test_a_broken_job_says_what_is_wrong(project: SmallProject) -> None:
    folder = grown(project, 0)
    (folder / "run_it000_model.star").write_text("data_model_general\n\n_rlnPixelSize 5\n")
    with pytest.raises(SubtomoError, match="model_classes"):
        ProgressReader(folder, Project(project.root)).read(Silent())


@pytest.mark.parametrize("name", ["Class3D_2d", "Class3D_3d"])
def test_relions_own_job(golden: Path, name: str) -> None:
    progress = ProgressReader(golden / name, Project(golden)).read(Silent())
    assert progress is not None and progress.title == f"{name}, iteration 4 of 4"
    assert progress.job.iterations.tolist() == [0, 1, 4]
    assert [tile.lines[1] for tile in progress.tiles()] == ["n = 12", "n = 12"]
    assert progress.voxel_size == 10.0


def test_a_real_job_of_relion_with_most_files_missing(shared: Path) -> None:
    root = shared / "data" / "relion5_hiv_project"
    progress = ProgressReader(root / "Class3D" / "job017", Project(root)).read(Silent())
    assert progress is not None and progress.title == "Class3D/job017, iteration 25 of 25"
    assert len(progress.tiles()) == 9 and progress.tiles()[4].lines == ("5 · 26.3 %", "12.8 Å")
    assert progress.note.startswith("Not here: run_it025_data.star")
    np.testing.assert_allclose(progress.plot("Changes").curves[0].y, [2.8995])
