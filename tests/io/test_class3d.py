"""Files of an iteration against those that RELION 5 wrote, and whether RELION's programs take them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import em_files, em_world

from napari_subtomo.data.classes import Classes, Sampling
from napari_subtomo.geometry.orientations import matrix_to_euler, random_matrices
from napari_subtomo.geometry.so3 import healpix_directions
from napari_subtomo.io import relion as r
from napari_subtomo.io.class3d import complete_iterations, iteration_file, write_iteration
from napari_subtomo.io.class3d_model import coarse_order, orientation_distribution
from napari_subtomo.io.class_files import missing_files, read_classes
from napari_subtomo.io.mrc import mrc_header, read_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarFile, read_star
from napari_subtomo.viewer.classjob import read_class_job

KINDS = ("data", "model", "optimiser", "sampling", "optimisation_set")
RELION = shutil.which("relion_star_printtable")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, JobFolder]:
    """A project and its classification: 2 classes and the empty one, 3 iterations."""
    root = tmp_path_factory.mktemp("project")
    # offsets that lie within the range that is searched, so that each particle can be told from nothing
    world = em_world.simulate(n=16, count=24, empty=6, snr=1.0, species=2, error=5.0, offset=0.6, seed=2, domain=2.0)
    em_files.write_project(root, world)
    folder, _ = em_files.classify(root, world, iterations=3, consensus_iterations=1)
    return root, folder


def star(job: tuple[Path, JobFolder], iteration: int, kind: str) -> StarFile:
    return read_star(job[1].file(iteration_file(iteration, kind)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("iteration", [0, 1, 3])
def test_tables_kinds_columns_and_order_are_relions(job: tuple[Path, JobFolder], golden: Path, kind: str, iteration: int) -> None:
    """RELION's iterations 0, 1 and 4 stand for our 0, 1 and last."""
    theirs = golden / "Class3D_3d" / iteration_file({0: 0, 1: 1, 3: 4}[iteration], kind)
    ours = job[1].file(iteration_file(iteration, kind))
    assert ours.is_file() == theirs.is_file()
    if not theirs.is_file():
        assert (kind, iteration) == ("sampling", 0)  # RELION writes none before the first iteration
        return
    found, wanted = read_star(ours), read_star(theirs)

    def plain(name: str) -> str:  # one table a class and optics group
        head, _, tail = name.rpartition("_")
        return f"{head}_N" if tail.isdigit() else name

    assert list(dict.fromkeys(map(plain, wanted.names))) == [n for n in dict.fromkeys(map(plain, found.names)) if n != r.GENERAL]
    for block in wanted:
        same = found[block.name]
        if block.name in (r.OPTICS, r.PARTICLES):  # columns of the input stay in their place
            new = list(block.labels[block.labels.index(r.CTF_IMAGE) + 1 :]) if block.name == r.PARTICLES else []
        else:
            new = list(block.labels)
        known = [label for label in same.labels if label in block.labels]
        assert [label for label in known if label in new] == new, block.name
        assert same.kind == block.kind, block.name
        extra = [label for label in same.labels if label.startswith("subtomo")]
        assert [*same.labels[len(same.labels) - len(extra) :]] == extra, "columns of our own come last"


def test_every_class_has_its_tables_and_its_map(job: tuple[Path, JobFolder]) -> None:
    root, folder = job
    assert complete_iterations(folder.path) == [0, 1, 2, 3]
    for iteration in range(4):
        model = star(job, iteration, "model")
        names = model[r.MODEL_CLASSES].texts(r.REFERENCE_IMAGE)
        assert len(names) == model[r.MODEL_GENERAL].ints(r.NR_CLASSES)[0] == 3
        for number, name in enumerate(names, start=1):
            assert name == f"Class3D/job001/run_it{iteration:03d}_class{number:03d}.mrc"
            assert mrc_header(root / name).shape == (16, 16, 16) and mrc_header(root / name).voxel_size == pytest.approx(10.0)
            spectrum = model[r.MODEL_CLASS.format(number)]
            np.testing.assert_array_equal(spectrum.ints(r.SPECTRAL_INDEX), np.arange(9))
            np.testing.assert_allclose(spectrum.floats(r.RESOLUTION), np.arange(9) / 160, atol=1e-6)
            np.testing.assert_allclose(spectrum.floats(r.ANGSTROM_RESOLUTION), [999, *160 / np.arange(1, 9)], atol=1e-5)
        assert model[r.MODEL_CLASSES].floats(r.CLASS_DISTRIBUTION).sum() == pytest.approx(1, abs=1e-5)


