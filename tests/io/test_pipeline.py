"""RELION's pipeline: its counter, its lock, its list of jobs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from napari_subtomo.errors import JobError
from napari_subtomo.io import relion
from napari_subtomo.io.job_folders import finish
from napari_subtomo.io.pipeline import Pipeline, node_label, relion_lock
from napari_subtomo.io.project import Project, allocate_job
from napari_subtomo.io.star import format_star, read_star

RELION5 = """
# version 50001

data_pipeline_general

_rlnPipeLineJobCounter                      18
 |

# version 50001

data_pipeline_processes

loop_ |
_rlnPipeLineProcessName #1 |
_rlnPipeLineProcessAlias #2 |
_rlnPipeLineProcessTypeLabel #3 |
_rlnPipeLineProcessStatusLabel #4 |
Extract/job013/ Extract/bin2/ relion.pseudosubtomo  Succeeded |
Class3D/job017/       None relion.class3d    Running |
 |

# version 50001

data_pipeline_nodes

loop_ |
_rlnPipeLineNodeName #1 |
_rlnPipeLineNodeTypeLabel #2 |
_rlnPipeLineNodeTypeLabelDepth #3 |
Extract/job013/particles.star ParticleGroupMetadata.star.relion.tomo.extract            1 |
 |

# version 50001

data_pipeline_input_edges

loop_ |
_rlnPipeLineEdgeFromNode #1 |
_rlnPipeLineEdgeProcess #2 |
Extract/job013/particles.star Class3D/job017/ |
 |

# version 50001

data_pipeline_output_edges

loop_ |
_rlnPipeLineEdgeProcess #1 |
_rlnPipeLineEdgeToNode #2 |
Extract/job013/ Extract/job013/particles.star |
 |
""".replace("|\n", "\n")  # the bars keep blanks at line ends, which RELION writes


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A RELION 5 project with two jobs."""
    (tmp_path / "default_pipeline.star").write_text(RELION5)
    for job in "Extract/job013", "Class3D/job017":
        (tmp_path / job).mkdir(parents=True)
    (tmp_path / "Extract/job013/particles.star").write_text("data_particles\n")
    return Project(tmp_path)


def rows(project: Project, table: str) -> list[tuple[str, ...]]:
    """Rows of a table of the pipeline."""
    block = read_star(project.root / "default_pipeline.star")[table]
    return list(zip(*block.columns.values(), strict=True))


def test_a_job_takes_the_counter_s_number_and_is_listed_as_running(project: Project):
    folder = allocate_job(project, "Reconstruct", command="napari-subtomo reconstruct --particles p.star")
    assert folder.name() == "Reconstruct/job018"
    assert folder.registered
    star = read_star(project.root / "default_pipeline.star")
    assert star["pipeline_general"].text(relion.PIPELINE_JOB_COUNTER) == "19"
    assert rows(project, "pipeline_processes")[-1] == ("Reconstruct/job018/", "None", "relion.external", "Running")
    assert not (project.root / ".relion_lock").exists()
    assert (project.root / ".pipeline_has_changed").exists()
    job = read_star(folder.file("job.star"))
    assert job["job"].text(relion.JOB_TYPE_LABEL) == "relion.external"
    options = dict(zip(*job["joboptions_values"].columns.values(), strict=True))
    assert options["fn_exe"] == "napari-subtomo reconstruct --particles p.star"
    assert options["in_part"] == ""


def test_everything_else_in_the_pipeline_stays(project: Project):
    path = project.root / "default_pipeline.star"
    assert format_star(read_star(path)) == RELION5, "the fixture must have RELION's own layout"
    allocate_job(project, "Select")
    before, after = RELION5.splitlines(), path.read_text().splitlines()
    removed = [line for line in before if line not in after]
    added = [line for line in after if line not in before]
    assert removed == ["_rlnPipeLineJobCounter                      18"]
    assert [line.split() for line in added] == [["_rlnPipeLineJobCounter", "19"], ["Select/job018/", "None", "relion.external", "Running"]]


def test_the_end_of_a_job_brings_status_inputs_and_outputs(project: Project):
    folder = allocate_job(project, "Select")
    for name in "particles.star", "optimisation_set.star", "events.jsonl":
        folder.file(name).write_text("")
    outputs = [folder.file(n) for n in ("particles.star", "optimisation_set.star", "events.jsonl", "missing.star")]
    finish(folder, "Succeeded", ["Extract/job013/particles.star", "/elsewhere/particles.star"], outputs)
    assert rows(project, "pipeline_processes")[-1] == ("Select/job018/", "None", "relion.external", "Succeeded")
    assert rows(project, "pipeline_nodes")[1:] == [
        ("Select/job018/particles.star", "ParticleGroupMetadata.star.relion", "1"),
        ("Select/job018/optimisation_set.star", "TomoOptimisationSet.star.relion", "1"),
    ]
    assert rows(project, "pipeline_input_edges")[-1] == ("Extract/job013/particles.star", "Select/job018/")
    assert rows(project, "pipeline_output_edges")[1:] == [
        ("Select/job018/", "Select/job018/particles.star"),
        ("Select/job018/", "Select/job018/optimisation_set.star"),
    ]
    assert (project.root / ".Nodes/ParticleGroupMetadata/Select/job018/particles.star").exists()
    assert len(read_star(folder.file("job_pipeline.star"))["pipeline_nodes"]) == 3
    again = (project.root / "default_pipeline.star").read_bytes()
    finish(folder, "Succeeded", ["Extract/job013/particles.star"], outputs)
    assert (project.root / "default_pipeline.star").read_bytes() == again


