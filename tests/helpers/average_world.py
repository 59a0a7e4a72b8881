"""Tilt series of particles in known poses, with the CTF of each particle's depth: what an average of them has to be is known on paper."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from helpers.extract_world import Listener
from helpers.tilt_world import POINTS, Series, TiltWorld
from napari_subtomo.data.result import JobResult
from napari_subtomo.geometry.orientations import matrix_to_euler, random_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.reconstruct import run

WIDTH = 10.0  # Å, sigma of each Gaussian
TILTS = 11
RNG = np.random.default_rng(5)
#: everything at once: a tilt about x, shifts, strong astigmatism, hand +1, rows in no order, scales, an image of odd size
HARD = Series(
    image=(281, 260),
    size_xyz=(280, 260, 80),
    hand=1.0,
    x_tilt=RNG.uniform(-6, 6, TILTS),
    y_tilt=RNG.permutation(np.linspace(-60, 60, TILTS)),
    z_rot=np.full(TILTS, 85.0) + RNG.uniform(-2, 2, TILTS),
    shifts=RNG.uniform(-40, 40, (TILTS, 2)),
    defocus=np.column_stack([np.full(TILTS, 22000.0), np.full(TILTS, 17000.0), RNG.uniform(-90, 90, TILTS)]),
    dose=RNG.permutation(np.arange(0.0, 3 * TILTS, 3)),
    scale=np.linspace(0.6, 1, TILTS),
    phase=np.zeros(TILTS),
)
PLACES = np.array([[x, y, 0] for x in (-430, -200, 30, 260) for y in (-400, -160, 80, 320)], float)[:, :3]


def images_of(series: Series, positions: np.ndarray, orientations: np.ndarray, points: np.ndarray = POINTS) -> list[np.ndarray]:
    """Dark particles under their CTF and dose, exactly: each Gaussian's transform is written down and multiplied."""
    width, height = series.image
    k_x, k_y = np.meshgrid(np.arange(width // 2 + 1) / (width * series.pixel), np.fft.fftfreq(height, series.pixel))
    spread = 2 * np.pi * WIDTH**2 * np.exp(-2 * np.pi**2 * WIDTH**2 * (k_x**2 + k_y**2)) / series.pixel**2
    images = []
    for tilt in range(len(series.y_tilt)):
        total = np.zeros(k_x.shape, complex)
        for position, orientation in zip(positions, orientations, strict=True):
            own = np.zeros(k_x.shape, complex)
            for *offset, value in points:
                x, y, _ = series.places(position + orientation @ np.array(offset), tilt) * series.pixel
                own += value * np.exp(-2j * np.pi * k_y[:, :1] * y) * np.exp(-2j * np.pi * k_x[:1] * x)
            total -= own * spread * series.transfer(k_x, k_y, tilt, series.places(position, tilt)[2])
        images.append(np.fft.irfft2(total, s=(height, width)).astype(np.float32))
    return images


def density(n: int, voxel: float, points: np.ndarray = POINTS) -> np.ndarray:
    """The particle in its own frame as a map, [z, y, x], in Å⁻¹: its projections are what `images_of` shows without a CTF."""
    axis = (np.arange(n) - n // 2) * voxel
    out = np.zeros((n, n, n))
    for *point, height in points:
        x, y, z = (np.exp(-0.5 * ((axis - c) / WIDTH) ** 2) for c in point)
        out += height * z[:, None, None] * y[None, :, None] * x[None, None, :]
    return out / (np.sqrt(2 * np.pi) * WIDTH)


class AverageWorld(TiltWorld):
    """A project with tilt images, particles, and no extraction."""

    def fill(self, series: Series = HARD, points: np.ndarray = POINTS, seed: int = 3, images: bool = True, **columns: Any) -> None:
        """A series and its particles: frames S, angles A and origins, all of them not trivial, and half sets."""
        rng = np.random.default_rng(seed)
        n = len(PLACES)
        frames, angles, origins = random_matrices(n, rng), random_matrices(n, rng), rng.uniform(-15, 15, (n, 3))
        positions = PLACES + np.array([0, 0, 1]) * rng.uniform(-150, 150, (n, 1))
        self.positions, self.orientations = positions, frames @ angles
        if images:
            self.add(series, images_of(series, positions, self.orientations, points))
        coordinates = positions + np.einsum("nij,nj->ni", frames, origins)
        table = {
            **dict(zip(relion.SUBTOMOGRAM_ANGLES, matrix_to_euler(frames).T, strict=True)),
            **dict(zip(relion.ANGLES, matrix_to_euler(angles).T, strict=True)),
            **dict(zip(relion.ORIGINS, origins.T, strict=True)),
            relion.RANDOM_SUBSET: 1 + np.arange(n) % 2,
            **columns,
        }
        self.particles([series.name] * n, coordinates, **{label: values for label, values in table.items() if values is not None})
        self.write_tomograms()

    def average(self, job: str = "Reconstruct/job001", reporter: Listener | None = None, **options: Any) -> JobResult:
        """Run the job in the folder `job`."""
        folder = JobFolder(Project(self.root), self.root / job)
        folder.path.mkdir(parents=True, exist_ok=True)
        paths = {"particles": self.root / "particles.star", "tomograms": self.root / "tomograms.star"}
        return run(ReconstructOptions(**{**paths, "device": "cpu", **options}), folder, reporter or self.listener)

    def copy(self, root: Path) -> AverageWorld:
        """The same project in `root`, to be spoiled."""
        for name in ("images", "tilt_series"):
            shutil.copytree(self.root / name, root / name)
        for name in ("particles.star", "tomograms.star"):
            shutil.copy(self.root / name, root)
        other = AverageWorld(root, list(self.series))
        other.positions, other.orientations = self.positions, self.orientations
        return other


def filled(root: Path, **options: Any) -> AverageWorld:
    """A project in `root`."""
    world = AverageWorld(root)
    world.fill(**options)
    return world
