"""Paths are relative to the project; job folders never collide."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_subtomo.errors import FileMissingError, InputError
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.project import JobFolder, Project, allocate_job, find_project


def test_names_are_relative_inside_and_absolute_outside(tmp_path: Path):
    project = Project(tmp_path / "project")
    assert project.name(project.root / "Extract" / "job002" / "particles.star") == "Extract/job002/particles.star"
    assert project.name("Extract/../a.star") == "a.star"
    assert project.name(tmp_path / "elsewhere" / "a.star") == (tmp_path / "elsewhere" / "a.star").as_posix()
    assert project.resolve("a/b.mrc") == project.root / "a" / "b.mrc"
    assert project.resolve("000012@a/b.mrcs") == project.root / "a" / "b.mrcs"
    assert project.resolve("/x/y.mrc") == Path("/x/y.mrc")
    inside, outside = JobFolder(project, project.root / "Select/job003"), JobFolder(project, tmp_path / "out")
    assert (inside.name("p.star"), inside.name(), inside.file("p.star")) == (
        "Select/job003/p.star",
        "Select/job003",
        project.root / "Select/job003/p.star",
    )
    assert outside.name("p.star") == (tmp_path / "out/p.star").as_posix()


def test_a_project_behind_a_link_keeps_relative_names(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Project(tmp_path / "link").name(tmp_path / "real" / "a.star") == "a.star"
    assert Project(tmp_path / "real").name(tmp_path / "link" / "a.star") == "a.star"


def test_the_project_is_the_folder_in_which_paths_resolve(golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "tomograms.star",
        "Extract2d/optimisation_set.star",
        "Class3D_2d/run_it004_optimiser.star",
        "Extract3d_bin2_f16/particles.star",
    ):
        assert find_project(golden / name).root == golden, name


def test_an_explicit_project_wins_and_must_exist(golden: Path, tmp_path: Path):
    assert find_project(golden / "tomograms.star", tmp_path).root == tmp_path
    with pytest.raises(FileMissingError, match="--project"):
        find_project(None, tmp_path / "nowhere")


def test_without_paths_the_pipeline_s_folder_or_the_current_one_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    star = tmp_path / "project" / "Picks" / "job001" / "particles.star"
    star.parent.mkdir(parents=True)
    star.write_text("data_particles\nloop_\n_rlnTomoName\n01\n")
    monkeypatch.chdir(tmp_path)
    assert find_project(star).root == tmp_path
    assert find_project(None).root == tmp_path
    (tmp_path / "project" / "default_pipeline.star").write_text("data_pipeline_general\n_rlnPipeLineJobCounter 2\n")
    assert find_project(star).root == tmp_path / "project"


def test_most_resolved_paths_decide(tmp_path: Path):
    """A file of one set may lie beside it by chance; the project is where more of its paths are."""
    job = tmp_path / "Extract" / "job001"
    job.mkdir(parents=True)
    for path in tmp_path / "tomograms.star", tmp_path / "Extract/job001/particles.star", job / "tomograms.star":
        path.write_text("data_x\n_a 1\n")
    write_optimisation_set(job / "o.star", particles="Extract/job001/particles.star", tomograms="tomograms.star")
    assert find_project(job / "o.star").root == tmp_path


def test_numbers_go_one_above_the_highest_of_all_kinds(tmp_path: Path):
    project = Project(tmp_path)
    assert allocate_job(project, "Extract").name() == "Extract/job001"
    (tmp_path / "Class3D" / "job041").mkdir(parents=True)
    (tmp_path / "Class3D" / "jobs").mkdir()
    (tmp_path / "Class3D" / "job099").write_text("a file")
    assert allocate_job(project, "Select").name() == "Select/job042"
    assert allocate_job(project, "Select").name() == "Select/job043"
    (tmp_path / "Class3D" / "job1000").mkdir()
    assert allocate_job(project, "Select").name() == "Select/job1001"


def test_a_named_output_overrides_and_may_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    project = Project(tmp_path / "project")
    folder = allocate_job(project, "Extract", "out/here")
    assert folder.path == tmp_path / "out" / "here"
    assert folder.path.is_dir()
    assert allocate_job(project, "Extract", "out/here").path == folder.path
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="found the file"):
        allocate_job(project, "Extract", tmp_path / "file")


ALLOCATE = """
import sys
from pathlib import Path
from napari_subtomo.io.project import Project, allocate_job
for _ in range(5):
    print(allocate_job(Project(Path(sys.argv[1])), sys.argv[2]).name())
"""


@pytest.mark.parametrize("with_pipeline", [False, True])
def test_processes_that_start_at_once_get_different_numbers(tmp_path: Path, with_pipeline: bool):
    if with_pipeline:
        (tmp_path / "default_pipeline.star").write_text("data_pipeline_general\n_rlnPipeLineJobCounter 1\n")
    commands = [[sys.executable, "-c", ALLOCATE, str(tmp_path), kind] for kind in ("Extract", "Select", "Extract", "Select")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    names = [name for process in running for name in process.communicate(timeout=300)[0].split()]
    numbers = sorted(int(name[-3:]) for name in names)
    assert len(set(numbers)) == 20
    if with_pipeline:
        assert numbers == list(range(1, 21))
    assert all((tmp_path / name).is_dir() for name in names)
