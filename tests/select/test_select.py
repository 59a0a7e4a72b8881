"""Selections from classifications that RELION 5 made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from napari_subtomo.data.result import JobResult
from napari_subtomo.data.selection import Selection
from napari_subtomo.errors import FileMissingError, InputError, OptionError
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarBlock, read_star, write_star
from napari_subtomo.options.select import SelectOptions
from napari_subtomo.progress import Silent
from napari_subtomo.select import run

RUNS = ("Class3D_3d", "Class3D_2d")


class Listener(Silent):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def project(tmp_path: Path, golden: Path) -> Project:
    """A copy of what RELION wrote that may be damaged."""
    for name in RUNS:
        shutil.copytree(golden / name, tmp_path / name)
    shutil.copy(golden / "tomograms.star", tmp_path / "tomograms.star")
    return Project(tmp_path)


@pytest.fixture
def select(project: Project) -> Callable[..., JobResult]:
    def go(listener: Silent | None = None, **options: object) -> JobResult:
        folder = project.root / "Select" / "job005"
        folder.mkdir(parents=True, exist_ok=True)
        paths = {k: project.root / v if isinstance(v, str) and k != "score" else v for k, v in options.items()}
        return run(SelectOptions.model_validate(paths), JobFolder(project, folder), listener or Silent())

    return go


Select = Callable[..., JobResult]


def cells(particles: ParticleSet) -> list[tuple[str, ...]]:
    return [tuple(texts[i] for texts in particles.table.columns.values()) for i in range(particles.n)]


@pytest.mark.parametrize("run_name", RUNS)
@pytest.mark.parametrize("kind", ["optimiser", "model", "data"])
@pytest.mark.parametrize("iteration", [1, 4])
def test_any_file_of_any_iteration_gives_the_rows_of_the_class_in_order_with_their_text(
    project: Project, select: Select, run_name: str, kind: str, iteration: int
) -> None:
    stem = f"{run_name}/run_it{iteration:03d}"
    before = read_particles(project.root / f"{stem}_data.star")
    chosen = before.class_numbers == 2
    result = select(**{kind: f"{stem}_{kind}.star"}, keep=[2])
    kept, rejected = read_particles(result.outputs["particles"]), read_particles(result.outputs["particles_rejected"])
    assert cells(kept) == [row for row, c in zip(cells(before), chosen, strict=True) if c]
    assert cells(rejected) == [row for row, c in zip(cells(before), chosen, strict=True) if not c]
    assert [(b.name, b.kind, b.labels) for b in kept.star] == [(b.name, b.kind, b.labels) for b in before.star]
    found = read_optimisation_set(result.outputs["optimisation_set"])
    assert (found.particles, found.tomograms, found.trajectories) == ("Select/job005/particles.star", "tomograms.star", None)


@pytest.mark.parametrize("run_name", RUNS)
def test_the_chosen_maps_are_copied_and_listed_with_their_numbers(project: Project, select: Select, run_name: str) -> None:
    result = select(optimiser=f"{run_name}/run_it004_optimiser.star", keep=[2])
    block = read_star(result.outputs["class_averages"]).first
    assert block.name == ""
    assert block.texts(relion.REFERENCE_IMAGE) == ("Select/job005/class_averages/run_it004_class002.mrc",)
    assert block.texts(relion.CLASS_NUMBER) == ("2",)
    model = read_star(project.root / run_name / "run_it004_model.star")[relion.MODEL_CLASSES]
    assert block.texts(relion.CLASS_DISTRIBUTION) == model.texts(relion.CLASS_DISTRIBUTION)[1:]
    copy = project.root / "Select/job005/class_averages/run_it004_class002.mrc"
    assert copy.read_bytes() == (project.root / run_name / "run_it004_class002.mrc").read_bytes()


def test_counts_are_hard_and_soft(select: Select) -> None:
    result = select(optimiser="Class3D_3d/run_it004_optimiser.star", keep=[1])
    assert result.numbers == {
        "particles": 12,
        "rejected": 12,
        "input": 24,
        "classes": [1],
        "hard": {"1": 12, "2": 12},
        "soft": {"1": 0.49994, "2": 0.50006},
    }
    assert result.summary[0] == "12 of 24 particles kept from class 1 of run_it004_optimiser.star; 12 rejected."
    assert "class 1: 12 particles, 50.0 % of the weight, kept" in result.summary
    assert "class 2: 12 particles, 50.0 % of the weight" in result.summary


def test_all_classes_keep_all_particles_byte_for_byte(project: Project, select: Select) -> None:
    result = select(optimiser="Class3D_2d/run_it004_optimiser.star", keep=[2, 1, 2])
    assert result.outputs["particles"].read_bytes() == (project.root / "Class3D_2d/run_it004_data.star").read_bytes()
    assert read_particles(result.outputs["particles_rejected"]).n == 0
    assert result.numbers["classes"] == [2, 1]


def test_an_unknown_class_is_named_with_those_that_exist(project: Project, select: Select) -> None:
    with pytest.raises(OptionError, match=r"has 1 \(12 particles\), 2 \(12 particles\), found class 7"):
        select(optimiser="Class3D_3d/run_it004_optimiser.star", keep=[1, 7])
    assert list((project.root / "Select/job005").iterdir()) == []


def without_class_2(project: Project) -> None:
    """All particles of iteration 4 in class 1."""
    path = project.root / "Class3D_3d/run_it004_data.star"
    particles = read_particles(path)
    write_particles(path, particles.with_columns({relion.CLASS_NUMBER: ["1"] * particles.n}))


def test_a_class_without_particles_is_refused_alone_and_reported_among_others(project: Project, select: Select) -> None:
    without_class_2(project)
    with pytest.raises(
        InputError, match=r"Expected particles in class 2 .* found none; its classes are 1 \(24 particles\), 2 \(0 particles\)"
    ):
        select(optimiser="Class3D_3d/run_it004_optimiser.star", keep=[2])
    listener = Listener()
    assert select(listener, optimiser="Class3D_3d/run_it004_optimiser.star", keep=[1, 2]).numbers["particles"] == 24
    assert listener.warnings == ["Class 2 has no particles of its own; its map is kept all the same."]


def test_a_class_number_beyond_the_model_can_be_chosen(project: Project, select: Select) -> None:
    path = project.root / "Class3D_3d/run_it004_data.star"
    particles = read_particles(path)
    write_particles(path, particles.with_columns({relion.CLASS_NUMBER: ["3", "0"] + ["1"] * (particles.n - 2)}))
    result = select(optimiser="Class3D_3d/run_it004_optimiser.star", keep=[3])
    assert result.numbers["particles"] == 1
    assert result.numbers["hard"] == {"1": 22, "2": 0, "3": 1}
    assert "no class: 1 particles" in result.summary
    assert len(read_star(result.outputs["class_averages"]).first) == 0


def test_missing_particles_or_model_are_named(project: Project, select: Select) -> None:
    (project.root / "Class3D_3d/run_it004_data.star").unlink()
    with pytest.raises(FileMissingError, match=r"found these missing: Class3D_3d/run_it004_data.star; .*--project"):
        select(optimiser="Class3D_3d/run_it004_optimiser.star", keep=[1])
    (project.root / "Class3D_2d/run_it004_model.star").unlink()
    with pytest.raises(FileMissingError, match=r"found these missing: Class3D_2d/run_it004_model.star; .*--data"):
        select(optimiser="Class3D_2d/run_it004_optimiser.star", keep=[1])
    assert list((project.root / "Select/job005").iterdir()) == []


def test_missing_maps_and_tomograms_are_reported_and_the_particles_kept(project: Project, select: Select) -> None:
    (project.root / "Class3D_3d/run_it004_class001.mrc").unlink()
    (project.root / "tomograms.star").unlink()
    listener = Listener()
    result = select(listener, optimiser="Class3D_3d/run_it004_optimiser.star", keep=[1, 2])
    assert [w.split(" is missing")[0] for w in listener.warnings] == ["Class3D_3d/run_it004_class001.mrc", "tomograms.star"]
    assert result.numbers["particles"] == 24
    assert read_star(result.outputs["class_averages"]).first.texts(relion.REFERENCE_IMAGE) == (
        "Class3D_3d/run_it004_class001.mrc",
        "Select/job005/class_averages/run_it004_class002.mrc",
    )


def test_a_particle_file_alone_is_enough(project: Project, select: Select) -> None:
    shutil.copy(project.root / "Class3D_3d/run_it004_data.star", project.root / "some.star")
    listener = Listener()
    result = select(listener, data="some.star", keep=[1])
    assert result.numbers["soft"] == {}
    assert "class_averages" not in result.outputs
    assert "no class maps" in listener.warnings[0]
    assert read_optimisation_set(result.outputs["optimisation_set"]).tomograms is None


def test_a_copied_job_folder_uses_its_own_files(project: Project, select: Select) -> None:
    shutil.move(project.root / "Class3D_3d", project.root / "elsewhere")
    result = select(optimiser="elsewhere/run_it004_optimiser.star", keep=[1])
    assert result.numbers["particles"] == 12
    assert (project.root / "Select/job005/class_averages/run_it004_class001.mrc").is_file()


def test_other_files_are_refused(project: Project, select: Select) -> None:
    with pytest.raises(InputError, match="Expected an optimiser, model or data STAR file"):
        select(optimiser="tomograms.star", keep=[1])
    with pytest.raises(FileMissingError, match="found the folder"):
        select(optimiser="Class3D_3d", keep=[1])
    with pytest.raises(FileMissingError, match="found nothing there"):
        select(optimiser="Class3D_3d/run_it009_optimiser.star", keep=[1])
    write_star(project.root / "run_it000_data.star", [StarBlock.loop(relion.PARTICLES, {relion.TOMO_NAME: ["a"]})])
    write_star(project.root / "run_it000_model.star", [StarBlock.loop(relion.MODEL_CLASSES, {relion.CLASS_DISTRIBUTION: [1.0]})])
    with pytest.raises(InputError, match=r"Expected class numbers .* take a later iteration"):
        select(model="run_it000_model.star", keep=[1])


def test_duplicates_among_the_kept_can_be_removed_too(project: Project, select: Select) -> None:
    options = {"optimiser": "Class3D_3d/run_it004_optimiser.star", "keep": [1], "min_distance": 400}
    result = select(**options, score=relion.MAX_VALUE_PROB_DISTRIBUTION)
    kept, removed = read_particles(result.outputs["particles"]), read_particles(result.outputs["particles_removed"])
    rejected = read_particles(result.outputs["particles_rejected"])
    assert kept.n + removed.n == 12
    assert removed.n == result.numbers["duplicates"] > 0
    assert rejected.n == result.numbers["rejected"] == 12
    assert set(cells(kept)) | set(cells(removed)) | set(cells(rejected)) == set(
        cells(read_particles(project.root / "Class3D_3d/run_it004_data.star"))
    )
    points = kept.positions()
    gaps = np.linalg.norm(points[:, None] - points[None], axis=-1)[~np.eye(kept.n, dtype=bool)]
    assert gaps.min() > 400
    assert "removed as duplicates within 400 Å" in result.summary[0]


def test_the_hiv_class3d_job_says_which_files_are_missing(shared: Path, tmp_path: Path) -> None:
    project = Project(shared / "data" / "relion5_hiv_project")
    options = SelectOptions(optimiser=project.root / "Class3D/job017/run_it025_optimiser.star", keep=(1, 5))
    with pytest.raises(FileMissingError) as error:
        run(options, JobFolder(project, tmp_path), Silent())
    for name in ("run_it025_data.star", "run_it025_class001.mrc", "run_it025_class009.mrc"):
        assert f"Class3D/job017/{name}" in str(error.value)
    assert "Denoise/job008/tomograms.star" in str(error.value)
    assert "run_it025_model.star" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options", [{"keep": [1]}, {"optimiser": "a", "data": "b", "keep": [1]}, {"optimiser": "a"}, {"optimiser": "a", "keep": []}]
)
def test_one_file_and_at_least_one_class_are_needed(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SelectOptions.model_validate(options)


def test_a_selection_is_frozen_and_knows_both_sides() -> None:
    selection = Selection.of_classes([1, 2, 0, 3, 1], [1, 3], "abcde")
    assert selection.keep.tolist() == [True, False, False, True, True]
    assert (selection.n_kept, selection.n_rejected, len(selection)) == (3, 2, 5)
    assert selection.kept_ids == ("a", "d", "e")
    assert selection.and_only([False, True, True, True, True]).keep.tolist() == [False, False, False, True, True]
    with pytest.raises(ValueError, match="read-only"):
        selection.keep[0] = False
    with pytest.raises(InputError, match="one row id a particle"):
        Selection(np.ones(3, dtype=bool), ids=("a",))
