"""Figures against a truth that is known, and a chain of commands that does nothing twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_subtomo.geometry.orientations import matrix_to_euler, random_matrices, rotation_vectors_to_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.jobs.record import JobRecord, write_record
from napari_subtomo.simulate.files import TRUE_CLASS, TRUE_NAME

KINDS = np.array(["holo"] * 4 + ["apo"] * 4 + ["bead", "membrane", "empty", "empty"])
SPECIES = np.array([1] * 4 + [2] * 4 + [0] * 4)
FOUND = np.array([1, 1, 1, 1, 2, 2, 2, 1, 3, 1, 4, 4])  # one apo among the holo, a membrane among them; 4 is the empty class
N, VOXEL = 24, 20.0
NAMES = [f"TS_1/{i + 1}" for i in range(len(KINDS))]


def poses(positions: np.ndarray, matrices: np.ndarray, **columns: Any) -> ParticleSet:
    angles = dict(zip(relion.ANGLES, matrix_to_euler(matrices).T, strict=True))
    places = dict(zip(relion.CENTRED, positions.T, strict=True))
    return ParticleSet.create({relion.TOMO_NAME: ["TS_1"] * len(KINDS), relion.TOMO_PARTICLE_NAME: NAMES, **places, **angles, **columns})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A sample and a classification of it: poses turned by 2 degrees about the reference's z, and shifted by 3 Å along its x."""
    rng = np.random.default_rng(8)
    matrices, positions = random_matrices(len(KINDS), rng), rng.uniform(-500, 500, (len(KINDS), 3))
    write_particles(tmp_path / "truth.star", poses(positions, matrices, **{TRUE_CLASS: SPECIES, TRUE_NAME: KINDS}))
    write_particles(tmp_path / "particles.star", poses(positions + np.array([0, 0, 7.0]), matrices))
    folder = tmp_path / "Class3D" / "job004"
    for path in (folder, tmp_path / "densities"):
        path.mkdir(parents=True)
    turned = matrices @ rotation_vectors_to_matrices(np.array([[0, 0, 2.0]]))[0]
    found = poses(positions + matrices @ [3.0, 0, 0], turned, **{relion.CLASS_NUMBER: FOUND})
    write_particles(folder / "run_it002_data.star", found)
    for name in ("optimiser", "model"):
        write_star(folder / f"run_it002_{name}.star", [StarBlock.list("model_general", {relion.NOISE_TEMPERATURE: 1.25})])
    maps = {name: rng.standard_normal((N, N, N)).astype(np.float32) for name in ("holo", "apo")}
    for name, volume in maps.items():
        write_mrc(tmp_path / "densities" / f"{name}.mrc", volume, VOXEL)
    for number, volume in enumerate((2 * maps["holo"], maps["holo"], maps["holo"]), start=1):
        write_mrc(folder / f"run_it002_class{number:03d}.mrc", volume, VOXEL)
    write_record(folder, JobRecord(job="classify", numbers={"classes": 3, "signal": True, "resolutions": [40.0, 45.0, 480.0]}))
    kept = np.isin(FOUND, (1, 2)) & (np.arange(len(FOUND)) != 1)  # the second went as a duplicate
    write_particles(tmp_path / "kept.star", found.select(kept))
    return tmp_path


def test_figures_are_those_of_the_truth(project: Path) -> None:
    from judge import judge

    found = judge(project, project / "Class3D/job004", (1, 2), project / "kept.star")
    assert found["true"] == {"of": 8, "kept": 7} and found["false"] == {"of": 4, "rejected": 3} and found["duplicates"] == 1
    assert found["false_by_kind"] == {
        "bead": {"of": 1, "rejected": 1},
        "membrane": {"of": 1, "rejected": 0},
        "empty": {"of": 2, "rejected": 2},
    }
    assert found["noise_temperature"] == 1.25
    # adjusted Rand indices by hand: pairs together in both, against what chance gives
    assert found["rand_index"]["species"] == pytest.approx((9 - 13 * 12 / 28) / (12.5 - 13 * 12 / 28))
    assert found["rand_index"]["kept"] == pytest.approx((12 - 21 * 18 / 66) / (19.5 - 21 * 18 / 66))
    assert found["rand_index"]["found"] == pytest.approx((10 - 19 * 18 / 66) / (18.5 - 19 * 18 / 66))
    errors = found["poses"]
    assert (
        errors["n"] == 7
        and errors["degrees_median"] == pytest.approx(2, abs=1e-3)
        and errors["common_degrees"] == pytest.approx(2, abs=1e-3)
    )
    assert errors["angstrom_90"] == pytest.approx(3, abs=1e-3)
    np.testing.assert_allclose(errors["mean_offset_particle"], [3, 0, 0], atol=1e-3)
    assert found["picks"]["angstrom_median"] == pytest.approx(7, abs=1e-3) and found["picks"]["degrees_median"] < 1e-3
    first, second, third = found["classes"]
    assert first["species"] == "holo" and first["members"] == {"apo": 1, "holo": 4, "membrane": 1}
    assert min(first["fsc"][1:]) > 0.999 and first["fsc_resolution"]["0.143"] == 2 * VOXEL
    assert second["species"] == "apo" and second["fsc_resolution"]["0.5"] > 100  # its map is the other species'
    assert "species" not in third and not third["kept"] and found["empty_class"] == {"empty": 2}


