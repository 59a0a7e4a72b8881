"""The noise of what is written is what the weights say."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.extract_world import USUAL, World, white_noise_tomogram

from napari_subtomo.extract.noise import NoiseCheck
from napari_subtomo.geometry.projection import tilt_matrix
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.numerics.wedge import lattice, make_wedge

BOX = 32
CTF = {"rlnDefocusU": 20000.0, "rlnDefocusV": 19000.0, "rlnDefocusAngle": 30.0}


def sectors(values: np.ndarray, number: int = 3) -> list[np.ndarray]:
    """Places of the lowest, middle and highest values."""
    return np.array_split(np.argsort(values, kind="stable"), number)


def worst_deviation(power: np.ndarray, weights: np.ndarray, tilts: np.ndarray, first: int = 3) -> float:
    """Largest deviation from 1 of power/weights in a sector of a shell over its shell, sectors by tilts, by angle to the tilt axis and
    by elevation out of the untilted plane; from the shell `first` on."""
    kz, ky, kx = (np.broadcast_to(k, power.shape) for k in lattice(len(power)))
    radius = np.sqrt(kx**2 + ky**2 + kz**2)
    used = weights > 1e-3 * weights.max()
    ratio = np.where(used, power / np.where(used, weights, 1), 0)
    worst = 0.0
    for shell in range(first, len(power) // 2):
        inside = used & (np.abs(radius - shell) < 0.5)
        values = ratio[inside]
        for order in (tilts[inside], np.abs(ky[inside]) / radius[inside], np.arctan2(np.abs(kz), kx)[inside]):
            worst = max(worst, *(abs(values[part].mean() / values.mean() - 1) for part in sectors(order)))
    return worst


def places(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Centres in Å from the centre (xyz) of boxes that overlap by half, moved by parts of a voxel."""
    lines = [np.arange(BOX // 2 + 1, n - BOX // 2 - 1, BOX // 2 - 1.0) for n in shape]
    z, y, x = (a.ravel() for a in np.meshgrid(*lines, indexing="ij"))
    voxels = np.stack([x, y, z], axis=1) + rng.uniform(-0.5, 0.5, (len(x), 3))
    return (voxels - np.array(shape[::-1]) / 2) * 10


@pytest.fixture(scope="module")
def noise_world(tmp_path_factory):
    """Two tomograms of white noise, with boxes all over them."""
    shape = (64, 150, 150)
    world = World(tmp_path_factory.mktemp("noise"))
    columns = {label: np.full(len(USUAL), value) for label, value in CTF.items()}
    for number in range(2):
        world.tomogram(f"T{number}", white_noise_tomogram(shape, USUAL, seed=number), columns=columns)
    where = places(shape, np.random.default_rng(5))
    world.particles(["T0"] * len(where) + ["T1"] * len(where), np.tile(where, (2, 1)))
    return world


def sums(world, **options):
    """Power of the data, weights and tilts, summed over the particles, and the job's result."""
    result = world.extract(job=f"Extract/{options.get('crop_size', 0)}", box_size=BOX, float16=False, **options)
    written = read_particles(result.outputs["particles"])
    size = written.box_size
    power, weights, tilts = (np.zeros((size, size, size // 2 + 1)) for _ in range(3))
    for image, weight in zip(written.image_paths, written.ctf_paths, strict=True):
        power += np.abs(np.fft.rfftn(read_mrc(world.root / image))) ** 2
        stack = read_mrc(world.root / weight)
        weights, tilts = weights + stack[:size], tilts + stack[size:]
    return power, weights, tilts, result


def test_noise_power_of_the_data_over_the_weights_is_flat_within_each_shell(noise_world):
    power, weights, tilts, result = sums(noise_world)
    assert worst_deviation(power, weights, tilts) < 0.10
    assert result.numbers["noise_unevenness"] < 0.06


def test_noise_stays_flat_when_a_smaller_box_is_written(noise_world):
    power, weights, tilts, _ = sums(noise_world, crop_size=24)
    # neighbouring voxels share tilts, which the smoothing of the weights leaves out: it shows in the innermost shells only
    assert worst_deviation(power, weights, tilts, first=5) < 0.10


def test_nothing_is_written_where_no_tilt_reaches(world):
    world.tomogram("T", white_noise_tomogram((48, 64, 64), USUAL, seed=3))
    world.particles(["T"], np.zeros((1, 3)))
    written = read_particles(world.extract(box_size=BOX, float16=False).outputs["particles"])
    stack = read_mrc(world.root / written.ctf_paths[0])
    kz, _, kx = (np.broadcast_to(k, stack[:BOX].shape) for k in lattice(BOX))
    outside = np.abs(kz) * np.cos(np.radians(60)) - np.abs(kx) * np.sin(np.radians(60)) > 1  # Fourier pixels beyond the last tilt
    assert outside.sum() > 1000
    assert not stack[:BOX][outside].any() and not stack[BOX:][outside].any()
    spectrum = np.fft.rfftn(read_mrc(world.root / written.image_paths[0]))
    assert np.abs(spectrum[outside]).max() < 1e-4 * np.abs(spectrum).max()


def test_noise_that_does_not_follow_the_tilts_is_noticed():
    wedge = make_wedge(BOX, tilt_matrix(0 * USUAL, USUAL, 0 * USUAL))
    check, rng = NoiseCheck(wedge), np.random.default_rng(1)
    white = sum(check.measure(rng.standard_normal((BOX,) * 3), wedge) for _ in range(10))
    assert check.unevenness(white) > 0.3
