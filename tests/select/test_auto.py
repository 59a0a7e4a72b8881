"""Classes that are proposed: each rule, its reason, and what is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion as r
from napari_subtomo.io.class_files import read_classes
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarBlock, read_star, write_star
from napari_subtomo.numerics.fourier import centred_fft, centred_ifft, shells
from napari_subtomo.options.select import SelectOptions
from napari_subtomo.options.simulate import SimulateOptions
from napari_subtomo.progress import Silent
from napari_subtomo.select import run
from napari_subtomo.select.auto import ALIKE, METAL, ClassFacts, facts_of, propose
from napari_subtomo.select.correlation import Likeness, likenesses
from napari_subtomo.simulate.project import make_densities

GOOD = ClassFacts(1, 80, 40.0, evidence=30.0, stability=0.9)


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


def of(*facts: ClassFacts) -> dict[int, tuple[bool, str]]:
    return {one.number: (one.keep, one.reason) for one in propose(facts)}


def test_a_good_class_is_kept_and_the_empty_class_is_not() -> None:
    found = of(GOOD, ClassFacts(2, 20, 999.0, is_empty=True))
    assert found[1] == (True, "Class 1 is kept: 80 particles, 40.0 Å, stability 0.90 (80 %).")
    assert found[2] == (False, "Class 2 is left out: it is the empty class, 20 particles that fit no density better than none.")


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (ClassFacts(2, 7, 41.0), "less than 10 % of the particles"),
        (ClassFacts(2, 0, 41.0), "less than 10 % of the particles"),
        (ClassFacts(2, 60, 61.0), "the best class has 40.0 Å"),
        (ClassFacts(2, 60, 999.0), "no shell holds more signal than noise"),
        (ClassFacts(2, 60, 41.0, evidence=-0.5), "no better than by nothing (median log evidence -0.5)"),
        (ClassFacts(2, 60, 41.0, stability=0.3), "it dissolves when the classification is repeated"),
    ],
)
def test_what_speaks_against_a_class(bad: ClassFacts, why: str) -> None:
    found = of(GOOD, bad)
    assert found[1][0] and not found[2][0]
    assert why in found[2][1] and found[2][1].startswith("Class 2 is left out: ")


def test_a_blurred_class_like_the_largest_is_one_of_few_particles() -> None:
    found = of(GOOD, ClassFacts(2, 20, 61.0, correlation=0.9), ClassFacts(3, 20, 61.0, correlation=0.4))
    assert found[2][0] and not found[3][0]
    assert found[2][1].endswith("; the best class has 40.0 Å, but its map is like that of the largest class as far as it goes (0.90).")


@pytest.mark.parametrize(("correlation", "density", "keep"), [(0.4, 6.3, False), (0.4, 1.5, True), (0.9, 6.3, True), (0.4, np.nan, True)])
def test_a_class_as_dense_as_metal_is_left_out(correlation: float, density: float, keep: bool) -> None:
    found = of(GOOD, ClassFacts(2, 20, 40.0, correlation=correlation, density=density))
    assert found[2][0] == keep
    assert keep or found[2][1].endswith(
        "; its map is unlike that of the largest class (0.40) and 6.3 times as dense, as beads of gold are."
    )


def test_a_sharp_class_unlike_the_largest_is_kept_and_said_to_be() -> None:
    found = of(GOOD, ClassFacts(2, 20, 40.0, correlation=0.4), ClassFacts(3, 20, 40.0, correlation=0.9))
    assert found[2] == (
        True,
        "Class 2 is kept: 20 particles, 40.0 Å (17 %); its map is unlike that of the largest class (0.40): look whether it is a particle.",
    )
    assert found[3][1].endswith("(17 %).")


def test_classes_that_are_one_thing_are_kept_together_and_said_to_be() -> None:
    found = of(GOOD, ClassFacts(2, 60, 41.0, stability=0.3, twins=(3,)), ClassFacts(3, 60, 41.0, stability=0.3, twins=(2,)))
    assert all(keep for keep, _ in found.values())
    assert found[2][1].endswith("it is not distinct from class 3.")


def test_with_many_classes_a_class_may_be_smaller() -> None:
    """Nine classes of a tenth each, and one of a twentieth: small by a fixed share, not by an equal one."""
    many = [ClassFacts(n, 100, 40.0) for n in range(1, 9)]
    found = of(*many, ClassFacts(9, 50, 40.0), ClassFacts(10, 10, 40.0))
    assert found[9][0] and not found[10][0]
    assert "less than 3 % of the particles" in found[10][1]


def test_unknown_figures_speak_against_nobody() -> None:
    found = of(ClassFacts(1, 50, np.nan), ClassFacts(2, 50, np.nan))
    assert found[1] == (True, "Class 1 is kept: 50 particles (50 %).") and found[2][0]


@pytest.fixture
def project(tmp_path: Path, golden: Path) -> Project:
    """A classification of RELION's whose particles are 18 : 6, the smaller class blurred."""
    shutil.copytree(golden / "Class3D_3d", tmp_path / "Class3D_3d")
    shutil.copy(golden / "tomograms.star", tmp_path / "tomograms.star")
    data = tmp_path / "Class3D_3d/run_it004_data.star"
    particles = read_particles(data)
    write_particles(data, particles.with_columns({r.CLASS_NUMBER: ["1"] * 18 + ["2"] * 6}))
    return Project(tmp_path)