def test_nothing_kept_is_told_too(project: Path) -> None:
    from judge import judge
    from tables import figure_table, summary

    found = judge(project, project / "Class3D/job004", (), None)
    assert found["true"]["kept"] == 0 and found["false"]["rejected"] == 4 and found["poses"] is None
    rows = summary({"1": found})
    assert rows["rand_kept"] == {"mean": 0.0, "min": 0.0, "max": 0.0, "n": 1} and "degrees_median" not in rows and "holo_05" not in rows
    assert len(figure_table({"seeds": {"1": found}, "summary": rows})) == 2 + len(rows)


def test_the_page_has_every_result(project: Path) -> None:
    from chain import Measured
    from judge import judge
    from tables import document, medians, summary

    seeds = {"101": judge(project, project / "Class3D/job004", (1, 2), project / "kept.star")}
    times = {"101": {"classify": vars(Measured("classify", "c0de", 12.0, 20.0, 300.0, 1.5))}}
    result = {
        "version": "1",
        "code": "c0de",
        "added": [],
        "commands": ["napari-subtomo classify"],
        "seeds": seeds,
        "summary": summary(seeds),
    }
    timed = {"machine": "a machine", "seeds": times, "medians": medians(times)}
    other = {**result, "added": ["--start", "random"]}
    text = document({"results": {"other": other, "default": result}, "times": {"other": timed, "default": timed}}, 380.0)
    assert text.index("## Default settings") < text.index("## `other`")
    assert "`--start random`" in text and "| `classify` | 12 | 20 | 300 (most 300) |" in text and "4 holo" in text


def test_finished_steps_are_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import chain

    ran = []

    def fake(command: str, words: list[str], cwd: Path, log: Path, code: str) -> chain.Measured:
        ran.append(words[0])
        (cwd / words[-1]).mkdir(parents=True)
        return chain.Measured(command, code, 1.0, 1.0, 1.0, 0.0)

    monkeypatch.setattr(chain, "measure", fake)

    def go(code: str, box: str, stop: bool = False) -> list[str]:
        ran.clear()
        steps = chain.Chain(tmp_path / "seed7", code)
        steps.step("simulate", ["simulate", "seed7"])
        steps.step("extract", ["extract", box], "Extract/job002")
        if not stop:
            steps.step("classify", ["classify"], "Class3D/job004")
        return list(ran)

    assert go("a", "48", stop=True) == ["simulate", "extract"]
    assert go("a", "48") == ["classify"]
    assert go("a", "48") == []
    assert go("a", "64") == ["extract", "classify"]
    assert go("b", "64") == ["simulate", "extract", "classify"]


def test_a_command_is_measured_and_a_failure_stops(tmp_path: Path) -> None:
    from chain import measure

    found = measure("napari-subtomo --version", ["--version"], tmp_path, tmp_path / "log", "c0de")
    assert found.seconds > 0 and found.cpu_seconds > 0 and 10 < found.peak_mb < 4000
    assert "napari-subtomo" in (tmp_path / "log").read_text()
    with pytest.raises(SystemExit, match="ended with status 2"):
        measure("napari-subtomo nonsense", ["nonsense"], tmp_path, tmp_path / "log", "c0de")


def test_other_settings_need_another_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import accuracy

    options = accuracy.parse(["--name", "x", "--snr", "0.01", "--seeds", "7", "--", "--start", "random"])
    assert options.classify == ["--start", "random"] and options.sample == ["--snr", "0.01"] and options.seeds == [7]
    with pytest.raises(SystemExit):
        accuracy.parse(["--snr", "0.01"])
    assert "--name" in capsys.readouterr().err


def test_the_published_page_is_that_of_the_published_numbers(scripts: Path) -> None:
    from judge import MASK_DIAMETER
    from tables import document

    numbers, page = scripts / "accuracy.json", scripts.parent / "docs" / "benchmarks.md"
    if not numbers.is_file():
        pytest.skip("nothing was measured yet")
    assert page.read_text() == document(json.loads(numbers.read_text()), MASK_DIAMETER)
