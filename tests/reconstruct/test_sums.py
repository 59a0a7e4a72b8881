"""Sums on the padded grid: scale, poses, symmetry, holes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_subtomo.data.subtomograms import StoredSubtomograms
from napari_subtomo.errors import GeometryError
from napari_subtomo.geometry.orientations import euler_to_matrix, random_matrices
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.numerics.fourier import centred_fft, half_to_full, radial_mean
from napari_subtomo.numerics.fsc import fsc
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.reconstruct.average import average, backprojection_envelope, crop, in_order
from napari_subtomo.reconstruct.sums import FourierSums, Lattice, solve

C1 = symmetry_matrices("C1")


def stored(sample: Any) -> StoredSubtomograms:
    return StoredSubtomograms.of(sample.data, sample.weights, 8.0)


def sums_of(sample: Any, angles: np.ndarray | None = None, shifts: np.ndarray | None = None, threads: int = 1) -> FourierSums:
    angles = sample.angles if angles is None else angles
    shifts = sample.shifts_px if shifts is None else shifts
    return average(stored(sample), angles, shifts, np.zeros(sample.n), threads=threads)[0]


def grey_slope(a: np.ndarray, truth: np.ndarray) -> float:
    """Grey scale of `a` in units of the truth's, within a soft sphere."""
    mask = soft_sphere(a.shape[0], 8, 2)
    return float((a * truth * mask).sum() / (truth * truth * mask).sum())


def test_particles_with_wedge_and_ctf_give_the_density_back_in_its_own_scale(lab: SimpleNamespace, sample: Any) -> None:
    volume, truth = solve(sums_of(sample), C1), lab.density()
    assert volume.dtype == np.float32
    assert lab.correlation(volume, truth) > 0.995
    assert grey_slope(volume, truth) == pytest.approx(1, abs=0.02)
    assert fsc(volume, truth, soft_sphere(lab.box, 8, 2))[:9].min() > 0.99


def test_the_mirror_image_does_not_fit(lab: SimpleNamespace, sample: Any) -> None:
    volume, truth = solve(sums_of(sample), C1), lab.density()
    mirrored = lab.blobs * [-1, 1, 1, 1]
    turned = [lab.density(m, blobs=mirrored) for m in (np.eye(3), *random_matrices(60, np.random.default_rng(0)))]
    assert max(lab.correlation(volume, other) for other in turned) < lab.correlation(volume, truth) - 0.1


@pytest.mark.parametrize("wrong", ["inverse angles", "sign of the origins", "no origins", "origins turned by the angles"])
def test_poses_of_another_convention_lose(lab: SimpleNamespace, sample: Any, wrong: str) -> None:
    angles, shifts = sample.angles, sample.shifts_px
    if wrong == "inverse angles":
        angles = np.swapaxes(angles, 1, 2)
    elif wrong == "sign of the origins":
        shifts = -shifts
    elif wrong == "no origins":
        shifts = 0 * shifts
    else:
        shifts = np.einsum("nij,nj->ni", angles, shifts)
    assert lab.correlation(solve(sums_of(sample, angles, shifts), C1), lab.density()) < 0.93


