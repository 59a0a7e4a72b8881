"""Noise spectra of optics groups or of tomograms: what shares one, how few particles are drawn to the others, and what files say."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from helpers import em_files
from helpers import em_world as world

from napari_subtomo.em import noise as noise_module
from napari_subtomo.em.engine import initial_state, iterate, score_particles
from napari_subtomo.em.inputs import set_up, set_up_like
from napari_subtomo.em.noise import NoiseGroups
from napari_subtomo.em.state import State
from napari_subtomo.errors import InputError
from napari_subtomo.io import relion as r
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.io.star import read_star
from napari_subtomo.progress import Silent

OPTIONS = {"classes": 2, "iterations": 4, "consensus_iterations": 2, "offset_range": 1.0, "restarts": 2, "fixed_sampling": True}
TOMOGRAMS = ("TS_1", "TS_2", "TS_3")
WAYS = {"local": {}, "stored": {"align": False}, "everywhere": {"local_range": -1.0, "angular_step": 30.0}, "folds": {"folds": 1}}


@pytest.fixture(scope="module")
def noisy():
    """Three tomograms of different noise."""
    return world.simulate(n=16, count=45, snr=0.02, species=2, error=3.0, seed=3, domain=2.0, wedges=(0.0, 50.0, 100.0), noise=0.6)


def run(setup):
    return list(iterate(setup, initial_state(setup), Silent()))


# --- groups -------------------------------------------------------------------------------------------------------------------


def test_groups_are_pairs_of_optics_group_and_tomogram():
    optics, tomogram = np.array([0, 1, 0, 1, 0]), np.array([2, 0, 0, 0, 2])
    groups = NoiseGroups.of("tomogram", optics, tomogram)
    assert list(zip(groups.optics, groups.tomogram, strict=True)) == [(0, 0), (0, 2), (1, 0)] and groups.by_tomogram
    assert groups.index(optics, tomogram).tolist() == [1, 2, 0, 2, 1]
    plain = NoiseGroups.of("optics-group", optics, tomogram)
    assert len(plain) == 2 and not plain.by_tomogram and plain.index(optics, tomogram).tolist() == optics.tolist()
    with pytest.raises(InputError, match="Expected particles whose tomograms are in the optics groups they have"):
        groups.index(np.array([1]), np.array([2]))


def test_spectra_are_drawn_to_their_optics_group_by_the_voxels_behind_them():
    groups = NoiseGroups(np.array([0, 0, 1]), np.array([0, 1, 2]))
    noise, counts, voxels = np.array([[1.0, 1.0], [4.0, 4.0], [9.0, 9.0]]), np.array([20, 10, 5]), np.array([1, 1_000_000])
    drawn = groups.drawn(noise, counts, voxels)
    prior, mean = noise_module.PRIOR_VOXELS, (20 * 1 + 10 * 4) / 30
    np.testing.assert_allclose(drawn[:2, 0], [(20 * 1 + prior * mean) / (20 + prior), (10 * 4 + prior * mean) / (10 + prior)])
    np.testing.assert_allclose(drawn[:2, 1], [1, 4], rtol=1e-3)
    np.testing.assert_array_equal(drawn[2], noise[2])  # alone in its optics group: there is nothing to draw it to
    without = groups.drawn(noise, np.array([20, 0, 5]), voxels)
    np.testing.assert_array_equal(without[1], noise[1])
    np.testing.assert_allclose(without[0], noise[0])


def test_means_of_optics_groups_and_tomograms_count_particles():
    groups = NoiseGroups(np.array([0, 0, 1]), np.array([0, 1, 1]))
    noise, counts = np.array([[1.0], [4.0], [9.0]]), np.array([3, 1, 1])
    np.testing.assert_allclose(groups.of_optics(noise, counts), [[1.75], [9.0]])
    np.testing.assert_allclose(groups.of_tomograms(noise, counts, 3), [[1.0], [6.5], [0.0]])
    plain = NoiseGroups.of("optics-group", np.array([0, 1]), np.array([0, 1]))
    assert plain.of_optics(noise[:2], counts[:2]) is not None and plain.of_tomograms(noise[:2], counts[:2], 2) is None


# --- laws ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", WAYS.values(), ids=WAYS)
def test_one_tomogram_is_its_optics_group(changed):
    """To the bit."""
    sample = world.simulate(n=16, count=24, snr=0.5, species=2, error=5.0, seed=3, domain=2.0, wedges=(0.0,))
    found = [run(world.setup(sample, **OPTIONS | changed, noise_by=by)) for by in ("optics-group", "tomogram")]
    for (state, classes), (now, said) in zip(*found, strict=True):
        for field in fields(State):
            np.testing.assert_array_equal(getattr(state, field.name), getattr(now, field.name), err_msg=field.name)
        np.testing.assert_array_equal(classes.maps, said.maps)
        np.testing.assert_array_equal(classes.noise, said.noise)
        np.testing.assert_array_equal(said.tomogram_noise, said.noise)
        assert classes.tomogram_noise is None


@pytest.mark.parametrize("changed", WAYS.values(), ids=WAYS)
def test_threads_change_no_bit(noisy, changed):
    found = [run(world.setup(noisy, **OPTIONS | changed, noise_by="tomogram", threads=threads)) for threads in (1, 3)]
    for field in fields(State):
        np.testing.assert_array_equal(getattr(found[0][-1][0], field.name), getattr(found[1][-1][0], field.name), err_msg=field.name)


@pytest.mark.parametrize("changed", [{}, {"align": False}])
def test_noise_of_tomograms_is_what_was_simulated(noisy, changed):
    truth = np.exp(0.6 * np.random.default_rng([3, 9]).normal(size=3))
    setup = world.setup(noisy, **OPTIONS | changed, noise_by="tomogram")
    state, classes = run(setup)[-1]
    own = 15 * setup.lattice.counts[6] / (15 * setup.lattice.counts[6] + noise_module.PRIOR_VOXELS)
    measured = state.noise[:, 6]  # where particles have next to no signal
    np.testing.assert_allclose(measured / measured.mean(), own * truth / truth.mean() + 1 - own, rtol=0.1)
    assert np.all(np.diff(state.noise[np.argsort(truth)], axis=0) > 0)
    np.testing.assert_allclose(classes.noise[0], np.average(state.noise, axis=0, weights=np.bincount(noisy.tomogram)))
    np.testing.assert_array_equal(classes.tomogram_noise, state.noise)
    common, _ = run(world.setup(noisy, **OPTIONS | changed))[-1]
    assert common.noise.shape[0] == 1
    np.testing.assert_allclose(common.noise[0, 4:6], classes.noise[0, 4:6], rtol=0.1)


def test_spectra_are_drawn_in_every_iteration(noisy, monkeypatch):
    monkeypatch.setattr(noise_module, "PRIOR_VOXELS", 1e12)
    for state, _ in run(world.setup(noisy, **OPTIONS, noise_by="tomogram")):
        np.testing.assert_allclose(state.noise, np.broadcast_to(state.noise[:1], state.noise.shape), rtol=1e-5)


# --- files --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def project(noisy, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("noise")
    em_files.write_project(root, noisy, tomograms=TOMOGRAMS)
    return root


def test_model_files_keep_the_tables_of_optics_groups_and_add_those_of_tomograms(project, noisy):
    folder, _ = em_files.classify(project, noisy, "Class3D/by", noise_by="tomogram", iterations=2)
    plain, _ = em_files.classify(project, noisy, "Class3D/plain", iterations=2)
    for iteration in (0, 2):
        model, other = (read_star(f.file(f"run_it{iteration:03d}_model.star")) for f in (folder, plain))
        names = [block.name for block in model.blocks]
        assert [n for n in names if n not in {b.name for b in other.blocks}] == ["model_group_1", "model_group_2", "model_group_3"]
        assert model[r.MODEL_GENERAL].ints(r.NR_OPTICS_GROUPS).tolist() == [1] and names.count("model_optics_group_1") == 1
        spectra = np.stack([model[r.MODEL_GROUP.format(i)].floats(r.SIGMA2_NOISE) for i in (1, 2, 3)])
        common = model[r.MODEL_OPTICS_GROUP.format(1)]
        counts = model[r.MODEL_GROUPS].ints(r.GROUP_NR_PARTICLES)
        np.testing.assert_allclose(common.floats(r.SIGMA2_NOISE), counts @ spectra / counts.sum(), atol=1.1e-6)
        assert common.labels == model["model_group_2"].labels and np.ptp(spectra[:, 4]) > spectra[:, 4].min()


def test_a_run_goes_on_and_one_of_another_kind_begins_anew(project, noisy):
    whole, _ = em_files.classify(project, noisy, "Class3D/whole", noise_by="tomogram", iterations=3)
    em_files.classify(project, noisy, "Class3D/parts", noise_by="tomogram", iterations=2)
    parts, _ = em_files.classify(project, noisy, "Class3D/parts", noise_by="tomogram", iterations=3)
    one, other = (read_particles(f.file("run_it003_data.star")) for f in (whole, parts))
    for label in one.star["particles"].labels:
        assert one.texts(label) == other.texts(label), label
    again, _ = em_files.classify(project, noisy, "Class3D/parts", iterations=3)
    assert "model_group_1" not in [b.name for b in read_star(again.file("run_it001_model.star")).blocks]


def test_other_particles_have_the_noise_of_their_tomogram(project, noisy):
    options = em_files.options_for(project, noisy, noise_by="tomogram", iterations=2)
    particles, folder = read_particles(project / "particles.star"), em_files.job_folder(project, "Class3D/like")
    setup = set_up(options, particles, folder.project, Silent())
    state, _ = run(setup)[-1]
    some = particles.select(np.flatnonzero(np.array(particles.tomo_names) == "TS_3"))
    write_particles(project / "some.star", some)
    part = set_up_like(setup, read_particles(project / "some.star"), np.array([1]), folder.project, Silent())
    assert set(part.particles.noise.tolist()) == {2} and len(part.power) == 3
    own = replace(state, **{name: getattr(state, name)[setup.particles.noise == 2] for name in ("orientations", "offsets", "labels")})
    every, few = score_particles(setup, state, Silent()), score_particles(part, own, Silent())
    rows = np.flatnonzero(setup.particles.noise == 2)
    by_place = np.lexsort(setup.input_orientations[rows, 0].T), np.lexsort(part.input_orientations[:, 0].T)
    assert np.corrcoef(every.log_evidence[rows][by_place[0]], few.log_evidence[by_place[1]])[0, 1] > 0.9
