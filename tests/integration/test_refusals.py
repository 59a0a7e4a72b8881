"""Bad input is refused in one sentence with exit status 2, leaves no results behind, and can be corrected in the same folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from helpers.terminal import here, shell, succeed

from napari_subtomo.io import relion
from napari_subtomo.io.particles import read_particles, write_particles

EXTRACT = "extract --from tomogram --particles particles.star --tomograms tomograms.star --box-size 24 -o Extract/job001"
RECONSTRUCT = "reconstruct --particles Extract/done/particles.star -o Reconstruct/job001"
CLASSIFY = (
    "classify --particles Extract/done/particles.star --reference densities/holo.mrc --mask-diameter 400 --iterations 1 --no-align"
    " -o Class3D/job001"
)
TRACES = {"job_record.json", "events.jsonl", "run.out", "run.err", "note.txt", "RELION_JOB_EXIT_FAILURE"}


def nothing(root: Path) -> None:
    """Leave all as it is."""


def truncate(root: Path, name: str) -> None:
    path = next(root.glob(name))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def cells(root: Path, name: str, label: str, text: str) -> None:
    """A cell of the third row is `text`."""
    particles = read_particles(root / name)
    write_particles(root / name, particles.with_columns({label: [text if i == 2 else t for i, t in enumerate(particles.texts(label))]}))


def rename(root: Path, name: str, label: str, other: str) -> None:
    path = root / name
    path.write_text(path.read_text().replace(label, other))


def empty(root: Path, name: str) -> None:
    particles = read_particles(root / name)
    write_particles(root / name, particles.select(np.zeros(particles.n, dtype=bool)))


def put_nan(root: Path, name: str) -> None:
    with mrcfile.open(root / name, mode="r+") as mrc:
        mrc.data[mrc.data.shape[0] // 2] = np.nan


CASES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "particles are not there": (EXTRACT, lambda r: (r / "particles.star").unlink(), "the STAR file {root}/particles.star, found nothing"),
    "tomograms.star is not there": (EXTRACT, lambda r: (r / "tomograms.star").unlink(), "the STAR file {root}/tomograms.star, found"),
    "a tomogram is not there": (EXTRACT, lambda r: (r / "tomograms/TS_02.mrc").unlink(), "{root}/tomograms/TS_02.mrc"),
    "a tomogram is cut off": (EXTRACT, lambda r: truncate(r, "tomograms/TS_01.mrc"), "tomograms/TS_01.mrc, found"),
    "a tilt series is not there": (EXTRACT, lambda r: (r / "tilt_series/TS_01.star").unlink(), "{root}/tilt_series/TS_01.star"),
    "a column has another name": (
        EXTRACT, lambda r: rename(r, "particles.star", "CenteredCoordinateZ", "CentredCoordinateZ"),
        "found only _rlnCenteredCoordinateXAngst and _rlnCenteredCoordinateYAngst",
    ),
    "a tomogram has another name": (EXTRACT, lambda r: cells(r, "particles.star", relion.TOMO_NAME, "TS_7"), "TS_7"),
    "a coordinate is NaN": (
        EXTRACT, lambda r: cells(r, "particles.star", relion.CENTRED[1], "nan"), "row 3, column _rlnCenteredCoordinateYAngst",
    ),
    "no particles": (EXTRACT, lambda r: empty(r, "particles.star"), "Expected at least one particle in {root}/particles.star, found none"),
    "the box is larger than the tomogram": (EXTRACT.replace("24", "128"), nothing, "112 x 112 x 40 px in TS_01 at binning 1"),
    "an odd box": (EXTRACT.replace("24", "25"), nothing, "--box-size"),
    "no optimisation set": (
        "extract --optimisation-set tomograms.star --box-size 24 -o Extract/job001", nothing, "Expected an optimisation set",
    ),
    "a subtomogram is not there": (
        RECONSTRUCT, lambda r: next(r.glob("Extract/done/Subtomograms/TS_01/*_data.mrc")).unlink(), "_data.mrc, found nothing there",
    ),
    "a subtomogram is cut off": (RECONSTRUCT, lambda r: truncate(r, "Extract/done/Subtomograms/TS_01/*_weights.mrc"), "is cut off"),
    "particles that were never extracted": (
        "reconstruct --particles particles.star -o Reconstruct/job001", nothing, "extract the particles first",
    ),
    "an angle is a word": (
        RECONSTRUCT, lambda r: cells(r, "Extract/done/particles.star", relion.ANGLES[0], "abc"), "row 3, column _rlnAngleRot",
    ),
    "no particles to average": (RECONSTRUCT, lambda r: empty(r, "Extract/done/particles.star"), "found none"),
    "a symmetry that does not exist": (f"{RECONSTRUCT} --symmetry Q7", nothing, "--symmetry"),
    "no particles to classify": (CLASSIFY, lambda r: empty(r, "Extract/done/particles.star"), "found none"),
    "the reference is not there": (CLASSIFY, lambda r: (r / "densities/holo.mrc").unlink(), "{root}/densities/holo.mrc"),
    "the reference is cut off": (CLASSIFY, lambda r: truncate(r, "densities/holo.mrc"), "the file is cut off"),
    "the reference holds NaN": (CLASSIFY, lambda r: put_nan(r, "densities/holo.mrc"), "densities/holo.mrc"),
    "a mask larger than the box": (CLASSIFY.replace("400", "4000"), nothing, "found 4000 Å"),
    "an angle to classify is NaN": (
        CLASSIFY, lambda r: cells(r, "Extract/done/particles.star", relion.ANGLES[1], "nan"), "row 3, column _rlnAngleTilt",
    ),
    "no such iteration": (
        "select --optimiser Class3D/done/run_it009_optimiser.star --keep 1 -o Select/job001", nothing, "run_it009_optimiser.star",
    ),
    "particles without classes": ("select --data particles.star --keep 1 -o Select/job001", nothing, "_rlnClassNumber"),
    "no such score": (
        "remove-duplicates --particles particles.star --score rlnNope -o Select/job001", nothing, "Expected the score column rlnNope",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def extracted(coarse_original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a finished extraction; nothing may be written there."""
    import shutil

    root = shutil.copytree(coarse_original, tmp_path_factory.mktemp("extracted") / "project")
    succeed(EXTRACT.replace("job001", "done"), root)
    return root


