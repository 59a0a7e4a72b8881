"""From a session to what is drawn: `resolve` is a pure function, so all of it is tested without a window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.geometry.frames import reverse_axes
from napari_subtomo.viewer import palette
from napari_subtomo.viewer.columns import particle_colours
from napari_subtomo.viewer.session import Session

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REJECTED_ALPHA = 0.5
REJECTED_SIZE = 0.75
DIMMED_ALPHA = 0.2


@dataclass(frozen=True)
class LegendEntry:
    """One line of the legend: its colour, and how many particles it stands for."""

    label: str
    colour: str
    here: int
    total: int


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
    face_colours : ndarray, shape (n, 4)
    symbols : ndarray of str, shape (n,)
        "disc" for kept, "x" for rejected particles: colour is never the only sign.
    sizes : ndarray, shape (n,)
        Diameters in voxels.
    shown : ndarray of bool, shape (n,)
    vectors : ndarray, shape (m, 2, 3)
        Start and direction of the z axes of the kept particles whose orientation is known.
    vector_colours : ndarray, shape (m, 4)
    features : mapping of str to ndarray (n,)
    legend : tuple of LegendEntry
    """

    tomogram: str
    voxel_size: float
    points_zyx: FloatArray
    rows: IntArray
    face_colours: FloatArray
    symbols: npt.NDArray[np.str_]
    sizes: FloatArray
    shown: npt.NDArray[np.bool_]
    vectors: FloatArray
    vector_colours: FloatArray
    features: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    legend: tuple[LegendEntry, ...] = ()


def resolve(session: Session) -> OverlayState:
    """What is drawn over the tomogram that the session shows.

    The position of a particle in the tomogram's file is ``v = ((c - S·o)/p + N/2)/b`` (`geometry.frames`), and its arrow is the particle's
    z axis, the third column of ``S·A``.

    Raises
    ------
    GeometryError
        If the tomogram's size or binning is missing.
    """
    frame = session.tomogram.frame
    table = session.table
    rows = table.rows_of(session.shown)
    kept = session.kept[rows]
    points = frame.voxels_zyx(table.positions[rows])
    colours = particle_colours(session.table, session.kept, session.colour_by)
    face = colours.values[rows].copy()
    face[~kept] = palette.rgba(palette.REJECTED, REJECTED_ALPHA)
    if session.hover_class is not None:
        others = table.classes[rows] != session.hover_class
        face[others, 3] = np.minimum(face[others, 3], DIMMED_ALPHA)
    diameter = session.diameter / frame.voxel_size
    shown = kept if session.rejected == "hidden" else np.ones(len(rows), dtype=bool)
    arrows = reverse_axes(table.orientations[rows][:, :, 2]) * diameter
    pointing = kept & np.isfinite(arrows).all(axis=1)
    living = table.alive & session.kept
    here = living & (table.tomograms == session.shown)
    legend = [LegendEntry(key.label, key.colour, int((key.mask & here).sum()), int((key.mask & living).sum())) for key in colours.keys]
    _, rejected = session.totals()
    if rejected:
        legend.append(LegendEntry("rejected", palette.GREY, int((~kept).sum()), rejected))
    return OverlayState(
        tomogram=session.shown,
        voxel_size=frame.voxel_size,
        points_zyx=points,
        rows=rows,
        face_colours=face,
        symbols=np.where(kept, "disc", "x"),
        sizes=np.where(kept, diameter, REJECTED_SIZE * diameter),
        shown=shown,
        vectors=np.stack([points[pointing], arrows[pointing]], axis=1),
        vector_colours=face[pointing],
        features={
            "row": rows,
            "class": table.classes[rows].astype(np.float64),  # few different integers would make a colour cycle of the feature
            "score": table.scores[rows],
            "kept": kept,
            "name": table.names[rows],
        },
        legend=tuple(legend),
    )
