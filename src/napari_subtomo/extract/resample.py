"""A box around a point between voxels, at any coarser sampling: cropping in Fourier space, written as one matrix per axis.

Cropping a transform, shifting its phase and transforming back is a linear map along each axis,
``out_j = Σ_i D(x_j - i) in_i`` with the Dirichlet kernel D of the frequencies that are kept. As matrices it takes any ratio of
samplings without rounding the box, and any sub-voxel place. The piece is larger than the box and fades out towards its rim, so that
what wraps around does not reach the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import namespace

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
_MARGIN = 8  # output samples around the box: half to fade, half for the kernel to die away


@dataclass(frozen=True)
class Resampling:
    """From voxels of a tomogram to samples of a box.

    Attributes
    ----------
    box : int
        Samples along each axis; the particle lies at index box // 2.
    ratio : float
        Voxels per sample, at least 1.
    """

    box: int
    ratio: float

    @property
    def side(self) -> int:
        """Odd number of voxels of the piece along each axis."""
        return 2 * int(np.ceil((self.box / 2 + _MARGIN) * self.ratio)) + 1

    def start(self, centre_zyx: FloatArray) -> IntArray:
        """First voxel (zyx) of the piece around a fractional voxel."""
        return np.rint(centre_zyx).astype(np.int64) - self.side // 2

    def fits(self, centres_zyx: FloatArray, shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
        """Whether all samples of the boxes around fractional voxels (n, 3) lie within the volume's voxels, shape (n,)."""
        first = centres_zyx - self.box // 2 * self.ratio
        last = centres_zyx + (self.box - 1 - self.box // 2) * self.ratio
        inside = (first >= -0.5) & (last <= np.array(shape) - 0.5)
        return np.asarray(inside.all(axis=1))

    def matrices(self, centre_zyx: FloatArray) -> npt.NDArray[np.float32]:
        """Kernel of each axis (z, y, x), shape (3, box, side)."""
        side = self.side
        start = self.start(centre_zyx)
        places = centre_zyx[:, None] - start[:, None] + (np.arange(self.box) - self.box // 2) * self.ratio
        distance = places[:, :, None] - np.arange(side)
        kept = min((side - 1) // 2, int(np.ceil(side / (2 * self.ratio))) - 1)
        below = side * np.sin(np.pi * distance / side)
        at_node = np.abs(below) < 1e-9
        kernel = np.sin(np.pi * (2 * kept + 1) * distance / side) / np.where(at_node, 1, below)
        kernel[at_node] = (2 * kept + 1) / side
        return (kernel * self._fade()).astype(np.float32)

    def _fade(self) -> FloatArray:
        """Weight of the voxels of the piece along an axis: 1 in the box and half the margin, a raised cosine beyond, shape (side,)."""
        width = _MARGIN / 2 * self.ratio
        rim = np.minimum(np.arange(self.side), np.arange(self.side)[::-1]) + 0.5
        return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.clip(rim / width, 0, 1)))


def resample(piece: Any, matrices: Any) -> Any:
    """The box of a piece.

    Parameters
    ----------
    piece : real array, shape (side, side, side)
    matrices : array, shape (3, box, side)
        From `Resampling.matrices`, for z, y, x.

    Returns
    -------
    array, shape (box, box, box), float32, grey values kept
    """
    xp = namespace(piece)
    along_x = xp.matmul(piece, matrices[2].T)
    along_y = xp.matmul(matrices[1], along_x)
    return xp.tensordot(matrices[0], along_y, axes=1)
