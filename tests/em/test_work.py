"""Work on particles is the same wherever it is done: shared by devices, in other processes, with particles that stay on a device."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from multiprocessing import get_context

import numpy as np
import pytest
from helpers import em_world as world
from helpers import strict_cupy

from napari_subtomo.em import global_search, resident
from napari_subtomo.em.engine import _e_step, _last_map_shell, initial_state, iterate
from napari_subtomo.em.model import Particles
from napari_subtomo.em.resident import Residence
from napari_subtomo.em.sampling import iteration_poses
from napari_subtomo.em.work import Work, carried_out, merged, shares
from napari_subtomo.errors import OptionError
from napari_subtomo.numerics.backend import resolve_devices
from napari_subtomo.progress import Silent

GPUS = ("cuda:0", "cuda:1")


@pytest.fixture(scope="module")
def particles():
    return world.simulate(n=16, count=20, snr=1.0, species=2, empty=3, error=3.0, offset=0.5, seed=2)


def whole_work(particles, **options):
    """An iteration of two optics groups of different noise that are not spread evenly over the folds."""
    setup = world.setup(particles, reference=np.stack(particles.maps), **{"classes": 2, "folds": 3, **options})
    state = initial_state(setup)
    optics = (np.arange(len(setup.prepared)) % 5 == 0).astype(np.int64)
    setup = replace(setup, particles=Particles(optics, setup.particles.group, setup.particles.fold))
    state = replace(state, noise=np.concatenate([state.noise, 2.5 * state.noise]), scales=np.array([0.8, 1.2])[setup.tomograms])
    step = _e_step(setup, state, iteration_poses(setup, state, 1, Silent()), None, False)
    return Work(step, setup.prepared, _last_map_shell(setup, state), setup.mates, setup.options.assignment, 1)


def assert_alike(expected, found, relative):
    for part in fields(expected):
        for f in fields(getattr(expected, part.name)):
            a, b = (np.asarray(getattr(getattr(done, part.name), f.name)) for done in (expected, found))
            np.testing.assert_allclose(b, a, rtol=relative, atol=relative * max(np.abs(a).max(), 1e-9), err_msg=f.name)


def there(work, device="cuda:0"):
    return replace(work, step=replace(work.step, device=device))


def test_shares_are_even_and_hold_all_particles_once():
    fold = np.random.default_rng(1).integers(0, 5, 23)
    for devices in (1, 2, 4, 23, 40):
        found = shares(fold, [f"cuda:{i}" for i in range(devices)])
        sizes = [len(share.ids) for share in found]
        assert len(found) == min(devices, 23) and max(sizes) - min(sizes) <= 1
        np.testing.assert_array_equal(np.sort(np.concatenate([share.ids for share in found])), np.arange(23))
        for share in found:
            np.testing.assert_array_equal(share.folds, np.unique(fold[share.ids]))
    assert sum(len(share.folds) for share in shares(fold, ["a", "b"])) <= 6  # at most one fold is on both


@pytest.mark.parametrize("options", [{}, {"align": False}, {"folds": 1}, {"assignment": "best"}, {"sigma_tilt": 10.0}], ids=str)
def test_two_devices_give_what_one_gives(particles, options, monkeypatch):
    monkeypatch.setattr("napari_subtomo.em.basis.LEAST", 10**6)  # functions that stand for others depend on who is compared
    work = whole_work(particles, **options)
    alone = carried_out(work, ("cpu",), Residence(), 10**6, Silent())
    assert_alike(alone, carried_out(work, ("cpu", "cpu"), Residence(), 10**6, Silent()), 1e-5)
    with strict_cupy.installed():
        assert_alike(alone, carried_out(there(work), GPUS, Residence(), 10**6, Silent()), 1e-4)


def test_units_done_elsewhere_and_merged_are_the_same_bits(particles):
    work = whole_work(particles)
    together = carried_out(work, ("cpu", "cpu"), Residence(), 10**6, Silent())
    shared = shares(work.step.particles.fold, ("cpu", "cpu"))
    units = [replace(work, step=share.step(work.step), prepared=work.prepared.some(share.ids)) for share in shared]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        done = [pool.submit(Work.done, unit, Silent()).result() for unit in units[::-1]][::-1]
    apart = merged(work.step, len(work.prepared), zip(shared, done, strict=True))
    assert_alike(together, apart, 0)
    assert pickle.loads(pickle.dumps(work)).last_shell == work.last_shell


def test_particles_stay_on_their_device(particles, monkeypatch):
    brought = []
    original = resident._brought
    monkeypatch.setattr(resident, "_brought", lambda rows, *rest: brought.append(len(rows)) or original(rows, *rest))
    options = {"classes": 2, "folds": 3, "iterations": 3, "consensus_iterations": 1, "restarts": 2, "stop_when_converged": False}
    here = world.setup(particles, **options)
    expected = [state for state, _ in iterate(here, initial_state(here), Silent())][-1]
    with strict_cupy.installed():
        setup = replace(world.setup(particles, **options), devices=GPUS)
        found = [state for state, _ in iterate(setup, initial_state(setup), Silent())][-1]
    assert sorted(brought) == [11] * 3 + [12] * 3  # data, masked data and weights of each share, in the first iteration alone
    np.testing.assert_array_equal(found.labels, expected.labels)
    np.testing.assert_allclose(found.maps, expected.maps, atol=2e-3 * np.abs(expected.maps).max())


def test_particles_that_do_not_fit_are_brought_as_they_are_needed(particles, monkeypatch):
    monkeypatch.setattr("napari_subtomo.em.basis.LEAST", 10**6)
    work = whole_work(particles)
    alone = carried_out(work, ("cpu",), Residence(), 10**6, Silent())
    monkeypatch.setattr(resident, "SHARE", 0.0)
    with strict_cupy.installed():
        residence = Residence()
        assert_alike(alone, carried_out(there(work), ("cuda:0",), residence, 10**6, Silent()), 1e-4)
    assert not residence._copies


def test_a_copy_serves_as_long_as_it_is_of_these_particles_and_long_enough(particles):
    work, every = whole_work(particles), np.arange(23)
    with strict_cupy.installed():
        residence = Residence()
        first = residence.on("cuda:0", work.prepared, every, 50, 80)
        assert first.G.shape == (23, 80)
        assert residence.on("cuda:0", work.prepared, every, 80, 90) is first
        longer = residence.on("cuda:0", work.prepared, every, 81, 90)
        assert longer.G.shape == (23, 90)
        fewer = residence.on("cuda:0", work.prepared, every[::2], 81, 90)
        assert fewer.G.shape == (12, 90)
        other = replace(work.prepared, G=work.prepared.G.copy())
        assert residence.on("cuda:0", other, every[::2], 81, 90) is not fewer
        residence.clear()
        assert residence.on("cuda:0", other, every, 50, 60).G.shape == (23, 60)
        assert residence.on("cpu", other, every, 50, 60) is other


def test_two_devices_search_all_orientations_as_one_does(monkeypatch):
    monkeypatch.setattr("napari_subtomo.em.basis.LEAST", 10**6)
    monkeypatch.setattr(global_search, "BATCH_BYTES", 2**18)  # several batches
    found = world.simulate(n=16, count=9, snr=3.0, species=1, empty=2, seed=4, offset=0.7)
    found = replace(found, given_orientations=np.repeat(np.eye(3)[None], 11, axis=0))
    options = {"local_range": -1.0, "angular_step": 15.0, "offset_range": 1.5, "classes": 1, "folds": 3, "iterations": 1}
    alone = world.setup(found, **options)
    expected, _ = next(iterate(alone, initial_state(alone), Silent()))
    with strict_cupy.installed():
        setup = replace(world.setup(found, **options), devices=GPUS)
        state, _ = next(iterate(setup, initial_state(setup), Silent()))
    np.testing.assert_array_equal(state.labels, expected.labels)
    np.testing.assert_allclose(state.orientations, expected.orientations, atol=1e-4)
    np.testing.assert_allclose(state.maps, expected.maps, atol=2e-3 * np.abs(expected.maps).max())


def test_lists_of_devices():
    assert resolve_devices("cpu") == ("cpu",)
    with strict_cupy.installed():
        assert resolve_devices("cuda:1, cuda:0") == ("cuda:1", "cuda:0")
        for wrong in ("cuda:0,cuda:0", "cpu,cuda:0", "auto,cuda"):
            with pytest.raises(OptionError, match="one device or several different GPUs such as cuda:0,cuda:1"):
                resolve_devices(wrong)
