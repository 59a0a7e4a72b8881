"""Spheres beside particles: `annotations/<tomogram>_spheres.star`, and picks that are imported from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, InputError
from napari_subtomo.io.annotations import Annotations, find_annotations, read_annotations
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.relion import ANGLES, CENTRED, SPHERE_RADIUS, SUBTOMOGRAM_ANGLES
from napari_subtomo.io.star import read_star
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.pick.job import ANNOTATIONS, sphere_annotations
from napari_subtomo.pick.sources import read_points, read_spheres
from napari_subtomo.viewer.picking.spheres import Sphere, as_picks, from_picks

FloatArray = npt.NDArray[np.float64]


def spheres_beside(folder: Path, tomograms: TomogramSet) -> tuple[Sphere, ...]:
    """Spheres that a picking job left in its folder; those of tomograms that are not in the set are left out."""
    found: list[Sphere] = []
    for path in find_annotations(Path(folder) / ANNOTATIONS, "spheres"):
        one = read_annotations(path)
        if one.tomo_name in tomograms and one.radii is not None:
            frame = tomograms[one.tomo_name].frame
            triples = zip(frame.positions(one.points_zyx), one.radii * frame.voxel_size, strict=True)
            found += [Sphere.at(one.tomo_name, centre, float(radius)) for centre, radius in triples]
    return tuple(found)


def annotations_of(spheres: Sequence[Sphere], tomograms: TomogramSet, also: Sequence[str] = ()) -> tuple[Annotations, ...]:
    """One annotation a tomogram; `also`: tomograms that get one even if they have no sphere."""
    return sphere_annotations(as_picks(spheres), tomograms, list(also))


@dataclass(frozen=True, eq=False)
class Imported:
    """Picks from a file.

    Attributes
    ----------
    tomograms : tuple of str, length n
    positions : ndarray, shape (n, 3)
        xyz, Å from the tomogram's centre.
    orientations : ndarray, shape (n, 3, 3)
        NaN where the file has none.
    spheres : tuple of Sphere
    """

    tomograms: tuple[str, ...]
    positions: FloatArray
    orientations: FloatArray
    spheres: tuple[Sphere, ...] = ()

    @property
    def sentence(self) -> str:
        """One line for the user."""
        n, spheres = len(self.tomograms), len(self.spheres)
        return f"{spheres} sphere{'s' * (spheres != 1)} imported." if spheres else f"{n} particle{'s' * (n != 1)} imported."


def import_picks(path: Path, tomograms: TomogramSet, shown: str) -> Imported:
    """Particles, points or spheres of a STAR or CSV file.

    Positions without a unit of their own are voxels of the tomogram, as in RELION's annotation files; particle files of any RELION
    version have theirs, and their orientations come too.

    Parameters
    ----------
    path : Path
    tomograms : TomogramSet
    shown : str
        Tomogram of the points of a file that names none.

    Raises
    ------
    InputError
        Missing file or columns, or a tomogram that is not in the set.
    """
    path = Path(path)
    block = read_star(path) if path.suffix.lower() == ".star" else None
    if block is not None and (path.stem.endswith("_spheres") or block.first.has(SPHERE_RADIUS)):
        spheres = from_picks(read_spheres(path, tomograms))
        return Imported((), np.zeros((0, 3)), np.zeros((0, 3, 3)), spheres)
    if block is not None and not path.stem.endswith("_particles") and _particle_file(path):
        particles = read_particles(path)
        unknown = sorted(set(particles.tomo_names) - set(tomograms.names))
        if unknown:
            raise InputError(f"Expected particles of the tomograms shown, found {unknown[0]} in {path}; open its project instead.")
        oriented = any(particles.has(label) for label in (*ANGLES, *SUBTOMOGRAM_ANGLES))
        axes = particles.orientations if oriented else np.full((particles.n, 3, 3), np.nan)
        return Imported(tuple(particles.tomo_names), particles.positions(tomograms), axes)
    try:
        picks = read_points(path, tomograms)
    except InputError:
        picks = read_points(path, tomograms, tomogram=shown)
    return Imported(tuple(picks.tomo_names), picks.positions, np.full((len(picks), 3, 3), np.nan))


def _particle_file(path: Path) -> bool:
    """Whether a STAR file holds particles and not picks in voxels."""
    star = read_star(path)
    try:
        return len(star.blocks) > 1 or all(star.first.has(label) for label in CENTRED)
    except FileFormatError:
        return False
