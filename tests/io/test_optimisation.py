"""Optimisation sets in both forms, and the inputs that options name."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError
from napari_subtomo.io.optimisation import read_optimisation_set, resolve_inputs, write_optimisation_set
from napari_subtomo.io.project import Project
from napari_subtomo.options.base import InputOptions


def test_a_list_and_a_loop_of_one_row_are_read(tmp_path: Path, golden: Path):
    listed = read_optimisation_set(golden / "Class3D_2d/run_it004_optimisation_set.star")
    assert (listed.particles, listed.tomograms, listed.trajectories) == ("Class3D_2d/run_it004_data.star", "tomograms.star", None)
    path = tmp_path / "o.star"
    path.write_text(
        "data_optimisation_set\n\nloop_\n_rlnTomoParticlesFile #1\n_rlnTomoTomogramsFile #2\nPicks/job019/particles.star\tT1.star\n"
    )
    looped = read_optimisation_set(path)
    assert (looped.particles, looped.tomograms) == ("Picks/job019/particles.star", "T1.star")


def test_what_is_written_is_what_relion_writes(tmp_path: Path, golden: Path):
    path = tmp_path / "o.star"
    write_optimisation_set(path, particles="Extract2d/particles.star", tomograms="tomograms.star")
    assert path.read_bytes() == (golden / "Extract2d/optimisation_set.star").read_bytes()


def test_two_rows_or_other_tables_are_refused(tmp_path: Path, golden: Path):
    path = tmp_path / "o.star"
    path.write_text("data_\nloop_\n_rlnTomoParticlesFile #1\na.star\nb.star\n")
    with pytest.raises(FileFormatError, match="found 2 rows"):
        read_optimisation_set(path)
    with pytest.raises(FileFormatError, match="Expected an optimisation set"):
        read_optimisation_set(golden / "particles.star")


def test_a_set_stands_for_its_files_and_single_files_override_it(golden: Path):
    options = InputOptions(optimisation_set=golden / "Class3D_3d/run_it004_optimisation_set.star")
    particles, tomograms, trajectories = resolve_inputs(options)
    assert particles.path == golden / "Class3D_3d/run_it004_data.star"
    assert tomograms is not None
    assert tomograms.names == ("TS_01",)
    assert tomograms.project.root == golden
    assert trajectories is None
    options = InputOptions(
        optimisation_set=options.optimisation_set, particles=golden / "particles.star", tomograms=golden / "RecTomo/tomograms.star"
    )
    particles, tomograms, _ = resolve_inputs(options, Project(golden))
    assert particles.path == golden / "particles.star"
    assert tomograms is not None
    assert tomograms["TS_01"].binning == 2.0


def test_paths_of_options_are_found_in_the_current_folder_or_the_project(golden: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    particles, tomograms, _ = resolve_inputs(InputOptions(particles=Path("particles.star")), golden)
    assert particles.path == golden / "particles.star"
    assert tomograms is not None and tomograms.path == golden / "tomograms.star"  # from the optimisation set beside the particles
    monkeypatch.chdir(golden / "Extract2d")
    particles, _, _ = resolve_inputs(InputOptions(particles=Path("particles.star")), golden)
    assert particles.path == golden / "Extract2d/particles.star"


def test_no_particles_and_missing_files_are_one_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="give --particles or --optimisation-set"):
        resolve_inputs(InputOptions(), Project(tmp_path))
    with pytest.raises(FileMissingError, match=r"none\.star"):
        resolve_inputs(InputOptions(particles=tmp_path / "none.star"), Project(tmp_path))
    write_optimisation_set(tmp_path / "o.star", particles="gone.star", tomograms="t.star")
    with pytest.raises(FileMissingError, match=r"gone\.star"):
        resolve_inputs(InputOptions(optimisation_set=tmp_path / "o.star"), Project(tmp_path))
