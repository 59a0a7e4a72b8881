"""A small world of particles with known truth, in memory, for tests of the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_subtomo.em.assembly import Labels, assemble, prepared_of
from napari_subtomo.geometry.orientations import random_matrices, rotation_vectors_to_matrices
from napari_subtomo.numerics.fourier import centred_fft, full_to_half, lowpass
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

PIXEL = 10.0


def density(n, seed=0, blobs=9, extra=()):
    """Asymmetric, compact density of Gaussian blobs; returns the blobs (x, y, z, sigma, weight)."""
    rng = np.random.default_rng([seed, 11])
    found = [(*rng.normal(size=3) * n * 0.11, n * rng.uniform(0.035, 0.055), rng.uniform(0.6, 1.2)) for _ in range(blobs)]
    return np.array(found + list(extra))


def render(blobs, n, matrix=((1, 0, 0), (0, 1, 0), (0, 0, 1)), shift=(0, 0, 0)):
    """Map of blobs moved by x' = matrix x + shift (pixels, xyz)."""
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    volume = np.zeros((n, n, n))
    for bx, by, bz, sigma, weight in blobs:
        a, b, c = np.asarray(matrix) @ np.array([bx, by, bz]) + shift
        volume += weight * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 2 / sigma**2)
    return volume.astype(np.float32)


def wedge(n, axis_deg, limit=60.0):
    """Weights of a single-axis missing wedge with a CTF²-like modulation, centred full cube."""
    line = np.arange(n) - n // 2
    z, y, x = np.meshgrid(line, line, line, indexing="ij")
    a = np.radians(axis_deg)
    across = x * np.cos(a) + y * np.sin(a)
    angle = np.degrees(np.arctan2(np.abs(z), np.abs(across) + 1e-9))
    open_ = angle <= limit
    r = np.sqrt(x**2 + y**2 + z**2)
    return np.where(open_, 1 + 3 * np.cos(r / n * 9.0) ** 2, 0.0).astype(np.float32) + (r == 0)


@dataclass
class Particle:
    """Statistics of one particle."""

    data: np.ndarray
    weights: np.ndarray
    multiplicity: np.ndarray | None = None


@dataclass
class World:
    """Particles and truth; offsets in pixels, where the particle sits relative to the box centre."""

    particles: list
    labels: np.ndarray
    orientations: np.ndarray
    offsets: np.ndarray
    given_orientations: np.ndarray
    given_offsets: np.ndarray
    maps: list
    tomogram: np.ndarray
    n: int


def simulate(
    n=24,
    count=40,
    snr=0.5,
    species=2,
    empty=0,
    error=6.0,
    offset=1.0,
    seed=1,
    wedges=(0.0, 60.0),
    domain=0.9,
    spread=0.0,
    noise=0.0,
    brightness=0.0,
):
    """Premultiplied particles X = W·A(RᵀK)·phase + noise with variance σ²W, white σ².

    `spread` is that of the log of the particles' scales, `noise` that of the log of σ² from tomogram to tomogram, `brightness` that of the
    log of the signal from tomogram to tomogram. Each tomogram has particles of each species.
    """
    rng = np.random.default_rng([seed, 1])
    base = density(n)
    kinds = [base if s == 0 else np.vstack([base, [[n * 0.16, -n * 0.1 * (s - 1), n * 0.12, n * 0.05, domain]]]) for s in range(species)]
    maps = [render(k, n) for k in kinds]
    labels = np.concatenate([np.arange(count) % species + 1, np.zeros(empty, int)])
    total = len(labels)
    orientations = random_matrices(total, rng)
    offsets = rng.uniform(-offset, offset, (total, 3))
    turns = rotation_vectors_to_matrices(rng.normal(size=(total, 3)) * error / np.sqrt(3))
    power = np.var(maps[0][soft_sphere(n, n * 0.3, 0) > 0])
    sigma = np.sqrt(power / snr)
    scales = np.exp(np.random.default_rng([seed, 8]).normal(size=total) * spread)
    particles, tomogram = [], np.arange(total) // species % len(wedges)
    scales *= np.exp(brightness * np.random.default_rng([seed, 10]).normal(size=len(wedges)))[tomogram]
    sigma = sigma * np.exp(0.5 * noise * np.random.default_rng([seed, 9]).normal(size=len(wedges)))
    for i in range(total):
        weights = wedge(n, wedges[tomogram[i]])
        clean = np.zeros((n, n, n)) if labels[i] == 0 else scales[i] * render(kinds[labels[i] - 1], n, orientations[i], offsets[i])
        white = centred_fft(rng.standard_normal((n, n, n)) * sigma[tomogram[i]])
        transform = weights * centred_fft(clean) + np.sqrt(weights) * white
        half = full_to_half(transform)
        data = np.fft.fftshift(np.fft.irfftn(half, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)
        particles.append(Particle(data, full_to_half(weights), full_to_half((weights > 0).astype(np.float32))))
    return World(particles, labels, orientations, offsets, orientations @ turns, np.zeros((total, 3)), maps, tomogram, n)


def setup(world, reference=None, **options):
    """An engine setup for a world; the reference defaults to the mean of its maps."""
    n = world.n
    given = {
        "reference": "none.mrc",
        "mask_diameter": 0.8 * n * PIXEL,
        "initial_lowpass": n * PIXEL / 5,
        "local_range": 15.0,
        "angular_step": 7.5,
        "offset_range": 2.0,
        "offset_step": 1.0,
        "absolute_greyscale": True,
        "device": "cpu",
    }
    model = ClassifyOptions(**{**given, **options})
    mask = soft_sphere(n, model.mask_diameter / 2 / PIXEL, 5)
    raw = np.mean(world.maps, axis=0) if reference is None else reference
    raws = raw if np.ndim(raw) == 4 else [raw]
    references = np.stack([lowpass(np.asarray(r, np.float32), PIXEL, model.initial_lowpass) * mask for r in raws]).astype(np.float32)
    count = len(world.particles)
    names = tuple(f"TS_{t}" for t in range(world.tomogram.max() + 1))
    labels = Labels(np.zeros(count, np.int64), world.tomogram.astype(np.int64), names)
    poses = world.given_orientations, world.given_offsets
    order = np.arange(count)
    load = world.particles.__getitem__
    prepared = prepared_of(model, load, poses, n, PIXEL, Silent())
    return assemble(model, prepared, load, order, poses, labels, references, mask, PIXEL, ("cpu",))
