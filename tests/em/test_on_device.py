"""Where classes begin on a GPU: what the processor gives; where memory is short, the processor goes on."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import em_world as world
from helpers import strict_cupy
from helpers.said import Said

from napari_subtomo.em import engine, on_device, seeding
from napari_subtomo.em.class_shell import ASKED, asked, tried
from napari_subtomo.em.engine import initial_state, one_iteration
from napari_subtomo.em.seeding import classes_at_poses, clustered_references
from napari_subtomo.em.start import rand_index
from napari_subtomo.errors import DeviceError
from napari_subtomo.numerics.backend import namespace, to_device
from napari_subtomo.progress import Silent

GPU = "cuda:1"


def begun(**options):
    """A setup of two species and some empty places, and its state before the classes begin."""
    particles = world.simulate(n=16, count=40, snr=1.0, species=2, empty=4, error=3.0, offset=0.5, seed=5)
    setup = world.setup(particles, **{"classes": 2, "folds": 2, "iterations": 6, "restarts": 3, **options})
    state = initial_state(setup)
    while setup.phase(state.iteration + 1) == "consensus":
        state, _ = one_iteration(setup, state, Silent())
    return setup, state, particles.labels


def classes_of(setup, state, reporter=None):
    """Begun, and judged once more at the same poses."""
    after, given = clustered_references(setup, state, reporter or Silent())
    labelled = replace(after, labels=np.where(np.isnan(given[:, 0]), 3, given.argmax(1) + 1))
    return after, given, classes_at_poses(setup, labelled, Silent())[1]


@pytest.fixture
def gpu():
    with strict_cupy.installed():
        yield GPU


@pytest.mark.parametrize("options", [{}, {"classes": 3}, {"class_limit": 0.0}, {"particle_scales": True}, {"align": False}], ids=str)
def test_a_gpu_finds_what_the_processor_finds(gpu, options):
    setup, state, labels = begun(**options)
    used, real = [], seeding.FixedPoses.of.__func__
    here = classes_of(setup, state)
    with pytest.MonkeyPatch.context() as patch:
        note = classmethod(lambda cls, *a: used.append(real(cls, *a)) or used[-1])
        patch.setattr(seeding.FixedPoses, "of", note)
        there = classes_of(replace(setup, devices=(gpu,)), state)
    assert len(used) >= 2 and all(namespace(each.g).__name__ == "cupy" and each.threads == 1 for each in used)
    assert there[0].class_shell == here[0].class_shell and isinstance(there[0].maps, np.ndarray)
    for a, b in zip(here[1:], there[1:], strict=True):
        np.testing.assert_array_equal(a.argmax(1), b.argmax(1))
        # EM stops where a round changes less than 1e-4, somewhat before its end: rounding decides where
        np.testing.assert_allclose(a, b, atol=5e-3)
    np.testing.assert_allclose(there[0].maps, here[0].maps, atol=1e-3 * np.abs(here[0].maps).max())
    true = (labels > 0) & ~np.isnan(here[1][:, 0])
    assert options or rand_index(here[1][true].argmax(1), labels[true]) > 0.8


def test_a_class_that_died_is_given_to_outliers_there_too(gpu):
    setup, state, _ = begun(classes=3)
    after, given, _ = classes_of(setup, state)
    two = np.where(np.isnan(given[:, 0]), 4, given.argmax(1) + 1)
    two[two == 3] = 1  # the third has no particles: those that stand out are looked for
    labelled = replace(after, labels=two)
    here, there = (classes_at_poses(each, labelled, Silent())[1] for each in (setup, replace(setup, devices=(gpu,))))
    np.testing.assert_allclose(here, there, atol=1e-3)


def test_particles_too_many_for_a_gpu_begin_on_the_processor(gpu, monkeypatch):
    setup, state, _ = begun()
    here, said = classes_of(setup, state), Said()
    monkeypatch.setattr(on_device, "free_bytes", lambda device: 1000)
    there = classes_of(replace(setup, devices=(gpu,)), state, said)
    np.testing.assert_array_equal(here[1], there[1])
    assert [text for text in said.messages if "of 0.0 GB on cuda:1: they are compared on the processor" in text]


@pytest.mark.parametrize("error", [MemoryError, DeviceError])
def test_memory_that_runs_out_there_is_no_end(gpu, error):
    where, said = [], Said()

    def work(device):
        where.append(device)
        if device != "cpu":
            raise error("out of memory")
        return namespace(np.ones(2)).__name__

    assert on_device.on_device(work, gpu, 10.0, said) == "numpy"
    assert where == [gpu, "cpu"] and len(said.messages) == 1


def test_what_goes_wrong_otherwise_is_not_hidden(gpu):
    def work(device):
        return to_device(np.ones(3), device) + np.ones(3)

    with pytest.raises(TypeError, match="Unsupported type"):
        on_device.on_device(work, gpu, 10.0, Silent())


@pytest.mark.parametrize("devices", [("cpu",), (GPU,)])
def test_particles_that_do_not_fit_at_once_are_told_apart_by_fewer_shells(gpu, devices, monkeypatch):
    """They are turned once, and found by these."""
    setup, state, labels = begun()
    there, fit = np.count_nonzero(state.labels <= 2), state.last_shell - 1
    shells, of = [], seeding.FixedPoses.of.__func__
    monkeypatch.setattr(seeding.FixedPoses, "of", classmethod(lambda cls, s, t, last, *a: shells.append(last) or of(cls, s, t, last, *a)))
    values = float(there * setup.lattice.prefix(fit))
    monkeypatch.setattr(seeding, "VALUES", values)
    after, given = clustered_references(replace(setup, devices=devices), state, Silent())
    assert after.class_shell <= fit and shells == [fit]
    true = (labels > 0) & (state.labels <= 2)
    assert rand_index(given[true].argmax(1), labels[true]) > 0.8


def test_shells_that_do_not_fit_are_those_of_the_former_references():
    setup, state, _ = begun()
    fit = state.last_shell - 1
    voxels, last = setup.lattice.prefix(fit), setup.lattice.prefix(state.last_shell)
    unmasked = replace(setup, maximiser=replace(setup.maximiser, mask=np.ones_like(setup.maximiser.mask)))
    state = replace(state, solvent=np.zeros((0, 0, 0), np.float32))
    few, every = (seeding.FixedPoses.of(unmasked, state, shell, "cpu", Silent()) for shell in (fit, state.last_shell))
    gamma = np.eye(2)[np.arange(len(few.g)) % 2]
    coarse, fine = (seeding._with_references(unmasked, state, fixed, gamma).maps for fixed in (few, every))

    def transform(volume):
        return np.fft.rfftn(np.fft.ifftshift(volume)).ravel()[setup.lattice.half_layout_index(last)]

    for f in range(setup.folds):
        for c in range(2):
            found, former, whole = (transform(volume) for volume in (coarse[f, c], state.maps[f, 0], fine[f, c]))
            size = np.abs(whole).max()
            np.testing.assert_allclose(found[voxels:], former[voxels:], atol=1e-5 * size)
            np.testing.assert_allclose(found[:voxels], whole[:voxels], atol=1e-3 * size)
    assert np.abs(fine[0, 0] - fine[0, 1]).max() > 0


def test_where_all_fit_they_are_brought_to_their_poses_once(monkeypatch):
    setup, state, _ = begun()
    shells, of = [], seeding.FixedPoses.of.__func__
    monkeypatch.setattr(seeding.FixedPoses, "of", classmethod(lambda cls, s, t, last, *a: shells.append(last) or of(cls, s, t, last, *a)))
    clustered_references(setup, state, Silent())
    assert shells == [state.last_shell]


def test_a_subset_takes_its_own_share_of_what_all_were_given(monkeypatch):
    """Where all particles took part in the iteration before, and only some do in this one."""
    setup, state, _ = begun()
    some, steps = np.arange(4, 40), []
    monkeypatch.setattr(engine, "chosen", lambda s, t, iteration: some if iteration > state.iteration else None)
    real = engine.Work
    monkeypatch.setattr(engine, "Work", lambda step, *a: steps.append(step) or real(step, *a))
    after, _ = one_iteration(setup, state, Silent())
    assert steps[0].given.shape == (len(some), 2) and len(after.labels) == len(setup.order)


def test_large_sets_are_judged_at_best_poses_now_and_then(monkeypatch):
    setup, state, _ = begun(classes_at_poses=20, iterations=12, stop_when_converged=False)
    first, asked, real = setup.first_of_classes, [], seeding.FixedPoses.of.__func__
    note = classmethod(lambda cls, s, t, *a: asked.append(t.iteration + 1) or real(cls, s, t, *a))
    monkeypatch.setattr(seeding.FixedPoses, "of", note)
    while state.iteration < 12:
        state, _ = one_iteration(setup, state, Silent())
    assert asked == [first, first + seeding.SELDOM, 12]
    options = setup.options
    assert all(seeding.at_poses(options, 20, iteration, first) for iteration in range(first, 13))
    for never in (options.model_copy(update={"classes_at_poses": 0}), options.model_copy(update={"start": "random"})):
        assert not any(seeding.at_poses(never, 20, iteration, first) for iteration in range(1, 13))


def test_the_finest_shell_that_fits(monkeypatch):
    monkeypatch.setattr(seeding, "VALUES", 1000.0)
    assert [seeding.fitting(9, n, lambda shell: shell**3) for n in (1, 2, 8, 100, 5000)] == [9, 7, 5, 2, 1]


def test_of_many_particles_only_coarse_shells_are_asked_about():
    def voxels(shell):
        return 2 / 3 * np.pi * shell**3

    assert asked(20, 300, voxels) == tried(20)
    few = asked(40, 3000, voxels)
    assert few == tried(40)[: len(few)] and 3000 * voxels(few[-1]) <= ASKED < 3000 * voxels(tried(40)[len(few)])
    assert asked(40, 3000, voxels) == asked(40, 30_000, voxels)  # no more of them are asked
    assert asked(40, 300, lambda shell: 1e9) == [4]
