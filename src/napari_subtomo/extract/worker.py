"""Cutting and writing the particles of one tomogram, in threads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import OptionError
from napari_subtomo.extract.noise import NoiseCheck
from napari_subtomo.extract.plan import Plan, record_path
from napari_subtomo.extract.pool import in_order
from napari_subtomo.extract.resample import resample
from napari_subtomo.extract.resume import complete, is_current
from napari_subtomo.extract.statistics import premultiplied, relion5_weights, whitened
from napari_subtomo.extract.transfer import MeanTransfer
from napari_subtomo.geometry.projection import tilt_matrices
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.numerics.backend import device_context, to_device, to_host
from napari_subtomo.numerics.wedge import make_wedge
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
ENDINGS = {"relion5": ("_data.mrc", "_weights.mrc"), "relion31": (".mrc", "_ctf.mrc")}


@dataclass(frozen=True)
class Scale:
    """Grey values of a tomogram to those of its particles: ``factor · (value - mean)``."""

    mean: float
    factor: float


def grey_scale(plan: Plan, options: ExtractOptions) -> Scale:
    """The scale of a tomogram.

    Raises
    ------
    FileFormatError
        NaN or constant values.
    OptionError
        Values that float16 cannot hold, and no normalisation.
    """
    mean, spread = plan.volume.spread
    if options.float16 and options.output_format == "relion5" and not options.normalize and not 1e-3 < spread < 300:
        raise OptionError(
            f"Expected a tomogram with a standard deviation of about 1 for float16, found {spread:.3g} in {plan.tomogram.name}; "
            "use --normalize or --no-float16."
        )
    sign = -1.0 if options.invert else 1.0
    return Scale(mean, sign / spread if options.normalize else sign)


def cut(plan: Plan, particle: int, scale: Scale, device: str) -> Any:
    """The box around a particle, bright protein, shape (box, box, box), float32; NaN where the tomogram is."""
    centre = plan.centres[particle]
    piece = plan.volume.piece(plan.resampling.start(centre), plan.resampling.side, scale.mean) * np.float32(scale.factor)
    with device_context(device):
        return resample(to_device(piece, device), to_device(plan.resampling.matrices(centre), device))


@dataclass(frozen=True, eq=False)
class Extracted:
    """What became of the particles of a tomogram: how many were skipped as already there, rows with NaN, and the noise's evenness."""

    skipped: int
    broken: tuple[int, ...]
    unevenness: float | None


class Cutter:
    """Cuts and writes the particles of a plan.

    Parameters
    ----------
    plan : Plan
    options : ExtractOptions
    folder : Path
        Of the job.
    device : str
    """

    def __init__(self, plan: Plan, options: ExtractOptions, folder: Path, device: str) -> None:
        self.plan, self.options, self.folder, self.device = plan, options, folder, device
        self.scale = grey_scale(plan, options)
        self.voxel_size = plan.tomogram.frame.pixel_size * options.binning
        wedge = make_wedge(options.box_size, tilt_matrices(plan.series))
        self.noise = NoiseCheck(wedge)
        with device_context(device):
            self.wedge = wedge.to(device)
            self.transfer = MeanTransfer(self.wedge, plan.series, plan.tomogram, self.voxel_size, options.tomogram_ctf, device)

    def paths(self, particle: int) -> tuple[Path, Path]:
        """Image and weight (or CTF) file of a particle."""
        first, second = ENDINGS[self.options.output_format]
        return self.folder / (self.plan.stems[particle] + first), self.folder / (self.plan.stems[particle] + second)

    def one(self, particle: int) -> FloatArray | None:
        """Cut and write a particle; sums for the noise check, or None for a box with NaN, which is not written."""
        options, size = self.options, self.options.written_size
        crop = cut(self.plan, particle, self.scale, self.device)
        with device_context(self.device):
            if not bool(np.isfinite(float(crop.sum()))):
                return None
            transfer = self.transfer.at(self.plan.defocus_offsets[particle])
            if options.output_format == "relion5":
                image, weights, tilts = premultiplied(crop, self.wedge, transfer, size)
                second = relion5_weights(weights, tilts)
            else:
                image, second = whitened(crop, self.wedge, transfer, size)
            sums = self.noise.measure(crop, self.wedge)
        half = options.float16 and options.output_format == "relion5"
        data_path, weight_path = self.paths(particle)
        write_mrc(weight_path, to_host(second), self.voxel_size, float16=half)
        write_mrc(data_path, to_host(image), self.voxel_size, float16=half)
        return sums

    def is_there(self, particle: int) -> bool:
        """Whether both files of a particle are complete."""
        n = self.options.written_size
        depth = 2 * n if self.options.output_format == "relion5" else n
        shapes = ((n, n, n), (depth, n, n // 2 + 1))
        return complete(self.paths(particle), shapes)

    def remaining(self) -> list[int]:
        """Particles that are not there yet with equal options."""
        everyone = range(len(self.plan.rows))
        files = [path for particle in everyone for path in self.paths(particle)]
        current = is_current(record_path(self.folder, self.plan.tomogram.name), self.plan.fingerprint(self.options), files)
        return [particle for particle in everyone if not (current and self.is_there(particle))]

    def run(self, reporter: Reporter) -> Extracted:
        """Cut and write all particles in threads; the reporter is called from this thread only."""
        todo = self.remaining()
        skipped = len(self.plan.rows) - len(todo)
        if skipped:
            reporter.advance(skipped)
        total = np.zeros((self.noise.shells, self.noise.number.size // self.noise.shells))
        broken: list[int] = []
        for particle, sums in in_order(self.one, todo, self.options.threads, reporter):
            if sums is None:
                broken.append(int(self.plan.rows[particle]))
            else:
                total += sums
        return Extracted(skipped, tuple(broken), self.noise.unevenness(total) if len(todo) > len(broken) else None)
