"""What back-projecting tilt images does to averages far from their centre: a simulation without noise, and RELION's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from napari_subtomo.data.subtomograms import StoredSubtomograms
from napari_subtomo.geometry.orientations import random_matrices
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.subtomograms import open_subtomograms
from napari_subtomo.numerics.masks import radius_grid
from napari_subtomo.numerics.slices import insert_slices
from napari_subtomo.reconstruct.average import average, backprojection_envelope
from napari_subtomo.reconstruct.sums import solve

BOX, SQUARE, WIDTH = 24, 36, 1.6  # px: the box that is written, that of the slices, sigma of a Gaussian
PLACES = np.array([[0, 0, 0], [5, 1, -2], [-3, 6, 3], [0, -6, 7]])  # xyz, 0 to 9.2 px from the centre
TILTS = Rotation.from_euler("y", np.arange(-60, 61, 6)[:, None], degrees=True).as_matrix()


def slices_of(matrices: np.ndarray) -> np.ndarray:
    """Exact transforms of projections of the Gaussians, particle at the origin, shape (m, SQUARE, SQUARE // 2 + 1)."""
    kx, ky = np.meshgrid(np.arange(SQUARE // 2 + 1) / SQUARE, np.fft.fftfreq(SQUARE))
    total = np.zeros((len(matrices), *kx.shape), complex)
    for place in PLACES:
        x, y, _ = np.moveaxis(matrices @ place, -1, 0)[:, :, None, None]
        total += np.exp(-2j * np.pi * (kx * x + ky * y))
    return total * 2 * np.pi * WIDTH**2 * np.exp(-2 * np.pi**2 * WIDTH**2 * (kx**2 + ky**2))


def heights(volume: np.ndarray) -> np.ndarray:
    """Grey value at each place, relative to the first."""
    values = np.array([volume[z, y, x] for x, y, z in PLACES + BOX // 2])
    return values / values[0]


@pytest.fixture(scope="module")
def averaged() -> np.ndarray:
    """The average of 40 particles whose pseudo-subtomograms were made of 21 tilts each."""
    orientations = random_matrices(40, np.random.default_rng(2))
    data, weights = [], []
    for orientation in orientations:
        values = slices_of(TILTS @ orientation)
        total, weight, _ = insert_slices(values, np.ones(values.shape, np.float32), TILTS[:, :2] * (BOX / SQUARE), BOX)
        data.append(np.fft.fftshift(np.fft.irfftn(total, s=(BOX,) * 3, axes=(0, 1, 2))))
        weights.append(weight)
    source = StoredSubtomograms.of(np.stack(data), np.stack(weights), 1.0)
    sums = average(source, orientations, np.zeros((40, 3)), np.zeros(40))[0]
    return np.asarray(solve(sums, symmetry_matrices("C1")))


def test_density_far_from_the_centre_is_weakened_by_the_sinc2_over_the_written_box(averaged: np.ndarray) -> None:
    predicted = np.prod(np.sinc(PLACES / BOX) ** 2, axis=1)
    assert predicted[-1] < 0.65
    assert np.abs(heights(averaged) - predicted).max() < 0.04
    over_the_square = np.prod(np.sinc(PLACES / SQUARE) ** 2, axis=1)
    assert np.abs(heights(averaged) - over_the_square).max() > 0.15


def test_the_correction_restores_it(averaged: np.ndarray) -> None:
    assert np.abs(heights(averaged / backprojection_envelope(BOX)) - 1).max() < 0.05


def test_relions_pseudo_subtomograms_carry_it_too(shared: Path) -> None:
    root = shared / "golden" / "relion5"
    path = root / "Extract3d" / "particles.star"
    if not path.is_file():
        pytest.skip(f"RELION's full-size subtomograms are not at {path}")
    particles, truth = read_particles(path), read_particles(root / "truth.star")
    frames = particles.frames
    origins = np.einsum("nji,nj->ni", frames, particles.coordinates() - truth.coordinates()) / particles.pixel_size
    angles = np.swapaxes(frames, 1, 2) @ truth.angles
    sums = average(open_subtomograms(particles, Project(root)), angles, origins, truth.ints("trueClass"))
    radius = radius_grid((32, 32, 32))
    for number, name in ((1, "hsp60"), (2, "atpase")):
        volume, target = solve(sums[number], symmetry_matrices("C1")), read_mrc(root / f"map_{name}.mrc")

        def outer(m: np.ndarray, target: np.ndarray = target) -> float:
            """Grey scale at 7 to 10 px in units of that within 4: beyond, particles are cut to a circle."""
            ratios = [(m * target)[zone].sum() / (target**2)[zone].sum() for zone in (radius < 4, (radius >= 7) & (radius < 10))]
            return float(ratios[1] / ratios[0])

        line = np.sinc((np.arange(32) - 16) / 48) ** 2
        before_cropping = line[:, None, None] * line[None, :, None] * line[None, None, :]
        corrected = outer(volume / backprojection_envelope(32))
        assert abs(corrected - 1) < 0.1
        assert outer(volume) < 0.9
        assert abs(corrected - 1) < abs(outer(volume / before_cropping) - 1)
