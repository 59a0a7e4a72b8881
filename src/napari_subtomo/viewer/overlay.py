"""From a session to what is drawn: `resolve` is a pure function, so all of it is tested without a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.geometry.frames import reverse_axes
from napari_subtomo.viewer import palette
from napari_subtomo.viewer.columns import ParticleColours, particle_colours
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.table import ParticleTable

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REJECTED_ALPHA = 0.5
REJECTED_SIZE = 0.75
DIMMED_ALPHA = 0.2
#: Line of the legend that stands for the particles that were turned down.
REJECTED_LABEL = "rejected"


@dataclass(frozen=True)
class LegendEntry:
    """One line of the legend: its colour, and how many particles it stands for."""

    label: str
    colour: str
    here: int
    total: int


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the particles of one tomogram are: the same until one is moved, added or deleted.

    Attributes
    ----------
    table : ParticleTable
        Where they come from.
    tomogram : Tomogram
    voxel_size : float
    rows : ndarray of int, shape (n,)
        Particle ids in the table.
    points_zyx : ndarray, shape (n, 3)
        Voxels.
    axes_zyx : ndarray, shape (n, 3)
        Unit vectors along the particles' z axes; NaN where the orientation is not known.
    """

    table: ParticleTable
    tomogram: Tomogram
    voxel_size: float
    rows: IntArray
    points_zyx: FloatArray
    axes_zyx: FloatArray

    def fits(self, session: Session) -> bool:
        """Whether it is that of the tomogram that a session shows."""
        return self.table is session.table and self.tomogram is session.tomogram


@dataclass(frozen=True, eq=False)
class OverlayState:
    """All that is drawn over one tomogram; coordinates are voxels of its file, zyx.

    Attributes
    ----------
    tomogram : str
    voxel_size : float
        Å; the scale of every layer.
    points_zyx : ndarray, shape (n, 3)
    rows : ndarray of int, shape (n,)
        Particle ids in the session's table.
    kept : ndarray of bool, shape (n,)
    face_colours : ndarray, shape (n, 4)
    sizes : ndarray, shape (n,)
        Diameters in voxels.
    shown : ndarray of bool, shape (n,)
    vectors : ndarray, shape (m, 2, 3)
        Start and direction of the z axes of the kept particles whose orientation is known.
    vector_colours : ndarray, shape (m, 4)
    features : mapping of str to ndarray (n,)
    legend : tuple of LegendEntry
    session : Session
        What it was resolved from.
    geometry : Geometry
    colours : ParticleColours
        Of all particles of the table.
    """

    tomogram: str
    voxel_size: float
    points_zyx: FloatArray
    rows: IntArray
    kept: npt.NDArray[np.bool_]
    face_colours: FloatArray
    sizes: FloatArray
    shown: npt.NDArray[np.bool_]
    vectors: FloatArray
    vector_colours: FloatArray
    features: Mapping[str, npt.NDArray[Any]]
    legend: tuple[LegendEntry, ...]
    session: Session = field(repr=False)
    geometry: Geometry = field(repr=False)
    colours: ParticleColours = field(repr=False)

    @property
    def symbols(self) -> npt.NDArray[np.str_]:
        """ "disc" for kept, "x" for rejected particles, shape (n,): colour is never the only sign."""
        return np.where(self.kept, "disc", "x")


