"""Fast subsets: which particles take part in an iteration, what becomes of the others, and that nothing but the seed decides it."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from helpers import em_files
from helpers import em_world as world

from napari_subtomo.em import engine, subsets
from napari_subtomo.em.classify import run
from napari_subtomo.em.convergence import first_free
from napari_subtomo.em.engine import initial_state, iterate, one_iteration
from napari_subtomo.em.plan import iterations
from napari_subtomo.em.prepare import prepare
from napari_subtomo.em.seeding import judged_at_poses
from napari_subtomo.em.stability import judge
from napari_subtomo.em.start import rand_index
from napari_subtomo.em.state import State, read_state, write_state
from napari_subtomo.em.subsets import chosen, last_of_subsets, setup_of, state_of, subset_size
from napari_subtomo.errors import OptionError
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.star import read_star
from napari_subtomo.jobs.record import validated
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

GIVEN = {"reference": "map.mrc", "mask_diameter": 200.0}
FEW = ((2, 6, 0.0), (4, 8, 0.0), (5, 8, 0.6))  # of 38 particles in two classes: 12, 12, 16, 16, 23
OPTIONS = {
    "classes": 2,
    "iterations": 20,
    "consensus_iterations": 2,
    "angular_step": 7.5,
    "offset_range": 1.0,
    "fixed_sampling": True,
    "restarts": 2,
    "folds": 3,
    "absolute_greyscale": False,
    "mask_particles": False,
    "fast_subsets": True,
}
WAYS = {
    "local": {},
    "as RELION": {"start": "random", "shrink_to": "own", "folds": 1},
    "all orientations": {"local_range": -1.0, "angular_step": 30.0, "global_iterations": 2},
    "stored": {"align": False},
    "scales": {"particle_scales": True},
    "masked, by tomogram": {"mask_particles": True, "noise_by": "tomogram"},
}


@pytest.fixture(scope="module")
def sample():
    return world.simulate(n=16, count=30, snr=1.0, species=2, empty=8, error=6.0, seed=7, domain=2.0)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(subsets, "STAGES", FEW)


def states(setup, first=None, last=7):
    """States and classes up to an iteration."""
    found, state = [], initial_state(setup) if first is None else first
    while state.iteration < last:
        state, classes = one_iteration(setup, state, Silent())
        found.append((state, classes))
    return found


def assert_same(one: State, other: State, but=()):
    for field in fields(State):
        if field.name not in but:
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


# --- how many, and which ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "classes", "sizes"),
    [
        (100_000, 2, {1: 3000, 5: 3000, 6: 9000, 10: 9000, 11: 30_000, 15: 30_000, 16: 100_000}),
        (20_000, 3, {5: 4500, 10: 13_500, 15: 13_500, 16: 20_000}),
        (4000, 2, {1: 3000, 6: 4000, 16: 4000}),
        (2000, 2, {1: 2000, 16: 2000}),
    ],
)
def test_sizes_are_relions(n, classes, sizes):
    options = ClassifyOptions(**GIVEN, classes=classes, local_range=9.0, fast_subsets=True)
    assert {i: subset_size(options, n, i) for i in sizes} == sizes
    assert last_of_subsets(options, n) == max((i for i in range(1, 26) if subset_size(options, n, i) < n), default=0)
    without = ClassifyOptions(**GIVEN, classes=classes)
    assert {subset_size(without, n, i) for i in range(26)} == {n} and last_of_subsets(without, n) == 0


def test_the_last_search_of_all_orientations_takes_all_particles():
    options = ClassifyOptions(**GIVEN, fast_subsets=True)
    assert [subset_size(options, 10_000, i) for i in (1, 2, 3, 4)] == [1500, 1500, 10_000, 1500]
    always = ClassifyOptions(**GIVEN, fast_subsets=True, global_iterations=25)  # RELION's way
    assert [subset_size(always, 10_000, i) for i in (1, 3, 15, 16)] == [1500, 1500, 4500, 10_000]


def test_what_cannot_go_together_is_refused():
    with pytest.raises(OptionError, match="Expected at least 20 iterations with fast subsets, found 19"):
        validated(ClassifyOptions, {**GIVEN, "fast_subsets": True, "iterations": 19})
    with pytest.raises(OptionError, match="Expected all particles in every iteration for repeats, found fast subsets"):
        validated(ClassifyOptions, {**GIVEN, "fast_subsets": True, "repeats": 2, "local_range": 9.0})


def test_a_subset_is_random_by_iteration_and_seed_and_of_all_folds(sample, few):
    setup = world.setup(sample, **OPTIONS)
    state = initial_state(setup)
    drawn = [chosen(setup, state, i) for i in range(1, 7)]
    assert [None if rows is None else len(rows) for rows in drawn] == [12, 12, 16, 16, 23, None]
    for rows in drawn[:-1]:
        assert (np.diff(rows) > 0).all()
        counts = np.bincount(setup.particles.fold[rows], minlength=3)
        assert counts.max() - counts.min() <= 1
    assert not np.array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(chosen(setup, state, 1), drawn[0])
    other = replace(setup, options=setup.options.model_copy(update={"seed": 2}))
    assert not np.array_equal(chosen(other, state, 1), drawn[0])


def test_each_particle_has_the_same_chance(sample, few):
    setup = world.setup(sample, **OPTIONS)
    state, count = initial_state(setup), np.zeros(38)
    for seed in range(400):
        rows = chosen(replace(setup, options=setup.options.model_copy(update={"seed": seed})), state, 1)
        count[rows] += 1
    expected, fold = 400 * 12 / 38, np.bincount(setup.particles.fold)
    assert fold.max() - fold.min() <= 1
    assert np.abs(count - expected).max() < 4.5 * np.sqrt(expected)


# --- laws ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", WAYS.values(), ids=WAYS)
def test_a_subset_of_all_is_no_subset(sample, monkeypatch, changed):
    """To the bit: sets smaller than the subsets, and a subset that happens to hold every particle."""
    plain = world.setup(sample, **OPTIONS | changed | {"fast_subsets": False})
    expected = states(plain, last=4)
    for state, now in zip(expected, states(world.setup(sample, **OPTIONS | changed), last=4), strict=True):
        assert_same(state[0], now[0])
    monkeypatch.setattr(engine, "chosen", lambda setup, state, iteration: np.arange(len(setup.order)))
    for (state, classes), (now, said) in zip(expected, states(world.setup(sample, **OPTIONS | changed), last=4), strict=True):
        assert_same(state, now, but=("figures",))
        for name in ("maps", "noise", "fractions", "angles", "pmax", "log_evidence", "n_significant", "group_scales", "group_counts"):
            np.testing.assert_array_equal(getattr(said, name), getattr(classes, name), err_msg=name)


@pytest.mark.parametrize("changed", WAYS.values(), ids=WAYS)
def test_a_run_goes_on_from_any_iteration_with_any_number_of_threads(sample, few, tmp_path, changed):
    setup = world.setup(sample, **OPTIONS | changed)
    expected = states(setup)
    for stop in (1, 2, 3, 5):
        write_state(tmp_path / "state.npz", expected[stop - 1][0])
        again = world.setup(sample, **OPTIONS | changed | {"threads": 3})
        for (state, classes), (now, said) in zip(expected[stop:], states(again, read_state(tmp_path / "state.npz")), strict=True):
            assert_same(state, now)
            for name in ("angles", "class_numbers", "log_likelihoods", "pmax", "change_classes", "group_scales"):
                np.testing.assert_array_equal(getattr(said, name), getattr(classes, name), err_msg=name)


@pytest.mark.parametrize("changed", WAYS.values(), ids=WAYS)
def test_the_others_keep_pose_class_and_figures_and_all_are_compared_in_the_end(sample, few, changed):
    setup = world.setup(sample, **OPTIONS | changed)
    before, said = initial_state(setup), None
    for state, classes in states(setup):
        rows = chosen(setup, before, state.iteration)
        left = np.setdiff1d(np.arange(38), [] if rows is None else rows) if rows is not None else np.zeros(0, int)
        for name in ("orientations", "offsets", "labels"):
            np.testing.assert_array_equal(getattr(state, name)[left], getattr(before, name)[left])
        assert state.labels.shape == (38,) and classes.class_numbers.shape == (38,) and classes.group_counts.sum() == 38
        if said is not None:
            for name in ("log_likelihoods", "log_evidence", "pmax", "n_significant"):
                np.testing.assert_array_equal(getattr(classes, name)[left], getattr(said, name)[left], err_msg=name)
        assert len(left) == 38 - subset_size(setup.options, 38, state.iteration)
        before, said = state, classes
    assert (said.pmax > 0).all() and len(state.figures) == 0
    assert len(state.scales) == (38 if setup.options.particle_scales else 2)


def test_classes_are_found_from_subsets(monkeypatch):
    monkeypatch.setattr(subsets, "STAGES", ((3, 15, 0.0), (5, 20, 0.0)))
    many = world.simulate(n=16, count=80, snr=2.0, species=2, empty=8, error=5.0, seed=3, domain=2.5)
    state, _ = states(world.setup(many, **OPTIONS | {"absolute_greyscale": True}))[-1]
    there = many.labels > 0
    assert rand_index(state.labels[there], many.labels[there]) > 0.9


def test_particles_that_were_in_no_subset_of_the_classes_do_not_undo_them(monkeypatch):
    monkeypatch.setattr(
        subsets, "STAGES", ((2, 44, 0.0), (3, 8, 0.0))
    )  # classes begin with 16 of 220, the others are still of the common one
    many = world.simulate(n=16, count=200, snr=0.1, species=2, empty=20, error=5.0, seed=2, domain=1.5)
    setup = world.setup(many, **OPTIONS | {"absolute_greyscale": True})
    found = [state for state, _ in states(setup, last=6)]
    assert [judged_at_poses(setup, state) for state in found] == [False, False, False, True, True, True]
    there = many.labels > 0
    assert rand_index(found[-1].labels[there], many.labels[there]) > 0.5


def test_no_iteration_before_two_with_all_particles_counts_for_the_end(sample, few):
    assert first_free(world.setup(sample, **OPTIONS)) == 7
    assert first_free(world.setup(sample, **OPTIONS | {"fast_subsets": False})) == 4
    setup = world.setup(sample, **OPTIONS)
    found = list(iterate(setup, initial_state(setup), Silent()))
    assert all(state.quiet == 0 for state, _ in found[:6]) and found[-1][0].iteration >= 9


def test_clustering_takes_the_particles_of_the_last_common_iteration(sample, few, monkeypatch):
    seen = []

    def listening(setup, state, reporter):
        seen.append(setup.order)
        return clustered(setup, state, reporter)

    clustered = engine.clustered_references
    monkeypatch.setattr(engine, "clustered_references", listening)
    setup = world.setup(sample, **OPTIONS)
    states(setup, last=3)
    np.testing.assert_array_equal(seen, [setup.order[chosen(setup, initial_state(setup), 2)]])


def test_a_tomogram_without_a_particle_in_a_subset_keeps_scale_and_noise(sample, monkeypatch):
    setup = world.setup(sample, **OPTIONS, noise_by="tomogram", particle_scales=False)
    state = initial_state(setup)
    state = replace(state, scales=np.array([0.7, 1.3]), iteration=1, noise=state.noise * np.array([[1.0], [2.0]]))
    first = np.flatnonzero(setup.tomograms == 0)[:15]
    monkeypatch.setattr(engine, "chosen", lambda *_: first)
    new, classes = one_iteration(setup, state, Silent())
    assert new.scales[1] == 1.3
    np.testing.assert_array_equal(new.noise[1], state.noise[1])
    assert not np.array_equal(new.noise[0], state.noise[0]) and np.isfinite(classes.tomogram_noise).all()


def test_particles_on_disk_are_views_too(sample, few, tmp_path):
    setup = world.setup(sample, **OPTIONS)
    kept = prepare(setup.load, setup.frames, setup.centres, setup.lattice, 1, Silent(), folder=tmp_path / "scratch")
    part = setup_of(replace(setup, prepared=kept), np.array([3, 30, 7]))
    assert part.prepared.GE is part.prepared.G and len(part.prepared) == 3
    np.testing.assert_allclose(part.prepared.G[1], setup.prepared.G[30], rtol=1e-3, atol=1e-3 * np.abs(setup.prepared.G[30]).max())
    state, _ = one_iteration(replace(setup, prepared=kept), initial_state(setup), Silent())
    other, _ = one_iteration(setup, initial_state(setup), Silent())
    assert (state.labels == other.labels).mean() > 0.9


def test_scales_of_some_particles_are_their_own(sample):
    setup = world.setup(sample, **OPTIONS, particle_scales=True)
    state = replace(initial_state(setup), scales=np.linspace(0.5, 1.5, 38))
    rows = np.array([4, 9, 33])
    part, some = setup_of(setup, rows, copied=True), state_of(setup, state, rows)
    np.testing.assert_array_equal(some.scales[part.particles.group], state.scales[rows])
    assert isinstance(part.prepared.G, np.ndarray)


def test_halves_of_a_repeat_have_the_scales_of_their_own_particles():
    odd = world.simulate(n=16, count=21, snr=2.0, species=2, error=4.0, seed=3, domain=2.0, spread=0.3)
    options = OPTIONS | {"fast_subsets": False, "particle_scales": True, "repeats": 2, "iterations": 4, "absolute_greyscale": True}
    setup = world.setup(odd, **options)
    start, _ = states(setup, last=2)[-1]
    half, labels = judge(setup, start, 1, Silent())
    assert np.bincount(half).tolist() == [11, 10] and labels.min() >= 1 and labels.max() <= 3


# --- forecast and files -------------------------------------------------------------------------------------------------------


def test_the_plan_knows_how_many_take_part():
    given = {**GIVEN, "classes": 2, "local_range": 9.0}
    with_subsets = iterations(ClassifyOptions(**given, fast_subsets=True), 50_000, 48, 10.0)
    assert [step.particles for step in with_subsets] == [3000] * 5 + [9000] * 5 + [15_000] * 5 + [50_000] * 10
    assert {step.particles for step in iterations(ClassifyOptions(**given), 50_000, 48, 10.0)} == {50_000}


def test_files_name_the_option_and_hold_all_particles(sample, few, tmp_path: Path):
    em_files.write_project(tmp_path, sample)
    options = em_files.options_for(tmp_path, sample, iterations=20, fast_subsets=True)
    folder = em_files.job_folder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(options, folder, Stops(4))
    result = run(options, folder, Silent())
    whole = em_files.job_folder(tmp_path, "Class3D/whole")
    run(options, whole, Silent())
    last = result.numbers["iterations"]
    assert 9 <= last <= 20
    for iteration in range(last + 1):
        name = f"run_it{iteration:03d}"
        one, other = (read_particles(f.file(f"{name}_data.star")) for f in (folder, whole))
        assert len(one) == 38
        for label in one.star["particles"].labels:
            assert one.texts(label) == other.texts(label), label
        np.testing.assert_array_equal(read_mrc(folder.file(f"{name}_class001.mrc")), read_mrc(whole.file(f"{name}_class001.mrc")))
        assert read_star(folder.file(f"{name}_optimiser.star"))["optimiser_general"].ints("rlnDoFastSubsetOptimisation").tolist() == [1]


class Stops(Silent):
    """Ends a run after so many iterations."""

    def __init__(self, after: int) -> None:
        self.left = after

    def event(self, kind, **data):
        self.left -= kind == "iteration"
        if self.left < 0:
            raise KeyboardInterrupt
