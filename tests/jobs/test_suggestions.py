"""Suggestions follow from what the files say, each with its numbers; nothing is suggested without a ground."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.resolution import resolution_of
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.jobs.facts import Facts, gather_facts, newest_optimiser
from napari_subtomo.jobs.registry import JOBS
from napari_subtomo.jobs.suggestions import electron_wavelength, good_box, suggest

KNOWN = Facts(
    project=Path("/p"),
    n_particles=228,
    n_tomograms=2,
    pixel_size=1.35,
    tomogram_binning=10 / 1.35,
    tilts=41,
    voltage=300,
    defocus=33000,
    particle_pixel=10,
    particle_box=48,
    last_resolution=42.7,
    last_average=Path("/p/Reconstruct/job003/merged.mrc"),
    orientations="refined",
    cores=4,
)


def test_boxes_are_even_and_products_of_two_three_and_five() -> None:
    assert [good_box(n) for n in (1, 45, 46, 48, 49, 51, 61, 97, 101, 200.0001)] == [8, 48, 48, 48, 50, 54, 64, 100, 108, 216]
    for least in np.linspace(8, 500, 200):
        box = good_box(least)
        rest = box
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        assert rest == 1 and box % 2 == 0 and least <= box < 1.2 * least + 2


def test_wavelengths_are_those_of_the_textbook() -> None:
    assert electron_wavelength(300) == pytest.approx(0.019687, abs=1e-6)
    assert electron_wavelength(200) == pytest.approx(0.025079, abs=1e-6)


def test_a_box_has_one_and_a_half_diameters_and_says_so() -> None:
    box = suggest("extract", KNOWN, 300)["box_size"]
    assert box.value == 48
    assert box.reason == "1.5 × 300 Å = 450 Å = 45 px at 10 Å; 48 is the next even product of small primes."


def test_defocus_that_does_not_fit_gets_a_larger_box_that_is_cropped() -> None:
    fine = replace(KNOWN, pixel_size=1.35, tomogram_binning=1.0)
    found = suggest("extract", fine, 150)
    spread = electron_wavelength(300) * 33000 / 2.7
    assert found["crop_size"].value == good_box(225 / 1.35) == 180
    assert found["box_size"].value == good_box((150 + 2 * spread) / 1.35) > 400
    assert f"{spread:.0f} Å" in found["box_size"].reason
    assert suggest("extract", KNOWN, 300)["crop_size"].value == -1
    assert "crop_size" not in suggest("extract", replace(KNOWN, defocus=None), 300)


def test_binning_is_that_of_the_coarsest_tomogram() -> None:
    binning = suggest("extract", KNOWN, None)["binning"]
    assert binning.value == KNOWN.tomogram_binning
    assert "10 Å" in binning.reason and "7.407" in binning.reason and "1.35" in binning.reason


def test_a_mask_is_nine_tenths_of_the_box_but_never_smaller_than_the_particle_nor_larger_than_the_box() -> None:
    assert suggest("classify", KNOWN, 300)["mask_diameter"].value == 432
    assert suggest("classify", KNOWN, None)["mask_diameter"].value == 432
    wide = suggest("classify", KNOWN, 450)["mask_diameter"]
    assert wide.value == 450 and "450 Å" in wide.reason and "432" not in wide.reason and "90 %" in wide.reason
    too_wide = suggest("classify", KNOWN, 600)["mask_diameter"]
    assert too_wide.value == 480 and "larger box" in too_wide.reason


def test_the_low_pass_is_slightly_coarser_than_the_reference_or_sixty() -> None:
    assert suggest("classify", KNOWN, 300)["initial_lowpass"].value == 55
    assert suggest("classify", replace(KNOWN, last_resolution=8.1), 300)["initial_lowpass"].value == 11
    unknown = suggest("classify", replace(KNOWN, last_resolution=None), 300)["initial_lowpass"]
    assert unknown.value == 60 and "not known" in unknown.reason
    assert suggest("classify", replace(KNOWN, last_resolution=None, particle_pixel=20.0), 300)["initial_lowpass"].value == 80


@pytest.mark.parametrize(("orientations", "value"), [("none", -1), ("normals", -1), ("given", 15), ("refined", 17)])
def test_searches_are_local_only_about_orientations_that_are_known(orientations: str, value: float) -> None:
    assert suggest("classify", replace(KNOWN, orientations=orientations), 300)["local_range"].value == value


def test_the_offset_range_is_half_of_the_resolution_else_a_tenth_of_the_particle() -> None:
    assert suggest("classify", KNOWN, 300)["offset_range"].value == 3
    picked = replace(KNOWN, last_resolution=None)
    assert suggest("classify", picked, 380)["offset_range"].value == 4
    assert "offset_range" not in suggest("classify", picked, None)


def test_classes_hold_enough_particles_each() -> None:
    values = [suggest("classify", replace(KNOWN, n_particles=n))["classes"].value for n in (10, 149, 150, 228, 100_000)]
    assert values == [1, 1, 2, 3, 5]


def test_threads_are_processors_that_the_job_can_use() -> None:
    many = replace(KNOWN, cores=64)
    assert suggest("extract", many)["threads"].value == 64
    assert suggest("classify", many)["threads"].value == 64
    assert suggest("classify", KNOWN)["threads"].value == 4


def test_the_reference_and_the_optimiser_are_the_newest_of_the_project() -> None:
    reference = suggest("classify", KNOWN)["reference"]
    assert reference.value == KNOWN.last_average and reference.reason.startswith("Reconstruct/job003/merged.mrc")
    assert suggest("select", KNOWN) == {}
    last = Path("/p/Class3D/job004/run_it015_optimiser.star")
    assert suggest("select", replace(KNOWN, last_optimiser=last))["optimiser"].value == last


def test_duplicates_lie_within_half_a_particle_and_the_surer_pose_stays() -> None:
    found = suggest("remove-duplicates", KNOWN, 300)
    assert (found["min_distance"].value, found["score"].value) == (150, r.MAX_VALUE_PROB_DISTRIBUTION)
    assert suggest("remove-duplicates", replace(KNOWN, orientations="given"), None) == {}


def test_picked_particles_are_averaged_in_the_grid_of_an_extraction_and_extracted_ones_in_their_own() -> None:
    picked = replace(KNOWN, extracted=False, has_tilt_images=True)
    found, grid = suggest("reconstruct", picked, 300), suggest("extract", picked, 300)
    assert found["binning"] == grid["binning"] and found["box_size"] == grid["box_size"]
    assert found.get("crop_size") == (None if grid["crop_size"].value == -1 else grid["crop_size"])
    assert set(suggest("reconstruct", replace(picked, extracted=True), 300)) == {"threads"}
    assert set(suggest("reconstruct", replace(picked, has_tilt_images=False), 300)) == {"threads"}


def test_nothing_known_nothing_suggested_but_threads_and_a_cautious_low_pass() -> None:
    for job in JOBS:
        found = suggest(job, Facts(), None)
        assert set(found) <= {"threads", "initial_lowpass"}


@pytest.mark.parametrize("diameter", [None, 40.0, 300.0, 470.0])
@pytest.mark.parametrize("job", ["pick", "extract", "reconstruct", "classify", "select", "remove-duplicates"])
def test_every_suggestion_is_an_option_with_a_valid_value_and_one_sentence(job: str, diameter: float | None) -> None:
    model = JOBS[job].model
    optimiser = Path("/p/Class3D/job004/run_it015_optimiser.star")
    found = suggest(job, replace(KNOWN, last_optimiser=optimiser), diameter)
    needed = {"select": {"keep": (1,)}, "classify": {"mask_diameter": 100.0, "reference": Path("a.mrc")}}.get(job, {})
    options = model(**{**needed, **{name: s.value for name, s in found.items()}})
    for name, suggestion in found.items():
        assert getattr(options, name) == suggestion.value
        assert suggestion.reason.endswith(".") and "\n" not in suggestion.reason and suggestion.reason[0] != " "


# --- what the files say --------------------------------------------------------------------------------------------------


def write_project(root: Path, **columns: object) -> Path:
    """Two tomograms, six particles, an average of 35 Å and two iterations of a classification."""
    names = ["01"] * 4 + ["TS 2"] * 2
    table: dict[str, object] = {r.TOMO_NAME: names, **dict.fromkeys(r.CENTRED, np.arange(6.0)), **columns}
    write_particles(root / "particles.star", ParticleSet.create(table))
    tomograms = {
        r.TOMO_NAME: ["01", "TS 2", "unused"],
        r.TILT_SERIES_PIXEL_SIZE: [1.35] * 3,
        r.TOMO_BINNING: [4.0, 8.0, 16.0],
        r.TOMO_SIZE_X: [400] * 3,
        r.TOMO_SIZE_Y: [400] * 3,
        r.TOMO_SIZE_Z: [200] * 3,
        r.VOLTAGE: [300.0] * 3,
        r.TOMO_RECONSTRUCTED: ["tomograms/01.mrc", "tomograms/gone.mrc", "N/A"],
        r.TOMO_TILT_SERIES_STAR_FILE: ["gone.star"] * 3,
    }
    write_star(root / "tomograms.star", [StarBlock.loop(r.GLOBAL, tomograms)])
    write_mrc(root / "tomograms/01.mrc", np.zeros((5, 6, 7), np.float32), 5.4)
    write_optimisation_set(root / "optimisation_set.star", particles="particles.star", tomograms="tomograms.star")
    write_mrc(root / "Reconstruct/job003/merged.mrc", np.zeros((8, 8, 8), np.float32), 10.0)
    write_star(root / "Reconstruct/job003/fsc.star", [StarBlock.list(r.GENERAL, {r.FINAL_RESOLUTION: 35.0})])
    folder = root / "Class3D/job004"
    for number, resolution in ((0, 50.0), (1, 28.0)):
        write_mrc(folder / f"run_it{number:03d}_class001.mrc", np.zeros((6, 6, 6), np.float32), 5.0)
        classes = StarBlock.loop(r.MODEL_CLASSES, {r.ESTIMATED_RESOLUTION: [resolution, 999.0]})
        write_star(folder / f"run_it{number:03d}_model.star", [classes])
        write_star(folder / f"run_it{number:03d}_optimiser.star", [StarBlock.list(r.OPTIMISER_GENERAL, {r.CURRENT_ITERATION: number})])
    return root


def test_facts_of_a_project(tmp_path: Path) -> None:
    root = write_project(tmp_path / "project")
    facts = gather_facts(root / "particles.star", root / "tomograms.star", project=root)
    assert (facts.project, facts.n_particles, facts.n_tomograms) == (root, 6, 2)
    assert (facts.pixel_size, facts.tomogram_binning, facts.voltage, facts.tomogram_voxels) == (1.35, 8.0, 300.0, 210)
    assert (facts.tilts, facts.defocus, facts.has_tilt_images) == (None, None, None)
    assert (facts.particle_box, facts.particle_pixel, facts.extracted, facts.half_sets) == (None, None, False, False)
    assert facts.orientations == "none" and facts.has_orientations is False
    assert (facts.last_average, facts.reference_box, facts.reference_pixel) == (root / "Reconstruct/job003/merged.mrc", 8, 10.0)
    assert facts.last_resolution == 35.0
    assert facts.last_optimiser == root / "Class3D/job004/run_it001_optimiser.star"
    assert facts.cores >= 1 and facts.free_memory and facts.free_disk
    assert facts.clearances == pytest.approx([135.0 - i for i in (5, 4, 3, 2, 1, 0)])
    assert [facts.fitting(edge) for edge in (259, 261, 265, 269, 280)] == [6, 5, 3, 1, 0]
    same = gather_facts(root / "optimisation_set.star", project=root)
    assert replace(same, free_memory=0, free_disk=0) == replace(facts, free_memory=0, free_disk=0)


def test_the_resolution_is_that_of_the_map_that_is_named(tmp_path: Path) -> None:
    root = write_project(tmp_path / "project")
    folder = root / "Class3D/job004"
    facts = gather_facts(root / "particles.star", reference=folder / "run_it001_class001.mrc", project=Project(root))
    assert (facts.last_resolution, facts.reference_box) == (28.0, 6)
    project = Project(root)
    assert resolution_of(folder / "run_it000_class001.mrc", project) == 50.0
    assert resolution_of(folder / "run_it001_class002.mrc", project) is None  # 999 is none
    assert resolution_of(folder / "run_it009_class001.mrc", project) is None
    assert resolution_of(root / "map.mrc", project) is None
    write_star(
        folder / "run_model.star", [StarBlock.list(r.MODEL_GENERAL, {r.CURRENT_RESOLUTION: 7.5}), StarBlock.loop(r.MODEL_CLASSES, {})]
    )
    assert resolution_of(folder / "run_class001.mrc", project) == 7.5  # a refinement's final map
    assert resolution_of(folder / "run_half1_class001_unfil.mrc", project) == 7.5


def test_the_newest_classification_counts_and_its_last_iteration(tmp_path: Path) -> None:
    root = write_project(tmp_path / "project")
    newer = root / "Class3D/job002/run_it003_optimiser.star"
    write_star(newer, [StarBlock.list(r.OPTIMISER_GENERAL, {r.CURRENT_ITERATION: 3})])
    os.utime(newer, (4e9, 4e9))
    assert newest_optimiser(Project(root)) == newer


@pytest.mark.parametrize(
    ("columns", "orientations"),
    [
        ({}, "none"),
        (dict.fromkeys(r.ANGLES, np.zeros(6)), "none"),
        (dict.fromkeys(r.ANGLES, np.full(6, 20.0)), "given"),
        ({**dict.fromkeys(r.SUBTOMOGRAM_ANGLES, np.full(6, 20.0)), r.ANGLE_TILT_PRIOR: np.full(6, 90.0)}, "normals"),
        (
            {**dict.fromkeys(r.ANGLES, np.full(6, 20.0)), r.ANGLE_TILT_PRIOR: np.full(6, 90.0), r.MAX_VALUE_PROB_DISTRIBUTION: np.ones(6)},
            "refined",
        ),
        ({**dict.fromkeys(r.ANGLES, np.full(6, 20.0)), r.MAX_VALUE_PROB_DISTRIBUTION: np.zeros(6)}, "given"),
    ],
)
def test_orientations_are_told_apart(tmp_path: Path, columns: dict[str, object], orientations: str) -> None:
    root = write_project(tmp_path / "project", **columns)
    assert gather_facts(root / "particles.star", project=root).orientations == orientations


def test_half_sets_and_images_are_seen(tmp_path: Path) -> None:
    root = write_project(tmp_path / "project", **{r.RANDOM_SUBSET: [1, 2] * 3, r.IMAGE_NAME: [f"Extract/{i}.mrc" for i in range(6)]})
    facts = gather_facts(root / "particles.star", project=root)
    assert (facts.half_sets, facts.extracted) == (True, True)
    assert facts.particle_box is None  # the file does not say


@pytest.mark.parametrize("broken", ["particles.star", "tomograms.star", "optimisation_set.star", "Reconstruct/job003/merged.mrc"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00nonsense", b"data_\nloop_\n_a\n1 2 3\n", None])
def test_unreadable_files_are_unknown_and_never_an_error(tmp_path: Path, broken: str, content: bytes | None) -> None:
    root = write_project(tmp_path / "project")
    path = root / broken
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    for particles in (root / "particles.star", root / "optimisation_set.star", root, None):
        facts = gather_facts(particles, root / "tomograms.star", root / "Reconstruct/job003/merged.mrc", root)
        assert facts.project == root
        for job in JOBS:
            suggest(job, facts, 100.0)


def test_nothing_given_is_nothing_known() -> None:
    facts = gather_facts()
    assert (facts.project, facts.n_particles, facts.last_average) == (None, None, None)
    assert facts.cores >= 1


def test_facts_of_files_that_relion_wrote(golden: Path) -> None:
    facts = gather_facts(golden / "Extract3d_bin2_f16/particles.star", project=golden)
    assert facts.n_particles and facts.particle_box and facts.particle_pixel and facts.extracted
    assert suggest("classify", facts, None)["mask_diameter"].value <= facts.particle_box * facts.particle_pixel
