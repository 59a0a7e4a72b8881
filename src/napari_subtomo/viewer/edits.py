"""From points edited by hand back to the session."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_subtomo.viewer.overlay import OverlayState
from napari_subtomo.viewer.session import Session

#: Voxels; closer than this a point was not moved, and the file's text stays as it is.
STILL = 1e-6


def absorb(session: Session, state: OverlayState, rows: npt.NDArray[np.int64], points_zyx: npt.NDArray[np.float64]) -> Session:
    """The session after its points layer was edited.

    Parameters
    ----------
    session : Session
    state : OverlayState
        What had been drawn.
    rows : ndarray of int, shape (n,)
        Particle ids of the points as they are now; -1, unknown ids and second copies of one id are new particles.
    points_zyx : ndarray, shape (n, 3)
        Voxels of the tomogram's file.

    Returns
    -------
    Session
        The same object if nothing was moved, added or deleted.
    """
    if np.array_equal(rows, state.rows) and not (np.abs(points_zyx - state.points_zyx) > STILL).any():
        return session  # as almost always: asked for at every look at the session
    drawn = {int(row): place for place, row in enumerate(state.rows)}
    first: dict[int, int] = {}
    added = []
    for place, row in enumerate(rows.tolist()):
        if row in drawn and row not in first:
            first[row] = place
        else:
            added.append(place)
    deleted = [row for row in drawn if row not in first]
    known = np.asarray(list(first), dtype=np.int64)
    now = points_zyx[list(first.values())] if first else np.zeros((0, 3))
    before = state.points_zyx[[drawn[row] for row in first]] if first else np.zeros((0, 3))
    moved = np.abs(now - before).max(axis=1) > STILL if first else np.zeros(0, dtype=bool)
    if not (moved.any() or added or deleted):
        return session
    frame = session.tomogram.frame
    table = session.table
    if moved.any():
        table = table.moved(known[moved], frame.positions(now[moved]))
    if deleted:
        table = table.without(deleted)
    if added:
        table = table.with_added(session.shown, frame.positions(points_zyx[added]))
    kept = np.concatenate([session.kept, np.ones(len(added), dtype=bool)])
    return replace(session, table=table, kept=kept)
