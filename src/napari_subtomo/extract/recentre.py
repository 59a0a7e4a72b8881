"""Refined particles made ready to be extracted again: offsets forgotten, or coordinates moved to a point of the refined map."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.options.recentre import RecentreOptions
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]


def reset(particles: ParticleSet) -> ParticleSet:
    """The set with origins 0 and the same coordinates: every box lies where it was cut.

    Nothing else changes; a set without origins comes back as it is.
    """
    if not particles.has(*relion.ORIGINS) and not particles.has(*relion.ORIGINS_PX):
        return particles
    return particles.with_poses(origins=np.zeros((particles.n, 3)))


def recentred(particles: ParticleSet, point: npt.ArrayLike = (0.0, 0.0, 0.0), tomograms: TomogramSet | None = None) -> ParticleSet:
    """The set with coordinates at a point of the refined map and origins 0; orientations, half sets and all else are kept.

    With ``A_tot = S·A`` the point r of the map (Å from the centre of its box) lies at ``c - S·o + A_tot·r`` in the tomogram. This is
    what `relion_star_handler --center` (``o - A·r``) followed by an extraction, which puts origins into the coordinates, comes to.

    Parameters
    ----------
    particles : ParticleSet
        Refined: with angles A, origins o (Å) and, for a point other than the centre, the pixel size of its images.
    point : array_like, shape (3,)
        xyz from the centre ``n // 2`` of the refined map, in pixels of that map, which are those of the particles' images.
    tomograms : TomogramSet, optional
        Needed for coordinates in pixels (RELION 4 and before).

    Raises
    ------
    InputError
        A point other than the centre for particles whose images have no known or no common pixel size, or that have no angles.
    """
    offset = np.asarray(point, dtype=np.float64).reshape(3)
    moved: FloatArray = -particles.origins  # where the new centre lies in the frame of the subtomogram, seen from the old one
    if offset.any():
        if not any(particles.has(label) for label in relion.ANGLES):
            raise InputError(
                f"Expected refined particles with angles (_{relion.ANGLE_ROT} ...) in {particles.path or 'the set'} to re-center on a "
                "point of their map, found none; give the particles of the refinement."
            )
        moved = moved + particles.angles @ (offset * particles.pixel_size)
    columns: dict[str, Any] = {}
    if particles.has(*relion.ORIGIN_PRIORS):  # a prior is a place as well: it is seen from the new centre
        prior = np.stack([particles.floats(label) for label in relion.ORIGIN_PRIORS], axis=-1) + moved
        columns = dict(zip(relion.ORIGIN_PRIORS, prior.T, strict=True))
    coordinates = particles.coordinates(tomograms) + np.einsum("nij,nj->ni", particles.frames, moved)
    return particles.with_coordinates(coordinates).with_poses(origins=np.zeros((particles.n, 3))).with_columns(columns)


def recentre(options: RecentreOptions, particles: ParticleSet, tomograms: TomogramSet | None, reporter: Reporter) -> ParticleSet:
    """The particles as the options want them to be extracted, with a line about it. Errors as in `recentred`."""
    if options.reset_offsets:
        largest = float(np.linalg.norm(particles.origins, axis=1).max(initial=0))
        reporter.message(f"Refined offsets are forgotten (the largest was {largest:.1f} Å): boxes are cut where they were before.")
        return reset(particles)
    if not options.recenter:
        return particles
    result = recentred(particles, options.recenter_on, tomograms)
    if any(options.recenter_on):
        x, y, z = options.recenter_on
        reporter.message(
            f"Particles are re-centered on x {x:g}, y {y:g}, z {z:g} px of their map, whose pixel is {particles.pixel_size:g} Å: "
            f"{float(np.linalg.norm(options.recenter_on)) * particles.pixel_size:.1f} Å from its centre."
        )
    else:
        reporter.message("Particles are re-centered on the centre of their map: refined offsets are in the coordinates now.")
    return result