def test_the_padded_grid_has_the_scale_of_the_integer_lattice(lab: SimpleNamespace, sample: Any) -> None:
    # At identity poses each voxel keeps to its own node, and the seven empty nodes beside it leave it eight times the weight.
    n, snr = lab.box, 0.02
    still = average(stored(sample), np.repeat(np.eye(3)[None], sample.n, 0), np.zeros((sample.n, 3)), np.zeros(sample.n))[0]
    nodes = still.grid.symmetrise(still.denominator)[0:n:2, 0:n:2, 0:n:2]
    lattice_weights = 8 * sample.weights.sum(0)[: n // 2, : n // 2, : n // 2]
    inside = still.grid.radius[0:n:2, 0:n:2, 0:n:2] < n / 2 - 1
    assert np.allclose(nodes[inside], lattice_weights[inside], rtol=1e-4)
    # Random poses spread the same weight over all nodes: a regulariser shrinks each shell as it would on the lattice.
    total = radial_mean(half_to_full(sample.weights.sum(0)))
    expected = (total / (total + 1 / snr))[2:7]
    power = [radial_mean(np.abs(centred_fft(volume)) ** 2)[2:7] for volume in (solve(sums_of(sample), C1, snr), lab.density())]
    assert np.allclose(np.sqrt(power[0] / power[1]), expected, atol=0.05)
    eightfold = (total / (total + 8 / snr))[2:7]
    assert np.abs(expected - eightfold).min() > 0.2


def test_the_order_of_particles_does_not_matter(sample: Any) -> None:
    order = np.random.default_rng(3).permutation(sample.n)
    one = sums_of(sample)
    other = average(
        StoredSubtomograms.of(sample.data[order], sample.weights[order], 8.0),
        sample.angles[order],
        sample.shifts_px[order],
        np.zeros(sample.n),
    )[0]
    assert np.abs(solve(one, C1) - solve(other, C1)).max() < 1e-5 * np.abs(solve(one, C1)).max()


def test_threads_do_not_change_a_bit(sample: Any) -> None:
    assert np.array_equal(sums_of(sample).numerator, sums_of(sample, threads=3).numerator)


def test_halves_add_up_to_the_whole(sample: Any) -> None:
    halves = average(stored(sample), sample.angles, sample.shifts_px, 1 + np.arange(sample.n) % 2)
    both = halves[1] + halves[2]
    assert (halves[1].count, halves[2].count, both.count) == (15, 15, 30)
    assert np.allclose(both.denominator, sums_of(sample).denominator, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("angles", [[0, 0, 0], [90, 90, 0], [20, 50, -70]])
def test_one_particle_fills_the_grid_in_the_right_scale(lab: SimpleNamespace, angles: list[float]) -> None:
    matrix = euler_to_matrix(np.array(angles, float))
    volume = lab.density(matrix)
    weights = np.ones((1, lab.box, lab.box, lab.box // 2 + 1))
    sums = average(StoredSubtomograms.of(volume[None], weights, 8.0), matrix[None], np.zeros((1, 3)), [0])[0]
    found = solve(sums, C1)
    assert lab.correlation(found, lab.density()) > 0.998
    assert found[12, 12, 12] == pytest.approx(lab.density()[12, 12, 12], rel=0.02)
    # Nodes between the particle's own are interpolated over twice the distance: weaker towards the edge, but not eight times.
    assert 0.9 < grey_slope(found, lab.density()) < 1.02


@pytest.mark.parametrize("name", ["C2", "C3", "D2", "T", "O", "I1"])
def test_a_symmetric_object_is_found_from_a_few_views_of_it(lab: SimpleNamespace, name: str) -> None:
    group = symmetry_matrices(name)
    blobs = np.concatenate([np.column_stack([lab.blobs[1:4, :3] @ m.T, lab.blobs[1:4, 3]]) for m in group])
    sample, truth = lab.make(3, seed=5, blobs=blobs), lab.density(blobs=blobs)
    sums = sums_of(sample)
    with_symmetry, without = solve(sums, group), solve(sums, C1)
    assert lab.correlation(with_symmetry, truth) > 0.998
    assert lab.correlation(with_symmetry, truth) > lab.correlation(without, truth)
    assert grey_slope(with_symmetry, truth) == pytest.approx(1, abs=0.03)


def test_symmetry_with_the_wrong_axes_spoils_the_map(lab: SimpleNamespace) -> None:
    blobs = np.concatenate([np.column_stack([lab.blobs[:, :3] @ m.T, lab.blobs[:, 3]]) for m in symmetry_matrices("C3")])
    sums = sums_of(lab.make(10, seed=6, blobs=blobs))
    assert lab.correlation(solve(sums, symmetry_matrices("C3")), lab.density(blobs=blobs)) > 0.99
    assert lab.correlation(solve(sums, symmetry_matrices("C2")), lab.density(blobs=blobs)) < 0.95


def test_copies_of_a_particle_at_its_symmetry_mates_change_nothing(lab: SimpleNamespace, sample: Any) -> None:
    group = symmetry_matrices("C3")
    expanded = np.concatenate([sample.angles @ m for m in group])
    source = StoredSubtomograms.of(np.tile(sample.data, (3, 1, 1, 1)), np.tile(sample.weights, (3, 1, 1, 1)), 8.0)
    sums = average(source, expanded, np.tile(sample.shifts_px, (3, 1)), np.zeros(3 * sample.n))[0]
    assert lab.correlation(solve(sums, C1), solve(sums_of(sample), group)) > 0.999


def test_a_smaller_snr_weakens_the_map(sample: Any) -> None:
    sums = sums_of(sample)
    powers = [float((solve(sums, C1, snr) ** 2).sum()) for snr in (None, 1.0, 0.01, 0.001)]
    assert powers[0] > powers[1] > powers[2] > powers[3]


def test_noise_is_weighted_by_the_weights(lab: SimpleNamespace) -> None:
    # A particle with a hundredth of the weight has ten times its noise after division; it must not spoil the average.
    good, bad = lab.make(12, seed=7, noise=0.3), lab.make(12, seed=8, noise=0.3)
    weak = 0.01
    data = np.concatenate([good.data, (bad.data - lab.make(12, seed=8).data) * weak**0.5 + lab.make(12, seed=8).data * weak])
    weights = np.concatenate([good.weights, bad.weights * weak])
    angles, shifts = np.concatenate([good.angles, bad.angles]), np.concatenate([good.shifts_px, bad.shifts_px])
    both = average(StoredSubtomograms.of(data, weights, 8.0), angles, shifts, np.zeros(24))[0]
    truth = lab.density()
    alone = lab.correlation(solve(sums_of(good), C1), truth)
    assert lab.correlation(solve(both, C1), truth) > alone - 0.01


@pytest.mark.parametrize("n", [7, 8])
def test_the_lattice_lists_one_of_each_pair_of_mates(n: int) -> None:
    lattice = Lattice(n)
    assert len(lattice.index) == len(lattice.k) == len(set(lattice.index.tolist()))
    # With its mates, each listed by its share, it makes the whole ball.
    axis = np.arange(-n, n + 1)
    ball = (np.add.outer(np.add.outer(axis**2, axis**2), axis**2) < (n / 2) ** 2).sum()
    assert 2 * lattice.share.sum() == ball


def test_cropping_keeps_the_centre_and_ends_softly(lab: SimpleNamespace) -> None:
    volume = (lab.density() + 0.5).astype(np.float32)
    small = crop(volume, 16)
    assert small.shape == (16, 16, 16)
    assert small.dtype == np.float32
    assert small[0, 8, 8] == 0 and small[8, 8, 0] == 0
    assert small[8, 8, 8] - small[8, 8, 10] == pytest.approx(volume[12, 12, 12] - volume[12, 12, 14], rel=1e-5)
    assert crop(volume, lab.box) is volume
    with pytest.raises(GeometryError, match="at most 24 px"):
        crop(volume, 25)


def test_the_envelope_of_back_projection_is_one_at_the_centre() -> None:
    envelope = backprojection_envelope(16)
    assert envelope[8, 8, 8] == 1
    assert envelope[8, 8, 0] == pytest.approx(np.sinc(8 / 16) ** 2)
    assert envelope[4, 8, 12] == pytest.approx(np.sinc(4 / 16) ** 4)


def test_work_in_threads_comes_back_in_order_and_raises() -> None:
    assert list(in_order(lambda x: x * x, range(20), 3)) == [x * x for x in range(20)]
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda x: 1 // x, [1, 2, 0, 4], 2))


def test_poses_must_match_the_particles(sample: Any) -> None:
    with pytest.raises(GeometryError, match="each of 30 particles"):
        average(stored(sample), sample.angles[:3], sample.shifts_px, np.zeros(30))
