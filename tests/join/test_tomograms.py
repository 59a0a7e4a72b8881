"""`join`: tomogram sets, trajectories, other projects, the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.join_world import EXTRACTED, OPTICS, Lab
from pydantic import ValidationError

from napari_subtomo.cli.main import main
from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.pipeline import Pipeline
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import StarBlock, StarFile, read_star, write_star
from napari_subtomo.io.tomograms import read_tomograms
from napari_subtomo.io.trajectories import read_trajectories
from napari_subtomo.options.join import JoinOptions


def motion(path: Path, names: list[str], seed: int) -> dict[str, np.ndarray]:
    """motion.star with five tilts."""
    rng = np.random.default_rng(seed)
    values = {name: rng.uniform(-3, 3, (5, 3)) for name in names}
    tables = [StarBlock.loop(name, dict(zip(relion.ORIGINS, value.T, strict=True))) for name, value in values.items()]
    write_star(path, [StarBlock.list(relion.GENERAL, {relion.PARTICLE_NUMBER: len(names)}), *tables])
    return values


# --- tomograms --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "value"),
    [
        (relion.TOMO_HAND, "1.000000"),
        (relion.TOMO_SIZE_Z, "220"),
        (relion.TILT_SERIES_PIXEL_SIZE, "5.001"),
        (relion.OPTICS_GROUP_NAME, "optics9"),
    ],
)
def test_sets_that_contradict_each_other_are_refused_with_both_values(lab: Lab, label: str, value: str) -> None:
    a = lab.write("a", lab.particles(["A"]), lab.tomograms("Tomograms/job001", ["A"]))
    b = lab.write("b", lab.particles(["A"]), lab.tomograms("Tomograms/job002", ["A"], **{label: [value]}))
    with pytest.raises(
        InputError, match=rf"same tomogram A in both sets, found _{label} .* in .*job001.* and {value} in .*job002.*--tomograms"
    ):
        lab.join(a, b)
    assert not list((lab.root / "JoinStar/job009").iterdir())
    result = lab.join(a, b, tomograms=lab.root / "Tomograms/job002/tomograms.star")
    assert read_tomograms(result.outputs["tomograms"])["A"].extra[label] == value
    (lab.root / "Tomograms/job001/tomograms.star").unlink()  # those of the sets are not needed then
    assert lab.join(a, b, tomograms=lab.root / "Tomograms/job002/tomograms.star").numbers["tomograms"] == 1


def test_equal_tilt_series_in_two_folders_are_one_and_others_are_not(lab: Lab) -> None:
    a = lab.write("a", lab.particles(["A"]), lab.tomograms("Tomograms/job001", ["A"]))
    b = lab.write("b", lab.particles(["A"]), lab.tomograms("Tomograms/job002", ["A"]))
    tomograms = read_tomograms(lab.join(a, b).outputs["tomograms"])
    assert tomograms.table.texts(relion.TOMO_TILT_SERIES_STAR_FILE) == ("Tomograms/job001/tilt_series/A.star",)
    path = lab.root / "Tomograms/job002/tilt_series/A.star"
    star = read_star(path)
    write_star(path, star.replace(star["A"].with_column(relion.TOMO_Y_TILT, np.arange(-20.5, 20, 10))))
    with pytest.raises(InputError, match=r"same tomogram A .*job002/tilt_series"):
        lab.join(a, b)


def test_what_one_file_knows_and_the_other_does_not_is_kept(lab: Lab) -> None:
    denoised = {relion.TOMO_RECONSTRUCTED_DENOISED: ["den/A.mrc"], relion.TOMO_BINNING: ["7.400000"]}
    a = lab.write("a", lab.particles(["A", "B"]), lab.tomograms("Tomograms/job001", ["A", "B"]))
    b = lab.write("b", lab.particles(["A"]), lab.tomograms("Tomograms/job002", ["A"], **denoised))
    tomograms = read_tomograms(lab.join(a, b).outputs["tomograms"])
    assert tomograms.table.texts(relion.TOMO_RECONSTRUCTED_DENOISED) == ("den/A.mrc", "N/A")
    assert tomograms["A"].binning == 7.4 and tomograms["B"].binning is None


def test_sizes_that_one_set_does_not_know_carry_relions_mark_and_needed_columns_are_refused(lab: Lab) -> None:
    sizes = dict.fromkeys((relion.TOMO_SIZE_X, relion.TOMO_SIZE_Y, relion.TOMO_SIZE_Z))
    a = lab.write("a", lab.particles(["A"]), lab.tomograms("Tomograms/job001", ["A"]))
    b = lab.write("b", lab.particles(["B"]), lab.tomograms("Tomograms/job002", ["B"], **sizes))
    tomograms = read_tomograms(lab.join(a, b).outputs["tomograms"])
    assert tomograms["A"].size_xyz == (400, 380, 200) and tomograms["B"].size_xyz is None
    assert tomograms.table.texts(relion.TOMO_SIZE_X) == ("400", "-999")
    c = lab.write("c", lab.particles(["C"]), lab.tomograms("Tomograms/job003", ["C"], **{relion.TOMO_HAND: None}))
    with pytest.raises(InputError, match=r"column _rlnTomoHand for all tomograms, found it in .*job001.* and not for C"):
        lab.join(a, c)


def test_particles_whose_tomogram_no_set_has_are_refused(lab: Lab) -> None:
    a = lab.write("a", lab.particles(["A"]), lab.tomograms("Tomograms/job001", ["A"]))
    b = lab.write("b", lab.particles(["Z"]), None)
    with pytest.raises(InputError, match=r"tomogram Z of .*b/particles\.star in the tomogram sets, found none"):
        lab.join(a, b)


def test_sets_without_any_tomograms_are_joined_as_they_are(lab: Lab) -> None:
    paths = []
    for job in ("a", "b"):
        lab.write(job, lab.particles(["A"]), None)
        (lab.root / job / "optimisation_set.star").unlink()
        paths.append(lab.root / job / "particles.star")
    result = lab.join(*paths)
    assert "tomograms" not in result.outputs and read_particles(result.outputs["particles"]).n == 2


# --- trajectories -----------------------------------------------------------------------------------------------------------


def test_trajectories_follow_their_particles_to_the_new_names(lab: Lab) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    first = motion(lab.root / "a/motion.star", ["A/1", "A/2"], 1)
    second = motion(lab.root / "b/motion.star", ["A/2", "A/1"], 2)
    a = lab.write("a", lab.particles(["A", "A"]), tomograms, "a/motion.star")
    b = lab.write("b", lab.particles(["A", "A"]), tomograms, "b/motion.star")
    c = lab.write("c", lab.particles(["A"]), tomograms)
    found = read_trajectories(lab.join(a, b, c).outputs["trajectories"])
    expected = {"A/1": first["A/1"], "A/2": first["A/2"], "A/3": second["A/1"], "A/4": second["A/2"], "A/5": np.zeros((5, 3))}
    assert list(found.blocks) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found.of(name, 5), values, atol=1e-6)
    assert found.star["general"].text(relion.PARTICLE_NUMBER) == "5"


def test_a_particle_without_its_trajectory_is_refused(lab: Lab) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    motion(lab.root / "a/motion.star", ["A/1"], 1)
    a = lab.write("a", lab.particles(["A", "A"]), tomograms, "a/motion.star")
    b = lab.write("b", lab.particles(["A"]), tomograms)
    with pytest.raises(InputError, match="trajectory of the particle A/2"):
        lab.join(a, b)
    assert not list((lab.root / "JoinStar/job009").iterdir())


def test_trajectories_of_removed_particles_go_with_them(lab: Lab) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    motion(lab.root / "a/motion.star", ["A/1"], 1)
    particles = lab.particles(["A"])
    a = lab.write("a", particles, tomograms, "a/motion.star")
    b = lab.write("b", particles, tomograms)
    result = lab.join(a, b, remove_duplicates=True)
    assert list(read_trajectories(result.outputs["trajectories"]).blocks) == ["A/1"]


# --- other projects ---------------------------------------------------------------------------------------------------------


def test_a_set_of_another_project_is_found_from_here(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path / "elsewhere")
    b = other.write("b", other.particles(["B"], "Extract/job1"), other.tomograms("Tomograms/job002", ["B"]))
    for name in ("Extract/job1/0_data.mrc", "frames/B_0.mrc"):
        (other.root / name).parent.mkdir(parents=True, exist_ok=True)
        (other.root / name).touch()
    a = lab.write("a", lab.particles(["A"]), lab.tomograms("Tomograms/job001", ["A"]))
    result = lab.join(a, b)
    particles = read_particles(result.outputs["particles"])
    assert particles.image_paths == ("Extract/jobX/0_data.mrc", (other.root / "Extract/job1/0_data.mrc").as_posix())
    tomograms = read_tomograms(result.outputs["tomograms"], Project(lab.root))
    series = [tomograms.tilt_series(name) for name in ("A", "B")]
    assert series[0].image_paths[0] == lab.root / "frames/A_0.mrc" and series[1].image_paths[0] == other.root / "frames/B_0.mrc"
    assert tomograms.table.texts(relion.TOMO_TILT_SERIES_STAR_FILE)[1] == "JoinStar/job009/tilt_series/B.star"
    assert not list(other.root.rglob("JoinStar"))


def test_two_tomograms_of_one_name_in_two_projects_are_refused(lab: Lab, tmp_path: Path) -> None:
    other = Lab(tmp_path / "elsewhere")
    b = other.write("b", other.particles(["A"]), other.tomograms("Tomograms/job002", ["A"]))
    (other.root / "frames").mkdir()
    (other.root / "frames/A_0.mrc").touch()
    a = lab.write("a", lab.particles(["A"]), lab.tomograms("Tomograms/job001", ["A"]))
    with pytest.raises(InputError, match="rename the tomogram if it is another one"):
        lab.join(a, b)


# --- refusals and the command -----------------------------------------------------------------------------------------------


def test_one_set_is_none_to_join_and_an_empty_one_is_refused(lab: Lab) -> None:
    with pytest.raises(ValidationError, match="at least two sets"):
        JoinOptions(sets=(Path("a.star"),))
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    a, b = lab.write("a", lab.particles(["A"]), tomograms), lab.write("b", lab.particles(["A"]).select([]), tomograms)
    with pytest.raises(InputError, match=r"particles in .*b/particles\.star, found none"):
        lab.join(a, b)
    old = {relion.MICROGRAPH_NAME: ["A"], relion.TOMO_NAME: None} | dict.fromkeys(relion.CENTRED)
    old |= dict(zip(relion.COORDINATES, [[1.0]] * 3, strict=True))
    c = lab.write("c", lab.particles(["A"], **old), tomograms)
    with pytest.raises(InputError, match=r"found those of RELION 3\.1"):
        lab.join(a, c)


def test_the_command_makes_a_job_that_relions_pipeline_lists(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    tomograms = lab.tomograms("Tomograms/job001", ["A"])
    lab.write("Extract/job003", lab.particles(["A"]), tomograms)
    lab.write("Extract/job005", lab.particles(["A"]), tomograms)
    pipeline = Pipeline(StarFile((StarBlock.list(relion.PIPELINE_GENERAL, {relion.PIPELINE_JOB_COUNTER: 9}),)))
    pipeline.write(lab.root)
    monkeypatch.chdir(lab.root)
    assert main(["join", "Extract/job003/optimisation_set.star", "Extract/job005/particles.star", "--min-distance", "5", "--quiet"]) == 0
    folder = lab.root / "JoinStar" / "job009"
    record = json.loads((folder / "job_record.json").read_text())
    assert (record["exit_status"], record["numbers"]["particles"]) == ("finished", 2)
    assert record["command_line"][:3] == ["join", "Extract/job003/optimisation_set.star", "Extract/job005/particles.star"]
    assert (folder / "RELION_JOB_EXIT_SUCCESS").exists()
    star = read_star(lab.root / "default_pipeline.star")
    assert star[relion.PIPELINE_PROCESSES].texts(relion.PROCESS_NAME) == ("JoinStar/job009/",)
    nodes = dict(zip(*(star[relion.PIPELINE_NODES].texts(x) for x in (relion.NODE_NAME, relion.NODE_TYPE_LABEL)), strict=True))
    assert nodes["JoinStar/job009/particles.star"] == "ParticleGroupMetadata.star.relion"
    assert nodes["JoinStar/job009/optimisation_set.star"] == "TomoOptimisationSet.star.relion"
    assert main(["join", "Extract/job003/optimisation_set.star", "--quiet"]) != 0


def test_random_sets_keep_every_particle_where_it_is(lab: Lab) -> None:
    """Twenty joins of two to four sets with other columns each time: positions and orientations are those of the parts."""
    rng = np.random.default_rng(11)
    tomograms = lab.tomograms("Tomograms/job001", ["A", "B", "C"])
    droppable = [relion.ORIGINS, relion.ANGLES, relion.SUBTOMOGRAM_ANGLES, (relion.RANDOM_SUBSET,)]
    for _ in range(20):
        parts, paths = [], []
        for i in range(int(rng.integers(2, 5))):
            gone = dict.fromkeys(label for labels in droppable if rng.random() < 0.3 for label in labels)
            voltage = {relion.VOLTAGE: [str(rng.choice(["300.0", "300"]))]}
            part = lab.particles(rng.choice(["A", "B", "C"], int(rng.integers(1, 9))).tolist(), optics=OPTICS | EXTRACTED | voltage, **gone)
            parts.append(part)
            paths.append(lab.write(f"part{i}", part, tomograms))
        found = read_particles(lab.join(*paths).outputs["particles"])
        np.testing.assert_allclose(found.positions(), np.concatenate([part.positions() for part in parts]), atol=1e-9)
        np.testing.assert_allclose(found.orientations, np.concatenate([part.orientations for part in parts]), atol=1e-12)
        assert len(set(found.names)) == found.n and len(found.optics or ()) == 1
