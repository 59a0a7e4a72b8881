"""The mask around the particle: where it lies, when there is none, and what it is good for."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import em_world as world

from napari_subtomo.em.engine import initial_state, iterate
from napari_subtomo.em.solvent import solvent_mask
from napari_subtomo.em.start import rand_index
from napari_subtomo.em.state import read_state, write_state
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.numerics.fourier import lowpass
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.progress import Silent

N, SHELL = 32, 8
SPHERE = soft_sphere(N, 14, 2)


def folds_of(density: np.ndarray, noise: float, seed: int = 1, classes: int = 1) -> np.ndarray:
    """References of five folds: the density, and noise up to the shell, of which four fifths are shared by any two folds."""
    rng = np.random.default_rng(seed)
    parts = np.stack([lowpass(rng.standard_normal((N, N, N)), 1.0, N / SHELL) for _ in range(5 * classes)]).reshape(5, classes, N, N, N)
    parts *= noise * np.sqrt(5) / parts.std()
    left_out = (parts.sum(0) - parts) / 4
    return ((density + left_out) * SPHERE).astype(np.float32)


def ball(centre: tuple[float, float, float], radius: float) -> np.ndarray:
    z, y, x = (a - N // 2 - c for a, c in zip(np.indices((N, N, N)), centre, strict=True))
    return np.asarray(lowpass(1.0 * (z**2 + y**2 + x**2 < radius**2), 1.0, N / SHELL))


@pytest.mark.parametrize("sign", [1, -1])
def test_it_holds_the_particle_and_little_more(sign):
    density = ball((2, 0, -3), 5)
    mask = solvent_mask(folds_of(sign * density, 0.03), SPHERE, SHELL)
    assert mask[density > 0.1].min() > 0.99
    assert mask[ball((2, 0, -3), 11) < 0.1].max() == 0
    assert mask.max() <= 1 and (mask <= SPHERE).all()


def test_its_surface_is_extended_by_parts_of_the_resolution():
    """A ball of 5 px at a resolution of 4 px: 1 where its density is a tenth and 1 px more, 0 from 4 px on."""
    mask = solvent_mask(folds_of(ball((0, 0, 0), 5), 0.0), SPHERE, SHELL)
    line, density = mask[N // 2, N // 2], ball((0, 0, 0), 5)[N // 2, N // 2]
    surface = np.flatnonzero(density > 0.1 * np.percentile(ball((0, 0, 0), 5), 99.9)).max()
    assert line[surface + 1] == pytest.approx(1) and 0 < line[surface + 2] < 1 and line[surface + 4] == 0


@pytest.mark.parametrize("order", [1, -1])
def test_each_class_counts_with_what_it_has_alone(order):
    density = np.stack([ball((0, 0, 0), 5), ball((0, 0, 0), 5) + ball((0, 0, 9), 3)])
    mask = solvent_mask(folds_of(density[::order], 0.02, classes=2), SPHERE, SHELL)
    assert mask[ball((0, 0, 9), 3) * SPHERE > 0.5].min() > 0.9
    assert solvent_mask(folds_of(density[:1], 0.02), SPHERE, SHELL)[N // 2, N // 2, N // 2 + 11] == 0


def test_specks_far_from_the_particle_are_left_out():
    far = ball((0, 12, 0), 1.5)
    mask = solvent_mask(folds_of(ball((0, -3, 0), 7) + far, 0.01), SPHERE, SHELL)
    assert mask[far > 0.5].max() == 0


def test_noise_has_no_particle():
    found = [solvent_mask(folds_of(np.zeros((N, N, N)), 1.0, seed), SPHERE, SHELL) for seed in range(10)]
    assert sum(mask is None for mask in found) >= 9
    assert solvent_mask(np.zeros((5, 1, N, N, N), np.float32), SPHERE, SHELL) is None


@pytest.fixture(scope="module")
def both():
    """Weak particles of two species: runs with the mask found and with the sphere alone, each of three samples."""
    runs = {True: [], False: []}
    for seed in (1, 2, 3):
        made = world.simulate(n=24, count=60, snr=0.03, species=2, error=8.0, seed=seed, domain=1.5)
        for found, kept in runs.items():
            setup = world.setup(made, classes=2, iterations=8, consensus_iterations=4, auto_mask=found, empty_class=False)
            *_, (state, _) = iterate(setup, initial_state(setup), Silent())
            kept.append((made, state))
    return runs


def test_species_and_orientations_are_found_better_with_it(both):
    index = {found: np.mean([rand_index(s.labels, m.labels) for m, s in kept]) for found, kept in both.items()}
    angle = {found: np.mean([np.median(angular_distance(s.orientations, m.orientations)) for m, s in kept]) for found, kept in both.items()}
    assert index[True] > index[False] + 0.1 and angle[True] < angle[False]


def test_references_are_zero_outside_of_it_and_a_state_holds_it(both, tmp_path):
    state = both[True][0][1]
    assert state.solvent.shape == state.maps.shape[2:]
    assert not state.maps[:, :, state.solvent == 0].any() and state.maps[:, :, state.solvent > 0].any()
    write_state(tmp_path / "state.npz", state)
    np.testing.assert_array_equal(read_state(tmp_path / "state.npz").solvent, state.solvent)
    assert both[False][0][1].solvent.size == 0


def test_maps_that_are_written_reach_to_the_mask_of_the_job():
    made = world.simulate(n=24, count=30, snr=0.3, error=5.0, seed=1)
    setup = world.setup(made, classes=1, iterations=3)
    *_, (state, classes) = iterate(setup, initial_state(setup), Silent())
    inside = (setup.maximiser.mask > 0.5) & (state.solvent == 0)
    assert state.solvent.size and inside.any() and np.abs(classes.maps[0][inside]).max() > 0


def test_a_mask_that_is_given_is_the_only_one():
    made = world.simulate(n=24, count=20, snr=0.3, error=5.0, seed=1)
    setup = world.setup(made, classes=1, iterations=2)
    given = replace(setup, options=setup.options.model_copy(update={"solvent_mask": "mask.mrc"}))
    assert setup.finds_solvent and not given.finds_solvent
    *_, (state, _) = iterate(given, initial_state(given), Silent())
    assert state.solvent.size == 0


def test_a_focus_mask_is_part_of_it_wherever_it_lies():
    made = world.simulate(n=24, count=30, snr=0.3, species=2, error=5.0, seed=1)
    setup = world.setup(made, classes=2, iterations=2, consensus_iterations=1)

    def solvent(focus):
        *_, (state, _) = iterate(replace(setup, focus=focus), initial_state(replace(setup, focus=focus)), Silent())
        return state.solvent

    far = np.unravel_index(np.argmax(np.where(solvent(None) == 0, setup.maximiser.mask, 0)), (24, 24, 24))
    focus = np.zeros((24, 24, 24), np.float32)
    focus[far] = 1
    assert setup.maximiser.mask[far] > 0.9 and solvent(focus)[far] == setup.maximiser.mask[far]
