"""Extraction from tilt images, as RELION's (`relion_tomo_subtomo`): 2D stacks, or 3D pseudo-subtomograms with weights and multiplicity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import GeometryError, OptionError
from napari_subtomo.extract.dropped import NOT_A_NUMBER, report_dropped
from napari_subtomo.extract.montage import MOST, draw_montage, low_pass_resolution
from napari_subtomo.extract.plan import file_stems
from napari_subtomo.extract.tables import from_tilts_table, optics_table
from napari_subtomo.extract.tilt_worker import DATA, STACK, WEIGHTS, TiltCutter, TiltPlan, Written
from napari_subtomo.io import relion
from napari_subtomo.io.modulation import dose_bfactor
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.io.trajectories import Trajectories, read_trajectories, write_trajectories
from napari_subtomo.numerics.backend import resolve_device
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.tilts.plan import FloatArray, IntArray, see
from napari_subtomo.tilts.refusals import refuse_aberrations

_FAINT = 1e-3  # below this standard deviation float16 loses digits


def extract_from_tilts(
    options: ExtractOptions,
    particles: ParticleSet,
    tomograms: TomogramSet,
    trajectories: Path | None,
    folder: JobFolder,
    reporter: Reporter,
) -> JobResult:
    """Extract each particle from the tilt images; parameters, files and result as in `extract.run`.

    Raises
    ------
    InputError
        Images, alignment, CTF or doses that are missing, what is not taken into account here (aberrations, deformations), or no particle
        that is visible in enough images.
    """
    from threadpoolctl import threadpool_limits

    if options.binning < 1:
        raise OptionError(f"Expected a binning of at least 1 for tilt images, found {options.binning:g}; use --binning 1.")
    refuse_aberrations(particles)
    device = resolve_device(options.device)
    reporter.stage("finding particles in the tilt images")
    coordinates = particles.positions(tomograms) if options.fold_offsets else particles.coordinates(tomograms)
    motion = None if trajectories is None else read_trajectories(trajectories)
    plans, reasons = _plans(options, particles, coordinates, tomograms, motion, reporter)
    _say(options, particles, plans, motion, reporter)

    reporter.stage("extracting", sum(len(plan.rows) for plan in plans), "particles")
    shown = sorted(int(row) for plan in plans for row in plan.rows)[:MOST]
    done: list[Written] = []
    with threadpool_limits(1):  # the threads are over particles
        for plan in plans:
            done.append(TiltCutter(plan, options, folder.path, device).run(reporter, shown))
            reasons |= dict.fromkeys(done[-1].broken, f"its image {NOT_A_NUMBER}")
    kept = np.array([row for row in range(particles.n) if row not in reasons], dtype=np.int64)
    if not len(kept):
        raise GeometryError(f"Expected numbers in the tilt images, found that each particle {NOT_A_NUMBER}; correct the images.")
    _say_faintness(options, done, reporter)

    reporter.stage("tables and pictures")
    outputs = {"particles": folder.file("particles.star"), "optimisation_set": folder.file("optimisation_set.star")}
    table, frames = _table(options, particles, coordinates, tomograms, kept, plans, folder)
    write_particles(outputs["particles"], table)
    write_optimisation_set(
        outputs["optimisation_set"],
        particles=folder.name("particles.star"),
        tomograms=None if tomograms.path is None else folder.link(tomograms.path),
        trajectories=_motion_file(motion, table, len(kept) < particles.n, folder, outputs),
    )
    pixel_size = plans[0].sightings.tomogram.frame.pixel_size * options.binning
    pictures = {row: picture for written in done for row, picture in written.pictures.items()}
    if pictures:
        outputs["montage"] = folder.file("montage.png")
        order = sorted(pictures)
        resolution = low_pass_resolution(pixel_size, options.box_size)
        names = particles.names
        draw_montage(outputs["montage"], [pictures[row] for row in order], [names[row] for row in order], pixel_size, resolution)
    kind = "2D stacks" if options.stack2d else "3D pseudo-subtomograms"
    summary = [
        f"{len(kept)} of {particles.n} particles extracted as {kind} in a box of {options.written_size} px, from {frames:.1f} images each."
    ]
    summary += report_dropped(folder, particles, reasons, outputs, reporter)
    numbers: dict[str, Any] = {
        "particles": len(kept),
        "dropped": len(reasons),
        "skipped": sum(written.skipped for written in done),
        "box": options.written_size,
        "pixel_size": pixel_size,
        "frames": frames,
    }
    return JobResult(outputs, tuple(summary), numbers)


def _plans(
    options: ExtractOptions,
    particles: ParticleSet,
    coordinates: FloatArray,
    tomograms: TomogramSet,
    motion: Trajectories | None,
    reporter: Reporter,
) -> tuple[list[TiltPlan], dict[int, str]]:
    """Plans of the tilt series in the order of their first particle, and why particles are left out."""
    names, stems, frames = np.asarray(particles.tomo_names, dtype=object), file_stems(particles), particles.frames
    plans: list[TiltPlan] = []
    reasons: dict[int, str] = {}
    sizes: list[tuple[int, int]] = []
    few = f"fewer than {options.min_frames} tilt images show it" if options.min_frames > 1 else "no tilt image shows it"
    for name in dict.fromkeys(particles.tomo_names):
        rows = np.flatnonzero(names == name)
        sightings = see(
            tomograms[name],
            tomograms.tilt_series(name),
            coordinates[rows],
            margin=options.binning * options.written_size / 2,
            max_dose=None if options.max_dose == -1 else options.max_dose,
            trajectories=motion,
            names=[particles.names[row] for row in rows],
        )
        sizes.append(sightings.images.size)
        enough = sightings.visible.sum(axis=1) >= options.min_frames
        reasons |= dict.fromkeys(rows[~enough].tolist(), few)
        if enough.any():
            plans.append(TiltPlan(sightings.select(enough), rows[enough], tuple(stems[row] for row in rows[enough]), frames[rows[enough]]))
        reporter.check()
    if not plans:
        _refuse(options, particles.n, sizes)
    return plans, reasons


def _refuse(options: ExtractOptions, number: int, sizes: Sequence[tuple[int, int]]) -> None:
    """Say why no particle can be extracted."""
    size = options.written_size
    width, height = (int(n / options.binning) for n in max(sizes, key=min))
    if min(width, height) <= size:
        raise GeometryError(
            f"Expected a box that fits into the tilt images ({width} x {height} px at binning {options.binning:g}), found {size} px; "
            "use a smaller --box-size or --crop-size, or a larger --binning."
        )
    raise GeometryError(
        f"Expected particles that lie at least {size / 2:g} px from the edges of {options.min_frames} or more tilt images at binning "
        f"{options.binning:g}, found none among {number}; use a smaller --box-size or --crop-size, check --max-dose and --min-frames, "
        "and that the coordinates belong to these tomograms."
    )


def _say(
    options: ExtractOptions, particles: ParticleSet, plans: Sequence[TiltPlan], motion: Trajectories | None, reporter: Reporter
) -> None:
    """The choices that the files depend on."""
    tomograms = [plan.sightings.tomogram for plan in plans]
    undosed = [plan.sightings.tomogram.name for plan in plans if np.isnan(plan.sightings.series.dose).any()]
    if undosed:
        reporter.warn(f"No exposure is known for images of {', '.join(undosed)}: they are not weighted by dose.")
    by_bfactor = [tomogram.name for tomogram in tomograms if dose_bfactor(tomogram)]
    if by_bfactor:
        reporter.message(f"Weighted by a B-factor per dose: {', '.join(by_bfactor)}; others by the curve of Grant and Grigorieff.")
    contrast = "inverted: dark protein becomes bright" if options.invert else "kept: the images show bright protein"
    reporter.message(f"Contrast {contrast} (--invert). Images are multiplied with their CTF and weighted by dose.")
    if particles.has(*relion.ORIGINS) and np.any(particles.origins):
        folded = "folded into the coordinates, as RELION does" if options.fold_offsets else "kept, boxes lie at the coordinates"
        reporter.message(f"Origins are {folded} (--fold-offsets).")
    if motion is not None:
        reporter.message(f"Trajectories of {motion.path.name} are applied.")
    for tomogram in tomograms:
        if tomogram.size_warning:
            reporter.warn(tomogram.size_warning)


def _say_faintness(options: ExtractOptions, done: Sequence[Written], reporter: Reporter) -> None:
    spreads = [written.spread for written in done if written.spread is not None]
    if options.float16 and spreads and min(spreads) < _FAINT:
        reporter.warn(f"The images vary by {min(spreads):.2g} only, and float16 has few digits for such small numbers; use --no-float16.")


def _table(
    options: ExtractOptions,
    particles: ParticleSet,
    coordinates: FloatArray,
    tomograms: TomogramSet,
    kept: IntArray,
    plans: Sequence[TiltPlan],
    folder: JobFolder,
) -> tuple[ParticleSet, float]:
    """The particles that were written, and the mean number of images that show one."""
    stems = {int(row): stem for plan in plans for row, stem in zip(plan.rows, plan.stems, strict=True)}
    flags = {int(row): seen for plan in plans for row, seen in zip(plan.rows, plan.sightings.visible, strict=True)}
    named = particles.with_columns({relion.TOMO_PARTICLE_NAME: particles.names}).select(kept)
    known = {name: tomograms[name] for name in dict.fromkeys(named.tomo_names)}
    table = from_tilts_table(named, coordinates[kept], fold=options.fold_offsets, stacks=options.stack2d)
    rows = [known[name] for name in named.tomo_names]
    table = optics_table(table, rows, options.binning, options.written_size, True, 2 if options.stack2d else 3)
    columns: dict[str, Any] = {}
    if options.stack2d:
        columns[relion.VISIBLE_FRAMES] = ["[" + ",".join("1" if seen else "0" for seen in flags[row]) + "]" for row in kept.tolist()]
        columns[relion.IMAGE_NAME] = [folder.name(stems[row] + STACK) for row in kept.tolist()]
    else:
        columns[relion.IMAGE_NAME] = [folder.name(stems[row] + DATA) for row in kept.tolist()]
        columns[relion.CTF_IMAGE] = [folder.name(stems[row] + WEIGHTS) for row in kept.tolist()]
    return table.with_columns(columns), float(np.mean([flags[row].sum() for row in kept.tolist()]))


def _motion_file(motion: Trajectories | None, table: ParticleSet, fewer: bool, folder: JobFolder, outputs: dict[str, Path]) -> str | None:
    """What the optimisation set says of trajectories: the file that was given, or those of the particles that are left."""
    if motion is None:
        return None
    if not fewer:
        return folder.link(motion.path)
    outputs["trajectories"] = folder.file("motion.star")
    write_trajectories(outputs["trajectories"], motion.select(table.names))
    return folder.name("motion.star")
