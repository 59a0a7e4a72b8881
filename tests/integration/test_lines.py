"""The lines of the manual, typed as they stand in a project of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.terminal import SMALL, Answer, shell, succeed

from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.jobs.record import read_record
from napari_subtomo.jobs.truth import read_truth

pytestmark = pytest.mark.slow

LINES = """\
extract --tomograms tomograms.star --particles particles.star --box-size 64 --crop-size 48 --binning 1 -o Extract/job002
reconstruct --optimisation-set Extract/job002/optimisation_set.star -o Reconstruct/job003
classify --optimisation-set Extract/job002/optimisation_set.star --reference Reconstruct/job003/merged.mrc --classes 3 --iterations 7\
 --mask-diameter 380 --initial-lowpass 60 --symmetry C1 --angular-step 7.5 --local-range 15 --offset-range 3 --offset-step 1\
 --regularisation 1 --no-mask-particles --device cpu --threads 2 --seed 1 -o Class3D/job004
select --optimiser Class3D/job004/run_it007_optimiser.star --keep 1 2 3 -o Select/job005
remove-duplicates --particles Select/job005/particles.star --min-distance 100 -o Select/job006
open ."""
FOLDERS = ("Extract/job002", "Reconstruct/job003", "Class3D/job004", "Select/job005", "Select/job006")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with pixels of 10 Å."""
    root = tmp_path_factory.mktemp("lines") / "project"
    answer = shell(f"simulate {root} --width 192 {SMALL}", root.parent)
    assert answer.status == 0, answer.err
    return root


@pytest.fixture(scope="module")
def answers(project: Path) -> list[Answer]:
    """What the program said to each line."""
    return [shell(line, project) for line in LINES.splitlines()]


@pytest.fixture(scope="module")
def done(project: Path, answers: list[Answer]) -> Path:
    """The project when all lines are through."""
    assert [answer.status for answer in answers] == [0] * len(answers), answers[-1].err
    return project


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return np.asarray(imread(path))


def test_every_line_goes_well_and_names_its_folder_alone_on_standard_output(done: Path, answers: list[Answer]) -> None:
    for folder, answer in zip(FOLDERS, answers, strict=False):
        assert answer.out.split() == [str(done / folder)]
        assert "Traceback" not in answer.err
        record = read_record(done / folder)
        assert (record.exit_status, record.resumed) == ("finished", 0)
        assert (done / folder / "RELION_JOB_EXIT_SUCCESS").exists()
        events = [json.loads(line) for line in (done / folder / "events.jsonl").read_text().splitlines()]
        assert events[0]["kind"] == "start" and events[-1]["data"]["status"] == "finished"


def test_every_job_leaves_what_it_promises(done: Path) -> None:
    promised = {
        "Extract/job002": ["particles.star", "optimisation_set.star", "montage.png"],
        "Reconstruct/job003": ["merged.mrc", "half1.mrc", "half2.mrc", "fsc.star", "fsc.png"],
        "Class3D/job004": [f"run_it{i:03d}_{name}.star" for i in range(8) for name in ("data", "model", "optimiser", "optimisation_set")],
        "Select/job005": ["particles.star", "particles_rejected.star", "class_averages.star", "optimisation_set.star"],
        "Select/job006": ["particles.star", "particles_removed.star", "optimisation_set.star"],
    }
    for folder, names in promised.items():
        assert [name for name in names if not (done / folder / name).is_file()] == []
    for i in range(8):
        assert len(list((done / "Class3D/job004").glob(f"run_it{i:03d}_class???.mrc"))) == 4  # three and the empty one
    assert not list(done.rglob("*.tmp"))


def test_rows_stay_in_order_with_all_their_columns_and_the_rest_lies_beside(done: Path) -> None:
    given = read_particles(done / "Extract/job002/particles.star")
    kept, rejected = (read_particles(done / "Select/job005" / name) for name in ("particles.star", "particles_rejected.star"))
    position = {name: i for i, name in enumerate(given.names)}
    for part in (kept, rejected):
        assert [position[name] for name in part.names] == sorted(position[name] for name in part.names)
        assert set(given.table.labels) <= set(part.table.labels)
    assert sorted([*kept.names, *rejected.names]) == sorted(given.names)
    assert set(kept.class_numbers) <= {1, 2, 3} and not set(rejected.class_numbers) & {1, 2, 3}
    assert read_particles(done / "Select/job006/particles.star").names == kept.names  # nothing is closer than a diameter


def test_the_chain_keeps_particles_and_rejects_false_picks(done: Path) -> None:
    kept, rejected = (read_particles(done / "Select/job005" / name) for name in ("particles.star", "particles_rejected.star"))
    truth = read_truth(done / "truth.star")
    assert (truth.of(kept).species > 0).all() and (truth.of(rejected).species == 0).all()
    assert (kept.n, rejected.n) == (16, 4)