def test_the_empty_class_follows_the_real_ones_with_a_flat_map(job: tuple[Path, JobFolder]) -> None:
    root, _ = job
    model, particles = star(job, 3, "model"), read_particles(job[1].file("run_it003_data.star"))
    assert model[r.MODEL_GENERAL].ints(r.EMPTY_CLASS)[0] == 3
    assert not read_mrc(root / model[r.MODEL_CLASSES].texts(r.REFERENCE_IMAGE)[2]).any()
    assert set(particles.class_numbers[24:]) == {3}
    table = model[r.MODEL_CLASSES]
    assert table.floats(r.ESTIMATED_RESOLUTION)[2] == table.floats(r.ACCURACY_ROTATIONS)[2] == 999
    assert not model[r.MODEL_CLASS.format(3)].floats(r.SSNR_MAP).any()


def test_meanings_of_the_particle_columns(job: tuple[Path, JobFolder]) -> None:
    root, folder = job
    before, after = read_particles(root / "particles.star"), read_particles(folder.file("run_it003_data.star"))
    for label in before.table.labels:
        if label not in (*r.ANGLES, *r.ORIGINS):
            assert after.texts(label) == before.texts(label), label
    pmax, significant = after.floats(r.MAX_VALUE_PROB_DISTRIBUTION), after.ints(r.NR_OF_SIGNIFICANT_SAMPLES)
    assert ((pmax > 0) & (pmax <= 1)).all() and (significant >= 1).all()
    assert (after.floats(r.NORM_CORRECTION) == 1).all()
    assert set(zip(after.tomo_names, after.ints(r.GROUP_NUMBER), strict=True)) == {("TS_1", 1), ("TS_2", 2)}
    general = star(job, 3, "model")[r.MODEL_GENERAL]
    assert general.floats(r.AVERAGE_PMAX)[0] == pytest.approx(pmax.mean(), abs=1e-5)
    assert general.floats(r.LOG_LIKELIHOOD)[0] == pytest.approx(after.floats(r.LOG_LIKELI_CONTRIBUTION).sum(), rel=1e-4)
    evidence = after.floats(r.LOG_EVIDENCE)
    assert evidence[:24].min() > 0 > evidence[24:].max()


def test_changes_are_those_between_the_data_files(job: tuple[Path, JobFolder]) -> None:
    """Conventions 5.15: fraction of changed classes; mean axis distance in degrees; √(Σ|Δo|²/2N) in Å."""
    smallest = np.full(3, np.inf)
    labels = (r.CHANGES_OPTIMAL_CLASSES, r.CHANGES_OPTIMAL_ORIENTATIONS, r.CHANGES_OPTIMAL_OFFSETS)
    for iteration in (1, 2, 3):
        old, new = (read_particles(job[1].file(f"run_it{i:03d}_data.star")) for i in (iteration - 1, iteration))
        block = star(job, iteration, "optimiser").first
        found = np.array([block.floats(label)[0] for label in labels])
        cosines = np.clip(np.einsum("nij,nij->nj", old.angles, new.angles), -1, 1)
        moved = np.sqrt(((new.origins - old.origins) ** 2).sum() / (2 * len(new)))
        wanted = [(old.class_numbers != new.class_numbers).mean(), np.degrees(np.arccos(cosines)).mean(), moved]
        np.testing.assert_allclose(found, wanted, atol=1e-3)
        smallest = np.minimum(smallest, found)
    least = [block.floats(label)[0] for label in (r.SMALLEST_CHANGES_ORIENTATIONS, r.SMALLEST_CHANGES_OFFSETS)]
    np.testing.assert_allclose(least, smallest[1:], atol=1e-6)
    assert block.text(r.SMALLEST_CHANGES_CLASSES) == "0"


