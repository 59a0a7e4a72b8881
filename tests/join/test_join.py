"""`join` on files: particles, optics groups, names, columns, tomograms, trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.extract_world import Listener, World
from helpers.join_world import EXTRACTED, OPTICS, Lab

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import read_optimisation_set, resolve_inputs, write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import read_star
from napari_subtomo.io.tomograms import read_tomograms
from napari_subtomo.join import run
from napari_subtomo.options.base import InputOptions
from napari_subtomo.options.join import JoinOptions


@pytest.fixture
def two(lab: Lab) -> tuple[ParticleSet, ParticleSet, list[Path]]:
    """Two sets of the same tomograms, the second with one tomogram more."""
    a, b = lab.particles(["01", "1e3", "01"], "Extract/job003"), lab.particles(["01", "TS 2"], "Extract/job005")
    first = lab.write("Extract/job003", a, lab.tomograms("Tomograms/job001", ["01", "1e3"]))
    second = lab.write("Extract/job005", b, lab.tomograms("Tomograms/job002", ["01", "TS 2"]))
    return a, b, [first, second]


def text(particles: ParticleSet, label: str) -> tuple[str, ...]:
    return particles.texts(label)


# --- the whole --------------------------------------------------------------------------------------------------------------


def test_rows_stand_set_by_set_with_their_text_and_one_optics_group(lab: Lab, two: Any) -> None:
    a, b, paths = two
    result = lab.join(*paths)
    found = read_particles(result.outputs["particles"])
    assert found.n == 5 and result.numbers["input"] == [3, 2]
    for label in a.table.labels:
        assert text(found, label) == text(a, label) + text(b, label), label
    assert found.star.names == ("general", "optics", "particles") and not found.is_2d_stacks
    assert found.optics is not None and found.optics.texts(relion.OPTICS_GROUP_NAME) == ("optics1",)
    assert found.pixel_size == 10.0 and found.box_size == 32
    assert lab.listener.warnings == []


def test_the_optimisation_set_leads_to_all_files(lab: Lab, two: Any) -> None:
    result = lab.join(*two[2])
    sets = read_optimisation_set(result.outputs["optimisation_set"])
    assert (sets.particles, sets.tomograms, sets.trajectories) == ("JoinStar/job009/particles.star", "JoinStar/job009/tomograms.star", None)
    particles, tomograms, _ = resolve_inputs(InputOptions(optimisation_set=result.outputs["optimisation_set"]), Project(lab.root))
    assert tomograms is not None and tomograms.names == ("01", "1e3", "TS 2")
    assert set(particles.tomo_names) <= set(tomograms.names)
    assert len(tomograms.tilt_series("TS 2")) == 5


def test_names_that_are_taken_get_the_next_number_and_are_listed(lab: Lab, two: Any) -> None:
    result = lab.join(*two[2])
    names = read_particles(result.outputs["particles"]).names
    assert names == ("01/1", "1e3/1", "01/2", "01/3", "TS 2/1")  # the second set's 01/1 is 01/3 now
    listed = read_star(result.outputs["names"])["particles"]
    assert (listed.texts(relion.TOMO_PARTICLE_NAME), listed.texts("subtomoFormerName")) == (("01/3",), ("01/1",))
    assert result.numbers["renamed"] == 1


def test_poses_of_all_particles_are_what_they_were(lab: Lab, two: Any) -> None:
    a, b, paths = two
    found = read_particles(lab.join(*paths).outputs["particles"])
    np.testing.assert_allclose(found.positions(), np.concatenate([a.positions(), b.positions()]), atol=1e-9)
    np.testing.assert_allclose(found.orientations, np.concatenate([a.orientations, b.orientations]), atol=1e-12)


def test_particle_files_are_sets_too_with_the_tomograms_beside_them(lab: Lab, two: Any) -> None:
    result = lab.join(lab.root / "Extract/job003/particles.star", lab.root / "Extract/job005/particles.star")
    assert read_tomograms(result.outputs["tomograms"]).names == ("01", "1e3", "TS 2")


# --- optics groups ----------------------------------------------------------------------------------------------------------


def test_groups_are_renumbered_and_equal_ones_merged(lab: Lab) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    table = {label: values * 2 for label, values in (OPTICS | EXTRACTED).items()}
    first = table | {relion.OPTICS_GROUP: [4, 2], relion.OPTICS_GROUP_NAME: ["x", "y"], relion.VOLTAGE: ["300", "200"]}
    second = table | {relion.OPTICS_GROUP: [1, 2], relion.OPTICS_GROUP_NAME: ["y", "z"], relion.VOLTAGE: ["200.000", "300"]}
    a = lab.particles(["A"] * 3, optics=first, **{relion.OPTICS_GROUP: [4, 2, 4]})
    b = lab.particles(["A"] * 2, optics=second, **{relion.OPTICS_GROUP: [2, 1]})
    found = read_particles(lab.join(lab.write("a", a, tomograms), lab.write("b", b, tomograms)).outputs["particles"])
    assert found.optics is not None
    assert found.optics.texts(relion.OPTICS_GROUP_NAME) == ("x", "y", "z") and found.optics.ints(relion.OPTICS_GROUP).tolist() == [1, 2, 3]
    assert found.optics_groups.tolist() == [1, 2, 1, 3, 2]


def test_a_name_with_two_meanings_becomes_two_names_in_particles_and_tomograms(lab: Lab) -> None:
    """RELION joins groups of one name whatever they say: particles of 200 kV would be taken for such of 300 kV."""
    other = {relion.VOLTAGE: ["200.000000"]}
    a = lab.write("a", lab.particles(["A"]), lab.tomograms("Tomograms/job001", ["A"]))
    b = lab.write("b", lab.particles(["B"], optics=OPTICS | EXTRACTED | other), lab.tomograms("Tomograms/job002", ["B"], **other))
    result = lab.join(a, b)
    found, tomograms = read_particles(result.outputs["particles"]), read_tomograms(result.outputs["tomograms"])
    assert found.optics is not None and found.optics.texts(relion.OPTICS_GROUP_NAME) == ("optics1", "optics1_2")
    assert found.optics.floats(relion.VOLTAGE).tolist() == [300, 200] and found.optics_groups.tolist() == [1, 2]
    assert [tomograms[name].optics_group for name in ("A", "B")] == ["optics1", "optics1_2"]
    assert any("optics1_2" in message for message in lab.listener.messages)


def test_another_extraction_is_another_group_of_the_same_tomograms(lab: Lab, two: Any) -> None:
    _, b, paths = two
    write_particles(lab.root / "Extract/job005/particles.star", b.with_optics({relion.IMAGE_SIZE: [48]}))
    result = lab.join(*paths)
    found = read_particles(result.outputs["particles"])
    assert found.optics is not None and found.optics.texts(relion.OPTICS_GROUP_NAME) == ("optics1", "optics1_2")
    assert {tomogram.optics_group for tomogram in read_tomograms(result.outputs["tomograms"])} == {"optics1"}
    assert any("32 px at 10 Å, 48 px at 10 Å" in warning for warning in lab.listener.warnings)


def test_picks_without_an_optics_table_get_that_of_their_tomograms(lab: Lab) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["A", "B"], **{relion.OPTICS_GROUP_NAME: ["p", "q"]})
    a = lab.particles(["B", "A"], None, {}, **{relion.OPTICS_GROUP: None})
    assert a.optics is None
    b = lab.particles(["A"], None, OPTICS | {relion.OPTICS_GROUP_NAME: ["p"]})
    found = read_particles(lab.join(lab.write("a", a, tomograms), lab.write("b", b, tomograms)).outputs["particles"])
    assert found.optics is not None and found.optics.texts(relion.OPTICS_GROUP_NAME) == ("q", "p")
    assert found.optics_groups.tolist() == [1, 2, 2] and found.optics.floats(relion.VOLTAGE).tolist() == [300, 300]


# --- columns ----------------------------------------------------------------------------------------------------------------


def test_columns_that_one_set_lacks_are_left_out_as_relion_does_and_said(lab: Lab) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    a = lab.particles(["A"] * 2, **{relion.MAX_VALUE_PROB_DISTRIBUTION: [0.5, 0.7], "myColumn": ["x", "y"]})
    b = lab.particles(["A"], **{relion.RANDOM_SUBSET: None})
    found = read_particles(lab.join(lab.write("a", a, tomograms), lab.write("b", b, tomograms)).outputs["particles"])
    gone = (relion.MAX_VALUE_PROB_DISTRIBUTION, "myColumn", relion.RANDOM_SUBSET)
    assert not any(found.has(label) for label in gone)
    said = "\n".join(lab.listener.warnings)
    assert all(label in said for label in gone) and "Half sets will be drawn anew" in said
    assert str(lab.root / "a" / "optimisation_set.star") in said


def test_columns_whose_absence_has_a_meaning_are_filled_so_that_nothing_moves(lab: Lab) -> None:
    """RELION leaves these out too, and so moves and turns the particles of the set that has them."""
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    full = {relion.ANGLE_TILT_PRIOR: ["90.0"] * 3, relion.CLASS_NUMBER: [2, 1, 2], relion.GROUP_NAME: ["g"] * 3}
    a = lab.particles(["A"] * 3, **full)
    b = lab.particles(["A"] * 2, **dict.fromkeys((*relion.ORIGINS, *relion.SUBTOMOGRAM_ANGLES)))
    found = read_particles(lab.join(lab.write("a", a, tomograms), lab.write("b", b, tomograms)).outputs["particles"])
    np.testing.assert_allclose(found.positions(), np.concatenate([a.positions(), b.positions()]), atol=1e-9)
    np.testing.assert_allclose(found.orientations, np.concatenate([a.orientations, b.orientations]), atol=1e-12)
    assert found.class_numbers.tolist() == [2, 1, 2, 0, 0] and found.floats(relion.ANGLE_TILT_PRIOR).tolist() == [90, 90, 90, 999, 999]
    assert found.groups == ("g", "g", "g", "A", "A")


def test_relion_4_coordinates_become_those_of_relion_5_where_sets_differ(lab: Lab) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    pixels = np.array([[210.0, 180.0, 90.0]])
    old = lab.particles(["A"], **dict.fromkeys((*relion.CENTRED, *relion.ORIGINS)), **dict(zip(relion.COORDINATES, pixels.T, strict=True)))
    old = old.with_columns(dict(zip(relion.ORIGINS_PX, [[1.0], [0.0], [0.0]], strict=True)))  # of images with 10 Å
    new = lab.particles(["A"])
    found = read_particles(lab.join(lab.write("a", old, tomograms), lab.write("b", new, tomograms)).outputs["particles"])
    np.testing.assert_allclose(found.coordinates()[0], [50, -50, -50])  # (u - N/2)·p
    np.testing.assert_allclose(found.origins[0], [10, 0, 0])
    assert not found.has(*relion.COORDINATES) and not found.has(*relion.ORIGINS_PX)


# --- images -----------------------------------------------------------------------------------------------------------------


def test_images_in_one_set_only_are_refused_and_can_be_left_out(lab: Lab) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    a, b = lab.write("a", lab.particles(["A"]), tomograms), lab.write("b", lab.particles(["A"], None), tomograms)
    with pytest.raises(
        InputError, match=r"extracted images in all sets or in none, found them in .*/a/.* and not in .*/b/.*--no-keep-images"
    ):
        lab.join(a, b)
    assert list((lab.root / "JoinStar/job009").iterdir()) == []
    found = read_particles(lab.join(a, b, keep_images=False).outputs["particles"])
    assert found.n == 2 and not found.has(relion.IMAGE_NAME) and found.star.names == ("optics", "particles")
    assert found.optics is not None and len(found.optics) == 1 and not found.optics.has(relion.IMAGE_SIZE)


def test_stacks_and_volumes_are_refused(lab: Lab) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    stacks = lab.particles(["A"]).with_2d_stacks(True)
    with pytest.raises(InputError, match="2D stacks or volumes in all sets"):
        lab.join(lab.write("a", stacks, tomograms), lab.write("b", lab.particles(["A"]), tomograms))


def test_a_joined_set_can_be_extracted(tmp_path: Path) -> None:
    world = World(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("A", "B"):
        world.tomogram(name, rng.standard_normal((24, 32, 32)).astype(np.float32))
    world.write_tomograms()
    for job, names in (("one", ["A", "B"]), ("two", ["A", "A"])):
        world.particles(names, rng.uniform(-30, 30, (2, 3)))
        (tmp_path / job).mkdir()
        (tmp_path / "particles.star").rename(tmp_path / job / "particles.star")
        write_optimisation_set(tmp_path / job / "optimisation_set.star", particles=f"{job}/particles.star", tomograms="tomograms.star")
    folder = JobFolder(Project(tmp_path), tmp_path / "JoinStar/job001")
    folder.path.mkdir(parents=True)
    joined = run(JoinOptions(sets=(tmp_path / "one/particles.star", tmp_path / "two/particles.star")), folder, Listener())
    (tmp_path / "particles.star").write_bytes(joined.outputs["particles"].read_bytes())
    assert world.extract(box_size=8, tomograms=joined.outputs["tomograms"]).numbers["particles"] == 4


# --- duplicates -------------------------------------------------------------------------------------------------------------


def near(lab: Lab, **columns: Any) -> list[Path]:
    """Sets in which A1 and A2 (20 Å apart) have B1 between them, and B2 is far away; C1 lies on B1, in another tomogram C2 on A1."""
    tomograms = lab.tomograms("Tomograms/job001", ["T", "U"])
    places = {"a": [("T", 0), ("T", 20)], "b": [("T", 10), ("T", 300)], "c": [("T", 10), ("U", 0)]}
    paths = []
    for job, rows in places.items():
        centred = np.array([[x, 0.0, 0.0] for _, x in rows])
        table = dict(zip(relion.CENTRED, centred.T, strict=True)) | {
            relion.ORIGIN_X: [0, 0],
            relion.ORIGIN_Y: [0, 0],
            relion.ORIGIN_Z: [0, 0],
        }
        table |= {label: values[job] for label, values in columns.items()}
        paths.append(lab.write(job, lab.particles([name for name, _ in rows], f"Extract/{job}", **table), tomograms))
    return paths


def test_duplicates_across_sets_are_reported_and_stay(lab: Lab) -> None:
    result = lab.join(*near(lab), min_distance=25)
    assert (result.numbers["particles"], result.numbers["duplicates"], result.numbers["removed"]) == (6, 2, 0)
    listed = read_star(result.outputs["duplicates"]).first
    assert listed.texts(relion.TOMO_PARTICLE_NAME) == ("T/3", "T/5") and listed.ints("subtomoSet").tolist() == [2, 3]
    assert set(listed.texts("subtomoDuplicateOf")) == {"T/1"} and listed.floats("subtomoDistanceAngst").tolist() == [10, 10]
    assert "particles_removed" not in result.outputs and "2 particles lie 25 Å or nearer" in lab.listener.warnings[-1]


def test_duplicates_go_when_asked_and_those_of_one_set_never(lab: Lab) -> None:
    result = lab.join(*near(lab), min_distance=25, remove_duplicates=True)
    assert read_particles(result.outputs["particles"]).names == ("T/1", "T/2", "T/3", "U/1")
    assert read_particles(result.outputs["particles_removed"]).names == ("T/1", "T/1")  # as in their sets


def test_the_better_score_stays(lab: Lab) -> None:
    scores = {relion.MAX_VALUE_PROB_DISTRIBUTION: {"a": [0.2, 0.3], "b": [0.5, 0.5], "c": [0.9, 0.1]}}
    result = lab.join(*near(lab, **scores), min_distance=25, remove_duplicates=True, score=relion.MAX_VALUE_PROB_DISTRIBUTION)
    assert read_particles(result.outputs["particles"]).names == ("T/2", "T/1", "U/1")  # C1 takes B1, A1 and A2


def test_true_positions_decide_not_coordinates(lab: Lab) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["T"])
    a = lab.particles(["T"])
    moved = a.positions() + np.array([0, 0, 3.0])
    b = lab.particles(["T"])
    b = b.with_coordinates(moved + np.einsum("nij,nj->ni", b.frames, b.origins))
    result = lab.join(lab.write("a", a, tomograms), lab.write("b", b, tomograms), min_distance=3.01)
    assert result.numbers["duplicates"] == 1
    assert lab.join(lab.root / "a/particles.star", lab.root / "b/particles.star", min_distance=2.99).numbers["duplicates"] == 0
