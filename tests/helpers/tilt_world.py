"""Small projects with tilt images whose content is known exactly, projected here by formulas of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from helpers.extract_world import Listener
from napari_subtomo.data.result import JobResult
from napari_subtomo.extract import run
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarBlock, write_star
from napari_subtomo.options.extract import ExtractOptions

#: (x, y, z, height) in Å about a particle: no symmetry, one hand
POINTS = np.array([[0, 0, 0, 1.0], [30, 0, 5, 1.6], [0, 25, 15, 0.8], [-15, 12, 26, 1.3], [-25, -20, -12, 1.0]])


@dataclass
class Series:
    """A tilt series: what its STAR file says, in degrees, Å and e/Å²."""

    name: str = "TS_01"
    size_xyz: tuple[int, int, int] = (200, 180, 60)
    image: tuple[int, int] = (200, 180)
    pixel: float = 5.0
    hand: float = -1.0
    slope: float = 1.0
    x_tilt: np.ndarray = field(default_factory=lambda: np.zeros(7))
    y_tilt: np.ndarray = field(default_factory=lambda: np.arange(-45.0, 46, 15))
    z_rot: np.ndarray = field(default_factory=lambda: np.full(7, 85.0))
    shifts: np.ndarray = field(default_factory=lambda: np.zeros((7, 2)))
    defocus: np.ndarray = field(default_factory=lambda: np.tile([21000.0, 20000.0, 30.0], (7, 1)))
    dose: np.ndarray = field(default_factory=lambda: np.arange(0.0, 21, 3))
    scale: np.ndarray = field(default_factory=lambda: np.ones(7))
    phase: np.ndarray = field(default_factory=lambda: np.zeros(7))
    columns: dict[str, Any] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)

    def places(self, position: np.ndarray, tilt: int) -> np.ndarray:
        """x, y in the image and depth, all in px, of a position in Å from the centre: the formula of the conventions, term by term."""
        size = np.array(self.size_xyz)
        rotation = Rotation.from_euler("xyz", [self.x_tilt[tilt], self.y_tilt[tilt], self.z_rot[tilt]], degrees=True)
        x, y, _ = rotation.apply(position / self.pixel + size / 2 - size // 2)
        _, _, depth = rotation.apply(position / self.pixel)
        shift_x, shift_y = self.shifts[tilt] / self.pixel
        return np.array([x + shift_x + self.image[0] // 2, y + shift_y + self.image[1] // 2, depth])

    def transfer(self, k_x: np.ndarray, k_y: np.ndarray, tilt: int, depth: float, bfactor: float = 0.0) -> np.ndarray:
        """CTF times dose damping and scale at frequencies in 1/Å; 300 kV, 2.7 mm, amplitude contrast 0.1."""
        u, v, angle = self.defocus[tilt]
        u, v = (value + self.hand * self.slope * depth * self.pixel for value in (u, v))
        k2, phi = k_x**2 + k_y**2, np.arctan2(k_y, k_x) - np.radians(angle)
        defocus = (u + v) / 2 + (u - v) / 2 * np.cos(2 * phi)
        wave = 0.0196875  # Å at 300 kV
        chi = np.pi * wave * defocus * k2 - np.pi / 2 * 2.7e7 * wave**3 * k2**2 + np.radians(self.phase[tilt]) + np.arcsin(0.1)
        k = np.sqrt(np.maximum(k2, 1e-20))
        damping = np.exp(-bfactor * self.dose[tilt] * k2 / 4) if bfactor else np.exp(-self.dose[tilt] / 2 / (0.245 * k**-1.665 + 2.81))
        return np.sin(chi) * damping * self.scale[tilt]


def gaussian(shape: tuple[int, int], x: float, y: float, width: float) -> np.ndarray:
    """A Gaussian at a fractional pixel of an image [y, x]."""
    rows, columns = (np.exp(-0.5 * ((np.arange(n) - c) / width) ** 2) for n, c in zip(shape, (y, x), strict=True))
    return np.outer(rows, columns)


def expected(series: Series, position: np.ndarray, points: np.ndarray, tilt: int, box: int, binning: float, bfactor: float = 0.0) -> Any:
    """The slice that extraction makes of Gaussians (σ in Å) at `points` (xyz, height, σ; Å about the particle), in float64.

    Transforms of Gaussians are known: the slice is minus CTF times the projection at the binned pixels, over b for RELION's scale.
    """
    pixel = series.pixel * binning
    k_x, k_y = np.meshgrid(np.arange(box // 2 + 1) / (box * pixel), np.fft.fftfreq(box, pixel))
    centre = series.places(position, tilt)
    total = np.zeros(k_x.shape, complex)
    for *offset, height, width in points:
        x, y, _ = (series.places(position + np.array(offset), tilt) - centre) * series.pixel
        total += height * 2 * np.pi * width**2 * np.exp(-2 * np.pi**2 * width**2 * (k_x**2 + k_y**2) - 2j * np.pi * (k_x * x + k_y * y))
    total *= -series.transfer(k_x, k_y, tilt, centre[2], bfactor) / (pixel**2 * binning)
    return np.fft.fftshift(np.fft.irfft2(total, s=(box, box)))


@dataclass
class TiltWorld:
    """A project folder in the making."""

    root: Path
    series: list[Series] = field(default_factory=list)
    listener: Listener = field(default_factory=Listener)

    def add(self, series: Series, images: Sequence[np.ndarray], names: Sequence[str] | None = None, float16: bool = False) -> None:
        """Write images [y, x] and the table of the series; `names` are cells for images that are written elsewhere."""
        self.series.append(series)
        cells = list(names or (f"images/{series.name}_{tilt:02d}.mrc" for tilt in range(len(images))))
        if names is None:
            for cell, image in zip(cells, images, strict=True):
                write_mrc(self.root / cell, image, series.pixel, float16=float16)
        table = {
            relion.MICROGRAPH_NAME: cells,
            relion.MICROGRAPH_PRE_EXPOSURE: series.dose,
            relion.TOMO_X_TILT: series.x_tilt,
            relion.TOMO_Y_TILT: series.y_tilt,
            relion.TOMO_Z_ROT: series.z_rot,
            relion.TOMO_X_SHIFT: series.shifts[:, 0],
            relion.TOMO_Y_SHIFT: series.shifts[:, 1],
            relion.DEFOCUS_U: series.defocus[:, 0],
            relion.DEFOCUS_V: series.defocus[:, 1],
            relion.DEFOCUS_ANGLE: series.defocus[:, 2],
            relion.CTF_SCALE_FACTOR: series.scale,
            relion.PHASE_SHIFT: series.phase,
            **series.columns,
        }
        kept = {label: values for label, values in table.items() if values is not None}
        write_star(self.root / f"tilt_series/{series.name}.star", [StarBlock.loop(series.name, kept)])

    def write_tomograms(self) -> None:
        """Write tomograms.star."""
        rows = [
            {
                relion.TOMO_NAME: one.name,
                relion.VOLTAGE: 300.0,
                relion.SPHERICAL_ABERRATION: 2.7,
                relion.AMPLITUDE_CONTRAST: 0.1,
                relion.TOMO_HAND: one.hand,
                relion.TOMO_DEFOCUS_SLOPE: one.slope,
                relion.OPTICS_GROUP_NAME: "optics1",
                relion.TILT_SERIES_PIXEL_SIZE: one.pixel,
                relion.TOMO_TILT_SERIES_STAR_FILE: f"tilt_series/{one.name}.star",
                **dict(zip((relion.TOMO_SIZE_X, relion.TOMO_SIZE_Y, relion.TOMO_SIZE_Z), one.size_xyz, strict=True)),
                **one.row,
            }
            for one in self.series
        ]
        labels = dict.fromkeys(label for row in rows for label in row)
        table = {label: [row.get(label, "N/A") for row in rows] for label in labels}
        write_star(self.root / "tomograms.star", [StarBlock.loop(relion.GLOBAL, table)])

    def particles(self, names: Sequence[str], coordinates: Any, optics: dict[str, Any] | None = None, **columns: Any) -> None:
        """Write particles.star; `columns` by their names in `relion`."""
        table = {relion.TOMO_NAME: names, **dict(zip(relion.CENTRED, np.asarray(coordinates, float).T, strict=True)), **columns}
        write_particles(self.root / "particles.star", ParticleSet.create(table, optics))

    def extract(self, job: str = "Extract/job001", reporter: Any = None, **options: Any) -> JobResult:
        """Run the job in the folder `job`, in float32 unless asked otherwise."""
        self.write_tomograms()
        folder = JobFolder(Project(self.root), self.root / job)
        folder.path.mkdir(parents=True, exist_ok=True)
        paths = {"particles": self.root / "particles.star", "tomograms": self.root / "tomograms.star"}
        given = {**paths, "float16": False, "box_size": 32, **options}
        return run(ExtractOptions(**given), folder, reporter or self.listener)