def test_resolutions_follow_from_the_spectra(job: tuple[Path, JobFolder]) -> None:
    """Last shell of the unbroken run with SSNR >= 1 from the origin; the optimiser keeps the best so far."""
    model = star(job, 3, "model")
    resolutions = model[r.MODEL_CLASSES].floats(r.ESTIMATED_RESOLUTION)
    for number in (1, 2):
        ssnr = model[r.MODEL_CLASS.format(number)].floats(r.SSNR_MAP)
        last = int(np.argmax(np.append(ssnr[1:], 0) < 1))
        assert resolutions[number - 1] == pytest.approx(160 / last, abs=1e-4)
    general = model[r.MODEL_GENERAL]
    assert general.floats(r.CURRENT_RESOLUTION)[0] == pytest.approx(resolutions.min(), abs=1e-5)
    best = max(1 / star(job, i, "model")[r.MODEL_GENERAL].floats(r.CURRENT_RESOLUTION)[0] for i in range(4))
    assert star(job, 3, "optimiser").first.floats(r.BEST_RESOLUTION_THUS_FAR)[0] == pytest.approx(best, abs=1e-6)


def test_signal_power_is_that_of_relions_own_maps_in_relions_units(golden: Path) -> None:
    """The normalisation of rlnReferenceTau2, found on RELION's files: |F|²/n⁶ of the map, per component."""
    model = read_star(golden / "Class3D_3d" / "run_it004_model.star")
    axis = np.arange(32) - 16
    radius = np.sqrt(sum(a**2 for a in np.meshgrid(axis, axis, axis, indexing="ij")))
    shell = np.floor(radius + 0.5).astype(int).ravel()
    for number in (1, 2):
        volume = read_mrc(golden / "Class3D_3d" / f"run_it004_class{number:03d}.mrc")
        power = (np.abs(np.fft.fftshift(np.fft.fftn(volume))) ** 2).ravel()
        mean = np.bincount(shell, power)[1:12] / np.bincount(shell)[1:12] * 0.5 / 32.0**6
        ratio = model[r.MODEL_CLASS.format(number)].floats(r.REFERENCE_TAU2)[1:12] / mean
        assert np.exp(np.log(ratio).mean()) == pytest.approx(1, abs=0.3)


def few(angles: np.ndarray, class_numbers: np.ndarray, fractions: list[float], iteration: int = 1, step: float = 7.5) -> Classes:
    """Classes of a few particles with given orientations."""
    k, n, s = len(fractions), len(angles), 5
    sampling = Sampling(step, -1.0, 20.0, 10.0, 0.1, 1, 1, "C1", step, 20.0, 10.0, True)
    spectra = {name: np.ones((k, s)) for name in ("ssnr", "tau2", "sigma2", "shell_completeness", "orientability")}
    per_class = {name: np.full(k, 20.0) for name in ("resolutions", "completeness", "accuracy_rotations", "accuracy_offsets")}
    per_particle = {name: np.zeros(n) for name in ("log_likelihoods", "log_evidence", "pmax")}
    numbers = dict.fromkeys(("temperature", "sigma_offset", "log_likelihood", "average_pmax", "seconds"), 1.0)
    changes = dict.fromkeys(("change_classes", "change_orientations", "change_offsets"), 0.5)
    return Classes(
        iteration=iteration,
        n_iterations=4,
        phase="classes",
        pixel_size=10.0,
        mask_diameter=60.0,
        maps=np.zeros((k, 8, 8, 8), np.float32),
        has_empty=False,
        fractions=np.array(fractions),
        noise=np.ones((1, s)),
        group_names=("TS_1",),
        group_counts=np.array([n]),
        group_scales=np.ones(1),
        current_resolution=20.0,
        current_size=6,
        sampling=sampling,
        angles=angles,
        origins=np.zeros((n, 3)),
        class_numbers=class_numbers,
        n_significant=np.ones(n, np.int64),
        **spectra,
        **per_class,
        **per_particle,
        **numbers,
        **changes,
    )


