"""Small projects with tomograms whose content is known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo.data.result import JobResult
from napari_subtomo.extract import run
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Silent

# (x, y, z, height) in Å: no symmetry, one hand
BLOBS = np.array([[0, 0, 0, 1.0], [70, 0, 5, 1.6], [0, 50, 15, 0.8], [-15, 12, 66, 1.3], [-55, -40, -12, 1.0], [25, -50, -45, 0.7]])
FULL = np.arange(-89, 90, 2.0)  # tilts that leave no wedge
USUAL = np.arange(-60, 61, 3.0)


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        """Nothing said yet."""
        self.messages: list[str] = []
        self.warnings: list[str] = []

    def message(self, text: str) -> None:
        """Keep a line."""
        self.messages.append(text)

    def warn(self, text: str) -> None:
        """Keep a warning."""
        self.warnings.append(text)


@dataclass
class World:
    """A project folder in the making.

    Tomograms are added with their volumes, particles with their columns; `extract` writes the tables and runs the job.
    """

    root: Path
    tomograms: list[dict[str, Any]] = field(default_factory=list)
    listener: Listener = field(default_factory=Listener)

    def tomogram(
        self,
        name: str,
        volume: np.ndarray,
        *,
        size_xyz: Sequence[int] | None = None,
        pixel: float = 10.0,
        binning: float = 1.0,
        tilts: np.ndarray = USUAL,
        columns: dict[str, Any] | None = None,
        **row: Any,
    ) -> None:
        """Write a volume and its tilt series; `columns` are added to the tilt series, `row` to the tomogram's row."""
        path = f"tomograms/{name}.mrc"
        write_mrc(self.root / path, volume, pixel * binning)
        table = {relion.TOMO_Y_TILT: tilts, relion.TOMO_Z_ROT: np.full(len(tilts), 85.0), **(columns or {})}
        write_star(self.root / f"tilt_series/{name}.star", [StarBlock.loop(name, table)])
        x, y, z = size_xyz or volume.shape[::-1]
        self.tomograms.append(
            {
                relion.TOMO_NAME: name,
                relion.VOLTAGE: 300.0,
                relion.SPHERICAL_ABERRATION: 2.7,
                relion.AMPLITUDE_CONTRAST: 0.1,
                relion.TOMO_HAND: -1.0,
                relion.OPTICS_GROUP_NAME: "optics1",
                relion.TILT_SERIES_PIXEL_SIZE: pixel,
                relion.TOMO_TILT_SERIES_STAR_FILE: f"tilt_series/{name}.star",
                relion.TOMO_BINNING: binning,
                relion.TOMO_SIZE_X: x,
                relion.TOMO_SIZE_Y: y,
                relion.TOMO_SIZE_Z: z,
                relion.TOMO_RECONSTRUCTED: path,
                **row,
            }
        )

    def particles(self, names: Sequence[str], coordinates: np.ndarray, **columns: Any) -> None:
        """Write particles.star as a picker does; `columns` by their names in `relion`."""
        table = {relion.TOMO_NAME: names, **dict(zip(relion.CENTRED, np.asarray(coordinates, float).T, strict=True)), **columns}
        write_particles(self.root / "particles.star", ParticleSet.create(table))

    def write_tomograms(self) -> None:
        """Write tomograms.star."""
        labels = dict.fromkeys(label for row in self.tomograms for label in row)
        table = {label: [row.get(label, "N/A") for row in self.tomograms] for label in labels}
        write_star(self.root / "tomograms.star", [StarBlock.loop(relion.GLOBAL, table)])

    def extract(self, job: str = "Extract/job001", reporter: Any = None, **options: Any) -> JobResult:
        """Run the job in the folder `job`."""
        self.write_tomograms()
        folder = JobFolder(Project(self.root), self.root / job)
        folder.path.mkdir(parents=True, exist_ok=True)
        given = {"particles": self.root / "particles.star", "tomograms": self.root / "tomograms.star", "binning": 1.0, **options}
        return run(ExtractOptions(**given), folder, reporter or self.listener)


def blobs(shape: Sequence[int], voxel_size: float, centre_zyx: np.ndarray, matrix: np.ndarray, width: float) -> np.ndarray:
    """The blobs, turned by `matrix` and centred on a fractional voxel, evaluated exactly; Gaussians of `width` Å."""
    out = np.zeros(shape, np.float32)
    for *point, height in BLOBS:
        place = centre_zyx + (matrix @ np.array(point))[::-1] / voxel_size
        z, y, x = (np.exp(-0.5 * ((np.arange(n) - c) * voxel_size / width) ** 2) for n, c in zip(shape, place, strict=True))
        out += (height * z[:, None, None] * y[None, :, None] * x[None, None, :]).astype(np.float32)
    return out


def white_noise_tomogram(shape: tuple[int, int, int], tilts: np.ndarray, seed: int) -> np.ndarray:
    """Weighted back-projection of images of white noise of variance 1, tilt axis y.

    Rows across the axis are ramp-filtered, sampled 8 times as finely and interpolated linearly.
    """
    nz, ny, nx = shape
    length, finer = 256, 8
    rng = np.random.default_rng(seed)
    z, x = np.arange(nz)[:, None] - nz // 2, np.arange(nx)[None, :] - nx // 2
    step = np.radians(tilts[1] - tilts[0])
    out = np.zeros((nz, nx, ny), np.float32)
    for tilt in np.radians(tilts):
        rows = np.fft.rfft(rng.standard_normal((ny, length)), axis=1) * (np.fft.rfftfreq(length) * step)
        fine = np.fft.irfft(rows, n=length * finer, axis=1).T.astype(np.float32) * finer
        place = (x * np.cos(tilt) + z * np.sin(tilt) + length // 2) * finer
        low = np.floor(place).astype(int)
        part = (place - low).astype(np.float32)[..., None]
        out += fine[low] * (1 - part) + fine[low + 1] * part
    return out.transpose(0, 2, 1)
