"""When a classification stops by itself, and that it does so never too early."""

from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import em_world as world

from napari_subtomo.em.convergence import PATIENCE, first_free, followed, reason
from napari_subtomo.em.engine import initial_state, iterate
from napari_subtomo.em.state import State, read_state, write_state
from napari_subtomo.progress import Silent

OPTIONS = {"classes": 2, "iterations": 12, "consensus_iterations": 2, "angular_step": 7.5, "offset_range": 1.0, "restarts": 2}


@pytest.fixture(scope="module")
def sample():
    return world.simulate(n=16, count=20, snr=1.0, species=2, empty=4, error=5.0, seed=2, domain=2.0)


@pytest.fixture(scope="module")
def setup(sample):
    return world.setup(sample, **OPTIONS, mask_particles=False)


@pytest.fixture(scope="module")
def finished(setup):
    return list(iterate(setup, initial_state(setup), Silent()))


def test_it_stops_before_the_last_iteration_and_says_why(setup, finished):
    state, classes = finished[-1]
    assert first_free(setup) + PATIENCE - 1 <= state.iteration < 12
    assert classes.converged.startswith("Converged: in 3 iterations no finer shell") and classes.n_iterations == 12
    assert not any(c.converged for _, c in finished[:-1])


def test_a_state_that_converged_yields_nothing_more_unless_all_iterations_are_asked_for(setup, finished, tmp_path):
    write_state(tmp_path / "state.npz", finished[-1][0])
    state = read_state(tmp_path / "state.npz")
    for name in (f.name for f in fields(State)):
        np.testing.assert_array_equal(getattr(state, name), getattr(finished[-1][0], name), err_msg=name)
    assert list(iterate(setup, state, Silent())) == []
    every = replace(setup, options=setup.options.model_copy(update={"stop_when_converged": False}))
    assert next(iterate(every, state, Silent()))[0].iteration == state.iteration + 1


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({}, 4),  # two with one class, one in which classes begin, and one after it
        ({"iterations": 2}, 3),  # half of the iterations at most are common ones
        ({"classes": 1}, 2),
        ({"start": "random"}, 3),
        ({"start": "random", "absolute_greyscale": False}, 4),
    ],
)
def test_iterations_that_cannot_count(setup, changed, first):
    options = setup.options.model_copy(update=changed)
    assert first_free(replace(setup, options=options)) == first


def after(setup, states, **changed):
    """The states after iterations whose changes and shells are given; labels by default as before."""
    state = replace(states, **changed.pop("state", {}))
    for row in changed["rows"]:
        new = replace(state, iteration=state.iteration + 1, **{k: v for k, v in row.items() if k in ("last_shell", "labels", "steps")})
        sampling = SimpleNamespace(angular_step=7.5, offset_step=10.0)
        classes = SimpleNamespace(
            change_classes=row.get("classes", 0.1), change_orientations=row.get("orientations", 4.0), change_offsets=9.0, sampling=sampling
        )
        state = followed(setup, state, new, classes)
    return state


def test_changes_that_still_get_smaller_a_new_shell_and_finer_steps_go_on(setup):
    start = replace(initial_state(setup), iteration=first_free(setup) - 1, best_shell=5, last_shell=5)
    alike = [{} for _ in range(PATIENCE + 1)]
    assert after(setup, start, rows=alike).quiet == PATIENCE  # the first has nothing to be compared with
    assert after(setup, start, rows=[*alike, {"orientations": 3.5}]).quiet == 0
    assert after(setup, start, rows=[*alike, {"orientations": 3.9}]).quiet == PATIENCE + 1  # not smaller by 3 %
    assert after(setup, start, rows=[*alike, {"last_shell": 6}]).quiet == 0
    back = [*alike, {"last_shell": 6}, {"last_shell": 5}, {"last_shell": 6}]
    assert after(setup, start, rows=back).quiet == 2  # the shell was there before
    assert after(setup, start, rows=[*alike, {"steps": start.steps / 2}]).quiet == 0


def test_wavering_classes_stop_and_drifting_ones_do_not(setup):
    start = replace(initial_state(setup), iteration=first_free(setup) - 1, best_shell=5, last_shell=5)
    n = len(start.labels)
    one = np.ones(n, np.int64)

    def with_twos(rows):
        labels = one.copy()
        labels[list(rows)] = 2
        return {"labels": labels}

    waver = [with_twos(range(4 * (i % 2))) for i in range(6)]
    drift = [with_twos(range(4 * i)) for i in range(6)]
    assert reason(setup, after(setup, start, rows=waver))
    assert not reason(setup, after(setup, start, rows=drift))


def test_a_state_without_a_past_is_gone_on_from(setup, finished):
    """As those written by earlier versions."""
    old = replace(finished[4][0], quiet=0, best_shell=0, recent=np.zeros((0, 0), np.int64), smallest=np.full(3, np.inf))
    state, _ = next(iterate(setup, old, Silent()))
    assert state.iteration == old.iteration + 1 and len(state.recent) == 2