def test_distribution_of_directions_is_relions_from_relions_poses(golden: Path) -> None:
    """RELION's own last poses give RELION's own table: posteriors there are nearly one pose each."""
    particles = read_particles(golden / "Class3D_3d" / "run_it004_data.star")
    model = read_star(golden / "Class3D_3d" / "run_it004_model.star")
    ours = orientation_distribution(few(particles.angles, particles.class_numbers, [0.49994, 0.50006]))
    for number in (1, 2):
        theirs = model[r.MODEL_PDF_ORIENT_CLASS.format(number)].floats(r.ORIENTATION_DISTRIBUTION)
        np.testing.assert_allclose(ours[number - 1], theirs, atol=0.003)


def test_distribution_of_directions_before_the_first_iteration_is_even(golden: Path) -> None:
    start = few(random_matrices(5, np.random.default_rng(1)), np.ones(5, np.int64), [0.5, 0.5], iteration=0)
    theirs = read_star(golden / "Class3D_3d" / "run_it000_model.star")[r.MODEL_PDF_ORIENT_CLASS.format(1)]
    np.testing.assert_allclose(orientation_distribution(start)[0], theirs.floats(r.ORIENTATION_DISTRIBUTION), atol=1e-6)
    empty = orientation_distribution(replace(start, iteration=2, fractions=np.array([1.0, 0.0])))
    assert empty[0].sum() == pytest.approx(1) and np.count_nonzero(empty[0]) <= 5 and not empty[1].any()


@pytest.mark.parametrize(("step", "order"), [(60, 0), (30, 0), (15, 1), (7.5, 2), (3.75, 3), (2, 4), (0, 0)])
def test_order_of_the_coarse_grid(step: float, order: int) -> None:
    """RELION oversamples once: order 2 is 15° coarse and 7.5° fine. A step of 0 is a search that turns nothing."""
    assert coarse_order(step) == order
    classes = few(np.eye(3)[None], np.ones(1, np.int64), [1.0], step=step)
    assert orientation_distribution(classes).shape == (1, len(healpix_directions(min(order, 3))))


def test_sampling_says_what_was_searched(job: tuple[Path, JobFolder]) -> None:
    general = star(job, 3, "sampling")[r.SAMPLING_GENERAL]
    assert general.text(r.HEALPIX_ORDER) == "2" and general.floats(r.PSI_STEP)[0] == 15.0  # RELION's coarse step is twice the fine one
    assert general.floats(r.OFFSET_RANGE)[0] == 10.0 and general.floats(r.OFFSET_STEP)[0] == 20.0  # Å
    assert abs(general.floats(r.SAMPLING_PERTURB_INSTANCE)[0]) <= 0.5
    assert general.floats(r.ANGULAR_STEP)[0] == 7.5 and general.floats(r.LOCAL_RANGE)[0] == 12.0


def test_paths_are_relative_inside_the_project_and_absolute_outside(job: tuple[Path, JobFolder], tmp_path: Path) -> None:
    root, folder = job
    block = star(job, 3, "optimiser").first
    assert block.text(r.MODEL_STAR_FILE) == "Class3D/job001/run_it003_model.star"
    assert star(job, 3, "optimisation_set").first.text(r.TOMO_PARTICLES_FILE) == "Class3D/job001/run_it003_data.star"
    elsewhere = JobFolder(folder.project, tmp_path / "out")
    options = em_files.options_for(root, em_world.World([], *[np.zeros(0)] * 5, [], np.zeros(0), 16))
    particles = read_particles(root / "particles.star")
    classes = few(particles.angles, np.ones(30, np.int64), [1.0])
    one = ParticleSet(particles.star).with_columns({r.TOMO_NAME: ["TS_1"] * 30})
    write_iteration(elsewhere, classes, one, root / "tomograms.star", None, options)
    block = read_star(tmp_path / "out" / "run_it001_optimiser.star").first
    assert block.text(r.MODEL_STAR_FILE) == (tmp_path / "out" / "run_it001_model.star").as_posix()
    assert block.text(r.TOMO_TOMOGRAMS_FILE) == (root / "tomograms.star").as_posix() and block.text(r.TOMO_TRAJECTORIES_FILE) == ""


