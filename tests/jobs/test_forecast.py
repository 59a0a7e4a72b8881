"""Forecasts follow the sizes of the inputs, warn where memory will not do, and agree with what a small job really takes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.em.frames import LOCAL_SHIFTS, LOCAL_STEPS
from napari_subtomo.em.global_search import REACH
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.plan import expected_radius, grid_nodes, half_sphere, iterations, poses
from napari_subtomo.em.poses import coarse_limits, found_grid, global_grid, pose_grid, steps_for
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.jobs.facts import Facts
from napari_subtomo.jobs.forecast import duration, forecast, size
from napari_subtomo.jobs.rates import DEFAULT, Rates, measure_rates
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.options.pick import PickOptions
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.options.select import SelectOptions

KNOWN = Facts(
    n_particles=228,
    n_tomograms=2,
    pixel_size=10,
    tomogram_binning=1,
    tilts=41,
    particle_pixel=10,
    particle_box=48,
    last_resolution=42.7,
    orientations="given",
    free_memory=16 * 2**30,
    free_disk=100 * 2**30,
    cores=2,
)
MEASURED = replace(DEFAULT, measured=True)


def classify(**given: object) -> ClassifyOptions:
    return ClassifyOptions(
        **{"reference": Path("a.mrc"), "mask_diameter": 380.0, "local_range": 15.0, "offset_range": 3.0, "classes": 3, **given}
    )


def test_jobs_that_take_no_time_and_inputs_that_are_unknown_have_no_forecast() -> None:
    assert forecast("pick", PickOptions(points=Path("a.csv")), KNOWN) is None
    assert forecast("select", SelectOptions(optimiser=Path("a.star"), keep=(1,)), KNOWN) is None
    for job, options in (("extract", ExtractOptions()), ("reconstruct", ReconstructOptions()), ("classify", classify())):
        assert forecast(job, options, Facts()) is None
        assert forecast(job, options, replace(KNOWN, n_particles=0)) is None
        assert forecast(job, options, KNOWN) is not None


@pytest.mark.parametrize(
    ("job", "options"), [("extract", ExtractOptions(box_size=48)), ("reconstruct", ReconstructOptions()), ("classify", classify())]
)
def test_more_particles_take_more_time_and_disk(job: str, options: ExtractOptions) -> None:
    few, many = (forecast(job, options, replace(KNOWN, n_particles=n)) for n in (200, 20_000))
    assert few is not None and many is not None
    assert 20 * few.seconds < many.seconds < 110 * few.seconds
    assert many.memory_bytes >= few.memory_bytes and many.disk_bytes >= few.disk_bytes


@pytest.mark.parametrize("changed", [{}, {"local_range": -1.0}, {"align": False}])
def test_fast_subsets_save_time_where_there_are_many_particles(changed: dict[str, object]) -> None:
    without, fast = classify(**changed), classify(**changed, fast_subsets=True)
    for n, least, most in ((4000, 1.0, 1.0), (100_000, 0.35, 0.8)):
        facts = replace(KNOWN, n_particles=n)
        whole, some = forecast("classify", without, facts), forecast("classify", fast, facts)
        assert whole is not None and some is not None
        assert least * whole.seconds <= some.seconds <= most * whole.seconds
        assert some.memory_bytes <= whole.memory_bytes and some.disk_bytes == whole.disk_bytes


@pytest.mark.parametrize(
    "costly",
    [
        {"classes": 6},
        {"angular_step": 2.0, "fixed_sampling": True},
        {"local_range": 30.0},
        {"local_range": -1.0},
        {"iterations": 50},
        {"offset_range": 5.0},
        {"mask_particles": True},
        {"threads": 1},
    ],
)
def test_what_costs_more_is_forecast_to_cost_more(costly: dict[str, object]) -> None:
    common = {"mask_particles": False, "threads": 2}
    cheap, dear = (forecast("classify", classify(**{**common, **given}), KNOWN, MEASURED) for given in ({}, costly))
    assert cheap is not None and dear is not None
    assert dear.seconds > cheap.seconds


def test_a_faster_machine_takes_less_time() -> None:
    fast = Rates(1e12, 1e-9, 1e-8, 1e-9, measured=True)
    for job, options in (("extract", ExtractOptions(box_size=48)), ("reconstruct", ReconstructOptions()), ("classify", classify())):
        slow, quick = forecast(job, options, KNOWN, MEASURED), forecast(job, options, KNOWN, fast)
        assert slow is not None and quick is not None and quick.seconds < slow.seconds
        assert quick.memory_bytes == slow.memory_bytes


def test_a_gpu_saves_the_time_of_the_products_only() -> None:
    on_cpu = forecast("classify", classify(device="cpu"), replace(KNOWN, gpu_memory=80 * 2**30), MEASURED)
    on_gpu = forecast("classify", classify(), replace(KNOWN, gpu_memory=80 * 2**30), MEASURED)
    assert on_cpu is not None and on_gpu is not None
    assert 0.1 * on_cpu.seconds < on_gpu.seconds < on_cpu.seconds


def test_too_little_memory_or_disk_is_said_with_what_to_do() -> None:
    roomy = forecast("classify", classify(), KNOWN, MEASURED)
    assert roomy is not None and roomy.fits and "Only" not in roomy.sentence
    tight = forecast("classify", classify(), replace(KNOWN, free_memory=4 * 10**8), MEASURED)
    assert tight is not None and not tight.fits
    assert "Only 400 MB of memory are free: use a larger binning, fewer classes" in tight.sentence
    full = forecast("extract", ExtractOptions(box_size=48), replace(KNOWN, free_disk=10**7), MEASURED)
    assert full is not None and not full.fits and full.sentence.endswith("Only 10 MB are free on the disk.")


def test_a_job_of_days_is_said_to_be_long_with_what_to_do() -> None:
    found = forecast("classify", classify(local_range=120.0, angular_step=1.0, iterations=50), KNOWN, MEASURED)
    assert found is not None and " days " in found.sentence and "To be faster, use smaller search ranges" in found.sentence


def test_particles_near_the_rim_are_counted_out() -> None:
    facts = replace(KNOWN, n_particles=4, clearances=(100.0, 250.0, 300.0, 700.0))
    some = forecast("extract", ExtractOptions(box_size=48), facts, MEASURED)
    assert some is not None and "1 of 4 particles are too close to the rim for a box of 48 px" in some.sentence
    none = forecast("extract", ExtractOptions(box_size=200), facts, MEASURED)
    assert none is not None and not none.fits and none.sentence.startswith("None of the 4 particles")
    assert some.disk_bytes < forecast("extract", ExtractOptions(box_size=48), replace(facts, clearances=None), MEASURED).disk_bytes


def test_files_of_extraction_are_counted_to_the_byte_but_for_tables() -> None:
    for form, each in (("relion5", 2 * (48**3 + 96 * 48 * 25)), ("relion31", 4 * (48**3 + 48 * 48 * 25))):
        found = forecast("extract", ExtractOptions(box_size=48, output_format=form), KNOWN)
        assert found is not None and found.disk_bytes == 228 * (each + 2 * 1024 + 400)


def test_sizes_of_iterations_are_those_of_the_engine() -> None:
    rng = np.random.default_rng(1)
    lattice = Lattice.of(48, 24)
    for shell in (8, 12, 20):
        assert half_sphere(shell + 0.5) == pytest.approx(lattice.prefix(shell), rel=0.05)
    options = classify(fixed_sampling=True, angular_step=3.75)
    grid = pose_grid(3.75, 15.0, 1.0, 3.0, rng)
    rotations, shifts = poses(options, 10, 48, 10.0)
    assert shifts == len(grid.shifts)
    assert rotations == pytest.approx(len(grid.rotations), rel=0.1)
    assert poses(classify(align=False), 10, 48, 10.0) == (1, 1)
    # a particle reaches less far than its mask: once that is known, shell 12 of 72 needs no finer angles than 7.5 degrees
    steps = {masked: steps_for(12, 72, expected_radius(classify(), 10.0, masked), 7.5, 1.0) for masked in (False, True)}
    assert steps[False][0] < steps[True][0] == 7.5 and steps[False][1] == steps[True][1] < 1.0
    for masked, (angle, shift) in steps.items():
        grid, found = pose_grid(angle, 15.0, shift, 3.0, rng), poses(classify(), 12, 72, 10.0, masked=masked)
        assert found[0] == pytest.approx(len(grid.rotations), rel=0.1) and found[1] == len(grid.shifts)
    assert poses(classify(relax_symmetry="C6"), 10, 48, 10.0)[0] == 6 * poses(classify(), 10, 48, 10.0)[0]
    for align, grid in ((True, PaddedGrid(48)), (False, PaddedGrid(48, 1, exact=True))):
        for shell in (11, 15, 22):
            assert grid_nodes(classify(align=align), 48, shell) == grid.up_to(shell).nodes


def test_particles_that_do_not_fit_are_forecast_to_be_streamed() -> None:
    many = replace(KNOWN, n_particles=20_001, particle_box=64, free_disk=10**12)  # so many are not kept in real space
    roomy, tight = (forecast("classify", classify(), replace(many, free_memory=free), MEASURED) for free in (10**11, 16 * 10**9))
    assert roomy is not None and tight is not None and tight.fits
    voxels = half_sphere(31)
    assert roomy.memory_bytes - tight.memory_bytes == pytest.approx(20_001 * voxels * 20, rel=0.01)
    assert "streamed" not in roomy.sentence and f"Particles are streamed from {20_000 * voxels * 10 / 1e9:.1f} GB" in tight.sentence
    assert tight.seconds > roomy.seconds
    forced = forecast("classify", classify(preread="no"), KNOWN, MEASURED)
    assert forced is not None and "streamed" in forced.sentence
    kept = forecast("classify", classify(preread="yes"), replace(many, free_memory=16 * 10**9), MEASURED)
    assert kept is not None and not kept.fits


def test_a_search_of_all_orientations_has_a_coarse_pass_and_then_goes_on_about_what_it_found() -> None:
    rng = np.random.default_rng(1)
    options = classify(local_range=-1.0, iterations=15, symmetry="D2", auto_mask=False)  # a particle as large as its mask
    steps = iterations(options, 228, 48, 10.0, KNOWN.last_resolution)
    assert [step.coarse is not None for step in steps] == [True] * options.global_iterations + [False] * (15 - options.global_iterations)
    shell, shift = coarse_limits(8, 48, 19.0, 15.0, options.offset_step)
    grid = global_grid(15.0, shift, options.offset_range, rng, symmetry_matrices("D2"))
    coarse = steps[0].coarse
    assert coarse is not None and coarse.shifts == len(grid.shifts) and coarse.voxels == half_sphere(shell + 0.5)
    assert coarse.rotations == pytest.approx(len(grid.rotations), rel=0.02)
    angle, fine = steps_for(8, 48, 19.0, 7.5, 1.0)
    around = found_grid(angle, REACH * 15.0, fine, shift, rng)
    assert steps[0].shifts == len(around.shifts) and steps[0].rotations == pytest.approx(len(around.rotations), rel=0.1)
    angle, fine = steps_for(12, 48, 19.0, 7.5, 1.0)
    local = found_grid(angle, LOCAL_STEPS * angle, fine, LOCAL_SHIFTS * fine, rng)
    assert steps[-1].shifts == len(local.shifts) and steps[-1].rotations == pytest.approx(len(local.rotations), rel=0.1)
    found = forecast("classify", classify(local_range=-1.0, iterations=15), KNOWN, MEASURED)
    assert found is not None and found.seconds < 3600  # exhaustive, it was days


def test_iterations_begin_with_one_class_and_climb_to_the_known_resolution() -> None:
    steps = iterations(classify(initial_lowpass=60.0, iterations=15), 228, 48, 10.0, KNOWN.last_resolution)
    assert [step.classes for step in steps] == [1] * 5 + [3] * 10
    assert steps[0].voxels == half_sphere(8.5)
    assert steps[-1].voxels == half_sphere(12.5)  # 480 / 42.7 + 1
    whole = iterations(classify(iterations=15, map_limit=0.0), 228, 48, 10.0, KNOWN.last_resolution)
    assert {step.map_voxels for step in whole} == {half_sphere(23.5)} and [step.voxels for step in whole] == [step.voxels for step in steps]
    limited = iterations(classify(iterations=15, highres_limit=50.0), 228, 48, 10.0, KNOWN.last_resolution)
    assert limited[-1].voxels == half_sphere(10.5)


def test_the_demo_is_forecast_within_a_factor_of_memory_that_was_measured() -> None:
    # peaks that were measured by benchmarks/forecast.py: 0.71, 0.27 and 0.12 GB
    found = forecast("classify", classify(iterations=15), KNOWN)
    assert found is not None and 6.4e8 < found.memory_bytes < 7.8e8
    average = forecast("reconstruct", ReconstructOptions(), KNOWN)
    assert average is not None and 2e8 < average.memory_bytes < 4e8
    extract = forecast("extract", ExtractOptions(box_size=48), KNOWN)
    assert extract is not None and 8e7 < extract.memory_bytes < 1.8e8


def test_the_page_says_how_far_off_forecasts_were() -> None:
    root = Path(__file__).resolve().parents[2]
    report = json.loads((root / "benchmarks" / "forecast.json").read_text())
    page = (root / "docs" / "forecasts.md").read_text(encoding="utf-8")
    for key, most in (("memory_mb", 1.5), ("seconds", 2.0), ("disk_mb", 1.1)):
        found = report["factors"]["all"][key]
        assert f"| {found['mean']:.2f} | {found['least']:.2f} – {found['most']:.2f} |" in page
        assert 1 / most < found["least"] and found["most"] < most
    assert f"Over its {len(report['cases'])} cases" in page


def test_rates_are_measured_once_and_are_plausible() -> None:
    rates = measure_rates()
    assert rates.measured and measure_rates() is rates
    assert 1e8 < rates.product < 1e13
    assert all(1e-11 < value < 1e-4 for value in (rates.transform, rates.points, rates.values))


def test_words_claim_no_more_than_is_known() -> None:
    assert [duration(s) for s in (0.3, 32, 61, 3000, 3700, 90_000, 1e6)] == ["5 s", "30 s", "1 min", "50 min", "1.0 h", "25 h", "12 days"]
    assert [size(b) for b in (10, 2.6e8, 1.64e9, 2.5e11)] == ["1 MB", "260 MB", "1.6 GB", "250 GB"]
    found = forecast("classify", classify(), KNOWN)
    assert found is not None and found.sentence.startswith("Roughly ")


def test_extraction_from_tilt_images_is_forecast_where_they_are_there() -> None:
    facts = replace(KNOWN, has_tilt_images=True, series_bytes=10**9, doses=tuple(3.0 * i for i in range(41)))
    options = ExtractOptions(box_size=64, crop_size=48)
    stacks = forecast("extract", options, facts, MEASURED)
    assert stacks is not None and stacks.disk_bytes == 228 * (2 * 41 * 48**2 + 1024 + 400)
    assert stacks.memory_bytes > 10**9  # the images of a series are in memory
    fewer = forecast("extract", options.model_copy(update={"max_dose": 60}), facts, MEASURED)
    assert fewer is not None and fewer.disk_bytes == 228 * (2 * 21 * 48**2 + 1024 + 400)
    volumes = forecast("extract", options.model_copy(update={"stack2d": False}), facts, MEASURED)
    assert volumes is not None and volumes.disk_bytes == 228 * (2 * (48**3 + 96 * 48 * 25) + 2 * 1024 + 400)
    assert volumes.seconds > stacks.seconds
    none = forecast("extract", options.model_copy(update={"max_dose": 0.1}), replace(facts, doses=(3.0, 6.0)), MEASURED)
    assert none is not None and none.sentence.startswith("No tilt image has an exposure")
    tomograms = forecast("extract", options.model_copy(update={"source": "tomogram"}), facts, MEASURED)
    assert tomograms == forecast("extract", options, replace(facts, has_tilt_images=False), MEASURED)


def test_extraction_from_tilt_images_takes_the_memory_and_time_that_were_measured() -> None:
    # 500 particles, 41 images of 1024 px, two threads: 283 and 318 MB for box 64, 411 and 554 MB for box 128 (processor s: 2, 7, 7, 37)
    facts = replace(KNOWN, n_particles=500, has_tilt_images=True, series_bytes=41 * 4 * 2**20)
    for box, stack2d, megabytes, processor in ((64, True, 283, 2), (64, False, 318, 7), (128, True, 411, 7), (128, False, 554, 37)):
        options = ExtractOptions(box_size=box, crop_size=3 * box // 4, stack2d=stack2d)
        found = forecast("extract", options, facts)
        assert found is not None
        assert found.memory_bytes / 1e6 == pytest.approx(megabytes, rel=0.25)
        assert found.seconds - 2.0 == pytest.approx(processor / 1.7, rel=0.5)


def test_averages_from_tilt_images_are_forecast_where_particles_have_no_images_of_their_own() -> None:
    picked = replace(KNOWN, extracted=False, particle_box=None, particle_pixel=None, has_tilt_images=True, series_bytes=10**8)
    assert forecast("reconstruct", ReconstructOptions(), picked) is None  # no box is known
    small, large = (forecast("reconstruct", ReconstructOptions(box_size=box, crop_size=32), picked, MEASURED) for box in (48, 192))
    assert small is not None and large is not None
    assert small.disk_bytes == large.disk_bytes == 3 * (4 * 32**3 + 1024) + 100_000
    assert large.seconds > 4 * small.seconds and large.memory_bytes > 2 * small.memory_bytes
    # benchmarks/reconstruct_tilts.py with images of 172 MB a series: 0.29 and 0.76 GB
    assert 2e8 < small.memory_bytes < 4e8 and 6e8 < large.memory_bytes < 1.2e9
    extracted = replace(picked, extracted=True, particle_box=32, particle_pixel=20)
    tilts = forecast("reconstruct", ReconstructOptions(source="tilts"), extracted, MEASURED)
    plain = forecast("reconstruct", ReconstructOptions(), extracted, MEASURED)
    assert tilts is not None and plain is not None and tilts.seconds != plain.seconds
    cramped = forecast("reconstruct", ReconstructOptions(box_size=512), replace(picked, free_memory=2**30), MEASURED)
    assert cramped is not None and not cramped.fits
