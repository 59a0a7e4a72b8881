"""`remove-duplicates` on files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.duplicates import remove_duplicates, remove_duplicates_as_relion, run, score_values
from napari_subtomo.errors import InputError, OptionError
from napari_subtomo.geometry.orientations import euler_to_matrix
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import read_optimisation_set, write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.options.duplicates import DuplicatesOptions
from napari_subtomo.progress import Silent


class Listener(Silent):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def particle_set(coordinates: list[list[float]], **columns: object) -> ParticleSet:
    n = len(coordinates)
    base = {relion.TOMO_NAME: ["01"] * n} | dict(zip(relion.CENTRED, np.asarray(coordinates, dtype=float).reshape(-1, 3).T, strict=True))
    return ParticleSet.create(base | columns)


def job(tmp_path: Path) -> JobFolder:
    folder = tmp_path / "Select" / "job002"
    folder.mkdir(parents=True, exist_ok=True)
    return JobFolder(Project(tmp_path), folder)


def with_poses(particles: ParticleSet, angles: list[list[float]], origins: list[list[float]]) -> ParticleSet:
    columns = dict(zip(relion.SUBTOMOGRAM_ANGLES, np.asarray(angles, dtype=float).T, strict=True))
    return particles.with_columns(columns | dict(zip(relion.ORIGINS, np.asarray(origins, dtype=float).T, strict=True)))


def test_origins_are_rotated_by_the_subtomogram_frame_before_distances_are_taken() -> None:
    turned = [90.0, 0.0, 0.0]
    shift = euler_to_matrix(turned) @ [50.0, 0.0, 0.0]
    places = particle_set([[0, 0, 0], shift.tolist()])
    particles = with_poses(places, [[0, 0, 0], turned], [[0, 0, 0], [50, 0, 0]])
    assert remove_duplicates(particles, 10).keep.tolist() == [True, False]  # the same true position
    assert remove_duplicates_as_relion(particles, 10).keep.all()  # RELION does not rotate the origin


def test_relions_rule_meets_the_unrotated_position() -> None:
    particles = with_poses(particle_set([[0, 0, 0], [50, 0, 0]]), [[0, 0, 0], [90, 0, 0]], [[0, 0, 0], [50, 0, 0]])
    assert remove_duplicates(particles, 10).keep.all()
    assert remove_duplicates_as_relion(particles, 10).keep.tolist() == [False, True]


def test_kept_and_removed_files_hold_every_row_once_with_its_text(tmp_path: Path) -> None:
    texts = [f"{x}e0" for x in (0, 5, 100, 103, 500)]
    particles = particle_set([[0, 0, 0]] * 5, rlnMaxValueProbDistribution=["0.10", "9e-1", "0.30", "nan", "1"])
    write_particles(tmp_path / "in.star", particles.with_columns({relion.CENTRED_X: texts}))
    options = DuplicatesOptions(particles=tmp_path / "in.star", min_distance=30, score="_rlnMaxValueProbDistribution")
    listener = Listener()
    result = run(options, job(tmp_path), listener)
    kept, removed = read_particles(result.outputs["particles"]), read_particles(result.outputs["particles_removed"])
    assert kept.texts(relion.CENTRED_X) == ("5e0", "100e0", "500e0")
    assert removed.texts(relion.CENTRED_X) == ("0e0", "103e0")
    assert kept.texts(relion.MAX_VALUE_PROB_DISTRIBUTION) == ("9e-1", "0.30", "1")
    assert kept.tomo_names == ("01",) * 3
    assert result.numbers == {"particles": 3, "removed": 2, "input": 5, "min_distance": 30.0}
    assert "1 particles have no score" in listener.warnings[0]
    assert read_optimisation_set(result.outputs["optimisation_set"]).particles == "Select/job002/particles.star"


def test_other_tables_of_the_file_are_kept(tmp_path: Path, golden: Path) -> None:
    options = DuplicatesOptions(
        particles=golden / "Class3D_2d" / "run_it004_data.star", tomograms=golden / "tomograms.star", min_distance=500
    )
    result = run(options, job(tmp_path), Silent())
    before, after = read_particles(options.particles or ""), read_particles(result.outputs["particles"])
    assert [b.name for b in after.star] == [b.name for b in before.star]
    assert 0 < after.n < before.n
    rows = {tuple(column[i] for column in before.table.columns.values()) for i in range(before.n)}
    assert {tuple(column[i] for column in after.table.columns.values()) for i in range(after.n)} < rows
    assert read_optimisation_set(result.outputs["optimisation_set"]).tomograms == str(golden / "tomograms.star")


def test_an_unknown_score_column_is_named_with_those_that_are_there(golden: Path) -> None:
    particles = read_particles(golden / "Class3D_3d" / "run_it004_data.star")
    with pytest.raises(InputError, match=r"score column rlnNoSuch .* rlnMaxValueProbDistribution") as error:
        score_values(particles, "rlnNoSuch")
    assert relion.IMAGE_NAME not in str(error.value)
    with pytest.raises(InputError, match="Expected a number in row 1, column _rlnImageName"):
        score_values(particles, relion.IMAGE_NAME)


def test_relions_rule_takes_no_score_and_warns_of_missing_origins(tmp_path: Path) -> None:
    write_particles(tmp_path / "in.star", particle_set([[0, 0, 0], [1, 0, 0]]))
    listener = Listener()
    result = run(DuplicatesOptions(particles=tmp_path / "in.star", rule="relion"), job(tmp_path), listener)
    assert read_particles(result.outputs["particles"]).texts(relion.CENTRED_X) == ("1.000000",)
    assert "no origins" in listener.warnings[0]
    with pytest.raises(OptionError, match="Expected no score"):
        run(DuplicatesOptions(particles=tmp_path / "in.star", rule="relion", score="x"), job(tmp_path), Silent())


def test_a_missing_score_leaves_no_files_behind(tmp_path: Path) -> None:
    write_particles(tmp_path / "in.star", particle_set([[0, 0, 0], [1, 0, 0]]))
    with pytest.raises(InputError):
        run(DuplicatesOptions(particles=tmp_path / "in.star", score="rlnNoSuch"), job(tmp_path), Silent())
    assert list((tmp_path / "Select" / "job002").iterdir()) == []


def test_the_hiv_particles_are_thinned_in_every_tomogram(tmp_path: Path, shared: Path) -> None:
    project = shared / "data" / "relion5_hiv_project"
    particles = read_particles(project / "Picks" / "job019" / "particles.star")
    selection = remove_duplicates(particles, 60)
    assert len(selection) == 9442
    points, names = particles.positions(), np.array(particles.tomo_names)
    from scipy.spatial import cKDTree

    for name in set(names):
        kept = points[selection.keep & (names == name)]
        assert cKDTree(kept).query(kept, k=2)[0][:, 1].min() > 60
        gone = points[selection.rejected & (names == name)]
        assert cKDTree(kept).query(gone)[0].max() <= 60


def test_tomograms_are_those_that_the_job_of_the_particles_knew(tmp_path: Path) -> None:
    write_particles(tmp_path / "Select/job001/particles.star", particle_set([[0, 0, 0], [1, 0, 0]]))
    write_star(tmp_path / "tomograms.star", [StarBlock.loop(relion.GLOBAL, {relion.TOMO_NAME: ["01"]})])
    beside = tmp_path / "Select/job001/optimisation_set.star"
    write_optimisation_set(beside, particles="Select/job001/particles.star", tomograms="tomograms.star")
    result = run(DuplicatesOptions(particles=tmp_path / "Select/job001/particles.star"), job(tmp_path), Silent())
    assert read_optimisation_set(result.outputs["optimisation_set"]).tomograms == "tomograms.star"
    write_optimisation_set(beside, particles="Select/job001/other.star", tomograms="tomograms.star")
    result = run(DuplicatesOptions(particles=tmp_path / "Select/job001/particles.star"), job(tmp_path), Silent())
    assert read_optimisation_set(result.outputs["optimisation_set"]).tomograms is None