@pytest.fixture
def project(extracted: Path, tmp_path: Path) -> Path:
    """A copy that may be spoiled; what is only read is linked."""
    import shutil

    return shutil.copytree(extracted, tmp_path / "project", ignore=shutil.ignore_patterns("images"))


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_status_2_and_no_results(project: Path, case: str) -> None:
    line, spoil, sentence = CASES[case]
    spoil(project)
    answer = here(line, project)
    complaints = [text for text in answer.err.splitlines() if text.startswith("napari-subtomo ")]
    assert answer.status == 2 and answer.out == "", answer.err
    assert len(complaints) == 1 and answer.err.rstrip().endswith(complaints[0])
    said = complaints[0].partition(": ")[2]
    assert sentence.format(root=project) in said and said.endswith(".")
    assert "Traceback" not in answer.err
    folder = project / line.split("-o ")[1].split()[0]
    assert {path.name for path in folder.rglob("*")} <= TRACES


def test_a_corrected_line_is_taken_in_the_same_folder(project: Path) -> None:
    assert here(EXTRACT.replace("24", "128"), project).status == 2
    assert here(EXTRACT.replace("particles.star", "partikles.star"), project).status == 2
    succeed(EXTRACT, project)
    assert {path.name for path in (project / "Extract/job001").iterdir()} >= {"RELION_JOB_EXIT_SUCCESS", "particles.star"}
    assert not (project / "Extract/job001/RELION_JOB_EXIT_FAILURE").exists()


def test_a_sample_that_does_not_fit_can_be_asked_for_again_with_other_options(tmp_path: Path) -> None:
    small = "simulate sample --pixel-size 20 --width 64 --thickness 600 --tilt-step 20 --tomograms 1 --particles"
    answer = here(f"{small} 50", tmp_path)
    assert answer.status == 2 and "lower --particles" in answer.err
    succeed(f"{small} 2", tmp_path)


def test_the_process_ends_with_the_status_and_shows_a_traceback_only_when_asked(project: Path) -> None:
    line = EXTRACT.replace("24", "128")
    plain, debug = shell(line, project), shell(f"{line} --debug", project)
    assert (plain.status, debug.status) == (2, 2)
    assert "Traceback" not in plain.err and "Traceback" in debug.err
    assert shell("frobnicate", project).status == 2


def test_quiet_says_nothing_but_what_went_wrong(project: Path) -> None:
    answer = succeed(f"{EXTRACT} --quiet", project)
    assert (answer.out, answer.err) == ("", "")
    answer = here(f"{EXTRACT.replace('24', '128')} -q --overwrite", project)
    assert answer.status == 2 and len(answer.err.splitlines()) == 1
