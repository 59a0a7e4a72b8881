"""Writing the particles of one tilt series, in threads."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.extract.plan import record_path
from napari_subtomo.extract.pool import in_order
from napari_subtomo.extract.resume import complete, is_current
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.numerics.backend import device_context, free_bytes, namespace, to_device, to_host
from napari_subtomo.numerics.slices import SliceInsertion, slice_insertion
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.tilts.plan import FloatArray, IntArray, Sightings
from napari_subtomo.tilts.slices import SliceMaker
from napari_subtomo.tilts.stacks import stack_images
from napari_subtomo.tilts.volumes import pseudo_subtomogram

VERSION = 1  # of the numbers written: raise it when equal options give other files
STACK, DATA, WEIGHTS = "_stack2d.mrcs", "_data.mrc", "_weights.mrc"
_SHARE = 0.5  # of the free memory that images may take
_FLOOR = 0.3  # Tikhonov term of pictures, as a part of the mean weight


@dataclass(frozen=True, eq=False)
class TiltPlan:
    """The particles of one tilt series that are extracted.

    Attributes
    ----------
    sightings : Sightings
        Of these particles.
    rows : ndarray of int, shape (n,)
        Rows in the particle set.
    stems : tuple of str
        Of each particle: its files without their endings, relative to the job folder.
    frames : ndarray, shape (n, 3, 3)
        Frames S of the subtomograms.
    """

    sightings: Sightings
    rows: IntArray
    stems: tuple[str, ...]
    frames: FloatArray

    def fingerprint(self, options: ExtractOptions) -> str:
        """A text that changes when any of the files would."""
        names = ("binning", "box_size", "crop_size", "stack2d", "circle_crop", "invert", "float16")
        seen, tomogram = self.sightings, self.sightings.tomogram
        optics = [tomogram.voltage, tomogram.cs, tomogram.amplitude_contrast, tomogram.frame.pixel_size, dict(tomogram.extra)]
        relevant = ["tilts", VERSION, [getattr(options, name) for name in names], seen.images.states, optics, self.stems]
        digest = hashlib.sha256(json.dumps(relevant).encode())
        series = seen.series
        for array in (
            *(series.x_tilt, series.y_tilt, series.z_rot, series.defocus_u, series.defocus_v, series.defocus_angle),
            *(series.phase_shift, series.scale, series.dose, series.bfactor),
            *(seen.places, seen.defocus_offsets, seen.visible, self.frames),
        ):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Written:
    """What became of the particles of a tilt series.

    Attributes
    ----------
    skipped : int
        Files that were there already.
    broken : tuple of int
        Rows of particles that hold NaN, which are not written.
    pictures : dict of int to ndarray (crop, crop, crop)
        Of the rows that were asked for: volumes with bright protein along the axes of the tomogram.
    spread : float or None
        Typical standard deviation of the images written, None if none was.
    """

    skipped: int
    broken: tuple[int, ...]
    pictures: dict[int, npt.NDArray[np.float32]]
    spread: float | None


class TiltCutter:
    """Cuts and writes the particles of a plan.

    Parameters
    ----------
    plan : TiltPlan
    options : ExtractOptions
    folder : Path
        Of the job.
    device : str
    """

    def __init__(self, plan: TiltPlan, options: ExtractOptions, folder: Path, device: str) -> None:
        self.plan, self.options, self.folder, self.device = plan, options, folder, device
        self.pixel_size = plan.sightings.tomogram.frame.pixel_size * options.binning
        self.maker = SliceMaker(plan.sightings, options.box_size, options.binning, invert=options.invert, device=device)
        self._insertion: tuple[bytes, SliceInsertion] | None = None
        self._lock = threading.Lock()

    @cached_property
    def axes(self) -> FloatArray:
        """Image axes in the boxes, shape (n, n_tilts, 2, 3), in Fourier pixels of the written box."""
        return self.plan.sightings.axes(self.plan.frames) * (self.options.written_size / self.options.box_size)

    def paths(self, particle: int) -> tuple[Path, ...]:
        """Files of a particle; the one whose presence counts is last."""
        endings = (STACK,) if self.options.stack2d else (WEIGHTS, DATA)
        return tuple(self.folder / (self.plan.stems[particle] + ending) for ending in endings)

    def one(self, particle: int) -> float | None:
        """Write a particle; the standard deviation of its images, or None if there are NaN in them and nothing was written."""
        options, size = self.options, self.options.written_size
        slices = self.maker.slices(particle)
        with device_context(self.device):
            if options.stack2d:
                arrays: tuple[Any, ...] = (stack_images(slices.values, size, options.circle_crop),)
            else:
                insertion = self._inserted(self.axes[particle, slices.tilts])
                data, weights = pseudo_subtomogram(
                    *(insertion, slices.values, slices.transfer, slices.counts), binning=options.binning, circle=options.circle_crop
                )
                arrays = (weights, data)
            host = tuple(to_host(array) for array in arrays)
        spread = float(np.std(host[-1], dtype=np.float64))
        if not np.isfinite(spread):
            return None
        for path, array in zip(self.paths(particle), host, strict=True):
            write_mrc(path, array, self.pixel_size, float16=options.float16, stack=options.stack2d)
        return spread

    def _inserted(self, axes: FloatArray) -> SliceInsertion:
        """The insertion for axes; particles of one frame and the same visible images come after each other and share it."""
        key = axes.tobytes()
        with self._lock:
            known = self._insertion
        if known is not None and known[0] == key:
            return known[1]
        insertion = slice_insertion(to_device(axes, self.device), self.options.box_size, self.options.written_size)
        with self._lock:
            self._insertion = (key, insertion)
        return insertion

    def picture(self, particle: int) -> npt.NDArray[np.float32]:
        """A particle along the axes of the tomogram, divided by its weights; zeros where there are NaN."""
        size, slices = self.options.written_size, self.maker.slices(particle)
        axes = self.plan.sightings.axes(np.eye(3)[None])[0, slices.tilts] * (size / self.options.box_size)
        with device_context(self.device):
            xp = namespace(slices.values)
            insertion = slice_insertion(to_device(axes, self.device), self.options.box_size, size)
            data, both = pseudo_subtomogram(insertion, slices.values, slices.transfer, slices.counts, circle=self.options.circle_crop)
            weights = both[:size]
            transform = xp.fft.rfftn(xp.fft.ifftshift(data)) / (weights + _FLOOR * weights.mean())
            real = xp.fft.fftshift(xp.fft.irfftn(transform, s=data.shape, axes=(0, 1, 2)))
            volume: npt.NDArray[np.float32] = to_host(real).astype(np.float32)
        return np.nan_to_num(volume, nan=0.0, posinf=0.0, neginf=0.0) if self.options.invert else np.nan_to_num(-volume, nan=0.0)

    def is_there(self, particle: int) -> bool:
        """Whether the files of a particle are complete."""
        n = self.options.written_size
        shapes: Sequence[tuple[int, int, int]] = ((2 * n, n, n // 2 + 1), (n, n, n))
        if self.options.stack2d:
            shapes = ((int(self.plan.sightings.visible[particle].sum()), n, n),)
        return complete(self.paths(particle), shapes)

    def remaining(self) -> list[int]:
        """Particles that are not there yet with equal options."""
        files = [self.folder / (stem + ending) for stem in self.plan.stems for ending in (STACK, DATA, WEIGHTS)]
        current = is_current(record_path(self.folder, self.plan.sightings.tomogram.name), self.plan.fingerprint(self.options), files)
        return [particle for particle in range(len(self.plan.rows)) if not (current and self.is_there(particle))]

    def run(self, reporter: Reporter, shown: Collection[int] = ()) -> Written:
        """Cut and write all particles in threads; the reporter is called from this thread only.

        Parameters
        ----------
        reporter : Reporter
        shown : collection of int
            Rows to make pictures of.
        """
        todo = self.remaining()
        skipped = len(self.plan.rows) - len(todo)
        if skipped:
            reporter.advance(skipped)
        images, visible = self.plan.sightings.images, self.plan.sightings.visible
        needed = np.flatnonzero(visible[todo].any(axis=0)) if todo else np.zeros(0, np.int64)
        images.load(needed.tolist(), _SHARE * free_bytes("cpu"), self.folder, self.options.threads, reporter.check)
        try:
            spreads = dict(in_order(self.one, todo, self.options.threads, reporter))
            broken = tuple(int(self.plan.rows[particle]) for particle, spread in spreads.items() if spread is None)
            pictures = {int(row): self.picture(i) for i, row in enumerate(self.plan.rows) if int(row) in shown and int(row) not in broken}
        finally:
            images.release()
        known = [spread for spread in spreads.values() if spread is not None]
        return Written(skipped, broken, pictures, float(np.median(known)) if known else None)
