"""The demo from the first word to the pictures, with a small sample and no display."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.terminal import Answer, here

from napari_subtomo.jobs import demo
from napari_subtomo.jobs.follow import job_state
from napari_subtomo.jobs.record import read_record
from napari_subtomo.options.base import option
from napari_subtomo.options.classify import ClassifyOptions

SAMPLE = {"particles": 8, "width": 192, "thickness": 800.0, "tilt_step": 6.0, "snr": 1.0, "false_fraction": 0.2}
LINE = "demo project --classes 2 --iterations 6 --no-show"
FOLDERS = (".", "Picks/job001", "Extract/job002", "Reconstruct/job003", "Class3D/job004", "Select/job005", "Select/job006")

pytestmark = pytest.mark.slow


class WholeParticles(ClassifyOptions):
    """Options of the demo without masks, but for the sphere of the references."""

    mask_particles: bool = option(False, "Off.", group="Optimisation")
    auto_mask: bool = option(False, "Off.", group="Reference")


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Answer, dict[Path, tuple[int, int]], Answer]:
    """The project, what the first run said and which files it left, what the second run said."""
    root = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        # eight particles a class: masked, the resolutions by which the demo keeps classes are mere chance
        patch.setattr("napari_subtomo.options.classify.ClassifyOptions", WholeParticles)
        patch.setattr(demo, "run_demo", partial(demo.run_demo, sample=SAMPLE))
        first = here(LINE, root)
        assert first.status == 0, first.err
        left = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files(root / "project")}
        second = here(LINE, root)
    return root / "project", first, left, second


def files(root: Path) -> list[Path]:
    """Everything but the pictures, which are drawn each time."""
    return [path for path in root.rglob("*") if path.is_file() and path.parent.name != "pictures"]


def test_every_step_ends_well_in_its_folder(twice: tuple[Path, Answer, dict, Answer]) -> None:
    root, first, _, _ = twice
    for folder in FOLDERS:
        assert read_record(root / folder).exit_status == job_state(root / folder).status == "finished"
    for job in ("simulate", "pick", "extract", "reconstruct", "classify", "select", "remove-duplicates"):
        assert any(line.startswith(job) for line in first.out.splitlines())
    assert str(root / "Select/job006/particles.star") in first.out


def test_true_particles_are_kept_and_false_picks_rejected(twice: tuple[Path, Answer, dict, Answer]) -> None:
    assert "adjusted Rand index 1.000" in twice[1].out
    assert "16 of 16 true particles kept, 4 of 4 false picks rejected." in twice[1].out


def test_pictures_show_something(twice: tuple[Path, Answer, dict, Answer]) -> None:
    from matplotlib.image import imread

    root, first, _, _ = twice
    for name in ("tomogram_TS_01.png", "tomogram_TS_02.png", "classes.png", "curves.png"):
        picture = np.asarray(imread(root / "pictures" / name))[..., :3]
        assert picture.std() > 0.05
        assert f"pictures/{name}" in first.out


def test_a_second_run_does_nothing_again_and_says_so(twice: tuple[Path, Answer, dict, Answer]) -> None:
    root, first, left, second = twice
    assert second.status == 0
    assert second.err.count("Finished earlier, not done again.") == len(FOLDERS)
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in files(root)} == left
    assert first.out.splitlines()[-1] == second.out.splitlines()[-1] == "Look again: napari-subtomo open project"


def test_the_lines_it_shows_are_those_of_the_manual(twice: tuple[Path, Answer, dict, Answer]) -> None:
    lines = [line.removeprefix("--- ") for line in twice[1].err.splitlines() if line.startswith("--- ")]
    assert [line.split()[1] for line in lines] == [
        "simulate", "pick", "extract", "reconstruct", "classify", "select", "remove-duplicates",
    ]  # fmt: skip
    assert all(line.split()[0] == "napari-subtomo" for line in lines)
