"""The E-step against a plain loop over every pose, in float64."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import em_world as world
from scipy.ndimage import map_coordinates

from napari_subtomo.em.basis import shift_basis
from napari_subtomo.em.engine import _e_step, initial_state
from napari_subtomo.em.expectation import search
from napari_subtomo.em.poses import PoseGrid, pose_grid
from napari_subtomo.em.prepare import prepare
from napari_subtomo.em.turning import resample
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Silent


def turned_reference(volume, k, rotation):
    """A(Rᵀ k) by trilinear interpolation of a twice padded float64 transform, with scipy, as published: sinc² taken out before."""
    n = volume.shape[0]
    line = np.sinc((np.arange(n) - n // 2) / (2 * n)) ** 2
    padded = np.zeros((2 * n,) * 3)
    low = n - n // 2
    padded[low : low + n, low : low + n, low : low + n] = volume / (line[:, None, None] * line[:, None] * line)
    transform = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(padded)))
    x, y, z = (k @ rotation).T * 2 + n
    return map_coordinates(transform.real, [z, y, x], order=1) + 1j * map_coordinates(transform.imag, [z, y, x], order=1)


def exact_reference(volume, k, rotation):
    """A(Rᵀ k) by the Fourier sum over the map's voxels."""
    n = volume.shape[0]
    axis = np.arange(n) - n // 2
    z, y, x = (a.ravel() for a in np.meshgrid(axis, axis, axis, indexing="ij"))
    return np.exp(-2j * np.pi / n * ((k @ rotation) @ np.stack([x, y, z]).astype(float))) @ volume.ravel().astype(float)


def particle_data(setup, i):
    """What the E-step compares: the particle's data, or those of the particle cut out by hand before anything else."""
    options, mask = setup.options, 1.0
    if options.mask_particles:
        mask = soft_sphere(setup.lattice.n, options.mask_diameter / 2 / setup.pixel_size, 5)
    rows = list(range(len(setup.prepared)))

    def load(row):
        particle = setup.load(row)
        return replace(particle, data=(particle.data * mask).astype(np.float32))

    cut = prepare(load, setup.frames[rows], setup.input_offsets[rows], setup.lattice, 1, Silent())
    return cut.G[i].astype(complex)


def brute_force(setup, step, i):
    """Log posterior numerators (nT, classes, nR) of particle i, one pose after the other."""
    lattice, n = setup.lattice, setup.lattice.n
    voxels = lattice.prefix(step.last_shell)
    k, shell = lattice.k[:voxels].astype(float), lattice.shell[:voxels]
    whitening = np.where(shell == 0, 0, 1 / (step.model.temperature * step.model.noise[0][shell]))
    g, h = particle_data(setup, i)[:voxels], setup.prepared.H[i, :voxels].astype(float)
    fold = setup.particles.fold[i]
    classes = step.model.maps.shape[1]
    total = step.offsets_px[i] + step.poses.shifts
    shift_prior = -0.5 * (total**2).sum(1) / step.model.sigma_offset**2
    shift_prior -= np.log(np.exp(shift_prior).sum())
    out = np.empty((len(step.poses.shifts), classes, len(step.poses.rotations)))
    for c in range(classes):
        for r, rotation in enumerate(step.poses.rotations):
            turned = turned_reference(step.model.maps[fold, c].astype(float), k, rotation)
            energy = (h * np.abs(turned) ** 2 * whitening).sum()
            for t, shift in enumerate(step.poses.shifts):
                moved = g * np.exp(2j * np.pi / n * (k @ shift))
                cross = 2 * (moved * turned.conj()).real @ whitening
                out[t, c, r] = cross - energy + shift_prior[t] + step.poses.rotation_log_prior[r] + step.model.log_fractions[c]
    return out


@pytest.fixture(scope="module", params=[True, False], ids=["masked", "whole"])
def small(request):
    made = world.simulate(n=16, count=5, snr=0.05, species=2, seed=3)
    return world.setup(
        *(made, np.stack(made.maps)),
        classes=2,
        folds=1,
        initial_lowpass=40.0,
        angular_step=15.0,
        noise_temperature=1.0,
        mask_particles=request.param,
    )


def test_log_posteriors_are_those_of_brute_force_within_a_hundredth_of_a_nat(small):
    state = initial_state(small)
    poses = pose_grid(7.5, 15.0, 1.0, 1.0, np.random.default_rng(0))
    step = _e_step(small, state, poses, None, False)
    kept, results = search(step, small.prepared, 1, Silent())
    for i in range(5):
        expected = brute_force(small, step, i)
        total = np.logaddexp(np.logaddexp.reduce(expected.ravel()), state.log_fractions[-1])
        posterior = np.exp(expected - total)
        found = np.zeros_like(posterior)
        mine = kept.of(i)
        found[mine.shift, mine.klass, mine.rotation] = mine.score
        near = posterior > 1e-3
        assert near.sum() > 3
        np.testing.assert_allclose(np.log(found[near]), np.log(posterior[near]), atol=0.01)
        assert results.log_likelihood[i] == pytest.approx(total, abs=0.01)
        np.testing.assert_allclose(results.posterior[i], [*posterior.sum((0, 2)), np.exp(state.log_fractions[-1] - total)], atol=0.005)


