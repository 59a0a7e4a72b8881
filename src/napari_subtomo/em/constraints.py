"""What references must be besides what the data say: equal outside a focus mask, not negative, nothing where there is no particle.

Solvent is clamped always: the mask of the references multiplies them, and outside of it they are zero.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len

from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.maximisation import Maximiser, References
from napari_subtomo.em.solvent import solvent_mask
from napari_subtomo.em.statistics import Sums
from napari_subtomo.numerics.backend import fft_module
from napari_subtomo.numerics.fourier import fourier_crop

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]
Maps = npt.NDArray[np.float32]


def constrained(setup: Setup, maximiser: Maximiser, maps: Maps, sums: Sums, noise: FloatArray, shell: int) -> References:
    """References of the next E-step under the options' constraints, with their noise and what was found to be particle.

    Parameters
    ----------
    setup : Setup
    maximiser : Maximiser
    maps : ndarray, shape (folds, classes, n, n, n)
        References as the M-step makes them; masked where they are.
    sums : Sums
        From which they were made.
    noise : ndarray, shape (S,)
        σ² per unit weight.
    shell : int
        The last of the comparison.
    """
    o = setup.options
    if setup.focus is not None and maps.shape[1] > 1:
        maps = composed(maps, common_maps(maximiser, sums, noise), setup.focus)
    if o.nonnegative:
        maps = np.maximum(maps, 0)
    solvent = solvent_mask(maps, maximiser.mask, shell, o.threads) if setup.finds_solvent else None
    if solvent is not None:
        if setup.focus is not None:  # classes may differ there, however little they have shown so far
            solvent = np.maximum(solvent, maximiser.mask * setup.focus)
        maps *= solvent
    # a class that is its own data, of all folds, has no spread between folds that would tell its noise
    known = o.shrink_to == "consensus"
    map_noise = maximiser.map_noise(maps, o.threads) if known else np.zeros((maps.shape[1], maximiser.n_shells))
    return References(maps, map_noise, solvent)


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


class Region:
    """A mask in real space for values on the first voxels of a lattice, on the smallest box that does.

    Parameters
    ----------
    mask : ndarray, shape (box, box, box)
        0 to 1.
    lattice : Lattice
        Of the values.
    voxels : int
        V; whole shells.
    xp : module
        numpy or cupy, whose values are masked.
    """

    def __init__(self, mask: Maps, lattice: Lattice, voxels: int, xp: Any = np) -> None:
        # twice as many samples as the last shell needs: a product with the mask does not fold back into it
        n = min(lattice.n, 2 * next_fast_len(2 * int(lattice.shell[voxels - 1]) + 1)) if lattice.n % 2 == 0 else lattice.n
        cropped = fourier_crop(mask, n) if n < lattice.n else mask
        # the origin is in the corner, as transforms have it, so that nothing is rolled for each particle
        self._mask = xp.asarray(np.fft.ifftshift(cropped).astype(np.float32))
        smaller = replace(lattice, n=n)
        self._index, self._plane, self._mates = (xp.asarray(i) for i in (smaller.half_layout_index(voxels), *smaller.friedel_mates(voxels)))
        self._shape, self._xp = (n, n, n // 2 + 1), xp

    def __call__(self, values: Any) -> Any:
        """Values, shape (..., V), of the masked maps of values of that shape, complex64."""
        fft, lead, axes = fft_module(self._xp), values.shape[:-1], (-3, -2, -1)
        half = self._xp.zeros((*lead, math.prod(self._shape)), np.complex64)
        half[..., self._index] = values
        half[..., self._mates] = values[..., self._plane].conj()
        inside = fft.irfftn(half.reshape(*lead, *self._shape), s=self._mask.shape, axes=axes)
        inside *= self._mask
        return fft.rfftn(inside, axes=axes).reshape(*lead, -1)[..., self._index]
