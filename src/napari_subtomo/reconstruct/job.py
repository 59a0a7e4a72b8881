"""The job: particles in; merged and half maps, their FSC and, where there were none, half sets out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.maps import read_fitting
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.optimisation import resolve_inputs, user_path
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.scratch import scratch_folder
from napari_subtomo.io.subtomograms import open_subtomograms
from napari_subtomo.numerics.backend import free_bytes, resolve_device
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.reconstruct.curve import compare, plot_curve, resolution_text, write_curve
from napari_subtomo.reconstruct.from_subtomograms import SubtomogramAverage
from napari_subtomo.reconstruct.from_tilts import TiltAverage
from napari_subtomo.reconstruct.halves import Halves, choose_halves
from napari_subtomo.reconstruct.source import Source, choose_source

FloatMap = npt.NDArray[np.float32]


class Work(Protocol):
    """What there is to average: extracted subtomograms, or particles in tilt images."""

    n: int
    box: int
    pixel_size: float

    @property
    def sentence(self) -> str:
        """What is averaged."""

    def memory(self, threads: int) -> float:
        """Bytes that it takes."""

    def maps(self, halves: npt.NDArray[np.int64], device: str, reporter: Reporter) -> dict[str, FloatMap]:
        """Merged map and, where there are both halves, theirs: by the names of their files."""


def run(options: ReconstructOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Average the particles of a set, from extracted subtomograms or from the tilt images.

    Parameters
    ----------
    options : ReconstructOptions
    folder : JobFolder
        Gets merged.mrc, and with two halves half1.mrc, half2.mrc, fsc.star and fsc.png; particles.star where half sets were drawn.
    reporter : Reporter

    Returns
    -------
    JobResult
        Outputs "merged", "half1", "half2", "fsc", "fsc_plot", "particles"; numbers "particles", "source", "resolution" (Å).

    Raises
    ------
    InputError
        No particles, missing or broken files, a box or mask that does not fit.
    """
    particles, tomograms, trajectories = resolve_inputs(options, folder.project)
    if particles.n == 0:
        raise InputError(f"Expected at least one particle in {particles.path or 'the particle set'}, found none.")
    source, why = choose_source(options, particles, tomograms, folder.project)
    reporter.message(why)
    if source == "tilts":
        work = TiltAverage(options, particles, tomograms, trajectories, folder.path, reporter)
        return _run(options, folder, particles, work, source, reporter)
    with scratch_folder(options.scratch_dir, folder) as scratch:
        subtomograms = open_subtomograms(particles, folder.project, tomograms, scratch, reporter=reporter)
        return _run(options, folder, particles, SubtomogramAverage(options, particles, subtomograms), source, reporter)


def _run(
    options: ReconstructOptions, folder: JobFolder, particles: ParticleSet, work: Work, source: Source, reporter: Reporter
) -> JobResult:
    """`run` with its particles opened."""
    mask = None if options.mask is None else _read_mask(options.mask, folder, work.box, work.pixel_size)
    halves = choose_halves(particles, options.seed)
    device = resolve_device(options.device)
    reporter.message(f"{work.sentence}, on {device}")
    for text in halves.warnings:
        reporter.warn(text)
    _warn_of_memory(work, options.threads, device, reporter)

    maps = work.maps(halves.numbers if halves.both else np.zeros_like(halves.numbers), device, reporter)
    outputs: dict[str, Path] = {}
    for name, volume in maps.items():
        outputs[name] = folder.file(f"{name}.mrc")
        write_mrc(outputs[name], volume, work.pixel_size)
    origin = "in the tilt images" if source == "tilts" else "as extracted"
    summary = [f"{work.n} particles averaged {origin} with symmetry {options.symmetry}."]
    numbers: dict[str, Any] = {"particles": work.n, "box": work.box, "symmetry": options.symmetry, "source": source}
    if halves.both and "half1" not in maps:
        summary.append("No particle of one of the half sets could be averaged, so there is no FSC.")
        reporter.warn(summary[-1])
    elif halves.both:
        _report_fsc(maps, halves, options, folder, work.pixel_size, mask, outputs, summary, numbers, reporter)
        if halves.made_here:
            outputs["particles"] = _write_split(particles, halves, folder)
            summary.append("The random half sets are in particles.star of this folder.")
    else:
        summary.extend(halves.warnings[-1:])
    return JobResult(outputs, tuple(summary), numbers)


def _report_fsc(
    maps: dict[str, FloatMap],
    halves: Halves,
    options: ReconstructOptions,
    folder: JobFolder,
    voxel_size: float,
    mask: FloatMap | None,
    outputs: dict[str, Path],
    summary: list[str],
    numbers: dict[str, Any],
    reporter: Reporter,
) -> None:
    """Write curve and plot, and add them to outputs, summary and numbers."""
    curve = compare(maps["half1"], maps["half2"], voxel_size, halves.label, mask, options.seed)
    outputs |= {"fsc": folder.file("fsc.star"), "fsc_plot": folder.file("fsc.png")}
    mask_cell = None if options.mask is None else folder.project.name(user_path(options.mask, folder.project))
    write_curve(outputs["fsc"], curve, halves.explanation, folder.name("half1.mrc"), folder.name("half2.mrc"), mask_cell)
    plot_curve(outputs["fsc_plot"], curve, folder.name())
    found = {threshold: curve.resolution(threshold) for threshold in (0.143, 0.5)}
    reporter.message(halves.explanation)
    summary.append(f"Resolution {resolution_text(found[0.143])} at FSC 0.143, {resolution_text(found[0.5])} at 0.5 ({halves.label}).")
    numbers |= {"resolution": found[0.143], "resolution_05": found[0.5], "fsc_kind": halves.label}
    reporter.event("fsc", resolution=found[0.143], label=halves.label, values=[round(float(v), 4) for v in curve.best])


def _write_split(particles: ParticleSet, halves: Halves, folder: JobFolder) -> Path:
    path = folder.file("particles.star")
    write_particles(path, particles.with_columns({relion.RANDOM_SUBSET: halves.numbers}))
    return path


def _read_mask(path: Path, folder: JobFolder, box: int, pixel_size: float) -> FloatMap:
    """The mask, on the grid of the maps that are written."""
    return read_fitting(user_path(path, folder.project), "mask", box, pixel_size, mask=True).volume


def _warn_of_memory(work: Work, threads: int, device: str, reporter: Reporter) -> None:
    """Say so before the work begins where memory will not do."""
    needed = work.memory(threads)
    if needed > free_bytes(device):
        reporter.warn(
            f"This takes about {needed / 2**30:.0f} GB of memory on {device}, {free_bytes(device) / 2**30:.0f} GB are free; use fewer "
            "threads, a smaller box or a larger binning if the job is killed."
        )
