"""Handles of spheres: points for centre and radius that the user drags, and what their drag does to the spheres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from napari_subtomo.geometry.frames import Frame
from napari_subtomo.viewer.picking.spheres import Sphere, circle, cut, in_plane

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

#: Parts of a sphere that can be dragged.
CENTRE, RIM = 0, 1
#: Voxels; closer than this a handle was not dragged.
STILL = 1e-6


@dataclass(frozen=True, eq=False)
class Cutting:
    """The plane that is looked at: a slice, or the oblique plane in 3D; voxels zyx.

    Attributes
    ----------
    point, normal : ndarray, shape (3,)
    deep : bool
        In 3D spheres are drawn whole, too.
    """

    point: FloatArray
    normal: FloatArray
    deep: bool = False


@dataclass(frozen=True, eq=False)
class Handles:
    """Handles of the spheres of one tomogram.

    Attributes
    ----------
    points_zyx : ndarray, shape (n, 3)
        Voxels.
    sphere, part : ndarray of int, shape (n,)
        Index of the sphere in the session, and `CENTRE` or `RIM`.
    """

    points_zyx: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    sphere: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    part: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))


def handles_of(spheres: Sequence[Sphere], tomogram: str, frame: Frame, cutting: Cutting) -> Handles:
    """A handle in the centre of each sphere, and one where the plane cuts its rim."""
    points, owners, parts = [], [], []
    for index, sphere in enumerate(spheres):
        if sphere.tomogram != tomogram:
            continue
        centre, radius = frame.voxels_zyx(sphere.centre), sphere.radius / frame.voxel_size
        around = cut(centre, radius, cutting.point, cutting.normal) or (centre, radius)
        across, _ = in_plane(cutting.normal)
        points += [centre, around[0] + around[1] * across]
        owners += [index, index]
        parts += [CENTRE, RIM]
    return Handles(np.reshape(points, (-1, 3)), np.asarray(owners, dtype=np.int64), np.asarray(parts, dtype=np.int64))


def dragged(
    spheres: Sequence[Sphere], drawn: Handles, points_zyx: npt.ArrayLike, sphere: Sequence[int], part: Sequence[int], frame: Frame
) -> tuple[Sphere, ...]:
    """The spheres after their handles were dragged, deleted or copied.

    A dragged centre takes its sphere along; a dragged rim changes the radius to its distance from the centre; a sphere goes with its
    centre; a second centre of a sphere is a copy of it.

    Parameters
    ----------
    spheres : sequence of Sphere
        All of the session.
    drawn : Handles
        As they had been drawn.
    points_zyx : array_like, shape (n, 3)
        Voxels, as they are now.
    sphere, part : sequence of int
        Whose handles they are.
    frame : Frame
        Of the tomogram shown.
    """
    points = np.asarray(points_zyx, dtype=np.float64).reshape(-1, 3)
    before = {(int(s), int(p)): point for s, p, point in zip(drawn.sphere, drawn.part, drawn.points_zyx, strict=True)}
    now: dict[tuple[int, int], FloatArray] = {}
    copies: list[tuple[int, FloatArray]] = []
    for point, owner, kind in zip(points, sphere, part, strict=True):
        key = int(owner), int(kind)
        if key in before and key not in now:
            now[key] = point
        elif kind == CENTRE and 0 <= owner < len(spheres):
            copies.append((int(owner), point))
    result = []
    for index, one in enumerate(spheres):
        if (index, CENTRE) not in before:  # of another tomogram
            result.append(one)
            continue
        if (index, CENTRE) not in now:
            continue
        centre, rim = now[index, CENTRE], now.get((index, RIM))
        if np.abs(centre - before[index, CENTRE]).max() > STILL:
            one = replace(one, centre=_triple(frame.positions(centre)))
        elif rim is not None and np.abs(rim - before[index, RIM]).max() > STILL:
            radius = float(np.linalg.norm(rim - centre)) * frame.voxel_size
            one = replace(one, radius=radius) if radius > 0 else one
        result.append(one)
    for owner, point in copies:
        result.append(replace(spheres[owner], centre=_triple(frame.positions(point))))
    return tuple(result)


def outlines(spheres: Sequence[Sphere], tomogram: str, frame: Frame, cutting: Cutting) -> tuple[FloatArray, IntArray]:
    """Segments (m, 2, 3) in voxels that draw the spheres, and whose they are, (m,).

    In a slice the circle that it cuts of each sphere; in 3D three great circles, too.
    """
    segments, owners = [np.zeros((0, 2, 3))], [np.zeros(0, dtype=np.int64)]
    for index, sphere in enumerate(spheres):
        if sphere.tomogram != tomogram:
            continue
        centre, radius = frame.voxels_zyx(sphere.centre), sphere.radius / frame.voxel_size
        around = cut(centre, radius, cutting.point, cutting.normal)
        rings = [] if around is None else [circle(*around, cutting.normal)]
        if cutting.deep:
            rings += [circle(centre, radius, axis) for axis in np.eye(3)]
        segments += rings
        owners += [np.full(len(ring), index) for ring in rings]
    return np.concatenate(segments), np.concatenate(owners)


def inside(points_zyx: FloatArray, frame: Frame, edge: float = 0.5) -> npt.NDArray[np.bool_]:
    """Which points (n, 3), voxels, lie in the tomogram, or up to `edge` voxels beyond the centres of its outermost voxels."""
    within = (points_zyx >= -edge) & (points_zyx <= np.asarray(frame.file_shape_zyx()) - 1 + edge)
    return np.asarray(within.all(axis=1))


def _triple(values: FloatArray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
