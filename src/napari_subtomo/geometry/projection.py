"""From a position in the tomogram to its place in each tilt image, in RELION's geometry (`Tomogram::setProjectionMatrix`).

``q = (XShift, YShift, 0)/p + floor(image/2) + Rz(ZRot) Ry(YTilt) Rx(XTilt) (u − floor(N/2))`` with `u` the unbinned position in
pixels, first voxel centre 0. Positions in Å count from the real-valued N/2 instead, so odd tomogram sizes shift by half a pixel:
that is RELION's own behaviour.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_subtomo.geometry.frames import Frame

FloatArray = npt.NDArray[np.float64]


class Alignment(Protocol):
    """What a projection needs of a tilt series; arrays have shape (n_tilts,)."""

    @property
    def x_tilt(self) -> FloatArray:
        """Degrees."""

    @property
    def y_tilt(self) -> FloatArray:
        """Degrees."""

    @property
    def z_rot(self) -> FloatArray:
        """Degrees."""

    @property
    def x_shift(self) -> FloatArray:
        """Å."""

    @property
    def y_shift(self) -> FloatArray:
        """Å."""


def tilt_matrix(x_tilt: npt.ArrayLike, y_tilt: npt.ArrayLike, z_rot: npt.ArrayLike) -> FloatArray:
    """Rotation Rz(z_rot)·Ry(y_tilt)·Rx(x_tilt) from the tomogram into the microscope, right-handed, x first.

    Parameters
    ----------
    x_tilt, y_tilt, z_rot : array_like, shape (...)
        Degrees.

    Returns
    -------
    ndarray, shape (..., 3, 3)
        Acts on xyz columns. Rows 0 and 1 are the image axes, row 2 the direction of the beam, all in the tomogram.
    """
    a, b, c = np.broadcast_arrays(*(np.radians(np.asarray(angle, dtype=np.float64)) for angle in (x_tilt, y_tilt, z_rot)))
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    rows = [
        [cc * cb, cc * sb * sa - sc * ca, cc * sb * ca + sc * sa],
        [sc * cb, sc * sb * sa + cc * ca, sc * sb * ca - cc * sa],
        [-sb, cb * sa, cb * ca],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def tilt_matrices(series: Alignment) -> FloatArray:
    """`tilt_matrix` of each image of a series, shape (n_tilts, 3, 3)."""
    return tilt_matrix(series.x_tilt, series.y_tilt, series.z_rot)


def project(points: npt.ArrayLike, series: Alignment, frame: Frame, image_size: tuple[int, int]) -> FloatArray:
    """Places of tomogram positions in the tilt images.

    Parameters
    ----------
    points : array_like, shape (n, 3)
        Positions in Å from the tomogram's centre, xyz.
    series : Alignment
        Angles (deg) and shifts (Å) of the images.
    frame : Frame
        Size and pixel of the tomogram; its binning plays no role.
    image_size : tuple of int
        Width and height of the tilt images in pixels.

    Returns
    -------
    ndarray, shape (n_tilts, n, 3)
        x and y in unbinned pixels of the image, centre of the first pixel at 0, and the depth below the tomogram's centre in pixels
        (RELION's `getDepthOffset`; positive makes the defocus larger where the hand is +1).
    """
    size = np.asarray(frame.size_xyz)
    unbinned = frame.unbinned(points).reshape(-1, 3)
    rotation = tilt_matrices(series)
    places: FloatArray = np.einsum("tij,nj->tni", rotation, unbinned - size // 2)
    # depth counts from the real-valued centre, places from the integer one
    places[..., 2] -= (rotation[:, 2] @ (frame.centre_px - size // 2))[:, None]
    places[..., 0] += (np.asarray(series.x_shift) / frame.pixel_size + image_size[0] // 2)[:, None]
    places[..., 1] += (np.asarray(series.y_shift) / frame.pixel_size + image_size[1] // 2)[:, None]
    return places


def defocus_offset(depth_px: npt.ArrayLike, pixel_size: float, hand: float, slope: float = 1.0) -> FloatArray:
    """What depth adds to the defocus, in Å: ``hand · slope · pixel · depth`` (`Tomogram::getCtf`).

    Parameters
    ----------
    depth_px : array_like
        Third component of `project`.
    pixel_size : float
        Unbinned pixel in Å.
    hand : float
        `rlnTomoHand`, +1 or -1.
    slope : float
        `rlnTomoDefocusSlope`.

    Returns
    -------
    ndarray of the same shape
    """
    return np.asarray(depth_px, dtype=np.float64) * (hand * slope * pixel_size)
