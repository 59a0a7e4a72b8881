"""Spheres as objects of a session: from clicks on their rim, where a slice cuts them, and the particles on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.geometry.shapes import sphere_point_count
from napari_subtomo.pick.fresh import lattice_points
from napari_subtomo.pick.sources import Spheres

FloatArray = npt.NDArray[np.float64]

#: Clicks lie in one plane if they leave it by less than this part of their extent.
FLAT = 0.02
#: Looseness above which the user is asked for clicks further apart.
LOOSE = 4.0
#: A circle needs three clicks, a sphere four.
CIRCLE, SPHERE = 3, 4


@dataclass(frozen=True)
class Sphere:
    """A sphere in a tomogram.

    Attributes
    ----------
    tomogram : str
    centre : tuple of float
        xyz, Å from the tomogram's centre.
    radius : float
        Å.
    """

    tomogram: str
    centre: tuple[float, float, float]
    radius: float

    @classmethod
    def at(cls, tomogram: str, centre: npt.ArrayLike, radius: float) -> Sphere:
        """A sphere from any three numbers.

        Raises
        ------
        InputError
            The centre is not finite or the radius not positive.
        """
        x, y, z = (float(value) for value in np.asarray(centre, dtype=np.float64).reshape(3))
        if not (np.isfinite([x, y, z, radius]).all() and radius > 0):
            raise InputError(f"Expected a finite centre and a positive radius of a sphere, found the radius {radius:g} Å.")
        return cls(tomogram, (x, y, z), float(radius))


@dataclass(frozen=True, eq=False)
class Fit:
    """A sphere through clicks.

    Attributes
    ----------
    centre : ndarray, shape (3,)
    radius : float
    residual : float
        Root mean square distance of the clicks from the sphere, in the unit of the clicks.
    flat : bool
        All clicks lie in one plane: the sphere is centred in it.
    looseness : float
        Standard error of the centre, where it is least certain, if each click is off by one unit: about 1 for clicks all around.
    """

    centre: FloatArray
    radius: float
    residual: float
    flat: bool
    looseness: float = 1.0

    @property
    def loose(self) -> bool:
        """Whether small errors of the clicks move the sphere far: they lie on too small a part of it."""
        return self.looseness > LOOSE


def fit_sphere(points: npt.ArrayLike) -> Fit:
    """The sphere through points on its rim.

    Least squares of ``|p|² = 2 c·p + (r² - |c|²)``, which is linear in c and r² - |c|²; points in one plane give the circle through
    them, which is taken as the equator.

    Parameters
    ----------
    points : array_like, shape (n, 3)
        In any unit; three or more in one plane, or four or more.

    Raises
    ------
    InputError
        Too few points, or points on a line.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    if len(points) < CIRCLE:
        raise InputError(f"Expected at least {CIRCLE} clicks on the rim in one slice, or {SPHERE} in several, found {len(points)}.")
    middle = points.mean(axis=0)
    local = points - middle
    _, extents, axes = np.linalg.svd(local, full_matrices=True)
    if extents[1] <= FLAT * extents[0]:
        raise InputError("Expected clicks around the rim, found them on one line; click on other sides of the sphere too.")
    flat = len(extents) < 3 or extents[2] <= FLAT * extents[0]
    basis = axes[:2] if flat else axes
    flattened = local @ basis.T
    system = np.column_stack([2 * flattened, np.ones(len(points))])
    solution, *_ = np.linalg.lstsq(system, (flattened**2).sum(axis=1), rcond=None)
    centre, offset = solution[:-1], solution[-1]
    radius = float(np.sqrt(offset + centre @ centre))
    distances = np.linalg.norm(flattened - centre, axis=1)
    residual = float(np.sqrt(np.mean((distances - radius) ** 2)))
    return Fit(middle + centre @ basis, radius, residual, bool(flat), _looseness(flattened - centre, distances))


