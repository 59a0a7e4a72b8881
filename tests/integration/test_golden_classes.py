"""Particles that RELION 5.0.1 extracted and classified: what our classification makes of them, beside RELION's and the truth.

Each fact is one of docs/compared-with-relion5.md, whose figures benchmarks/golden.py makes.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import golden as benchmark

from napari_subtomo.em.classify import run
from napari_subtomo.em.start import rand_index
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.numerics.fsc import fsc
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

SAME = {"classes": 2, "iterations": 4, "local_range": 15.0, "angular_step": 7.5, "mask_diameter": 260.0, "initial_lowpass": 60.0}
SEARCH = {"offset_range": 2.0, "offset_step": 1.0, "absolute_greyscale": True, "device": "cpu", "threads": 1}


@pytest.mark.parametrize("preset", ["default", "relion"])
def test_stacks_that_relion_wrote_fall_into_relions_classes(golden: Path, tmp_path: Path, preset: str) -> None:
    """From the part of RELION's files that is in the repository: half the resolution, dose up to 60 e/Å²."""
    given = SAME | SEARCH | {"offset_range": 1.0, "offset_step": 0.5, "preset": preset}
    options = ClassifyOptions(
        particles=golden / "Extract3d_bin2_f16/particles.star", reference=golden / "Class3D_3d/run_it000_class001.mrc", **given
    )
    result = run(options, JobFolder(Project(golden), tmp_path), Silent())
    found, theirs = read_particles(result.outputs["data"]), read_particles(golden / "Class3D_3d/run_it004_data.star")
    assert rand_index(found.class_numbers, theirs.class_numbers) == 1.0
    assert max(result.numbers["counts"][2:], default=0) == 0  # nothing is empty: all are particles


@pytest.fixture(scope="module")
def root(shared: Path) -> Path:
    path = shared / "golden/relion5"
    if not (path / "Extract3d/particles.star").is_file():
        pytest.skip(f"RELION's subtomograms are not in {path}")
    return path


