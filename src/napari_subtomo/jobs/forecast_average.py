"""What averaging particles in tilt images costs: a square of each image is cut and transformed, and inserted into the grid of the map."""

from __future__ import annotations

import math

from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.jobs.costs import Costs, shared_by
from napari_subtomo.jobs.facts import Facts
from napari_subtomo.jobs.rates import DEFAULT, Rates
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.reconstruct.tilt_grid import WIDER, needed_memory

_HEADER = 1024  # bytes of an MRC header
_TILTS = 41  # where nothing is known
#: seconds of a thread with the default rates: per pixel cut and transformed, per pixel of the box, and per pixel of it that is inserted
_CUT, _PIXEL, _INSERT = 4e-9, 1.4e-8, 5e-8
_READ = 1e9  # bytes per second


def averages_tilts(options: ReconstructOptions, facts: Facts) -> bool:
    """Whether the job will average from tilt images, as far as is known."""
    if options.source != "auto":
        return options.source == "tilts"
    return options.needs_tilts is not None or (facts.extracted is False and bool(facts.has_tilt_images))


def tilt_average_costs(options: ReconstructOptions, facts: Facts, rates: Rates) -> Costs | None:
    """Costs; None where the number of particles or the box are not known."""
    own = facts.particle_pixel / facts.pixel_size if facts.particle_pixel and facts.pixel_size else 1.0
    binning = options.binning or own
    n, box = facts.n_particles, options.crop_size or options.box_size or round((facts.particle_box or 0) * own / binning)
    if not n or not box:
        return None
    square = options.box_size or 2 * math.ceil(WIDER * box / 2)
    tilts, tomograms, nodes = facts.tilts or _TILTS, facts.n_tomograms or 1, square**2 * (square // 2 + 1)
    slower = rates.transform / DEFAULT.transform
    one = slower * tilts * (_CUT * (square * binning) ** 2 + (_PIXEL + _INSERT) * square**2) + 5e-4 + 1e-8 * nodes / 8
    mates = len(symmetry_matrices(options.symmetry))
    turned = nodes * mates * (rates.points + 3 * rates.values) if mates > 1 else 0.0
    maps = 3 * (4 * rates.transform * square**3 + 1e-7 * nodes + turned)
    setup = 1.0 + tomograms * ((facts.series_bytes or 0) / _READ + 0.05)
    images = facts.series_bytes or 0
    if facts.free_memory is not None:
        images = min(images, facts.free_memory // 2)  # the rest is mapped from files
    memory = 100e6 + images + needed_memory(square, binning, tilts, options.threads)
    return Costs(n * one / shared_by(options.threads, facts.cores, n) + maps + setup, memory, 3 * (4 * box**3 + _HEADER) + 1e5)
