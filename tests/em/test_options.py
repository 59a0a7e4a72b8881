"""Options of the EM, each on particles of known truth: what it must do, and what it must leave alone."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import em_world as world

from napari_subtomo.em.assignment import assigned
from napari_subtomo.em.constraints import Region, composed
from napari_subtomo.em.engine import _e_step, initial_state, iterate
from napari_subtomo.em.expectation import Poses, search
from napari_subtomo.em.inside import Inside
from napari_subtomo.em.lattice import lattice_map
from napari_subtomo.em.poses import pose_grid
from napari_subtomo.em.priors import AnglePriors, RotationPrior, restricted, with_mates
from napari_subtomo.em.sampling import iteration_poses
from napari_subtomo.em.scales import group_scales, particle_scales
from napari_subtomo.em.start import rand_index
from napari_subtomo.em.statistics import ParticleResults
from napari_subtomo.em.temperature import COOLING, uncertainty
from napari_subtomo.errors import OptionError
from napari_subtomo.geometry.orientations import angular_distance, matrix_to_euler, random_matrices
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.jobs.record import validated
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.rotate import rotate_volume
from napari_subtomo.options.classify import RELION, ClassifyOptions
from napari_subtomo.progress import Silent

GIVEN = {"reference": "map.mrc", "mask_diameter": 200.0}


def run(setup):
    """The last state and classes."""
    return list(iterate(setup, initial_state(setup), Silent()))[-1]


# --- preset -------------------------------------------------------------------------------------------------------------------


def test_a_preset_sets_what_is_not_given_and_its_values_are_explicit():
    options = ClassifyOptions(**GIVEN, preset="relion")
    assert {name: getattr(options, name) for name in RELION} == dict(RELION)
    assert set(RELION) <= options.model_fields_set
    assert ClassifyOptions(**GIVEN, preset="relion", folds=3, shrink_to="consensus").folds == 3
    assert ClassifyOptions(**GIVEN).folds == 5
    again = ClassifyOptions(**options.model_dump())
    assert again == options


def test_every_value_of_the_preset_differs_from_the_default():
    default = ClassifyOptions(**GIVEN)
    assert [name for name, value in RELION.items() if getattr(default, name) == value] == []


# --- which poses enter the maps -----------------------------------------------------------------------------------------------


def test_hard_assignments():
    shift, klass, rotation = (np.array(a, np.int32) for a in ([0, 1, 2, 3], [0, 0, 1, 1], [5, 6, 7, 8]))
    order = [0, 1, 3, 2]
    poses = Poses(np.array([0, 4]), *(a[order] for a in (shift, klass, rotation)), np.array([0.3, 0.25, 0.2, 0.1], np.float32))
    results = ParticleResults.empty(1, 2)
    results.posterior[0] = [0.55, 0.3, 0.15]
    assert assigned(poses, results, "soft") is poses
    each = assigned(poses, results, "best-pose")
    assert list(zip(each.klass, each.rotation, each.score.round(3), strict=True)) == [(0, 5, np.float32(0.55)), (1, 8, np.float32(0.3))]
    best = assigned(poses, results, "best")
    assert (best.klass.tolist(), best.rotation.tolist(), best.shift.tolist(), best.score.tolist()) == ([0], [5], [0], [1.0])
    results.posterior[0] = [0.2, 0.1, 0.7]
    assert len(assigned(poses, results, "best").klass) == 0


# --- uncertainty, scales ------------------------------------------------------------------------------------------------------


def test_the_uncertainty_falls_to_nothing_from_the_first_iteration_with_classes_on():
    assert [uncertainty(4.0, since) for since in (-1, 0, COOLING, COOLING + 3)] == [1.0, 4.0, 1.0, 1.0]
    factors = [uncertainty(4.0, since) for since in range(COOLING + 1)]
    np.testing.assert_allclose(np.diff(np.log(factors)), -np.log(4) / COOLING)


def test_scales_of_tomograms_are_relions():
    np.testing.assert_allclose(
        group_scales(np.array([2.0, 1.0, 30.0, 0.0]), np.array([1.0, 1.0, 1.0, 0.0])), np.array([2, 1, 10, 2]) / 3.75
    )


@pytest.mark.parametrize(("spread", "power"), [(0.0, 20.0), (0.2, 20.0), (0.2, 2000.0)])
def test_scales_of_particles_are_drawn_to_their_tomogram_by_what_they_do_not_tell(spread, power):
    rng = np.random.default_rng(4)
    n = 4000
    tomograms = np.repeat([0, 1], n // 2)
    truth = np.where(tomograms == 0, 0.9, 1.1) + rng.normal(size=n) * spread
    own = truth + rng.normal(size=n) / np.sqrt(2 * power)
    found = particle_scales(own * power, np.full(n, power), tomograms, np.ones(n))
    best = np.sqrt(spread**2 / (1 + spread**2 * 2 * power))  # error of the posterior mean
    assert np.sqrt(np.mean((found / found.mean() - truth / truth.mean()) ** 2)) <= 1.1 * best + 0.03
    assert power < 2000 or np.corrcoef(found, truth)[0, 1] > 0.99


def test_gold_beads_move_no_scale_and_keep_that_of_their_tomogram():
    rng = np.random.default_rng(5)
    n, power = 400, 50.0
    bead = np.arange(n) % 4 == 3
    bead[::5] = False
    truth = 1 + 0.2 * rng.normal(size=n)
    own = truth + rng.normal(size=n) / np.sqrt(2 * power)
    plain = particle_scales(own * power, np.full(n, power), np.zeros(n, int), np.ones(n))
    own[bead] = 8
    strong = np.where(bead, 64 * power, power)  # as by a reference of beads
    found = particle_scales(own * strong, strong, np.zeros(n, int), np.ones(n))
    np.testing.assert_allclose(found[bead], np.median(found), rtol=0.05)
    assert np.corrcoef(found[~bead], plain[~bead])[0, 1] > 0.99
    assert np.std(found[~bead]) == pytest.approx(np.std(plain[~bead]), rel=0.3)


def test_scales_of_tomograms_with_few_particles_are_drawn_to_one_and_empty_places_do_not_count():
    rng = np.random.default_rng(6)
    power, tomograms = 10.0, np.repeat(np.arange(40), 5)
    own = 1 + rng.normal(size=200) / np.sqrt(2 * power)
    assert np.std(particle_scales(own * power, np.full(200, power), tomograms, np.ones(200))) < 0.065  # half of what medians of five spread
    bright = own + 0.5 * (tomograms % 2)
    empty = np.arange(200) % 5 == 0
    bright[empty] = 0
    found = particle_scales(bright * power, np.full(200, power), tomograms, np.where(empty, 0.0, 1.0))
    assert found[(tomograms % 2 == 1) & ~empty].mean() / found[(tomograms % 2 == 0) & ~empty].mean() > 1.3


def test_no_scale_is_known_without_particles():
    np.testing.assert_array_equal(particle_scales(np.zeros(3), np.zeros(3), np.zeros(3, int), np.ones(3)), 1)
    np.testing.assert_array_equal(particle_scales(np.ones(3), np.ones(3), np.zeros(3, int), np.zeros(3)), 1)
    np.testing.assert_array_equal(particle_scales(-np.ones(3), np.ones(3), np.zeros(3, int), np.ones(3)), 1)


def test_scales_of_particles_follow_what_was_simulated():
    sample = world.simulate(n=16, count=40, snr=2.0, species=1, error=3.0, seed=3, spread=0.4)
    truth = np.exp(np.random.default_rng([3, 8]).normal(size=40) * 0.4)
    setup = world.setup(sample, classes=1, iterations=3, empty_class=False, offset_range=1.0, particle_scales=True, mask_particles=False)
    state, classes = run(setup)
    assert np.corrcoef(np.log(state.scales), np.log(truth))[0, 1] > 0.9
    np.testing.assert_array_equal(classes.scales, state.scales)
    assert classes.group_scales.shape == (2,) and classes.group_counts.tolist() == [20, 20]


# --- references ---------------------------------------------------------------------------------------------------------------


def focus_of(n, place, radius):
    """A hard sphere at a place (x, y, z) in pixels from the centre."""
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return (((x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2) <= radius**2).astype(np.float32)


def test_composed_references_differ_inside_the_focus_only():
    rng = np.random.default_rng(0)
    maps, common, focus = rng.normal(size=(2, 3, 4, 4, 4)), rng.normal(size=(2, 4, 4, 4)), np.zeros((4, 4, 4))
    focus[:2] = 1
    found = composed(maps, common, focus)
    np.testing.assert_allclose(found[:, :, :2], maps[:, :, :2])
    np.testing.assert_allclose(found[:, :, 2:], np.broadcast_to(common[:, None, 2:], (2, 3, 2, 4, 4)))


@pytest.fixture(scope="module")
def two_places():
    """Two species that differ in one place, and half of each with a domain in another."""
    n = 24
    sample = world.simulate(n=n, count=48, snr=1.0, species=2, error=3.0, seed=1, domain=1.5)
    other = np.arange(48) // 2 % 2 == 1
    blob = [(-n * 0.18, n * 0.1, -n * 0.1, n * 0.05, 2.2)]
    extra = [world.render(blob, n, r, t) if o else 0 for o, r, t in zip(other, sample.orientations, sample.offsets, strict=True)]
    particles = []
    for particle, added in zip(sample.particles, extra, strict=True):
        clean = np.fft.rfftn(np.fft.ifftshift(np.broadcast_to(added, (n, n, n)))) * particle.weights
        more = np.fft.fftshift(np.fft.irfftn(clean, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
        particles.append(world.Particle(particle.data + more, particle.weights, particle.multiplicity))
    return replace(sample, particles=particles), other


@pytest.mark.parametrize(("start", "seeds"), [("leave-one-out", 1), ("random", 3)])
def test_classes_follow_the_focus(two_places, start, seeds):
    """The same particles: by the first place or by the second, whichever is looked at; random starts miss one now and then."""
    sample, other = two_places
    n = sample.n
    options = {"classes": 2, "iterations": 8, "consensus_iterations": 2, "offset_range": 1.0, "empty_class": False, "mask_particles": False}
    setups = [world.setup(sample, **options, start=start, restarts=4, fixed_sampling=True, seed=1 + seed) for seed in range(seeds)]
    places = {"first": ((n * 0.16, -n * 0.1, n * 0.12), sample.labels), "second": ((-n * 0.18, n * 0.1, -n * 0.1), other)}
    for place, truth in places.values():
        states = [run(replace(setup, focus=focus_of(n, place, 4.0)))[0] for setup in setups]
        assert np.median([rand_index(state.labels, truth) for state in states]) > 0.8
        state = states[0]
        focus = focus_of(n, place, 4.0) > 0
        assert not np.allclose(state.maps[0, 0][focus], state.maps[0, 1][focus])
        np.testing.assert_allclose(state.maps[0, 0][~focus], state.maps[0, 1][~focus], atol=1e-6 * np.abs(state.maps).max())


@pytest.mark.parametrize("shell", [4, 11])
def test_a_region_masks_values_as_their_map_is_masked(two_places, shell):
    """On the smallest box that does (18 of 24 px), and on the whole one."""
    setup = world.setup(two_places[0], classes=2, iterations=2)
    lattice, voxels = setup.lattice, setup.lattice.prefix(shell)
    mask, values = soft_sphere(24, 5, 3), setup.prepared.G[0, :voxels]
    wanted = np.fft.rfftn(np.fft.ifftshift(lattice_map(values, lattice) * mask)).ravel()[lattice.half_layout_index()[:voxels]]
    np.testing.assert_allclose(Region(mask, lattice, voxels)(values), wanted, atol=2e-3 * np.abs(wanted).max())
    whole = Inside.of(values[None], setup.prepared.H[:1, :voxels], *[Region(np.ones_like(mask), lattice, voxels)] * 2, threads=1)
    np.testing.assert_allclose(whole.g[0], values, atol=1e-4 * np.abs(values).max())


def test_references_are_not_negative_where_that_is_asked_for(two_places):
    options = {"classes": 2, "iterations": 3, "consensus_iterations": 1, "offset_range": 1.0, "restarts": 2}
    state, _ = run(world.setup(two_places[0], **options, nonnegative=True))
    assert state.maps.min() == 0 and state.maps.max() > 0
    free, _ = run(world.setup(two_places[0], **options))
    assert free.maps.min() < 0


@pytest.mark.parametrize(("limit", "shell"), [(-1.0, 8), (0.0, 11), (30.0, 8), (24.0, 10)])
def test_maps_go_as_far_as_asked_for(two_places, limit, shell):
    setup = world.setup(two_places[0], classes=1, iterations=1, offset_range=1.0, map_limit=limit)
    _, classes = run(setup)
    assert classes.current_size <= 12  # what is compared grows by a shell an iteration, whatever the maps
    spectrum = np.abs(np.fft.fftn(classes.maps[0] / np.maximum(setup.maximiser.mask, 1e-3)))
    assert np.flatnonzero(classes.shell_completeness[0])[-1] >= shell and np.isfinite(spectrum).all()
    assert (classes.ssnr[0][shell + 1 :] == 0).all() and np.any(classes.tau2[0][shell - 1 : shell + 1] > 0)


# --- symmetry -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("align", [True, False])
@pytest.mark.parametrize("group", ["C2", "C3", "C6", "D2", "D3", "T", "O", "I1", "I2", "I3", "I4"])
def test_symmetry_is_applied_to_the_maps_of_every_group(group, align):
    """Few noisy particles with missing wedges make a map that has the symmetry of the phantom, nearer to it than without symmetry."""
    n, mates = 20, symmetry_matrices(group)
    place = np.array([3.2, 1.2, 4.0])
    phantom = np.array([(*(mate @ place), 1.5, 6.0 / len(mates)) for mate in mates] + [(0, 0, 0, 2.0, 1.0)])
    sample = world.simulate(n=n, count=8, snr=2.0, species=1, error=0.0, offset=0.0, seed=1)
    truth, rng = world.render(phantom, n), np.random.default_rng(7)
    particles = []
    for particle, turn in zip(sample.particles, sample.orientations, strict=True):
        clean = np.fft.rfftn(np.fft.ifftshift(world.render(phantom, n, turn))) * particle.weights
        noise = np.fft.rfftn(rng.standard_normal((n, n, n)) * 2 * truth.std()) * np.sqrt(particle.weights)
        data = np.fft.fftshift(np.fft.irfftn(clean + noise, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
        particles.append(replace(particle, data=data))
    sample = replace(sample, particles=particles, maps=[truth], given_orientations=sample.orientations)
    found = {}
    for name in (group, "C1"):
        options = {"classes": 1, "iterations": 1, "empty_class": False, "angular_step": 4.0, "offset_range": 0.0, "local_range": 8.0}
        setup = world.setup(sample, symmetry=name, align=align, fixed_sampling=True, mask_particles=False, **options)
        found[name] = run(setup)[1].maps[0]
    mask = setup.maximiser.mask > 0.5
    agreement = {name: np.corrcoef(volume[mask], truth[mask])[0, 1] for name, volume in found.items()}
    own = min(np.corrcoef(rotate_volume(found[group], mate)[mask], found[group][mask])[0, 1] for mate in mates[1:4])
    assert agreement[group] > 0.9 and agreement[group] > agreement["C1"]
    assert own > 0.97


def test_mates_of_a_grid():
    poses, mates = pose_grid(5.0, 10.0, 1.0, 1.0, np.random.default_rng(0)), symmetry_matrices("C3")
    grid = with_mates(poses, mates)
    r = len(poses.rotations)
    np.testing.assert_allclose(grid.rotations[:r], poses.rotations, atol=1e-12)
    np.testing.assert_allclose(grid.rotations[r : 2 * r], poses.rotations @ mates[1], atol=1e-12)
    assert np.exp(grid.rotation_log_prior).sum() == pytest.approx(1)


def test_relaxed_symmetry_finds_the_mate_of_a_particle_that_breaks_it():
    n, mates = 24, symmetry_matrices("C4")
    rng = np.random.default_rng(3)
    corner = np.array([n * 0.18, n * 0.03, n * 0.05])
    ring = [(*(mate @ corner), n * 0.05, 1.0) for mate in mates]
    broken = np.array([*ring, (*(corner * 1.1 + [0, 0, n * 0.12]), n * 0.05, 1.5)])
    sample = world.simulate(n=n, count=16, snr=1.0, species=1, error=0.0, offset=0.0, seed=5)
    truth, true = world.render(broken, n), random_matrices(16, rng)
    particles = []
    for particle, turn in zip(sample.particles, true, strict=True):
        clean = np.fft.rfftn(np.fft.ifftshift(world.render(broken, n, turn))) * particle.weights
        noise = np.fft.rfftn(rng.standard_normal((n, n, n)) * truth.std()) * np.sqrt(particle.weights)
        data = np.fft.fftshift(np.fft.irfftn(clean + noise, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
        particles.append(replace(particle, data=data))
    wrong = true @ mates[rng.integers(4, size=16)]
    sample = replace(sample, particles=particles, orientations=true, given_orientations=wrong, maps=[truth])
    options = {"classes": 1, "iterations": 1, "offset_range": 0.0, "angular_step": 5.0, "fixed_sampling": True, "mask_particles": False}
    for local in (0.0, 6.0):
        state, _ = run(world.setup(sample, **options, local_range=local, relax_symmetry="C4"))
        assert np.median(angular_distance(state.orientations, true)) < 4 and angular_distance(state.orientations, true).max() < 15
    kept, _ = run(world.setup(sample, **options, local_range=6.0))
    assert (angular_distance(kept.orientations, true) > 60).mean() > 0.5


def test_a_symmetry_is_relaxed_in_local_searches_only():
    for changed in ({}, {"local_range": 5.0, "align": False}):
        with pytest.raises(OptionError, match="a local search with alignment to relax a symmetry"):
            validated(ClassifyOptions, {**GIVEN, "relax_symmetry": "C6", **changed})


# --- priors of tilt and psi ---------------------------------------------------------------------------------------------------


def priors(n, tilt=90.0, psi=0.0, sigma_tilt=10.0, sigma_psi=-1.0):
    return AnglePriors(np.full(n, tilt), np.full(n, psi), sigma_tilt, sigma_psi)


@pytest.mark.parametrize(("sigma_tilt", "sigma_psi"), [(10.0, -1.0), (-1.0, 12.0), (8.0, 12.0)])
def test_priors_are_gaussians_of_relions_angles_cut_at_three_sigma(sigma_tilt, sigma_psi):
    poses = pose_grid(15.0, -1.0, 1.0, 0.0, np.random.default_rng(1))
    tilt, psi = np.array([60.0, 100.0]), np.array([-170.0, 45.0])
    frames = np.repeat(np.eye(3)[None], 2, axis=0)
    log = RotationPrior.of(AnglePriors(tilt, psi, sigma_tilt, sigma_psi), frames, poses).log(np.arange(2), slice(None))[:, 0, 0]
    np.testing.assert_allclose(np.exp(log).sum(1), 1, rtol=1e-4)
    angles = matrix_to_euler(poses.rotations)
    for i in range(2):
        far = (angles[:, 1] - tilt[i]) / sigma_tilt, ((angles[:, 2] - psi[i] + 180) % 360 - 180) / sigma_psi
        used = [d for d, s in zip(far, (sigma_tilt, sigma_psi), strict=True) if s > 0]
        expected = -0.5 * sum(d**2 for d in used)
        expected[np.any([np.abs(d) > 3 for d in used], axis=0)] = -np.inf
        expected -= np.logaddexp.reduce(expected)
        inside = np.isfinite(expected)
        np.testing.assert_array_equal(inside, np.isfinite(log[i]))
        np.testing.assert_allclose(log[i][inside], expected[inside], atol=1e-3)


def test_a_particle_without_any_orientation_in_its_prior_keeps_the_nearest():
    poses = pose_grid(4.0, 8.0, 1.0, 0.0, np.random.default_rng(1))
    prior = RotationPrior.of(priors(1, tilt=90.0, sigma_tilt=5.0), np.eye(3)[None], poses)  # tilt of the frame: 0
    log = prior.log(np.arange(1), slice(None))[0, 0, 0]
    assert prior.whole.all() and np.isfinite(log).all() and np.exp(log).sum() == pytest.approx(1, rel=1e-4)


def test_a_grid_keeps_what_any_prior_allows():
    poses = pose_grid(15.0, -1.0, 1.0, 0.0, np.random.default_rng(1))
    fewer = restricted(poses, priors(5, sigma_tilt=5.0, sigma_psi=5.0))
    angles = matrix_to_euler(fewer.rotations)
    assert np.abs(angles[:, 1] - 90).max() <= 15 and np.abs(angles[:, 2]).max() <= 15
    assert len(fewer.rotations) < len(poses.rotations) / 20 and np.exp(fewer.rotation_log_prior).sum() == pytest.approx(1)
    both = np.array([30.0, 150.0])
    two = restricted(poses, AnglePriors(both, both * 0, 5.0, -1.0))
    assert {int(t > 90) for t in matrix_to_euler(two.rotations)[:, 1]} == {0, 1}


@pytest.mark.parametrize("local_range", [-1.0, 40.0])
def test_priors_act_in_global_and_in_local_searches(local_range):
    """Pure noise: where nothing else is known poses follow the prior, in the iteration by correlation too."""
    noise = world.simulate(n=12, count=0, empty=8, snr=0.5, seed=5)
    angles = matrix_to_euler(noise.given_orientations)
    options = {"classes": 1, "iterations": 1, "angular_step": 15.0, "offset_range": 0.0, "local_range": local_range, "empty_class": False}
    for greyscale in (True, False):
        setup = world.setup(noise, **options, absolute_greyscale=greyscale, fixed_sampling=True, mask_particles=False)
        setup = replace(setup, priors=AnglePriors(angles[:, 1], angles[:, 2], 4.0, 4.0))
        state = initial_state(setup)
        poses = iteration_poses(setup, state, 1, Silent())
        step = _e_step(setup, state, poses, None, not greyscale)
        _, results = search(step, setup.prepared, 1, Silent())
        found = matrix_to_euler(setup.frames @ poses.rotations[results.rotation])
        kept = ~step.rotation_prior.whole
        assert kept.mean() > 0.5
        assert np.abs(found[kept, 1] - angles[kept, 1]).max() <= 12 + 1e-6
        assert np.abs((found[kept, 2] - angles[kept, 2] + 180) % 360 - 180).max() <= 12 + 1e-6
