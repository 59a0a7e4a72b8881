"""A setup of the engine from particles, masks and references, wherever they come from: frames, folds, limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.engine import Setup
from napari_subtomo.em.frames import Held
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.maximisation import Maximiser
from napari_subtomo.em.model import Particles
from napari_subtomo.em.noise import NoiseGroups
from napari_subtomo.em.poses import frames_beside
from napari_subtomo.em.prepare import Prepared, particle_power, prepare
from napari_subtomo.em.remembered import Load
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
MASK_EDGE_PX = 5.0


@dataclass(frozen=True)
class Labels:
    """Optics group and tomogram (scale group) of each particle as indices from 0, shape (n,), and the tomograms' names."""

    optics: npt.NDArray[np.int64]
    tomogram: npt.NDArray[np.int64]
    tomogram_names: tuple[str, ...]


def particle_frames(options: ClassifyOptions, angles: FloatArray) -> FloatArray:
    """Frames that particles with these input orientations (n, 3, 3) are prepared in.

    Those, where they stay as they are; frames beside them (`PoseGrid.beside`) for a search about them; the boxes' where all are searched.
    """
    if not options.align or options.local_range == 0:
        return angles
    return frames_beside(angles) if options.local_range > 0 else np.repeat(np.eye(3)[None], len(angles), axis=0)


def particle_mask(options: ClassifyOptions, box: int, pixel_size: float) -> npt.NDArray[np.float32] | None:
    """The mask of the particles in the E-step, where there is one."""
    return soft_sphere(box, options.mask_diameter / 2 / pixel_size, MASK_EDGE_PX) if options.mask_particles else None


def prepared_of(
    options: ClassifyOptions,
    load: Load,
    poses: tuple[FloatArray, FloatArray],
    box: int,
    pixel_size: float,
    reporter: Reporter,
    held: Path | None = None,
    device: str = "cpu",
) -> Prepared:
    """Particles resampled in their frames, as `assemble` wants them.

    Parameters
    ----------
    options : ClassifyOptions
    load : callable
        Particle by index in the engine's order.
    poses : tuple
        As in `assemble`.
    box : int
        Pixels.
    pixel_size : float
        Å.
    reporter : Reporter
    held : Path, optional
        Folder for them; without it they are kept in memory.
    device : str
        On which they are turned.
    """
    angles, offsets = poses
    mask = particle_mask(options, box, pixel_size)
    lattice = Lattice.of(box, box // 2)
    frames = particle_frames(options, angles)
    return prepare(load, frames, offsets, lattice, options.threads, reporter, mask, folder=held, device=device)


def assemble(
    options: ClassifyOptions,
    prepared: Prepared,
    load: Load,
    order: npt.NDArray[np.int64],
    poses: tuple[FloatArray, FloatArray],
    labels: Labels,
    references: npt.NDArray[np.float32],
    mask: npt.NDArray[np.float32],
    pixel_size: float,
    devices: tuple[str, ...],
    noise_groups: NoiseGroups | None = None,
) -> Setup:
    """A setup of prepared particles: draw folds, set limits.

    Parameters
    ----------
    options : ClassifyOptions
    prepared : Prepared
        In their `particle_frames`.
    load : callable
        Particle by index in the engine's order.
    order : ndarray, shape (n,)
        Row of the file of each.
    poses : tuple
        Input orientations A (n, 3, 3) and offsets (n, 3) in pixels, where the particle sits relative to the box centre.
    labels : Labels
    references : ndarray, shape (1 or classes, box, box, box)
        Low-passed and masked.
    mask : ndarray, shape (box, box, box)
    pixel_size : float
        Å.
    devices : tuple of str
    noise_groups : NoiseGroups, optional
        Those of another setup; without them those of these particles, as the options have it.
    """
    angles, offsets = poses
    box, count = mask.shape[0], len(order)
    frames, lattice, masked = particle_frames(options, angles), prepared.lattice, particle_mask(options, box, pixel_size)
    share = 1.0 if masked is None else float((masked.astype(np.float64) ** 2).mean())
    limit = lattice.last_shell
    if options.highres_limit > 0:
        limit = min(limit, max(1, int(box * pixel_size / options.highres_limit + 0.5)))
    folds = min(options.folds, count)
    fold = np.empty(count, np.int64)
    fold[np.random.default_rng([options.seed, 2]).permutation(count)] = np.arange(count) % folds
    # with one orientation each, data stay on the particles' own lattice: nothing is interpolated
    one_orientation = not options.align or (options.local_range == 0 and not options.relax_symmetry)
    grid = PaddedGrid(box, 1, exact=True) if one_orientation else PaddedGrid(box)
    groups = noise_groups or NoiseGroups.of(options.noise_by, labels.optics, labels.tomogram)
    noise = groups.index(labels.optics, labels.tomogram)
    return Setup(
        options=options,
        prepared=prepared,
        load=load,
        particles=Particles(noise, np.arange(count) if options.particle_scales else labels.tomogram, fold),
        order=order,
        frames=frames,
        input_orientations=angles,
        input_offsets=offsets,
        centres=offsets,
        particle_mask=masked,
        held=Held(frames, offsets),
        power=particle_power(prepared, noise, len(groups)),
        noise_groups=groups,
        references=references,
        maximiser=Maximiser(grid, mask, lattice.last_shell, lattice.last_shell + 1, share),
        mates=symmetry_matrices(options.symmetry),
        group_names=labels.tomogram_names,
        pixel_size=pixel_size,
        initial_shell=int(np.clip(round(box * pixel_size / options.initial_lowpass), min(3, limit), limit)),
        limit_shell=limit,
        tomograms=labels.tomogram,
        map_shell=_map_shell(options, lattice, box * pixel_size),
        relaxed=symmetry_matrices(options.relax_symmetry) if options.relax_symmetry else None,
        devices=devices,
    )


def _map_shell(options: ClassifyOptions, lattice: Lattice, extent: float) -> int:
    """Shell to which maps are made at least, for a box of `extent` Å."""
    if options.map_limit < 0:
        return 0
    return lattice.last_shell if options.map_limit == 0 else min(lattice.last_shell, int(extent / options.map_limit + 0.5))
