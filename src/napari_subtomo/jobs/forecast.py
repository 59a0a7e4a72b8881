"""Memory, disk and time of a job before it runs, from what its code allocates and how often it does what.

The formulas follow the arrays of `em`, `extract` and `reconstruct`; rates come from `jobs.rates`. How far forecasts are off is measured by
`benchmarks/forecast.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from napari_subtomo.extract.resample import Resampling
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.jobs.costs import Costs, nodes_of, per_transform, shared_by
from napari_subtomo.jobs.facts import Facts
from napari_subtomo.jobs.forecast_average import averages_tilts, tilt_average_costs
from napari_subtomo.jobs.forecast_classify import classify_costs
from napari_subtomo.jobs.forecast_extract import from_tilts, tilt_costs
from napari_subtomo.jobs.rates import DEFAULT, Rates
from napari_subtomo.numerics.backend import expects_loops, loops_bytes
from napari_subtomo.options.base import JobOptions
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.options.extract import ExtractOptions
from napari_subtomo.options.reconstruct import ReconstructOptions

_HEADER = 1024  # bytes of an MRC header
_GIVE = 0.8  # share of the free memory that a job may count on
_LONG = 24 * 3600.0  # s, from which on a job may be worth to be planned otherwise


@dataclass(frozen=True)
class Forecast:
    """What a job will take.

    Attributes
    ----------
    seconds : float
    memory_bytes : int
        Largest at any time, of main memory; pages of memory-mapped tomograms are not counted.
    disk_bytes : int
        Written in all.
    sentence : str
        The same for a form, with a warning where memory or disk will not do.
    fits : bool
        Whether memory and disk will do, as far as is known.
    """

    seconds: float
    memory_bytes: int
    disk_bytes: int
    sentence: str
    fits: bool = True


def forecast(job: str, options: JobOptions, facts: Facts, rates: Rates = DEFAULT) -> Forecast | None:
    """What a job will take; None where too little is known of its inputs, and for jobs that take no time to speak of.

    Parameters
    ----------
    job : str
        A job's name, as in `jobs.registry`.
    options : JobOptions
    facts : Facts
    rates : Rates
        From `measure_rates`, else guesses.
    """
    costs: Costs | None = None
    if isinstance(options, ExtractOptions):
        costs = tilt_costs(options, facts, rates) if from_tilts(options, facts) else _extract(options, facts, rates)
    elif isinstance(options, ReconstructOptions):
        costs = tilt_average_costs(options, facts, rates) if averages_tilts(options, facts) else _reconstruct(options, facts, rates)
    elif isinstance(options, ClassifyOptions):
        costs = classify_costs(options, facts, rates)
    if costs is None:
        return None
    sentence, fits = _sentence(costs, facts, rates)
    return Forecast(costs.seconds, int(costs.memory), int(costs.disk), sentence, fits)


def _extract(options: ExtractOptions, facts: Facts, rates: Rates) -> Costs | None:
    """Per particle: a piece is read and resampled, the CTF of each tilt is spread over its plane, four transforms, two files."""
    total, binning = facts.n_particles, facts.tomogram_binning
    if not total or not binning or facts.pixel_size is None:
        return None
    box, written, tilts, tomograms = options.box_size, options.written_size, facts.tilts or 41, facts.n_tomograms or 1
    fitting = facts.fitting(written * options.binning * facts.pixel_size)
    n = total if fitting is None else fitting
    if n == 0:
        return Costs(0, 0, 0, note=f"None of the {total} particles is so far from the rim of its tomogram that a box of {written} px fits")
    side = Resampling(box, max(1.0, options.binning / binning)).side
    # voxels within one Fourier pixel of the central plane of each tilt, in half of the box
    pairs = tilts * math.pi / 4 * box**2
    threads = shared_by(options.threads, facts.cores, n)
    products = 2 * side**3 * box + 2 * side**2 * box**2 + 2 * side * box**3
    transforms = 4 if written == box else 6
    one = products / rates.product + transforms * per_transform(box, rates) + 5e-9 * side**3 + 1e-7 * pairs + 2e-3
    setup = tomograms * (0.2 + 4e-7 * pairs + tilts * 4e-9 * (8 * box) ** 2)
    shown = min(n, 100) * 4e-3 + 1.0  # the montage
    volume = written**3 + (2 * written if options.output_format == "relion5" else written) * written * (written // 2 + 1)
    bytes_each = volume * (2 if options.float16 and options.output_format == "relion5" else 4) + 2 * _HEADER
    memory = 86e6 + 30 * pairs + 120 * box**3 + options.threads * (12 * side**3 + 50 * box**3)
    note = f"{total - n} of {total} particles are too close to the rim for a box of {written} px and will be dropped" if n < total else ""
    return Costs(n * one / threads + setup + shown, memory, n * bytes_each + 400 * n, note=note)


def _reconstruct(options: ReconstructOptions, facts: Facts, rates: Rates) -> Costs | None:
    """Per particle: one transform, interpolation at all its voxels, two insertions; two sums of complex128 and float64, three maps."""
    n, box = facts.n_particles, facts.particle_box
    if not n or not box:
        return None
    nodes, points = nodes_of(box), 2 / 3 * math.pi * (box / 2) ** 3
    block = min(max(1, int(2_000_000 // points)), 16, n)
    threads = shared_by(options.threads, facts.cores, max(1, n // block))
    one = per_transform(box, rates) + points * (rates.points + 8 * rates.values + 6e-8) + 1.5e-3
    mates = len(symmetry_matrices(options.symmetry))
    turned = 0.5 * nodes * mates * (rates.points + 3 * rates.values) if mates > 1 else 0.0  # nodes within the sphere
    maps = 3 * (8 * rates.transform * (2 * box) ** 3 + 1e-7 * nodes + turned)
    each = (14 if expects_loops() else 30) * points + 24 * box**3  # a sparse matrix has many numbers for each point
    memory = 90e6 + loops_bytes() + 2 * 24 * nodes + 70 * nodes + threads * block * each + (threads + 1) * 12 * nodes
    disk = 3 * (4 * (options.crop_size or box) ** 3 + _HEADER) + 1e5
    return Costs(n * one / threads + maps + 2.0, memory, disk)


def _sentence(costs: Costs, facts: Facts, rates: Rates) -> tuple[str, bool]:
    """Time, memory and disk in words, and whether they will do."""
    if costs.seconds == 0:
        return f"{costs.note}.", False
    text = f"About {duration(costs.seconds)} and {size(costs.memory)} of memory; writes {size(costs.disk)}."
    if not rates.measured:
        text = text.replace("About", "Roughly", 1)
    if costs.note:
        text = f"{text} {costs.note}."
    if costs.seconds > _LONG:
        text = f"{text} To be faster, {costs.faster}."
    fits = True
    if facts.free_memory is not None and costs.memory > _GIVE * facts.free_memory:
        text, fits = f"{text} Only {size(facts.free_memory)} of memory are free: {costs.remedy}.", False
    if facts.free_disk is not None and costs.disk > facts.free_disk:
        text, fits = f"{text} Only {size(facts.free_disk)} are free on the disk.", False
    return text, fits


def duration(seconds: float) -> str:
    """Seconds in words that claim no more than is known."""
    if seconds < 60:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 3600:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    if hours > 48:
        return f"{hours / 24:.0f} days"
    return f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"


def size(count: float) -> str:
    """Bytes in words."""
    if count < 1e9:
        return f"{max(1, round(count / 1e6))} MB"
    return f"{count / 1e9:.1f} GB" if count < 1e11 else f"{count / 1e9:.0f} GB"
