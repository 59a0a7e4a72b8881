"""Spheres beside particles: `annotations/<tomogram>_spheres.star`, and picks that are imported from files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, InputError, OptionError
from napari_subtomo.io import relion
from napari_subtomo.io.annotations import Annotations, find_annotations, read_annotations
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.relion import ANGLES, CENTRED, SUBTOMOGRAM_ANGLES
from napari_subtomo.io.star import StarBlock, StarFile, read_star
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.pick.job import ANNOTATIONS, sphere_annotations
from napari_subtomo.pick.sources import Picks, Spheres, has_radii, read_points, read_spheres
from napari_subtomo.viewer.picking.spheres import Sphere, as_picks, from_picks

if TYPE_CHECKING:
    from napari_subtomo.viewer.session import Session

FloatArray = npt.NDArray[np.float64]
Picked = TypeVar("Picked", Picks, Spheres)


def tomograms_of(session: Session) -> TomogramSet:
    """The tomograms of a session as read, or one made from the header of a volume that no STAR file describes.

    Raises
    ------
    InputError
        There are none.
    """
    if session.tomogram_set is not None:
        return session.tomogram_set
    if not session.tomograms:
        raise InputError("Expected a tomogram to place the particles in, found none; open the project or its tomograms.star.")
    project, shown = Project(session.project), session.tomograms
    columns: dict[str, list[object]] = {
        relion.TOMO_NAME: [tomogram.name for tomogram in shown],
        relion.TILT_SERIES_PIXEL_SIZE: [tomogram.frame.pixel_size for tomogram in shown],
        relion.TOMO_BINNING: [tomogram.frame.binning for tomogram in shown],
    }
    sizes = zip(*(tomogram.frame.size_xyz for tomogram in shown), strict=True)
    columns |= {label: list(size) for label, size in zip((relion.TOMO_SIZE_X, relion.TOMO_SIZE_Y, relion.TOMO_SIZE_Z), sizes, strict=True)}
    paths = [tomogram.tomogram_path for tomogram in shown]
    columns[relion.TOMO_RECONSTRUCTED] = ["N/A" if path is None else project.name(path) for path in paths]
    return TomogramSet(StarFile((StarBlock.loop(relion.GLOBAL, columns),)), project)


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
    star = path.suffix.lower() == ".star"
    if (star and path.stem.endswith("_spheres")) or has_radii(path):
        spheres = from_picks(_named(read_spheres, path, tomograms, shown))
        return Imported((), np.zeros((0, 3)), np.zeros((0, 3, 3)), spheres)
    if star and not path.stem.endswith("_particles") and _particle_file(path):
        particles = read_particles(path)
        unknown = sorted(set(particles.tomo_names) - set(tomograms.names))
        if unknown:
            raise InputError(f"Expected particles of the tomograms shown, found {unknown[0]} in {path}; open its project instead.")
        oriented = any(particles.has(label) for label in (*ANGLES, *SUBTOMOGRAM_ANGLES))
        axes = particles.orientations if oriented else np.full((particles.n, 3, 3), np.nan)
        return Imported(tuple(particles.tomo_names), particles.positions(tomograms), axes)
    picks = _named(read_points, path, tomograms, shown)
    return Imported(tuple(picks.tomo_names), picks.positions, np.full((len(picks), 3, 3), np.nan))


def _named(read: Callable[..., Picked], path: Path, tomograms: TomogramSet, shown: str) -> Picked:
    """What a file holds, taken to lie in the tomogram shown if it names none."""
    try:
        return read(path, tomograms)
    except InputError as error:
        try:
            return read(path, tomograms, tomogram=shown)
        except OptionError:
            raise error from None  # it names others


def _particle_file(path: Path) -> bool:
    """Whether a STAR file holds particles and not picks in voxels."""
    star = read_star(path)
    try:
        return len(star.blocks) > 1 or all(star.first.has(label) for label in CENTRED)
    except FileFormatError:
        return False