@pytest.fixture(scope="module", params=[("3d", "default"), ("3d", "relion"), ("2d", "default")], ids=" ".join)
def classified(request: pytest.FixtureRequest, root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    source, preset = request.param
    folder = tmp_path_factory.mktemp("classified")
    options = ClassifyOptions(
        optimisation_set=root / f"Extract{source}/optimisation_set.star",
        reference=root / "Reconstruct/merged.mrc",
        preset=preset,
        **SAME | SEARCH,
    )
    run(options, JobFolder(Project(root), folder), Silent())
    return source, preset, folder


@pytest.fixture(scope="module")
def figures(root: Path, classified: tuple[str, str, Path]) -> dict:
    source, _, folder = classified
    return benchmark.figures(root, source, folder, benchmark.mean_weights(root))


@pytest.fixture(scope="module")
def theirs(root: Path, classified: tuple[str, str, Path]) -> dict:
    return benchmark.figures(root, classified[0], root / f"Class3D_{classified[0]}", benchmark.mean_weights(root))


def test_the_options_are_those_in_relions_files(root: Path) -> None:
    words = benchmark.relion_words(root, "3d")
    told = dict(zip((w[2:].replace("-", "_") for w in words[::2]), words[1::2], strict=True))
    wanted = {**SAME, **{name: SEARCH[name] for name in ("offset_range", "offset_step")}}
    assert {name: float(told[name]) for name in wanted} == wanted
    assert told["symmetry"] == "C1" and float(told["regularisation"]) == 1.0


def test_classes_are_relions_and_the_species(figures: dict, theirs: dict) -> None:
    assert (figures["index_truth"], figures["index_relion"], theirs["index_truth"]) == (1.0, 1.0, 1.0)
    np.testing.assert_allclose(figures["shares"][:2], theirs["shares"], atol=0.002)


def test_relion_began_from_classes_at_random(root: Path) -> None:
    """So that it had to find them, as we do."""
    species = benchmark.truth_of(root)[1]
    assert abs(rand_index(read_particles(root / "Class3D_3d/run_it001_data.star").class_numbers, species)) < 0.05


def test_poses_come_as_close_to_the_truth_as_relions(root: Path, figures: dict, theirs: dict) -> None:
    before = benchmark.pose_errors(read_particles(root / "Extract3d/particles.star"), *benchmark.truth_of(root))
    mine, other = figures["poses"], theirs["poses"]
    assert mine["own_degrees_median"] < min(other["own_degrees_median"], 0.7 * before["own_degrees_median"])
    assert mine["angstrom_median"] < min(1.4 * other["angstrom_median"], 0.5 * before["angstrom_median"])


def test_no_particle_turns_further_than_the_search_does_while_relions_can(figures: dict, theirs: dict) -> None:
    """RELION searches about the last pose; 51.4° about the axis of HSP60 is where it looks the same."""
    assert figures["poses"]["degrees_largest"] < 15 + 14.1 < theirs["poses"]["degrees_largest"]


def test_maps_are_relions_and_nearer_to_the_truth_at_high_resolution(
    figures: dict, theirs: dict, classified: tuple[str, str, Path]
) -> None:
    for name, curves in figures["maps"].items():
        assert min(curves["relion"][1:7]) > 0.8
        if classified[1] == "relion":  # with each particle at one of the poses of a wide grid
            assert (np.array(curves["truth"][1:7]) > np.array(theirs["maps"][name]["truth"][1:7]) - 0.05).all()
        else:
            assert min(curves["truth"][1:7]) > 0.85
        assert np.mean(curves["truth"][7:9]) > np.mean(theirs["maps"][name]["truth"][7:9])


def test_noise_is_relions_counted_per_unit_weight(figures: dict, classified: tuple[str, str, Path]) -> None:
    """RELION's first spectrum is power of the stored transforms, its later ones are residuals divided by the number of tilt images.

    Shells 8 to 15 at first: below, RELION takes the power of the average image off, which holds some of the signal.
    """
    if classified[0] == "2d":
        assert figures["noise_to_relions"] == {}  # of images there: another measure
        return
    first, last = (np.array(figures["noise_to_relions"][when]) for when in ("start", "end"))
    assert first[7:].min() > 0.95 and first[7:].max() < 1.25
    # shells that are compared are without the signal, the next ones with it: where the two programs stop, it is in one alone
    stop = slice(5, 8)
    assert last[stop].min() > 0.4 and last[stop].max() < 2
    others = np.delete(last, stop)[1:]
    assert others.min() > 0.85 and others.max() < 1.35 and abs(np.median(others) - 1) < 0.1


def test_probabilities_are_surer_without_the_noise_temperature(figures: dict, theirs: dict, classified: tuple[str, str, Path]) -> None:
    assert theirs["pmax"] > 0.9
    assert (figures["pmax"] > 0.9) == (classified[1] == "relion")


def test_the_order_of_relions_likelihoods_is_hardly_its_own(root: Path, figures: dict) -> None:
    """Two jobs of RELION on the same particles agree little in it: it is mostly the power of a particle, no evidence for it."""
    both = [read_particles(root / f"Class3D_{s}/run_it004_data.star").floats(r.LOG_LIKELI_CONTRIBUTION) for s in ("3d", "2d")]
    ranks = [np.argsort(np.argsort(values)) for values in both]
    assert np.corrcoef(*ranks)[0, 1] < 0.5
    assert abs(figures["likelihood_order"]) < 0.4


def test_both_kinds_of_particles_give_one_result(root: Path, classified: tuple[str, str, Path]) -> None:
    source, _, folder = classified
    if source == "3d":
        assert read_mrc(folder / "run_it004_class001.mrc").shape == (32, 32, 32)
        return
    options = ClassifyOptions(
        optimisation_set=root / "Extract3d/optimisation_set.star", reference=root / "Reconstruct/merged.mrc", **SAME | SEARCH
    )
    (folder / "solid").mkdir()
    run(options, JobFolder(Project(root), folder / "solid"), Silent())
    for number in (1, 2):
        flat, solid = (read_mrc(path / f"run_it004_class{number:03d}.mrc") for path in (folder, folder / "solid"))
        assert fsc(flat, solid)[1:12].min() > 0.99
