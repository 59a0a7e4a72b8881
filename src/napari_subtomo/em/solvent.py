"""Where the particles are: a mask around what the references show, found anew in every iteration.

Noise in the solvent costs more than anything else at low signal: it is as strong in a reference as that inside the particle, there is more
of it, and directions in which classes could differ by chance are as many as voxels inside the mask (docs/decisions/solvent.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, label

from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.masks import radius_grid

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup
    from napari_subtomo.em.state import State

Maps = npt.NDArray[np.float32]

THRESHOLD = 0.1  # of the peak: what is denser belongs to the particle
PEAK = 99.9  # percentile that stands for the peak
CERTAIN = 4.0  # standard deviations of the noise that the density has to reach too
SMALL = 0.1  # pieces smaller than this part of the largest are left out
REACH = 0.95  # of the mask lies within the particle's radius
EXTEND, EDGE = 0.25, 0.75  # how far the mask reaches beyond the threshold, and the width of its edge, both in units of the resolution


def solvent_mask(maps: Maps, mask: Maps, last_shell: int, threads: int = 1) -> Maps | None:
    """Soft mask around all that the references show, within the mask that they have.

    The surface is that of a tenth of the peak, or of four standard deviations of the noise where that is more: the spread of the
    folds (jackknife). It reaches a quarter of the resolution further and falls off within three quarters.

    Parameters
    ----------
    maps : ndarray, shape (folds, classes, n, n, n)
        References inside `mask`; density of either sign.
    mask : ndarray, shape (n, n, n)
        Of the references.
    last_shell : int
        Of the comparison, which is the resolution.
    threads : int
        The result is the same with any number of them.

    Returns
    -------
    ndarray, shape (n, n, n), float32, or None
        None where nothing rises above the noise.
    """
    folds, n = len(maps), maps.shape[-1]

    def dense(of_class: Maps) -> npt.NDArray[np.bool_]:
        mean = of_class.mean(0, dtype=np.float64)
        spread = ((of_class - mean) ** 2).sum(0)[mask > 0].mean() * (folds - 1) / folds
        return _dense(mean, CERTAIN * float(np.sqrt(spread)))

    found = np.logical_or.reduce(list(ordered_map(dense, maps.swapaxes(0, 1), threads)))
    if not found.any():
        return None
    resolution = n / max(last_shell, 1)
    distance: Any = distance_transform_edt(~found)
    within = np.clip((EXTEND + EDGE) / EDGE - distance / (EDGE * resolution), 0, 1)
    around: Maps = (mask * (0.5 - 0.5 * np.cos(np.pi * within))).astype(np.float32)
    return around


def particle_radius(setup: Setup, state: State) -> float:
    """How far from the centre of the box the particle reaches, pixels: what turns matter at a resolution depends on it.

    The radius that holds nearly all of the mask that was found; without one, that of the mask of the references.
    """
    if not state.solvent.size:
        return setup.radius
    n = len(state.solvent)
    distance = radius_grid((n, n, n)).ravel()
    order = np.argsort(distance, kind="stable")
    held = np.cumsum(state.solvent.ravel()[order], dtype=np.float64)
    return min(setup.radius, float(distance[order[int(np.searchsorted(held, REACH * held[-1]))]]))


def _dense(volume: npt.NDArray[np.float64], certain: float) -> npt.NDArray[np.bool_]:
    """The voxels of the particle in a map, without small pieces."""
    volume = volume if (volume**3).sum() >= 0 else -volume  # whichever sign density has
    peak = float(np.percentile(volume, PEAK))
    if peak <= certain:
        return np.zeros(volume.shape, bool)
    pieces: npt.NDArray[np.int64] = label(volume > max(THRESHOLD * peak, certain))[0]
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    dense: npt.NDArray[np.bool_] = np.isin(pieces, np.flatnonzero(sizes > SMALL * sizes.max()))
    return dense