def _looseness(spokes: FloatArray, distances: FloatArray) -> float:
    """Standard error of the centre, in its least certain direction, for errors of one unit: from ``(JᵀJ)⁻¹`` of the distances."""
    jacobian = np.column_stack([spokes / distances[:, None], np.ones(len(spokes))])
    covariance = np.linalg.pinv(jacobian.T @ jacobian)[:-1, :-1]
    return float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))


def cut(centre: npt.ArrayLike, radius: float, point: npt.ArrayLike, normal: npt.ArrayLike) -> tuple[FloatArray, float] | None:
    """Centre (3,) and radius of the circle in which a plane through `point` with the unit `normal` cuts a sphere; None if it does not."""
    centre, normal = np.asarray(centre, dtype=np.float64), np.asarray(normal, dtype=np.float64)
    distance = float((np.asarray(point, dtype=np.float64) - centre) @ normal)
    if abs(distance) >= radius:
        return None
    return centre + distance * normal, float(np.sqrt(radius**2 - distance**2))


def circle(centre: npt.ArrayLike, radius: float, normal: npt.ArrayLike, segments: int = 72) -> FloatArray:
    """Segments (segments, 2, 3), start and direction, of a circle in space."""
    u, v = in_plane(normal)
    angles = np.linspace(0, 2 * np.pi, segments + 1)
    corners = np.asarray(centre) + radius * (np.cos(angles)[:, None] * u + np.sin(angles)[:, None] * v)
    return np.stack([corners[:-1], np.diff(corners, axis=0)], axis=1)


def in_plane(normal: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Two unit vectors (3,) that span the plane with that normal; of slices, the last axis comes first."""
    normal = np.asarray(normal, dtype=np.float64)
    helper = np.eye(3)[2] if abs(normal[2]) < 0.9 else np.eye(3)[1]
    u = helper - (helper @ normal) * normal
    u /= np.linalg.norm(u)
    return u, np.cross(normal, u)


def as_picks(spheres: Sequence[Sphere]) -> Spheres:
    """The same spheres as the `pick` job knows them."""
    centres = np.asarray([sphere.centre for sphere in spheres], dtype=np.float64).reshape(-1, 3)
    return Spheres(tuple(s.tomogram for s in spheres), centres, np.asarray([s.radius for s in spheres], dtype=np.float64))


def from_picks(spheres: Spheres) -> tuple[Sphere, ...]:
    """Spheres of the `pick` job as objects."""
    triples = zip(spheres.tomo_names, spheres.positions, spheres.radii, strict=True)
    return tuple(Sphere.at(name, centre, float(radius)) for name, centre, radius in triples)


def lattice(spheres: Sequence[Sphere], chosen: Sequence[int], spacing: float, seed: int) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Particles on some spheres of a session, with the numbers that the `pick` job gives them.

    The in-plane angle of a particle depends on the seed, its tomogram and how many particles the spheres of that tomogram before it
    have; so one sphere gets the same particles alone as together with the others.

    Parameters
    ----------
    spheres : sequence of Sphere
        All of the session, in their order.
    chosen : sequence of int
        Which of them.
    spacing : float
        Å.
    seed : int

    Returns
    -------
    names : tuple of str, length n
    positions : ndarray, shape (n, 3)
        xyz, Å from the centre.
    frames : ndarray, shape (n, 3, 3)
        Columns are the particle's axes; z is the outward normal.
    """
    wanted = {spheres[index].tomogram for index in chosen}
    picks, frames, counts = lattice_points(as_picks([s for s in spheres if s.tomogram in wanted]), spacing, seed)
    places = [index for index, s in enumerate(spheres) if s.tomogram in wanted]
    rows = np.repeat(np.isin(places, list(chosen)), counts)
    names = tuple(name for name, take in zip(picks.tomo_names, rows, strict=True) if take)
    return names, picks.positions[rows], frames[rows]


def count(radius: float, spacing: float) -> int:
    """Particles on a sphere of that radius; both in Å."""
    return sphere_point_count(radius, spacing)
