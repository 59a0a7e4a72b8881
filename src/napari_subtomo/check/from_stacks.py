"""Trials on particles kept as 2D stacks, where the tilt images are not there.

Their images are multiplied with the CTF of one hand. The other one is put on by dividing and multiplying, ``X·C'·C / (C² + ε)``, and
the claimed one goes through the same division, so that neither gains by it. Places in the images cannot be changed any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from napari_subtomo.check.trials import Grid, Makers, Source, Trial
from napari_subtomo.geometry.projection import defocus_offset, tilt_matrices
from napari_subtomo.io.modulation import Modulation
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.stacks import StackSubtomograms, stack_images
from napari_subtomo.numerics.fourier import resize_centred
from napari_subtomo.tilts.slices import Slices

FloatArray = npt.NDArray[np.float64]
EPSILON = 0.05


def stack_source(stacks: StackSubtomograms, particles: ParticleSet, trials: Sequence[Trial], grid: Grid) -> Source:
    """Makers of slices from stacks; `particles` are those of the stacks, in their order."""
    orientations = particles.orientations
    names = list(stacks.tomogram_names)

    @contextmanager
    def makers(name: str, rows: npt.NDArray[np.int64]) -> Iterator[Makers]:
        tilts = stacks.tilts[names.index(name)]
        pixel = float(tilts.tomogram.pixel_size or stacks.pixel_size)
        modulation = Modulation(tilts.series, tilts.tomogram, grid.square, stacks.pixel_size)
        visible = np.stack([stacks.visible[row] for row in rows])
        made, axes, depths = [], [], []
        for trial in trials:
            tomogram, series = trial.of(tilts.tomogram, tilts.series)
            matrices = tilt_matrices(series)
            depth = np.einsum("tj,nj->nt", tilts.matrices[:, 2], stacks.centres[rows]) / pixel
            depths.append(defocus_offset(depth, pixel, tomogram.hand, tomogram.defocus_slope))
            axes.append(np.einsum("tij,njk->ntik", matrices[:, :2], orientations[rows]) * (grid.box / grid.square))
            made.append(_maker(stacks, rows, modulation, depths[0], depths[-1], visible, grid))
        yield Makers(made, axes, visible, depths[0])

    return makers


def _maker(
    stacks: StackSubtomograms,
    rows: npt.NDArray[np.int64],
    modulation: Modulation,
    claimed: FloatArray,
    depth: FloatArray,
    visible: npt.NDArray[np.bool_],
    grid: Grid,
) -> Callable[[int], Slices]:
    def slices(i: int) -> Slices:
        row, seen = int(rows[i]), np.flatnonzero(visible[i])
        images = stack_images(stacks.paths[row], stacks.box, stacks.visible[row])
        large = resize_centred(images, (len(images), grid.square, grid.square))
        values = np.fft.rfft2(np.fft.ifftshift(large, axes=(1, 2))).astype(np.complex64)
        here, there = modulation.at(seen, claimed[i, seen]), modulation.at(seen, depth[i, seen])
        kept = here**2 / (here**2 + EPSILON) if stacks.premultiplied[row] else np.ones_like(here)
        values *= there * here / (here**2 + EPSILON) if stacks.premultiplied[row] else there
        return Slices(values, there * np.sqrt(kept), modulation.counts(seen), seen)

    return slices