def test_failed_and_aborted_jobs_are_marked(project: Project):
    first, second = allocate_job(project, "Select"), allocate_job(project, "Extract")
    assert (first.name(), second.name()) == ("Select/job018", "Extract/job019")
    finish(first, "Failed")
    finish(second, "Aborted")
    assert [row[3] for row in rows(project, "pipeline_processes")] == ["Succeeded", "Running", "Failed", "Aborted"]


def test_folders_that_are_there_already_are_passed_over(project: Project):
    (project.root / "Refine3D/job018").mkdir(parents=True)
    assert allocate_job(project, "Select").name() == "Select/job019"
    assert read_star(project.root / "default_pipeline.star")["pipeline_general"].text(relion.PIPELINE_JOB_COUNTER) == "20"


def test_a_named_job_folder_is_listed_and_any_other_is_not(project: Project, tmp_path_factory: pytest.TempPathFactory):
    listed = allocate_job(project, "Extract", project.root / "Extract/job030")
    assert listed.registered
    assert rows(project, "pipeline_processes")[-1][0] == "Extract/job030/"
    assert allocate_job(project, "Extract").name() == "Extract/job031"
    before = (project.root / "default_pipeline.star").read_bytes()
    for path in project.root / "somewhere", tmp_path_factory.mktemp("outside") / "job001":
        folder = allocate_job(project, "Extract", path)
        assert not folder.registered
        finish(folder, "Succeeded")
    assert (project.root / "default_pipeline.star").read_bytes() == before


def test_a_new_project_s_pipeline_without_tables_is_filled(tmp_path: Path):
    (tmp_path / "default_pipeline.star").write_text("data_pipeline_general\n\n_rlnPipeLineJobCounter 1\n")
    project = Project(tmp_path)
    folder = allocate_job(project, "Extract")
    folder.file("particles.star").write_text("")
    finish(folder, "Succeeded", (), [folder.file("particles.star")])
    assert rows(project, "pipeline_output_edges") == [("Extract/job001/", "Extract/job001/particles.star")]


def test_relion3_pipelines_get_the_counter_only(tmp_path: Path):
    text = (
        "data_pipeline_general\n_rlnPipeLineJobCounter 5\n\ndata_pipeline_processes\nloop_\n_rlnPipeLineProcessName\n"
        "_rlnPipeLineProcessAlias\n_rlnPipeLineProcessType\n_rlnPipeLineProcessStatus\nImport/job004/ None 0 2\n"
    )
    (tmp_path / "default_pipeline.star").write_text(text)
    folder = allocate_job(Project(tmp_path), "Extract")
    assert (folder.name(), folder.registered) == ("Extract/job005", False)
    star = read_star(tmp_path / "default_pipeline.star")
    assert star["pipeline_general"].text(relion.PIPELINE_JOB_COUNTER) == "6"
    assert len(star["pipeline_processes"]) == 1


def test_a_lock_of_relion_is_waited_for(project: Project):
    """What RELION writes while it holds the lock is seen, and its job number is not taken twice."""
    lock = project.root / ".relion_lock"
    lock.mkdir()
    (lock / "lock_default_pipeline.star").write_text("runJob\n")

    def relion_ends() -> None:
        time.sleep(0.5)
        path = project.root / "default_pipeline.star"
        path.write_text(path.read_text().replace("  18\n", "  19\n"))
        (lock / "lock_default_pipeline.star").unlink()
        lock.rmdir()

    thread = threading.Thread(target=relion_ends)
    thread.start()
    folder = allocate_job(project, "Select")
    thread.join()
    assert folder.name() == "Select/job019"


def test_a_lock_that_stays_is_an_error_that_names_it(project: Project):
    (project.root / ".relion_lock").mkdir()
    with (
        pytest.raises(JobError, match=r"\.relion_lock to be released within 0\.2 s, .* remove that folder"),
        relion_lock(project.root, "x", timeout=0.2, poll=0.05),
    ):
        pass
    assert (project.root / ".relion_lock").exists()


def test_the_lock_holds_relion_s_file_and_goes_even_after_an_error(project: Project):
    with pytest.raises(ValueError, match="oops"), relion_lock(project.root, "message"):
        assert (project.root / ".relion_lock/lock_default_pipeline.star").read_text() == "message\n"
        raise ValueError("oops")
    assert not (project.root / ".relion_lock").exists()


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Class3D/job004/run_it015_optimiser.star", "OptimiserData.star.relion.class3d"),
        ("Class3D/job004/run_it015_data.star", "ParticleGroupMetadata.star.relion"),
        ("Class3D/job004/run_it015_optimisation_set.star", "TomoOptimisationSet.star.relion"),
        ("Class3D/job004/run_it015_class001.mrc", "DensityMap.mrc.relion"),
        ("Reconstruct/job003/half1.mrc", "DensityMap.mrc.halfmap"),
        ("Masks/job009/mask.mrc", "Mask3D.mrc.relion"),
        ("Select/job005/particles_rejected.star", "ParticleGroupMetadata.star.relion"),
        ("Class3D/job004/run_it015_model.star", None),
        ("Extract/job002/montage.png", None),
    ],
)
def test_files_have_relion_s_types(name: str, label: str | None):
    assert node_label(name) == label


def test_a_pipeline_without_a_counter_starts_at_one(tmp_path: Path):
    (tmp_path / "default_pipeline.star").write_text("data_pipeline_nodes\nloop_\n_rlnPipeLineNodeName\n")
    assert Pipeline.read(tmp_path).counter == 1
