"""The job: extracted particles in; seven verdicts as text, JSON and pictures out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_subtomo.check.box import box_before_crop, check_box
from napari_subtomo.check.centre import check_centre
from napari_subtomo.check.geometry import Tried, check_hand, check_wedge, try_geometries
from napari_subtomo.check.pictures import draw_pictures
from napari_subtomo.check.pixels import check_pixels
from napari_subtomo.check.report import summary_lines, write_report
from napari_subtomo.check.sample import Sample, choose_rows, read_sample
from napari_subtomo.check.signal import check_contrast, check_signal
from napari_subtomo.check.verdict import FAIL, PASS, Verdict
from napari_subtomo.check.wedge import Directions, Turn, measure, turn_of
from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import InputError
from napari_subtomo.io.optimisation import resolve_inputs
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.subtomograms import has_stacks, open_subtomograms
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.options.check_extraction import CheckExtractionOptions
from napari_subtomo.progress import Reporter


@dataclass(frozen=True, eq=False)
class Findings:
    """Verdicts, and what pictures are made of.

    Attributes
    ----------
    verdicts : tuple of Verdict
        In the order of `verdict.TITLES`.
    sample : Sample
    tried : Tried
    directions : Directions or None
    turn : Turn or None
    diameter : float
        Å.
    """

    verdicts: tuple[Verdict, ...]
    sample: Sample
    tried: Tried
    directions: Directions | None
    turn: Turn | None
    diameter: float

    def __getitem__(self, name: str) -> Verdict:
        """The verdict of this name."""
        return next(verdict for verdict in self.verdicts if verdict.name == name)


def run(options: CheckExtractionOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Check the particles of an extraction.

    Parameters
    ----------
    options : CheckExtractionOptions
    folder : JobFolder
        Gets checks.json, checks.txt and pictures.
    reporter : Reporter

    Returns
    -------
    JobResult
        Outputs "checks", "text" and one "picture_…" for each picture; numbers: particles, and how many checks passed, failed, or could
        not tell.

    Raises
    ------
    InputError
        Particles that are not extracted, or missing or broken files.
    """
    particles, tomograms, _ = resolve_inputs(options, folder.project)
    found = check(options, particles, tomograms, folder.project, folder.path, reporter)
    reporter.stage("pictures")
    outputs = {f"picture_{name}": path for name, path in draw_pictures(found, folder.path).items()}
    outputs |= write_report(found.verdicts, found.sample, outputs, folder)
    counts = {status.replace(" ", "_"): sum(v.status == status for v in found.verdicts) for status in ("pass", "fail", "cannot tell")}
    return JobResult(outputs, summary_lines(found.verdicts), {"particles": found.sample.n, **counts})


def check(
    options: CheckExtractionOptions,
    particles: ParticleSet,
    tomograms: TomogramSet | None,
    project: Project,
    scratch: Path,
    reporter: Reporter,
) -> Findings:
    """All seven checks; parameters and errors as in `run`, `scratch` is a folder for temporary files."""
    from threadpoolctl import threadpool_limits

    if particles.n == 0:
        raise InputError(f"Expected at least one particle in {particles.path}, found none.")
    chosen = particles.select(choose_rows(particles.tomo_names, options.count))
    source = open_subtomograms(chosen, project, tomograms)
    reporter.message(f"{chosen.n} of {particles.n} particles of {len(source.tomogram_names)} tomograms are looked at.")
    with threadpool_limits(1):  # the threads are over particles
        sample = read_sample(source, chosen, options.threads, reporter)
        diameter = options.diameter if options.diameter > 0 else sample.extent * 2 / 3
        signal = check_signal(sample)
        centre, middle = check_centre(sample, min(diameter, sample.extent), signal.status == PASS)
        contrast = check_contrast(sample, min(diameter, sample.extent), middle)
        square, _ = box_before_crop(sample, options, project)
        tried = try_geometries(sample, diameter, tomograms, source, square, scratch, options.threads, reporter)
        directions, reason = measure(sample, tomograms, has_stacks(chosen), reporter)
    turn = turn_of(directions) if directions is not None else None
    known = [tomograms[name] for name in sample.tomogram_names] if tomograms is not None else []
    voltage = next((t.voltage for t in known if t.voltage), None)
    wedge = check_wedge(directions, turn, reason, tried)
    doubt = "there is no sure signal" if signal.status != PASS else "the tilt angles are wrong" if wedge.status == FAIL else ""
    verdicts = (
        signal,
        centre,
        check_box(sample, diameter, tomograms, options, project),
        contrast,
        check_hand(tried, [float(np.sign(t.hand)) for t in known], voltage, doubt),
        wedge,
        check_pixels(chosen, tomograms, project),
    )
    return Findings(verdicts, sample, tried, directions, turn, diameter)
