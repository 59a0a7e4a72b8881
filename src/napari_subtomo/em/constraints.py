"""What references must be besides what the data say: equal outside a focus mask, not negative.

Solvent is clamped always: the mask of the references multiplies them, and outside of it they are zero.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.lattice import Lattice, lattice_map
from napari_subtomo.em.maximisation import Maximiser, References
from napari_subtomo.em.statistics import Sums

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]
Maps = npt.NDArray[np.float32]


def constrained(setup: Setup, maximiser: Maximiser, references: References, sums: Sums, noise: FloatArray) -> References:
    """References of the next E-step under the options' constraints, their noise measured anew.

    Parameters
    ----------
    setup : Setup
    maximiser : Maximiser
    references : References
    sums : Sums
        From which they were made.
    noise : ndarray, shape (S,)
        σ² per unit weight.
    """
    o, maps = setup.options, references.maps
    focused = setup.focus is not None and maps.shape[1] > 1
    if not focused and not o.nonnegative:
        return references
    if focused and setup.focus is not None:
        maps = composed(maps, common_maps(maximiser, sums, noise), setup.focus)
    if o.nonnegative:
        maps = np.maximum(maps, 0)
    return replace(references, maps=maps, map_noise=map_noise(maximiser, maps, references.map_noise))


def map_noise(maximiser: Maximiser, maps: Maps, former: FloatArray) -> FloatArray:
    """Noise of maps of shape (folds, classes, n, n, n) by jackknife over the folds; none where there was none."""
    if not np.any(former):
        return former
    columns = [[maximiser.grid.transform(m) for m in maps[:, c]] for c in range(maps.shape[1])]
    return np.stack([maximiser.jackknife(column) for column in columns])


def common_maps(maximiser: Maximiser, sums: Sums, noise: FloatArray) -> Maps:
    """The average of all classes for each fold, without it, shape (folds, n, n, n)."""
    total, folds = sums.total, len(sums.numerator)
    made = []
    for f in range(folds):
        left = 0 if folds == 1 else 1
        num, den = total[0] - left * sums.numerator[f].sum(0), total[1] - left * sums.denominator[f].sum(0)
        made.append(maximiser.masked_map(maximiser.consensus(num, np.maximum(den, 0), noise)))
    return np.stack(made)


def composed(maps: Maps, common: Maps, focus: Maps) -> Maps:
    """Classes inside the focus mask, their average outside; maps (folds, classes, n, n, n), common (folds, n, n, n)."""
    outside = common[:, None]
    found: Maps = outside + focus * (maps - outside)
    return found


def focused_data(g: npt.NDArray[np.complex64], h: npt.NDArray[np.float32], lattice: Lattice, focus: Maps) -> npt.NDArray[np.complex64]:
    """Aligned particles whose differences from their average are kept inside the focus mask only, for clustering at fixed poses.

    Their weights spread what is inside over the mask's edge, and the other way round, as far as the missing wedge does.

    Parameters
    ----------
    g, h : ndarray, shape (n, V)
        Data and weights on the first V voxels of the lattice, in the frame of the reference.
    lattice : Lattice
    focus : ndarray, shape (box, box, box)
    """
    mean = g.sum(0) / (h.sum(0) + 1e-9)
    index = lattice.half_layout_index()[: g.shape[1]]
    kept = np.empty_like(g)
    for i in range(len(g)):
        expected = h[i] * mean
        difference = lattice_map(g[i] - expected, lattice) * focus
        kept[i] = expected + np.fft.rfftn(np.fft.ifftshift(difference)).ravel()[index]
    return kept
