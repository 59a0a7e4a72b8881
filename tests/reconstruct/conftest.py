"""Particles with known density and poses, in memory and as files of RELION 5 and 3.1."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from napari_subtomo.geometry.orientations import matrix_to_euler, random_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.numerics.fourier import half_to_full
from napari_subtomo.numerics.masks import soft_sphere

BOX = 24
VOXEL = 8.0
# Blobs (x, y, z, height) without any symmetry, of one hand; the same number of them in each map.
BLOBS = np.array([[0, 0, 0, 1.0], [5, 0, 0, 1.5], [0, 4, 1, 0.8], [-1, 1, 5, 1.2], [-4, -3, -1, 1.0], [2, -4, -3, 0.7], [1, 2, -5, 1.4]])


def density(matrix: np.ndarray | None = None, shift: np.ndarray | None = None, blobs: np.ndarray = BLOBS, n: int = BOX) -> np.ndarray:
    """Sum of Gaussians at `matrix·x + shift` voxels from the centre, evaluated exactly; [z, y, x]."""
    axis = np.arange(n) - n // 2
    out = np.zeros((n, n, n))
    for *point, height in blobs:
        x, y, z = (np.eye(3) if matrix is None else matrix) @ np.array(point) + (np.zeros(3) if shift is None else shift)
        lines = [np.exp(-((axis - c) ** 2) / (2 * 1.3**2)) for c in (z, y, x)]
        out += height * lines[0][:, None, None] * lines[1][None, :, None] * lines[2][None, None, :]
    return out


def wedge(n: int = BOX, limit: float = 60, step: float = 3) -> np.ndarray:
    """Tilt images that reach each Fourier voxel, tilt axis y, in FFTW's half layout."""
    wrapped = np.fft.fftfreq(n, 1 / n)
    kz, _, kx = np.meshgrid(wrapped, wrapped, np.arange(n // 2 + 1), indexing="ij")
    angles = np.radians(np.arange(-limit, limit + step / 2, step))
    return np.sum([np.clip(1 - np.abs(np.sin(t) * kx + np.cos(t) * kz), 0, None) for t in angles], axis=0)


def ctf(n: int = BOX, defocus_nm: float = 3000) -> np.ndarray:
    """A contrast transfer function that changes its sign within the box, FFTW's half layout."""
    wrapped = np.fft.fftfreq(n, 1 / n)
    kz, ky, kx = np.meshgrid(wrapped, wrapped, np.arange(n // 2 + 1), indexing="ij")
    k2 = (kx**2 + ky**2 + kz**2) / (n * VOXEL) ** 2
    return np.sin(np.pi * 0.0197 * defocus_nm * 10 * k2 + 0.4)


@dataclass(frozen=True)
class Sample:
    """Particles and where they came from; volumes as they would be extracted.

    `raw` is √m·X + noise in real space (RELION 3.1), with `ctf` = √m·C; `data` and `weights` are their premultiplied form.
    """

    angles: np.ndarray
    shifts_px: np.ndarray
    raw: np.ndarray
    ctf: np.ndarray
    data: np.ndarray
    weights: np.ndarray

    @property
    def n(self) -> int:
        return len(self.angles)


def make_sample(
    n: int, seed: int = 1, noise: float = 0.0, blobs: np.ndarray = BLOBS, with_ctf: bool = True, with_wedge: bool = True
) -> Sample:
    """Random poses, shifts up to 2.5 voxels along each axis, wedge and CTF."""
    rng = np.random.default_rng(seed)
    angles, shifts = random_matrices(n, rng), rng.uniform(-2.5, 2.5, (n, 3))
    root = np.sqrt(wedge()) if with_wedge else np.ones((BOX, BOX, BOX // 2 + 1))
    contrast = root * (ctf() if with_ctf else 1)
    raw, data = np.empty((2, n, BOX, BOX, BOX), np.float32)
    for i in range(n):
        # A shift o brings the particle to the centre, so it sits at -o.
        volume = density(angles[i], -shifts[i], blobs)
        transform = np.fft.rfftn(np.fft.ifftshift(volume)) * contrast + noise * np.fft.rfftn(rng.standard_normal(volume.shape))
        for out, factor in ((raw, 1.0), (data, contrast)):
            out[i] = np.fft.fftshift(np.fft.irfftn(transform * factor, s=volume.shape, axes=(0, 1, 2)))
    contrasts = np.broadcast_to(contrast, (n, *contrast.shape)).astype(np.float32)
    return Sample(angles, shifts, raw, contrasts, data, contrasts**2)


def correlation(a: np.ndarray, b: np.ndarray, radius: float = 9) -> float:
    """Correlation coefficient within a soft sphere."""
    mask = soft_sphere(a.shape[0], radius, 2)
    return float(np.corrcoef((a * mask).ravel(), (b * mask).ravel())[0, 1])


def write_project(root: Path, sample: Sample, form: str = "relion5", halves: np.ndarray | None = None, float16: bool = False) -> Path:
    """A project folder with extracted particles; returns particles.star."""
    (root / "Extract").mkdir(parents=True, exist_ok=True)
    names = {
        "data": [f"Extract/{i + 1}_data.mrc" for i in range(sample.n)],
        "weights": [f"Extract/{i + 1}_ctf.mrc" for i in range(sample.n)],
    }
    for i in range(sample.n):
        if form == "relion5":
            both = np.concatenate([sample.weights[i], wedge()])
            volumes = sample.data[i], both
        else:
            volumes = sample.raw[i], half_to_full(sample.ctf[i]) if form == "relion31-full" else sample.ctf[i]
        write_mrc(root / names["data"][i], volumes[0], VOXEL, float16)
        write_mrc(root / names["weights"][i], volumes[1], VOXEL, float16)
    columns = {
        relion.TOMO_NAME: ["01"] * sample.n,
        **dict(zip(relion.CENTRED, np.zeros((3, sample.n)), strict=True)),
        **dict(zip(relion.ANGLES, matrix_to_euler(sample.angles).T, strict=True)),
        **dict(zip(relion.ORIGINS, sample.shifts_px.T * VOXEL, strict=True)),
        relion.IMAGE_NAME: names["data"],
        relion.CTF_IMAGE: names["weights"],
        relion.OPTICS_GROUP: [1] * sample.n,
    }
    if halves is not None:
        columns[relion.RANDOM_SUBSET] = halves
    optics = {
        relion.OPTICS_GROUP: [1],
        relion.OPTICS_GROUP_NAME: ["optics1"],
        relion.IMAGE_PIXEL_SIZE: [VOXEL],
        relion.IMAGE_SIZE: [BOX],
        relion.IMAGE_DIMENSIONALITY: [3],
        relion.CTF_PREMULTIPLIED: [int(form == "relion5")],
    }
    path = root / "particles.star"
    write_particles(path, ParticleSet.create(columns, optics, are_2d_stacks=False))
    return path


@pytest.fixture(scope="session")
def lab() -> SimpleNamespace:
    """The functions and numbers above."""
    return SimpleNamespace(
        box=BOX, voxel=VOXEL, blobs=BLOBS, density=density, wedge=wedge, make=make_sample, correlation=correlation, write=write_project
    )


@pytest.fixture
def job(tmp_path: Path) -> JobFolder:
    """An empty job folder in an empty project."""
    folder = tmp_path / "project" / "Reconstruct" / "job001"
    folder.mkdir(parents=True)
    return JobFolder(Project(tmp_path / "project"), folder)


@pytest.fixture(scope="session")
def sample() -> Sample:
    """Thirty noise-free particles with wedge and CTF."""
    return make_sample(30)
