"""Squares around particles in tilt images, and their transforms at the binning of the particles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.numerics.backend import fft_module, namespace
from napari_subtomo.tilts.images import Image

FloatArray = npt.NDArray[np.float64]
_WHOLE = 1e-6  # a square of so many pixels more or less than a whole number is a whole number


def cut_squares(images: Sequence[Image], corners: npt.NDArray[np.int64], side: int) -> npt.NDArray[np.float32]:
    """Squares of images; pixels beyond the rim repeat the nearest one, as RELION's do.

    Parameters
    ----------
    images : sequence of m arrays [y, x]
    corners : ndarray of int, shape (m, 2)
        x and y of the first pixel.
    side : int

    Returns
    -------
    ndarray, shape (m, side, side), float32
    """
    out = np.empty((len(images), side, side), np.float32)
    for square, image, (x, y) in zip(out, images, corners.tolist(), strict=True):
        height, width = image.shape
        if x >= 0 and y >= 0 and x + side <= width and y + side <= height:
            square[...] = image[y : y + side, x : x + side]
            continue
        rows, columns = np.clip(np.arange(y, y + side), 0, height - 1), np.clip(np.arange(x, x + side), 0, width - 1)
        square[...] = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1][np.ix_(rows - rows[0], columns - columns[0])]
    return out


@dataclass(frozen=True)
class Binning:
    """How squares of tilt images become transforms of a box.

    Attributes
    ----------
    box : int
        Edge in binned pixels, even.
    factor : float
        Binned pixel divided by that of the images, at least 1; any real number.
    """

    box: int
    factor: float

    @property
    def extent(self) -> float:
        """Edge of the box in pixels of the images."""
        return self.box * self.factor

    @property
    def side(self) -> int:
        """Edge of the squares that are cut, in pixels of the images."""
        return max(1, int(np.floor(self.extent + 0.5)))

    @property
    def is_whole(self) -> bool:
        """Whether the box is a whole number of image pixels, so that its frequencies are those of the square."""
        return abs(self.extent - self.side) < _WHOLE * self.extent

    def corners(self, places: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """First pixels (m, 2) of the squares around places (m, 2), x and y, and where in the squares the places are."""
        corners = np.floor(places + 0.5).astype(np.int64) - self.side // 2
        return corners, places - corners

    @cached_property
    def k(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Fourier pixels along x (box // 2 + 1,) and y (box,)."""
        half = self.box // 2
        return np.arange(half + 1, dtype=np.float32), np.fft.fftfreq(self.box, 1 / self.box).astype(np.float32)

    def transform(self, squares: Any, places: FloatArray) -> Any:
        """Transforms of the binned squares with the particles at the origin.

        Numpy's unscaled transforms of images in the grey scale of RELION's 2D stacks: the mean of the pixels that are binned, divided
        by the binning. Where the box is no whole number of pixels the frequencies of the box are computed from the square directly, so
        that the pixel is what the STAR file says (RELION rounds the square and keeps the nominal pixel).

        Parameters
        ----------
        squares : array, shape (m, side, side), float32
        places : ndarray, shape (m, 2)
            x and y of the particle in its square, fractional pixels.

        Returns
        -------
        complex64 array, shape (m, box, box // 2 + 1), FFTW's half layout
        """
        xp = namespace(squares)
        kx, ky = (xp.asarray(k) for k in self.k)
        half = self.box // 2
        turns = xp.asarray((places * (2 * np.pi / self.extent)).astype(np.float32))
        phase_x = xp.exp(1j * turns[:, 0, None] * kx)[:, None, :]
        phase_y = xp.exp(1j * turns[:, 1, None] * ky)[:, :, None] * np.float32(self.factor**-3)
        if self.is_whole:
            full = fft_module(xp).rfft2(squares)
            small = xp.concatenate([full[:, :half, : half + 1], full[:, self.side - half :, : half + 1]], axis=1)
        else:
            small = self._computed(squares)
        small *= phase_y
        small *= phase_x
        return small

    def _computed(self, squares: Any) -> Any:
        """The transform at frequencies k / extent, which lie between those of the square.

        The grey level at the rim is put in at the origin only: elsewhere a square that is not quite a period of the box would smear it.
        """
        xp = namespace(squares)
        pixel = xp.arange(self.side)
        kx, ky = (xp.asarray(k.astype(np.float64)) for k in self.k)
        along_x = xp.exp(-2j * np.pi / self.extent * pixel[:, None] * kx).astype(xp.complex64)
        along_y = xp.exp(-2j * np.pi / self.extent * ky[:, None] * pixel).astype(xp.complex64)
        last = self.side - 1
        rim = squares[:, [0, last], :].mean(axis=(1, 2)) / 2 + squares[:, :, [0, last]].mean(axis=(1, 2)) / 2
        flat = squares - rim[:, None, None]
        rows = flat @ xp.ascontiguousarray(along_x.real) + 1j * (flat @ xp.ascontiguousarray(along_x.imag))
        out = along_y @ rows
        out[:, 0, 0] += rim * np.float32(self.extent**2)
        return out