def test_tomograms_and_particles_stay_together_along_the_chain(done: Path) -> None:
    """Only extraction was told the tomograms; whoever goes on with the last set has them."""
    sets = [f"{folder}/optimisation_set.star" for folder in (FOLDERS[0], *FOLDERS[3:])] + ["Class3D/job004/run_it007_optimisation_set.star"]
    for name in sets:
        found = read_optimisation_set(done / name)
        assert found.tomograms == "tomograms.star", name
        assert found.particles is not None and (done / found.particles).is_file(), name


def test_without_a_display_open_makes_pictures_that_show_something(done: Path, answers: list[Answer]) -> None:
    names = [Path(line).name for line in answers[-1].out.splitlines()]
    assert names == ["tomogram_TS_01.png", "tomogram_TS_02.png", "classes.png", "curves.png"]
    for name in names:
        picture = pixels(done / "pictures" / name)[..., :3]
        assert min(picture.shape[:2]) > 300 and picture.std() > 0.05
    for name in ("Extract/job002/montage.png", "Reconstruct/job003/fsc.png"):
        assert pixels(done / name)[..., :3].std() > 0.05


def stripped(particles: ParticleSet, folder: str) -> dict[str, list[str]]:
    """All cells, the job's own folder taken out of paths."""
    return {label: [text.replace(folder, "") for text in particles.texts(label)] for label in particles.table.labels}


def test_an_optimisation_set_stands_for_particles_and_tomograms(done: Path) -> None:
    succeed("extract --optimisation-set optimisation_set.star --box-size 64 --crop-size 48 --binning 1 -o Extract/job010", done)
    one, other = (read_particles(done / f"Extract/job{n}/particles.star") for n in ("002", "010"))
    assert stripped(one, "job002") == stripped(other, "job010")
    stacks = sorted((done / "Extract/job002/Subtomograms").rglob("*.mrcs"))
    assert len(stacks) == one.n
    for path in stacks:
        again = done / "Extract/job010/Subtomograms" / path.relative_to(done / "Extract/job002/Subtomograms")
        np.testing.assert_array_equal(read_mrc(path), read_mrc(again))
    succeed("reconstruct --particles Extract/job002/particles.star --tomograms tomograms.star -o Reconstruct/job011", done)
    np.testing.assert_array_equal(read_mrc(done / "Reconstruct/job003/merged.mrc"), read_mrc(done / "Reconstruct/job011/merged.mrc"))
    succeed("remove-duplicates --optimisation-set Select/job005/optimisation_set.star --min-distance 100 -o Select/job012", done)
    kept = (done / f"Select/job{n}/particles.star" for n in ("006", "012"))
    assert len({path.read_bytes() for path in kept}) == 1


def test_classes_without_alignment_leave_poses_as_they_are(done: Path) -> None:
    last = read_particles(done / "Class3D/job004/run_it007_data.star")
    line = (
        "classify --optimisation-set Class3D/job004/run_it007_optimisation_set.star --reference Reconstruct/job003/merged.mrc"
        " --mask-diameter 380 --iterations 1 --no-align --regularisation 2 -o Class3D/job013"
    )
    succeed(line, done)
    found = read_particles(done / "Class3D/job013/run_it001_data.star")
    assert found.names == last.names
    np.testing.assert_allclose(found.origins, last.origins, atol=1e-5)
    np.testing.assert_allclose(found.orientations, last.orientations, atol=1e-6)


def test_a_record_runs_again_in_the_next_free_folder(done: Path) -> None:
    answer = succeed("rerun Reconstruct/job003", done)
    again = Path(answer.out.strip())
    assert again.parent == done / "Reconstruct" and int(again.name[3:]) > 6
    np.testing.assert_array_equal(read_mrc(again / "merged.mrc"), read_mrc(done / "Reconstruct/job003/merged.mrc"))


def test_a_finished_folder_is_not_written_over(done: Path) -> None:
    before = (done / "Extract/job002/particles.star").stat()
    answer = shell(LINES.splitlines()[0], done)
    assert answer.status == 3 and answer.out == ""
    assert "A finished extract job is in" in answer.err and len(answer.err.splitlines()) == 1
    assert (done / "Extract/job002/particles.star").stat() == before


def test_tables_are_printed_over_a_file_and_over_iterations(done: Path) -> None:
    answer = succeed("table Class3D/job004/run_it007_model.star model_classes rlnClassDistribution", done)
    shares = [float(text) for text in answer.out.split()[1:]]
    assert len(shares) == 4 and sum(shares) == pytest.approx(1, abs=1e-4)
    answer = succeed("table Class3D/job004 --iterations --plot curves.png rlnClassDistribution", done)
    lines = answer.out.splitlines()
    assert [int(line.split()[0]) for line in lines[1:]] == list(range(8))
    assert [float(text) for text in lines[-1].split()[1:]] == shares
    assert pixels(done / "curves.png")[..., :3].std() > 0.02
