"""The job: particles in; merged and half maps, their FSC and, where there were none, half sets out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.result import JobResult
from napari_subtomo.data.subtomograms import SubtomogramSource
from napari_subtomo.errors import GeometryError
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.maps import read_fitting
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.optimisation import resolve_inputs, user_path
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.scratch import scratch_folder
from napari_subtomo.io.subtomograms import open_subtomograms
from napari_subtomo.numerics.backend import device_context, free_bytes, resolve_device, to_host
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.reconstruct.average import average, backprojection_envelope, crop
from napari_subtomo.reconstruct.curve import compare, plot_curve, resolution_text, write_curve
from napari_subtomo.reconstruct.halves import Halves, choose_halves
from napari_subtomo.reconstruct.sums import FourierSums, solve

FloatMap = npt.NDArray[np.float32]


def run(options: ReconstructOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Average the particles of a set.

    Parameters
    ----------
    options : ReconstructOptions
    folder : JobFolder
        Gets merged.mrc, and with two halves half1.mrc, half2.mrc, fsc.star and fsc.png; particles.star where half sets were drawn.
    reporter : Reporter

    Returns
    -------
    JobResult
        Outputs "merged", "half1", "half2", "fsc", "fsc_plot", "particles"; numbers "particles", "resolution" (Å).

    Raises
    ------
    InputError
        No particles, missing or broken files, a box or mask that does not fit.
    """
    with scratch_folder(options.scratch_dir, folder) as scratch:
        particles, tomograms, _ = resolve_inputs(options, folder.project)
        source = open_subtomograms(particles, folder.project, tomograms, scratch, reporter=reporter)
        return _run(options, folder, particles, source, reporter)


def _run(
    options: ReconstructOptions, folder: JobFolder, particles: ParticleSet, source: SubtomogramSource, reporter: Reporter
) -> JobResult:
    """`run` with its particles opened."""
    box = source.box if options.crop_size is None else options.crop_size
    if box > source.box:
        raise GeometryError(f"Expected a cropped box of at most {source.box} px, the box of the particles, found {box}.")
    mask = None if options.mask is None else _read_mask(options.mask, folder, box, source.pixel_size)
    halves = choose_halves(particles, options.seed)
    device = resolve_device(options.device)
    reporter.message(f"{source.n} particles, box {source.box} px of {source.pixel_size:g} Å, symmetry {options.symmetry}, on {device}")
    for text in halves.warnings:
        reporter.warn(text)
    _warn_of_memory(source.box, options.threads, device, reporter)

    sums = average(
        source,
        particles.angles,
        particles.origins / source.pixel_size,
        halves.numbers if halves.both else np.zeros(source.n),
        device=device,
        threads=options.threads,
        reporter=reporter,
    )
    with device_context(device):
        maps = _maps(sums, halves, options, box, reporter)
    outputs: dict[str, Path] = {}
    for name, volume in maps.items():
        outputs[name] = folder.file(f"{name}.mrc")
        write_mrc(outputs[name], volume, source.pixel_size)
    summary = [f"{source.n} particles averaged with symmetry {options.symmetry}."]
    numbers: dict[str, Any] = {"particles": source.n, "box": box, "symmetry": options.symmetry}
    if halves.both:
        _report_fsc(maps, halves, options, folder, source.pixel_size, mask, outputs, summary, numbers, reporter)
        if halves.made_here:
            outputs["particles"] = _write_split(particles, halves, folder)
            summary.append("The random half sets are in particles.star of this folder.")
    else:
        summary.extend(halves.warnings[-1:])
    return JobResult(outputs, tuple(summary), numbers)


def _maps(sums: dict[int, FourierSums], halves: Halves, options: ReconstructOptions, box: int, reporter: Reporter) -> dict[str, FloatMap]:
    """Merged map and, if there are two halves, theirs."""
    group = symmetry_matrices(options.symmetry)
    wanted: dict[str, list[int]] = {"merged": sorted(sums)}
    if halves.both:
        wanted |= {"half1": [1], "half2": [2]}
    reporter.stage("dividing by the weights", len(wanted), "maps")
    maps = {}
    for name, keys in wanted.items():
        total = sums[keys[0]]
        for key in keys[1:]:
            total = total + sums[key]
        volume = to_host(solve(total, group, options.snr))
        if options.backprojection_box is not None:
            volume = volume / backprojection_envelope(len(volume), options.backprojection_box)
        maps[name] = crop(volume, box)
        reporter.advance()
    return maps


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


def _warn_of_memory(box: int, threads: int, device: str, reporter: Reporter) -> None:
    """Two sums of 24 bytes a node and the maps' temporaries; 12 bytes a node and 64 bytes a point for each thread."""
    nodes, points = 4 * box**3, 2_000_000 + 0.26 * box**3
    needed = 5 * 24 * nodes + (threads + 2) * (12 * nodes + 100 * points)
    if needed > free_bytes(device):
        reporter.warn(
            f"A box of {box} px takes about {needed / 2**30:.0f} GB of memory on {device}, {free_bytes(device) / 2**30:.0f} GB are free; "
            "use fewer threads or extract with a larger binning if the job is killed."
        )
