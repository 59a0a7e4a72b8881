"""What an extraction from tilt images costs: per particle a square of each image is transformed back and forth, in 3D also inserted."""

from __future__ import annotations

import math

from napari_subtomo.jobs.costs import Costs, per_transform, shared_by
from napari_subtomo.jobs.facts import Facts
from napari_subtomo.jobs.rates import DEFAULT, Rates
from napari_subtomo.options.extract import ExtractOptions

_HEADER = 1024  # bytes of an MRC header
_TILTS = 41  # where nothing is known
#: seconds of a thread with the default rates: per pixel cut and transformed, per pixel of the box, per value written, per sample inserted
_CUT, _PIXEL, _VALUE, _SAMPLE = 4e-9, 1.2e-8, 6e-9, 2e-7
_READ = 1e9  # bytes per second


def from_tilts(options: ExtractOptions, facts: Facts) -> bool:
    """Whether the job will extract from tilt images, as far as is known."""
    return options.source == "tilts" or (options.source == "auto" and not options.needs_tomograms and bool(facts.has_tilt_images))


def frames(options: ExtractOptions, facts: Facts) -> int:
    """Tilt images of a series that the maximum dose leaves."""
    if options.max_dose == -1 or facts.doses is None:
        return facts.tilts or _TILTS
    return sum(dose <= options.max_dose for dose in facts.doses)


def tilt_costs(options: ExtractOptions, facts: Facts, rates: Rates) -> Costs | None:
    """Costs; None where the number of particles is not known."""
    n = facts.n_particles
    if not n:
        return None
    tilts, tomograms = frames(options, facts), facts.n_tomograms or 1
    if tilts == 0:
        return Costs(0, 0, 0, note=f"No tilt image has an exposure of at most {options.max_dose:g} e/Å² before it")
    box, size = options.box_size, options.written_size
    pixels, samples = tilts * box**2, tilts * math.pi / 8 * box**2
    slower = rates.transform / DEFAULT.transform
    work = _CUT * tilts * (box * options.binning) ** 2 + _PIXEL * pixels
    values, files = tilts * size**2, 1
    memory = 100e6 + (facts.series_bytes or 0) * tilts / (facts.tilts or tilts) + options.threads * 90 * pixels
    if not options.stack2d:
        values, files = size**3 + 2 * size * size * (size // 2 + 1), 2
        work += _SAMPLE * samples + 4e-9 * pixels
        memory += options.threads * (270 * samples + 60 * size**3)
    seconds = n * (slower * (work + _VALUE * values) + (0 if options.stack2d else per_transform(size, rates)) + 3e-4 * files)
    setup = 1.5 + tomograms * ((facts.series_bytes or 0) / _READ + 0.05)  # images are read; the montage
    disk = n * (values * (2 if options.float16 else 4) + files * _HEADER + 400)
    return Costs(seconds / shared_by(options.threads, facts.cores, n) + setup, memory, disk)