def resolve(session: Session, former: OverlayState | None = None) -> OverlayState:
    """What is drawn over the tomogram that the session shows.

    The position of a particle in the tomogram's file is ``v = ((c - S·o)/p + N/2)/b`` (`geometry.frames`), and its arrow is the particle's
    z axis, the third column of ``S·A``.

    Parameters
    ----------
    session : Session
    former : OverlayState, optional
        What was drawn before. Arrays that would be the same are taken from it, so that a hover costs a copy of the colours and not more.

    Raises
    ------
    GeometryError
        If the tomogram's size or binning is missing.
    """
    geometry = former.geometry if former is not None and former.geometry.fits(session) else _geometry(session)
    colours = former.colours if former is not None and _same_colours(session, former.session) else None
    if colours is None:
        colours = particle_colours(session.table, session.drawn, session.colour_by)
    table, rows = session.table, geometry.rows
    still = former is not None and former.geometry is geometry and former.session.drawn is session.drawn  # nothing but the looks differ
    kept = former.kept if still and former is not None else session.drawn[rows]
    diameter = session.diameter / geometry.voxel_size
    pointing = kept & np.isfinite(geometry.axes_zyx[:, 0])
    if still and former is not None and former.session.diameter == session.diameter:
        sizes, vectors = former.sizes, former.vectors
    else:
        sizes = np.where(kept, diameter, REJECTED_SIZE * diameter)
        vectors = np.stack([geometry.points_zyx[pointing], geometry.axes_zyx[pointing] * diameter], axis=1)
    face = _painted(session, geometry, colours, kept)
    return OverlayState(
        tomogram=session.shown,
        voxel_size=geometry.voxel_size,
        points_zyx=geometry.points_zyx,
        rows=rows,
        kept=kept,
        face_colours=face,
        sizes=sizes,
        shown=kept if session.rejected == "hidden" else np.ones(len(rows), dtype=bool),
        vectors=vectors,
        vector_colours=face[pointing],
        features=former.features if still and former is not None else _features(table, rows, kept),
        legend=_legend(session, colours),
        session=session,
        geometry=geometry,
        colours=colours,
    )


def _same_colours(session: Session, former: Session) -> bool:
    return session.table is former.table and session.drawn is former.drawn and session.colour_by == former.colour_by


def _geometry(session: Session) -> Geometry:
    frame, table = session.tomogram.frame, session.table
    rows = table.rows_of(session.shown)
    points = frame.voxels_zyx(table.positions[rows])
    return Geometry(table, session.tomogram, frame.voxel_size, rows, points, reverse_axes(table.orientations[rows, :, 2]))


def _painted(session: Session, geometry: Geometry, colours: ParticleColours, kept: npt.NDArray[np.bool_]) -> FloatArray:
    """Colours (n, 4): rejected particles grey, and all but those under the pointer dimmed."""
    rows = geometry.rows
    face = colours.values[rows]
    # napari shows points in 3D whatever their `shown` says: hidden ones are transparent too
    face[~kept] = palette.rgba(palette.REJECTED, 0.0 if session.rejected == "hidden" else REJECTED_ALPHA)
    others: npt.NDArray[np.bool_] | None = None
    if session.hover_class is not None:
        others = session.table.classes[rows] != session.hover_class
    elif session.hover_label == REJECTED_LABEL:
        others = kept
    elif session.hover_label:
        key = next((key for key in colours.keys if key.label == session.hover_label), None)
        others = None if key is None else ~(key.mask[rows] & kept)
    if others is not None:
        face[others, 3] = np.minimum(face[others, 3], DIMMED_ALPHA)
    return face


def _features(table: ParticleTable, rows: IntArray, kept: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[Any]]:
    return {
        "row": rows,
        "class": table.classes[rows].astype(np.float64),  # few different integers would make a colour cycle of the feature
        "score": table.scores[rows],
        "kept": kept,
        "name": table.names[rows],
    }


def _legend(session: Session, colours: ParticleColours) -> tuple[LegendEntry, ...]:
    """Kept particles of each colour here and in all tomograms, then the rejected ones."""
    names, places = session.table.places
    living = session.table.alive & session.drawn
    here = living & (places == names.index(session.shown)) if session.shown in names else np.zeros(len(living), dtype=bool)
    legend = [LegendEntry(key.label, key.colour, int((key.mask & here).sum()), int((key.mask & living).sum())) for key in colours.keys]
    _, rejected = session.totals()
    if rejected:
        legend.append(LegendEntry(REJECTED_LABEL, palette.GREY, session.counts(session.shown)[1], rejected))
    return tuple(legend)