def test_the_command_line_stands_above_the_optimiser(job: tuple[Path, JobFolder]) -> None:
    """As RELION writes it, and as it can be typed."""
    lines = job[1].file("run_it003_optimiser.star").read_text().splitlines()
    assert lines[0].startswith("# napari-subtomo classify; version ")
    assert "--fixed-sampling " in lines[1] and "--classes 2" in lines[1] and " True" not in lines[1]


@pytest.mark.parametrize("iteration", [0, 2, 3])
@pytest.mark.parametrize("kind", ["optimiser", "model", "data"])
def test_what_was_written_is_read_from_any_file_of_any_iteration(job: tuple[Path, JobFolder], iteration: int, kind: str) -> None:
    _, folder = job
    table = read_classes(folder.file(iteration_file(iteration, kind)), folder.project)
    assert table.numbers == (1, 2, 3) and table.empty_class == 3
    assert missing_files(table.files, folder.project) == []
    assert sum(table.hard.values()) == 30 and sum(table.soft.values()) == pytest.approx(1, abs=1e-5)
    assert table.hard[3] == (6 if iteration else 0)  # the empty places


def test_curves_of_a_job_are_read_with_the_missing_files_named(job: tuple[Path, JobFolder], tmp_path: Path) -> None:
    shutil.copytree(job[0], tmp_path / "project")
    project = Project(tmp_path / "project")
    folder = project.root / "Class3D/job001"
    (folder / "run_it003_class002.mrc").unlink()
    (folder / "run_it001_optimiser.star").unlink()
    found = read_class_job(folder, project)
    assert found is not None and found.iterations.tolist() == [0, 1, 2, 3] and found.empty_class == 3
    assert found.missing == ("Class3D/job001/run_it003_class002.mrc",) and found.maps[1] is None and found.maps[0] is not None
    np.testing.assert_allclose(found.fractions.sum(1), 1, atol=1e-5)
    assert np.isnan(found.resolutions[-1, 2]) and (found.resolutions[-1, :2] < 40).all()  # the empty class has none
    assert np.isnan(found.change_classes[:2]).all() and np.isfinite(found.change_classes[2:]).all()


# --- RELION's programs --------------------------------------------------------------------------------------------------------


def relion(program: str, root: Path, *words: str) -> str:
    done = subprocess.run([program, *words], cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.skipif(RELION is None, reason="RELION is not installed")
def test_relion_prints_our_tables(job: tuple[Path, JobFolder]) -> None:
    root, _ = job
    path = "Class3D/job001/run_it003_model.star"
    table = star(job, 3, "model")[r.MODEL_CLASSES]
    printed = relion("relion_star_printtable", root, path, "data_model_classes", "_rlnClassDistribution", "_rlnReferenceImage")
    assert [line.split()[1] for line in printed.splitlines() if line.strip()] == list(table.texts(r.REFERENCE_IMAGE))
    for name in star(job, 3, "model").names:
        block = star(job, 3, "model")[name]
        if block.kind == "loop":
            rows = [line for line in relion("relion_star_printtable", root, path, f"data_{name}").splitlines() if line.strip()]
            assert len(rows) == len(block), name


@pytest.mark.skipif(shutil.which("relion_star_handler") is None, reason="RELION is not installed")
def test_relion_selects_a_class_and_keeps_our_columns(job: tuple[Path, JobFolder], tmp_path: Path) -> None:
    root, folder = job
    out = tmp_path / "kept.star"
    words = ("--select", "rlnClassNumber", "--minval", "2", "--maxval", "2")
    relion("relion_star_handler", root, "--i", "Class3D/job001/run_it003_data.star", *words, "--o", str(out))
    ours, theirs = read_particles(folder.file("run_it003_data.star")), read_particles(out)
    chosen = ours.select(ours.class_numbers == 2)
    assert theirs.texts(r.IMAGE_NAME) == chosen.texts(r.IMAGE_NAME) and len(theirs) > 0
    np.testing.assert_allclose(theirs.floats(r.LOG_EVIDENCE), chosen.floats(r.LOG_EVIDENCE))
    np.testing.assert_allclose(matrix_to_euler(theirs.angles), matrix_to_euler(chosen.angles), atol=1e-3)
