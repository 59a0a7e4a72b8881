"""Files that others made: RELION's golden classification, the HIV-1 tutorial project, averages from cells."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.terminal import here, shell, succeed

from napari_subtomo.em.start import rand_index
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import read_particles
from napari_subtomo.jobs.truth import read_truth

CLASSES = [17.3, 6.1, 15.3, 25.0, 26.3, 0.6, 0.5, 5.0, 3.9]  # percent, as RELION's GUI shows them for Class3D/job017


def rows(path: Path) -> list[list[str]]:
    """Cells of all lines of a table, read without the program."""
    return [line.split() for line in path.read_text().splitlines() if line.strip().startswith("TS_")]


def columns(path: Path) -> list[str]:
    """Labels of the last table, read without the program."""
    return [line.split()[0] for line in path.read_text().partition("data_particles")[2].splitlines() if line.startswith("_")]


@pytest.fixture
def hiv(shared: Path, tmp_path: Path) -> Path:
    """A copy of the tutorial project's STAR files that may be written to."""
    source = shared / "data" / "relion5_hiv_project"
    if not source.is_dir():
        pytest.skip(f"the HIV-1 tutorial project is not at {source}")
    for path in source.rglob("*"):
        if path.is_file():
            copy = tmp_path / "hiv" / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    return tmp_path / "hiv"


@pytest.mark.parametrize("kind", ["optimiser", "model", "data"])
def test_classes_of_relion_are_selected_row_by_row(golden: Path, tmp_path: Path, kind: str) -> None:
    succeed(f"select --{kind} {golden}/Class3D_3d/run_it004_{kind}.star --keep 2 -o {tmp_path}/kept", tmp_path)
    source = golden / "Class3D_3d/run_it004_data.star"
    given, kept, rejected = rows(source), rows(tmp_path / "kept/particles.star"), rows(tmp_path / "kept/particles_rejected.star")
    assert columns(tmp_path / "kept/particles.star") == columns(source)
    at = columns(source).index("_rlnClassNumber")
    assert kept == [row for row in given if row[at] == "2"] and len(kept) > 3
    assert rejected == [row for row in given if row[at] != "2"] and len(rejected) > 3
    if kind != "data":
        assert len(list((tmp_path / "kept/class_averages").iterdir())) == 1
        copied = next((tmp_path / "kept/class_averages").iterdir())
        np.testing.assert_array_equal(read_mrc(copied), read_mrc(golden / "Class3D_3d/run_it004_class002.mrc"))


def test_particles_that_were_selected_elsewhere_are_averaged(shared: Path, tmp_path: Path) -> None:
    """The selection lies outside the project: its own files have absolute paths, those of the project stay relative to it."""
    golden = shared / "golden" / "relion5"
    if not golden.is_dir():
        pytest.skip(f"RELION's subtomograms are not at {golden}")
    succeed(f"select --optimiser {golden}/Class3D_3d/run_it004_optimiser.star --keep 1 -o {tmp_path}/kept", tmp_path)
    found = read_optimisation_set(tmp_path / "kept/optimisation_set.star")
    assert found.particles == str(tmp_path / "kept/particles.star")
    assert found.tomograms is not None and (golden / found.tomograms).is_file()
    succeed(f"reconstruct --optimisation-set kept/optimisation_set.star --project {golden} -o {tmp_path}/average", tmp_path)
    average, theirs = read_mrc(tmp_path / "average/merged.mrc"), read_mrc(golden / "Class3D_3d/run_it004_class001.mrc")
    assert np.corrcoef(average.ravel(), theirs.ravel())[0, 1] > 0.7


def test_all_9442_kept_particles_pass_a_job_without_a_changed_cell(hiv: Path) -> None:
    answer = succeed("remove-duplicates --particles Picks/job019/particles.star --min-distance 0.001", hiv)
    folder = Path(answer.out.strip())
    assert folder == hiv / "Select/job075"  # one above Refine3D/job074
    assert rows(folder / "particles.star") == rows(hiv / "Picks/job019/particles.star")
    assert len(rows(folder / "particles.star")) == 9442
    assert columns(folder / "particles.star") == columns(hiv / "Picks/job019/particles.star")


def test_a_classification_without_its_particles_opens_with_curves_and_says_what_is_missing(hiv: Path) -> None:
    answer = shell("open Class3D/job017", hiv)
    assert answer.status == 0 and "Traceback" not in answer.err
    assert [Path(line).name for line in answer.out.splitlines()] == ["curves.png"]
    missing = ["run_it025_data.star", *(f"run_it025_class{i:03d}.mrc" for i in range(1, 10))]
    assert all(f"Class3D/job017/{name}" in answer.err for name in missing)
    answer = succeed("table Class3D/job017 --iterations rlnClassDistribution", hiv)
    iteration, *shares = answer.out.splitlines()[1].split()
    assert iteration == "25"
    np.testing.assert_allclose([100 * float(text) for text in shares], CLASSES, atol=0.06)
    answer = here("select --optimiser Class3D/job017/run_it025_optimiser.star --keep 5", hiv)
    assert answer.status == 2 and all(name in answer.err for name in missing)


def test_the_project_opens_with_its_kept_particles(hiv: Path) -> None:
    answer = succeed("open . --pictures pictures", hiv)
    names = {Path(line).name for line in answer.out.splitlines()}
    assert names == {f"tomogram_TS_{n}.png" for n in ("01", "03", "43", "45", "54")} | {"curves.png"}


def test_averages_from_cells_are_simulated_and_told_apart(shared: Path, tmp_path: Path) -> None:
    maps = [shared / "data/maps" / name for name in ("hsp60.mrc", "atpase.mrc")]
    if not all(path.is_file() for path in maps):
        pytest.skip(f"the averages are not in {maps[0].parent}")
    root = tmp_path / "project"
    sample = "--pixel-size 15 --diameter 300 --width 128 --thickness 900 --tilt-step 6 --particles 10 --snr 0.3"
    succeed(f"simulate {root} --map {maps[0]} {maps[1]} {sample} --false-fraction 0.2 --structured-fraction 0 --seed 3", tmp_path)
    for line in (
        "extract --from tomogram --optimisation-set optimisation_set.star --box-size 32 -o Extract/job001",
        "reconstruct --optimisation-set Extract/job001/optimisation_set.star -o Reconstruct/job002",
        "classify --optimisation-set Extract/job001/optimisation_set.star --reference Reconstruct/job002/merged.mrc --classes 2"
        " --iterations 6 --mask-diameter 400 --initial-lowpass 80 --local-range 15 --offset-range 2 -o Class3D/job003",
    ):
        succeed(line, root)
    particles = read_particles(root / "Class3D/job003/run_it006_data.star")
    truth = read_truth(root / "truth.star").of(particles)
    assert set(truth.kinds) == {"hsp60", "atpase", "empty"}
    assert rand_index(truth.species, particles.ints(relion.CLASS_NUMBER)) > 0.9
