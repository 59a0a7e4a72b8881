"""The penalised log-likelihood never falls from one iteration to the next, where the EM is exact.

Exact means: one fold, one orientation of each particle (its data stay on the lattice, nothing is interpolated), a grid of shifts that does
not move, noise, temperature, scales and offset prior held, no masks, and classes drawn to something that does not change. What is left is
the engine's own E-step, its sums, and its references: with posteriors γ of a class the sum over particles

    Σ log Σ π_c p(t) exp[Σ_k (2 Re X A_c* − W |A_c|²) / κσ²]  −  Σ_c Σ_k |A_c − Ā|² / κδ²

must grow, since A_c = (Σ γX + ρĀ) / (Σ γW + ρ) with ρ = σ²/δ² is the best there is for these posteriors.
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers import em_world as world

from napari_subtomo.em.accumulate import map_sums, mean_noise
from napari_subtomo.em.engine import _e_step, initial_state
from napari_subtomo.em.expectation import reference_volumes, rotated, search
from napari_subtomo.em.maximisation import DELTA
from napari_subtomo.em.poses import PoseGrid, pose_grid
from napari_subtomo.em.seeding import random_classes
from napari_subtomo.em.stored_poses import iterate_stored
from napari_subtomo.numerics.rotate import Interpolation
from napari_subtomo.progress import Silent

#: Posteriors of 99.9 % of a particle go into the maps, and scores are single precision: nats by which the sum over all particles may fall.
SLACK = 1e-3


class Exact:
    """The engine in the exact setting: noise of two optics groups, scales of two tomograms and a temperature, all of them kept."""

    def __init__(self, made, poses, classes, temperature, stored=False, **options):
        setup = world.setup(made, classes=classes, folds=1, mask_particles=False, noise_temperature=temperature, **options)
        particles = replace(setup.particles, noise=np.arange(len(setup.prepared)) % 2)
        self.setup = replace(setup, particles=particles, maximiser=replace(setup.maximiser, mask=np.ones_like(setup.maximiser.mask)))
        state = initial_state(self.setup)
        assert state.temperature == temperature
        # references of one class are given to all: classes part because the first posteriors are drawn
        self.state = replace(
            state,
            maps=np.repeat(state.maps, classes, axis=1),
            map_noise=np.zeros((classes, state.noise.shape[1])),
            noise=state.noise[:1] * np.array([[0.8], [1.6]]),
            scales=np.array([0.6, 1.4])[self.setup.tomograms],
            log_fractions=self.fractions(np.append(np.full(classes, 0.8 / classes), 0.2)),
            last_shell=self.setup.lattice.last_shell - 1,
        )
        self.poses, self.stored = poses, stored
        self.spectrum = mean_noise(self.state.noise, np.bincount(particles.noise))
        self.maximiser = self.setup.maximiser

    def fractions(self, posterior):
        """Their logarithms."""
        with np.errstate(divide="ignore"):
            found = posterior if self.setup.options.empty_class else np.append(posterior[:-1], 0)
            return np.log(found / found.sum())

    def expect(self, state, allowed=None):
        """E-step, posteriors, and sums for the maps."""
        step, prepared = _e_step(self.setup, state, self.poses, allowed, False), self.setup.prepared
        last_shell, mates = self.setup.lattice.last_shell, self.setup.mates
        if self.stored:
            return step, *iterate_stored(step, prepared, last_shell, mates, 1, Silent())[:2]
        found, results = search(step, prepared, 1, Silent())
        return step, results, map_sums(step, prepared, found, last_shell, mates, 1, Silent())

    def drawn(self):
        """Sums of the first posteriors: of each particle one class that was drawn."""
        return self.expect(self.state, random_classes(len(self.setup.prepared), self.state.maps.shape[1], 4))[2]

    def penalty(self, step, prior, rho):
        """Σ ρ|A − Ā|²/(κσ²) over the voxels of the comparison."""
        volumes, voxels = reference_volumes(step), step.voxels
        here = rotated(step, volumes, np.eye(3)[None])[0]
        grid = self.setup.maximiser.grid
        at = Interpolation(grid, self.setup.lattice.k[:voxels])
        centre = at.gather(prior.reshape(-1, 1).astype(np.complex64))
        weight = rho / (self.state.temperature * self.spectrum)
        weight[0] = 0  # DC is not compared
        return float((weight[self.setup.lattice.shell[:voxels], None] * np.abs(here - centre) ** 2).sum())

    def prior_of(self, sums, regularisation):
        """Consensus of sums, and the strength with which classes are drawn to it per shell."""
        mean = self.maximiser.consensus(*sums.total, self.spectrum)
        power = np.maximum(self.maximiser.shell_mean(np.abs(mean) ** 2), 1e-30)
        return mean, self.spectrum / (DELTA * regularisation * power)


def assert_never_falls(bound):
    assert np.diff(bound).min() > -SLACK
    assert (np.diff(bound) > 3 * SLACK).sum() >= 8, "hardly anything moves: it could not have fallen either"


@pytest.mark.parametrize("stored", [True, False], ids=["as plain products", "as a search"])
@pytest.mark.parametrize(("regularisation", "temperature"), [(1.0, 1.5), (1.0, 3.0), (4.0, 6.0)])
def test_at_fixed_poses_with_the_references_of_the_engine(regularisation, temperature, stored):
    """All particles count in one class or another, so that their consensus stays what it is and references can be the engine's own."""
    made = world.simulate(n=16, count=30, snr=0.05, species=3, error=0.0, offset=0.0, seed=3, domain=2.0)
    exact = Exact(made, PoseGrid.single(), 3, temperature, stored, align=False, empty_class=False)
    state, sums = exact.state, exact.drawn()
    prior, rho = exact.prior_of(sums, regularisation)
    bound = []
    for _ in range(16):
        references = exact.maximiser.references(sums, exact.spectrum, regularisation, "consensus")
        state = replace(state, maps=references, map_noise=exact.maximiser.map_noise(references))
        step, results, sums = exact.expect(state)
        bound.append(results.log_likelihood.sum() - exact.penalty(step, prior, rho))
        state = replace(state, log_fractions=exact.fractions(results.posterior.mean(0)))
    np.testing.assert_allclose(exact.prior_of(sums, regularisation)[0], prior, atol=1e-3 * np.abs(prior).max())
    assert_never_falls(bound)


@pytest.mark.parametrize("temperature", [1.5, 2.0])
def test_over_a_grid_of_shifts_and_with_an_empty_class(temperature):
    made = world.simulate(n=16, count=24, snr=0.05, species=2, empty=6, error=0.0, offset=1.0, seed=5, domain=2.0)
    grid = pose_grid(7.5, 0.0, 1.0, 1.5, np.random.default_rng(0))
    assert len(grid.shifts) > 16 and len(grid.rotations) == 1
    exact = Exact(made, grid, 2, temperature, local_range=0.0)
    state, sums = exact.state, exact.drawn()
    prior, rho = exact.prior_of(sums, 1.0)
    spread = exact.maximiser.spread(rho)
    bound = []
    for _ in range(16):
        transforms = (sums.numerator[0] + spread * prior) / (sums.denominator[0] + spread)
        state = replace(state, maps=np.stack([exact.maximiser.masked_map(t) for t in transforms])[None])
        step, results, sums = exact.expect(state)
        bound.append(results.log_likelihood.sum() - exact.penalty(step, prior, rho))
        state = replace(state, log_fractions=exact.fractions(results.posterior.mean(0)))
    assert_never_falls(bound)
    assert 1e-4 < np.exp(state.log_fractions[-1]) < 0.9
