"""The grid of an average from tilt images: pixel, binning, boxes, and the memory that it takes."""

from __future__ import annotations

import numpy as np

from napari_subtomo.errors import GeometryError, OptionError, SubtomoError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.options.reconstruct import ReconstructOptions

WIDER = 1.5  # box against cropped box, where none is given
_SAME = 1e-3  # relative difference of pixels that are the same
_PRINTED = 1e-5  # of numbers that went through a file


def needed_memory(square: int, binning: float, tilts: int, threads: int) -> float:
    """Bytes that averaging from tilt images takes beside the images themselves.

    24 a node of the grid for the sums of each half; then either six complex transforms, while a map is made, or 12 a node for each block of
    particles in work or waiting, with the squares and transforms of a particle's images in each thread.
    """
    nodes, side = square**2 * (square // 2 + 1), square * binning
    particle = tilts * (12 * side**2 + 60 * square**2)
    return 2 * 24 * nodes + max(6 * 16 * nodes, (threads + 2) * 12 * nodes + threads * particle)


def common_pixel(particles: ParticleSet, tomograms: TomogramSet) -> float:
    """Pixel of the tilt series, Å; they have to agree, for the particles go into one grid."""
    pixels = {name: tomograms[name].frame.pixel_size for name in dict.fromkeys(particles.tomo_names)}
    first = next(iter(pixels.values()))
    for name, pixel in pixels.items():
        if abs(pixel - first) > _SAME * first:
            raise GeometryError(
                f"Expected tilt series of one pixel size, found {pixel:g} Å in {name} and {first:g} Å in {next(iter(pixels))}; "
                "average them apart, or extract them with binnings that give one pixel and average the subtomograms."
            )
    return first


def chosen_binning(options: ReconstructOptions, particles: ParticleSet, pixel: float) -> float:
    """The option, else that of the extracted particles, else 1."""
    if options.binning is not None:
        return options.binning
    if particles.optics is None or not particles.optics.has(relion.IMAGE_PIXEL_SIZE):
        return 1.0
    binning = particles.pixel_size / pixel
    if abs(binning - round(binning, 3)) < _PRINTED * binning:
        binning = round(binning, 3)
    if binning < 1:
        raise OptionError(
            f"Expected particles of pixels that are not finer than the tilt images' ({pixel:g} Å), found {particles.pixel_size:g} Å."
        )
    return binning


def chosen_boxes(options: ReconstructOptions, particles: ParticleSet, pixel_size: float) -> tuple[int, int]:
    """Box in which particles are averaged, and that of the maps: without any option as wide as that of the extracted particles."""
    box = options.crop_size
    if box is None and options.box_size is not None:
        return options.box_size, options.box_size
    if box is None:
        try:
            box = 2 * int(np.ceil(particles.box_size * particles.pixel_size / pixel_size / 2 - _SAME))
        except SubtomoError as error:
            raise OptionError("Expected the box of the map, found none: the particles were not extracted; give --box-size.") from error
    square = options.box_size or 2 * int(np.ceil(WIDER * box / 2))
    if box % 2 or square < box:
        raise GeometryError(f"Expected a cropped box that is even and at most {square} px (the box), found {box}.")
    return square, box
