"""Extraction from tomograms: subtomograms and their weights are cut from volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.result import JobResult
from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.errors import GeometryError, OptionError
from napari_subtomo.extract.dropped import NOT_A_NUMBER, report_dropped
from napari_subtomo.extract.montage import MOST, draw_montage, low_pass_resolution
from napari_subtomo.extract.plan import OUTSIDE, Plan, make_plans
from napari_subtomo.extract.tables import optics_table, relion5_table, relion31_table, turned_into_tomogram
from napari_subtomo.extract.volumes import written_by_relion
from napari_subtomo.extract.worker import ENDINGS, Cutter, Extracted, cut, grey_scale
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.numerics.backend import resolve_device, to_host
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
UNEVEN = 0.35  # a ramp-filtered tomogram stays below 0.1; one without the ramp is far above


def extract_from_tomograms(
    options: ExtractOptions,
    particles: ParticleSet,
    tomograms: TomogramSet,
    folder: JobFolder,
    reporter: Reporter,
    *,
    has_trajectories: bool = False,
) -> JobResult:
    """Cut a subtomogram and its weights at each particle; parameters, files and result as in `extract.run`.

    Raises
    ------
    InputError
        Tomograms that are missing or contradict the tomogram set, boxes that do not fit, options that need tilt images.
    """
    from threadpoolctl import threadpool_limits

    if not options.fold_offsets:
        raise OptionError("Offsets are kept in extractions from tilt images only; use --from tilts, or --fold-offsets.")
    device = resolve_device(options.device)
    reporter.stage("reading tomograms")
    positions = particles.positions(tomograms)
    plans = make_plans(options, particles, positions, tomograms, reporter)
    _say(options, particles, plans, has_trajectories, reporter)

    reporter.stage("extracting", sum(len(plan.rows) for plan in plans), "particles")
    reasons = {int(row): OUTSIDE for plan in plans for row in plan.outside}
    done: list[Extracted] = []
    with threadpool_limits(1):  # the threads are over particles
        for plan in plans:
            if not len(plan.rows):
                continue
            extracted = Cutter(plan, options, folder.path, device).run(reporter)
            reasons |= dict.fromkeys(extracted.broken, NOT_A_NUMBER)
            done.append(extracted)
            _say_evenness(plan, extracted, reporter)
    kept = np.array([row for row in range(particles.n) if row not in reasons], dtype=np.int64)
    if not len(kept):
        raise GeometryError(f"Expected numbers in the boxes, found that each {NOT_A_NUMBER}; reconstruct the tomograms again.")

    reporter.stage("tables and pictures")
    stems = {int(row): stem for plan in plans for row, stem in zip(plan.rows, plan.stems, strict=True)}
    outputs = {"particles": folder.file("particles.star"), "optimisation_set": folder.file("optimisation_set.star")}
    write_particles(outputs["particles"], _table(options, particles, positions, tomograms, kept, [stems[row] for row in kept], folder))
    write_optimisation_set(
        outputs["optimisation_set"],
        particles=folder.name("particles.star"),
        tomograms=None if tomograms.path is None else folder.link(tomograms.path),
    )
    outputs["montage"] = folder.file("montage.png")
    _montage(outputs["montage"], options, plans, particles.names, kept, device)
    summary = [f"{len(kept)} of {particles.n} particles extracted in a box of {options.written_size} px."]
    summary += report_dropped(folder, particles, reasons, outputs, reporter, "the box ")
    uneven = [e.unevenness for e in done if e.unevenness is not None]
    numbers: dict[str, Any] = {
        "particles": len(kept),
        "dropped": len(reasons),
        "skipped": sum(e.skipped for e in done),
        "box": options.written_size,
        "pixel_size": plans[0].tomogram.frame.pixel_size * options.binning,
        "noise_unevenness": max(uneven, default=None),
    }
    return JobResult(outputs, tuple(summary), numbers)


def _say(options: ExtractOptions, particles: ParticleSet, plans: Sequence[Plan], has_trajectories: bool, reporter: Reporter) -> None:
    """The choices that the files depend on."""
    known = sum(plan.series.has_ctf for plan in plans)
    meaning = {
        "none": "the tomograms hold the CTF as it is",
        "phase-flipped": "the tomograms hold the modulus of the CTF",
        "corrected": "the tomograms hold no CTF",
    }[options.tomogram_ctf]
    if known:
        reporter.message(f"Tomogram CTF: {options.tomogram_ctf} ({meaning}; --tomogram-ctf); defocus is known for {known} of {len(plans)}.")
    stamped = [plan for plan in plans if written_by_relion(plan.volume.paths[0])] if options.tomogram_ctf == "none" and known else []
    if stamped:
        reporter.warn(
            f"{stamped[0].volume.paths[0].name} was written by RELION, which corrects the CTF of tomograms by default: "
            "use --tomogram-ctf corrected unless they were reconstructed with --noctf."
        )
    if known < len(plans) and options.tomogram_ctf != "corrected":
        names = ", ".join(plan.tomogram.name for plan in plans if not plan.series.has_ctf)
        reporter.warn(f"No defocus is known for {names}: their particles get weights without a CTF.")
    contrast = "inverted: dark protein becomes bright" if options.invert else "kept: the tomograms show bright protein"
    reporter.message(f"Contrast {contrast} (--invert).")
    if any(particles.has(label) for label in relion.SUBTOMOGRAM_ANGLES):
        reporter.message(
            "The boxes lie along the axes of the tomograms: subtomogram frames become 0, angles and priors are turned to match "
            "(same orientations in the tomogram)."
        )
    if particles.has(*relion.ORIGINS) and np.any(particles.origins):
        reporter.message("Origins are folded into the coordinates, as RELION does.")
    if options.output_format == "relion31" and options.float16:
        reporter.message("RELION 3.1 does not read float16: float32 is written.")
    if has_trajectories:
        reporter.warn("Trajectories are not used, and not passed on, when subtomograms are cut from tomograms.")
    for plan in plans:
        if plan.tomogram.size_warning:
            reporter.warn(plan.tomogram.size_warning)


def _say_evenness(plan: Plan, extracted: Extracted, reporter: Reporter) -> None:
    if extracted.unevenness is None:
        return
    reporter.event("noise", tomogram=plan.tomogram.name, unevenness=round(extracted.unevenness, 3))
    if extracted.unevenness > UNEVEN:
        reporter.warn(
            f"The noise of {plan.tomogram.name} does not follow its tilts (off by {100 * extracted.unevenness:.0f} % within shells): "
            "weights are right for weighted back-projections without further filters."
        )


def _table(
    options: ExtractOptions,
    particles: ParticleSet,
    positions: FloatArray,
    tomograms: TomogramSet,
    kept: npt.NDArray[np.int64],
    stems: Sequence[str],
    folder: JobFolder,
) -> ParticleSet:
    """The particles that were written, in the format wanted."""
    known: dict[str, Tomogram] = {name: tomograms[name] for name in dict.fromkeys(particles.tomo_names)}
    named = particles.with_columns({relion.TOMO_PARTICLE_NAME: particles.names}).select(kept)
    rows = [known[name] for name in named.tomo_names]
    turned = turned_into_tomogram(named, positions[kept])
    table = optics_table(turned, rows, options.binning, options.written_size, options.output_format == "relion5")
    first, second = ENDINGS[options.output_format]
    images = {
        relion.IMAGE_NAME: [folder.name(stem + first) for stem in stems],
        relion.CTF_IMAGE: [folder.name(stem + second) for stem in stems],
    }
    if options.output_format == "relion31":
        return relion31_table(table, rows, positions[kept]).with_columns(images)
    return relion5_table(table).with_columns(images)


def _montage(
    path: Path, options: ExtractOptions, plans: Sequence[Plan], names: Sequence[str], kept: npt.NDArray[np.int64], device: str
) -> None:
    wanted = set(kept[:MOST].tolist())
    crops: dict[int, npt.NDArray[np.float32]] = {}
    for plan in plans:
        for particle, row in enumerate(plan.rows.tolist()):
            if row in wanted:
                crops[row] = np.asarray(to_host(cut(plan, particle, grey_scale(plan, options), device)))
    order = sorted(crops)
    voxel_size = plans[0].tomogram.frame.pixel_size * options.binning
    resolution = low_pass_resolution(voxel_size, options.box_size)
    draw_montage(path, [crops[row] for row in order], [names[row] for row in order], voxel_size, resolution)
