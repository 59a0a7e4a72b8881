"""Averages of particles in tilt images, as RELION's `Reconstruct particle`.

Squares are cut from the images, multiplied with CTF and dose weights, and inserted straight into the Fourier grid of the map, in the frame
of the reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import GeometryError, InputError
from napari_subtomo.geometry.projection import tilt_matrices
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.io.trajectories import Trajectories, read_trajectories
from napari_subtomo.numerics.backend import device_context, free_bytes, namespace, to_host
from napari_subtomo.numerics.fourier import resize_centred
from napari_subtomo.numerics.planes import PlaneSums
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.reconstruct.average import in_order
from napari_subtomo.reconstruct.gridded import solve_planes, taper
from napari_subtomo.reconstruct.tilt_grid import chosen_binning, chosen_boxes, common_pixel, needed_memory
from napari_subtomo.tilts.plan import Sightings, see
from napari_subtomo.tilts.refusals import refuse_aberrations
from napari_subtomo.tilts.slices import SliceMaker

FloatArray = npt.NDArray[np.float64]
FloatMap = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
_SHARE = 0.5  # of the free memory that images may take
_BLOCK_VOXELS, _MOST = 2**26, 16  # voxels of the sums of a block, and its particles: sums are added up block by block


@dataclass(frozen=True, eq=False)
class Sighted:
    """The particles of one tilt series.

    Attributes
    ----------
    sightings : Sightings
    rows : ndarray of int, shape (n,)
        Rows in the particle set.
    orientations : ndarray, shape (n, 3, 3)
        From the reference into the tomogram.
    """

    sightings: Sightings
    rows: IntArray
    orientations: FloatArray


class TiltAverage:
    """The work of averaging particles in tilt images; all files are looked at, and no image is read yet.

    Parameters
    ----------
    options : ReconstructOptions
    particles : ParticleSet
    tomograms : TomogramSet or None
    trajectories : Path or None
    folder : Path
        Gets temporary files, where images do not fit into memory.
    reporter : Reporter

    Raises
    ------
    InputError
        Images, an alignment or CTFs that are missing, what is not taken into account here (aberrations, deformations), boxes that do not
        fit, or no particle that is visible.
    """

    def __init__(
        self,
        options: ReconstructOptions,
        particles: ParticleSet,
        tomograms: TomogramSet | None,
        trajectories: Path | None,
        folder: Path,
        reporter: Reporter,
    ) -> None:
        if tomograms is None:
            raise InputError("Expected tomograms that name tilt images, found none; give --tomograms or --optimisation-set.")
        refuse_aberrations(particles)
        self.options, self.particles, self.folder = options, particles, folder
        self.pixel = common_pixel(particles, tomograms)
        self.binning = chosen_binning(options, particles, self.pixel)
        self.pixel_size = self.pixel * self.binning
        self.square, self.box = chosen_boxes(options, particles, self.pixel_size)
        reporter.stage("finding particles in the tilt images")
        motion = None if trajectories is None else read_trajectories(trajectories)
        self.plans = self._plans(tomograms, motion, reporter)
        self.n = sum(len(plan.rows) for plan in self.plans)
        self.frames = sum(int(plan.sightings.visible.sum()) for plan in self.plans) / max(1, self.n)
        if not self.n:
            self._refuse()
        self._say(motion, reporter)

    @property
    def sentence(self) -> str:
        """What is averaged."""
        cropped = "" if self.box == self.square else f", cropped to {self.box} px"
        return (
            f"{self.n} particles in {self.frames:.1f} tilt images each, box {self.square} px of {self.pixel_size:g} Å "
            f"(binning {self.binning:g}){cropped}, symmetry {self.options.symmetry}"
        )

    def memory(self, threads: int) -> float:
        """Bytes, beside the images: they take up to half of what is free, and beyond that are mapped from their files."""
        return needed_memory(self.square, self.binning, max(len(plan.sightings.series) for plan in self.plans), threads)

    def maps(self, halves: IntArray, device: str, reporter: Reporter) -> dict[str, FloatMap]:
        """Merged map and, where `halves` (one for each row of the particle set) has both 1 and 2, theirs: by the names of their files."""
        from threadpoolctl import threadpool_limits

        reporter.stage("averaging", self.n, "particles")
        with threadpool_limits(1):  # the threads are over blocks of particles
            sums = self.sums(halves, device, reporter)
        group = symmetry_matrices(self.options.symmetry)
        names = ["half1", "half2", "merged"] if 1 in sums and 2 in sums else ["merged"]
        reporter.stage("dividing by the weights", len(names), "maps")
        maps = {}
        with device_context(device):
            for name in names:
                if name == "merged":  # the last one, so its sums may take the place of others
                    first, *others = sums.values()
                    for other in others:
                        first.add(other)
                    total = first
                else:
                    total = sums[int(name[-1])]
                volume = to_host(solve_planes(total, group, self.options.snr, self.binning))
                maps[name] = taper(resize_centred(volume, self.box))
                reporter.advance()
        return maps

    def sums(self, halves: IntArray, device: str, reporter: Reporter) -> dict[int, PlaneSums]:
        """Sums of the particles of each half, by its number; particles of images that are no numbers are left out with a warning."""
        threads = self.options.threads
        totals: dict[int, PlaneSums] = {}
        broken: list[int] = []
        for plan in self.plans:
            images = plan.sightings.images
            seen = np.flatnonzero(plan.sightings.visible.any(axis=0))
            images.load(seen.tolist(), _SHARE * free_bytes("cpu"), self.folder, threads, reporter.check)
            try:
                with device_context(device):
                    work = _Worker(plan, self.square, self.binning, self.options.circle_crop, device)
                    for half, left_out, number, found in in_order(work, self._blocks(halves[plan.rows]), threads):
                        if half not in totals:
                            totals[half] = PlaneSums.zero(self.square, namespace(found.columns), np.float64)
                        totals[half].add(found)
                        broken += plan.rows[left_out].tolist()
                        reporter.advance(number)
            finally:
                images.release()
        if len(broken) == self.n:
            raise GeometryError("Expected numbers in the tilt images, found NaN in those of every particle; correct the images.")
        if broken:
            names = ", ".join(self.particles.names[row] for row in broken[:3])
            reporter.warn(
                f"{len(broken)} particles are left out, whose images are no numbers: {names}{', ...' if len(broken) > 3 else ''}."
            )
        self.n -= len(broken)
        return totals

    def _blocks(self, halves: IntArray) -> Iterator[tuple[int, IntArray]]:
        """Particles of a tilt series that are summed together: how many does not depend on the number of threads, nor do the sums."""
        size = int(np.clip(_BLOCK_VOXELS // self.square**3, 2, _MOST))
        for half in np.unique(halves):
            ids = np.flatnonzero(halves == half)
            yield from ((int(half), ids[i : i + size]) for i in range(0, len(ids), size))

    def _plans(self, tomograms: TomogramSet, motion: Trajectories | None, reporter: Reporter) -> list[Sighted]:
        """Particles by tilt series, without those that no image shows."""
        positions, orientations = self.particles.positions(tomograms), self.particles.orientations
        tomo_names, names = np.asarray(self.particles.tomo_names, dtype=object), self.particles.names
        plans = []
        for name in dict.fromkeys(self.particles.tomo_names):
            rows = np.flatnonzero(tomo_names == name)
            sightings = see(
                tomograms[name],
                tomograms.tilt_series(name),
                positions[rows],
                margin=max(self.square / 2, self.binning * self.box / 2),
                trajectories=motion,
                names=[names[row] for row in rows],
            )
            shown = sightings.visible.any(axis=1)
            if shown.any():
                plans.append(Sighted(sightings.select(shown), rows[shown], orientations[rows[shown]]))
            reporter.check()
        return plans

    def _refuse(self) -> None:
        raise GeometryError(
            f"Expected particles whose box lies within tilt images at binning {self.binning:g}, found none among {self.particles.n} with a "
            f"box of {self.square} px, cropped to {self.box}; use a smaller --box-size or --crop-size, and check that the coordinates "
            "belong to these tomograms."
        )

    def _say(self, motion: Trajectories | None, reporter: Reporter) -> None:
        missing = self.particles.n - self.n
        if missing:
            reporter.warn(f"{missing} of {self.particles.n} particles are too near to the edges of all tilt images, and left out.")
        undosed = [plan.sightings.tomogram.name for plan in self.plans if np.isnan(plan.sightings.series.dose).any()]
        if undosed:
            reporter.warn(f"No exposure is known for images of {', '.join(undosed)}: they are not weighted by dose.")
        if motion is not None:
            reporter.message(f"Trajectories of {motion.path.name} are applied.")
        for plan in self.plans:
            if plan.sightings.tomogram.size_warning:
                reporter.warn(plan.sightings.tomogram.size_warning)


class _Worker:
    """Sums blocks of particles of one tilt series."""

    def __init__(self, plan: Sighted, square: int, binning: float, circle: bool, device: str) -> None:
        self.maker = SliceMaker(plan.sightings, square, binning, circle=circle, device=device)
        self.matrices = tilt_matrices(plan.sightings.series)
        self.orientations, self.square, self.device = plan.orientations, square, device
        xp = namespace(self.maker.modulation.phase)
        kx, ky = self.maker.binning.k
        self.inside = xp.asarray((kx**2 + ky[:, None] ** 2 <= (square / 2) ** 2).astype(np.float32))
        counted = self.maker.modulation.counted
        self.reach = np.full(len(self.matrices), square // 2 + 1)
        if counted is not None:
            self.reach = to_host(counted[:, 0, :]).astype(bool).sum(axis=1)

    def __call__(self, block: tuple[int, IntArray]) -> tuple[int, list[int], int, PlaneSums]:
        """Half, particles that are no numbers, number of particles, and the sums of the others."""
        half, ids = block
        broken = []
        with device_context(self.device):
            sums = PlaneSums.zero(self.square, namespace(self.inside))
            for particle in ids.tolist():
                slices = self.maker.slices(particle)
                xp = namespace(slices.values)
                if not bool(xp.isfinite(slices.values.real.sum() + slices.values.imag.sum())):
                    broken.append(particle)
                    continue
                counts = self.inside if slices.counts is None else slices.counts * self.inside
                slices.values[...] *= counts
                weights: Any = slices.transfer**2
                weights *= counts
                sums.insert(slices.values, weights, self.matrices[slices.tilts] @ self.orientations[particle], self.reach[slices.tilts])
        return half, broken, len(ids), sums
