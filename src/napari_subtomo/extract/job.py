"""The job: particles and their tomograms or tilt series in; images, weights and particles.star out."""

from __future__ import annotations

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import InputError
from napari_subtomo.extract.from_tilts import extract_from_tilts
from napari_subtomo.extract.from_tomograms import extract_from_tomograms
from napari_subtomo.extract.recentre import recentre
from napari_subtomo.extract.source import choose_source
from napari_subtomo.io.optimisation import resolve_inputs
from napari_subtomo.io.project import JobFolder
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.progress import Reporter


def run(options: ExtractOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Extract each particle, from tilt images or from tomograms.

    Parameters
    ----------
    options : ExtractOptions
    folder : JobFolder
        Gets Subtomograms/, particles.star, optimisation_set.star, montage.png and, if particles were dropped, dropped.star. Files of an
        unfinished run with equal options are kept.
    reporter : Reporter

    Returns
    -------
    JobResult
        Outputs "particles", "optimisation_set", "montage", "dropped"; numbers "particles", "dropped", "skipped", "box", "pixel_size", and
        "noise_unevenness" (from tomograms) or "frames" (from tilt images: the mean number of visible ones).

    Raises
    ------
    InputError
        No particles or tomograms, files that are missing or contradict the tomogram set, boxes that do not fit.
    """
    particles, tomograms, trajectories = resolve_inputs(options, folder.project)
    if tomograms is None:
        raise InputError("Expected tomograms to extract from, found none; give --tomograms or --optimisation-set.")
    if particles.n == 0:
        raise InputError(f"Expected at least one particle in {particles.path}, found none.")
    particles = recentre(options, particles, tomograms, reporter)
    source, why = choose_source(options, particles, tomograms)
    reporter.message(why)
    if source == "tilts":
        return extract_from_tilts(options, particles, tomograms, trajectories, folder, reporter)
    return extract_from_tomograms(options, particles, tomograms, folder, reporter, has_trajectories=trajectories is not None)