def change(project: Project, **columns: Any) -> None:
    """Columns of the table of classes, and a table of pairs."""
    path = project.root / "Class3D_3d/run_it004_model.star"
    star = read_star(path)
    block = star[r.MODEL_CLASSES]
    pairs = columns.pop("pairs", None)
    for label, values in columns.items():
        block = block.with_column(label, values)
    star = star.replace(block)
    write_star(path, star if pairs is None else star.replace(StarBlock.loop(r.MODEL_PAIRS, pairs)))


def auto(project: Project, listener: Silent | None = None, **more: Any) -> Any:
    folder = project.root / "Select/job005"
    folder.mkdir(parents=True, exist_ok=True)
    options = SelectOptions(optimiser=project.root / "Class3D_3d/run_it004_optimiser.star", auto=True, **more)
    return run(options, JobFolder(project, folder), listener or Silent())


def test_reasons_are_printed_and_written_and_relion_gets_the_ticks(project: Project) -> None:
    change(project, **{r.ESTIMATED_RESOLUTION: [40.0, 70.0]})
    listener = Listener()
    result = auto(project, listener)
    reasons = [
        "Class 1 is kept: 18 particles, 40.0 Å (75 %).",
        "Class 2 is left out: 6 particles, 70.0 Å (25 %); the best class has 40.0 Å.",
    ]
    assert [line for line in listener.said if line.startswith("Class")] == reasons
    assert result.outputs["reasons"].read_text(encoding="utf-8").splitlines() == reasons == result.numbers["reasons"]
    assert read_star(result.outputs["backup_selection"]).first.ints("rlnSelected").tolist() == [1, 0]
    assert read_particles(result.outputs["particles"]).n == 18 == result.numbers["particles"]
    assert result.numbers["classes"] == [1]


def test_maps_are_compared_where_they_are_there(project: Project) -> None:
    """The maps that RELION wrote are of the same particles from the same reference."""
    change(project, **{r.ESTIMATED_RESOLUTION: [40.0, 70.0]})
    table = read_classes(project.root / "Class3D_3d/run_it004_optimiser.star", project)
    first, second = (Likeness(one.correlation, one.density) for one in facts_of(table, project))
    assert np.isnan(first.correlation) and np.isnan(first.density)
    assert -1 < second.correlation < 1 and 0.3 < second.density < 3
    again = likenesses(table, {1: 40.0, 2: 70.0}, project)
    assert again == {2: second}
    cell = read_star(table.files.model)[r.MODEL_CLASSES].texts(r.REFERENCE_IMAGE)[1]  # type: ignore[arg-type, union-attr]
    (project.root / "Class3D_3d" / Path(cell).name).write_bytes(b"cut off")
    assert np.isnan(facts_of(table, project)[1].correlation)


def test_maps_are_alike_up_to_the_shell_that_counts() -> None:
    rng = np.random.default_rng(3)
    shell = shells((24, 24, 24))
    common, other = (centred_fft(rng.normal(size=(24, 24, 24))) for _ in range(2))
    a = np.real(centred_ifft(common))
    b = np.real(centred_ifft(np.where(shell <= 5, common, other)))
    for second, last, correlation, density in ((b, 5, 1, 1), (3 + 2 * b, 5, 1, 0.5), (-b, 5, -1, 1)):
        found = Likeness.of(a, second, last)
        assert (found.correlation, found.density) == (pytest.approx(correlation), pytest.approx(density))
    assert Likeness.of(a, b, 12).correlation < 0.5
    nothing = Likeness.of(a, np.zeros_like(a), 5)
    assert np.isnan(nothing.correlation) and np.isnan(nothing.density)


@pytest.mark.parametrize("last", [4, 6, 8, 10])
def test_beads_are_told_from_other_densities_of_a_sample(last: int) -> None:
    """Gold as `simulate` makes it, against a species; another species, a membrane and another protein are not taken for metal."""
    found = make_densities(SimulateOptions(structured=["bead", "membrane", "protein"]), Silent())
    holo = found.species["holo"]
    bead = Likeness.of(found.false["bead"], holo, last)
    assert bead.density > METAL and bead.correlation < ALIKE
    for other in (found.species["apo"], found.false["membrane"], found.false["protein"]):
        assert Likeness.of(other, holo, last).density < METAL


def test_pairs_stability_and_relions_score_are_read_from_the_model(project: Project) -> None:
    change(
        project,
        **{r.ESTIMATED_RESOLUTION: [40.0, 41.0], r.STABILITY: [0.4, 0.3], r.CLASS_SCORE: [0.8, 0.6]},
        pairs={r.PAIR[0]: [1], r.PAIR[1]: [2], r.DISTINCT: [0]},
    )
    reasons = auto(project).numbers["reasons"]
    assert (
        reasons[0]
        == "Class 1 is kept: 18 particles, 40.0 Å, stability 0.40, RELION's class score 0.80 (75 %); it is not distinct from class 2."
    )


def test_where_nothing_is_worth_keeping_every_reason_is_said_and_nothing_written(project: Project) -> None:
    change(project, **{r.STABILITY: [0.1, 0.1]})
    with pytest.raises(InputError, match=r"choose classes yourself with --keep\. Class 1 is left out: .* Class 2 is left out: "):
        auto(project)
    assert not list((project.root / "Select/job005").iterdir())


@pytest.mark.parametrize("options", [{"auto": True, "keep": (1,)}, {"auto": False}])
def test_classes_are_chosen_in_one_way(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="--auto"):
        SelectOptions(optimiser=Path("a"), **options)