def test_responsibilities_sum_to_one(small):
    step = _e_step(small, initial_state(small), pose_grid(7.5, 15, 1, 1, np.random.default_rng(1)), None, False)
    _, results = search(step, small.prepared, 1, Silent())
    np.testing.assert_allclose(results.posterior.sum(1), 1, atol=1e-6)


def test_block_size_and_threads_do_not_change_posteriors(small, monkeypatch):
    step = _e_step(small, initial_state(small), pose_grid(7.5, 15, 1, 1, np.random.default_rng(1)), None, False)
    _, one = search(step, small.prepared, 1, Silent())
    monkeypatch.setattr("napari_subtomo.em.expectation.BLOCK_BYTES", 1)
    monkeypatch.setattr("napari_subtomo.em.expectation.REFERENCE_BYTES", 8 * 8 * step.voxels * 8 * 5)
    _, many = search(step, small.prepared, 2, Silent())
    np.testing.assert_allclose(one.posterior, many.posterior, atol=1e-4)
    assert (one.rotation == many.rotation).all() and (one.shift == many.shift).all()


def test_the_stored_pose_alone_is_a_grid_of_one(small):
    step = _e_step(small, initial_state(small), PoseGrid.single(), None, False)
    kept, results = search(step, small.prepared, 1, Silent())
    assert np.diff(kept.start).max() <= 2 and set(results.rotation) == {0}


def test_interpolated_references_are_those_of_the_exact_fourier_sum():
    """What interpolation costs, apart from the products: less than a thousandth of the power in every shell."""
    made = world.simulate(n=24, count=2, species=1, seed=4)
    small = world.setup(made, classes=1, folds=1)
    step = _e_step(small, initial_state(small), pose_grid(7.5, 15, 1, 1, np.random.default_rng(1)), None, False)
    k = small.lattice.k[: step.voxels].astype(float)
    from napari_subtomo.em.expectation import reference_volumes, rotated

    ours = rotated(step, reference_volumes(step), step.poses.rotations[3:4])[0, :, 0]
    exact = exact_reference(step.model.maps[0, 0], k, step.poses.rotations[3])
    shell = small.lattice.shell[: step.voxels]
    error = np.bincount(shell, np.abs(ours - exact) ** 2) / np.bincount(shell, np.abs(exact) ** 2)
    assert error[1:].max() < 1e-3  # DC takes no part


def test_the_mask_of_a_particle_lies_where_the_particle_is_thought_to_be():
    """A dot of density four voxels along x from the centre passes a small mask only if the input offset says that it is there."""
    made = world.simulate(n=16, count=1, species=1, seed=4)
    data = np.zeros((16, 16, 16), np.float32)
    data[8, 8, 12] = 1
    particle, grid, k, mask = replace(made.particles[0], data=data), PaddedGrid(16), np.zeros((1, 3), np.float32), soft_sphere(16, 2, 1)
    for offset, passed in (((4.2, 0, 0), 1.0), ((0, 0, 4.0), 0.0), ((0, 0, 0), 0.0)):
        whole, masked, _ = resample(particle, grid, k, np.eye(3), np.asarray(offset), mask)
        assert masked[0].real / whole[0].real == pytest.approx(passed, abs=1e-3)


@pytest.mark.parametrize("scale", [1.0, 100.0, 1e-3])
def test_correlations_through_functions_of_offsets_are_those_of_each_offset_whatever_the_scale_of_the_reference(small, monkeypatch, scale):
    """Within 0.3 %: the scale of a first reference says nothing about the data."""
    state = initial_state(small)
    state = replace(state, maps=state.maps * np.float32(scale))
    step = _e_step(small, state, pose_grid(7.5, 15.0, 0.5, 2.0, np.random.default_rng(0)), None, True)
    said = Said()
    _, few = search(step, small.prepared, 1, said)
    assert any("of a correlation left out" in text for text in said.texts)
    monkeypatch.setattr("napari_subtomo.em.expectation.shift_basis", lambda *given: shift_basis(*given, tolerance=0))
    _, every = search(step, small.prepared, 1, Silent())
    np.testing.assert_allclose(few.log_evidence, every.log_evidence, rtol=3e-3)
    assert not np.array_equal(few.log_evidence, every.log_evidence)


class Said(Silent):
    """Remembers messages."""

    def __init__(self):
        self.texts = []

    def message(self, text):
        self.texts.append(text)
