"""A tomogram from tilt images: r-weighting in Fourier space, then real-space back-projection with linear interpolation.

The CTF is not corrected and the contrast is that of the images (dark protein), as RELION and IMOD write tomograms. Voxel x sits at
unbinned pixel x·b. Images are first turned so that the tilt axis lies along y and sampled twice as finely across it; each row y of the
tomogram is then one and the same sparse matrix applied to that row of all images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import map_coordinates, spline_filter
from scipy.sparse import csr_matrix

from napari_subtomo.errors import GeometryError
from napari_subtomo.geometry.frames import Frame
from napari_subtomo.geometry.projection import Alignment

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]
FINER = 2  # samples per voxel across the tilt axis: linear interpolation between them keeps 0.81 at Nyquist, not 0.41


def tilt_spacing(y_tilt: npt.ArrayLike) -> FloatArray:
    """Angle in radians that each image stands for: the mean distance to its neighbours in angle, whatever the order of the rows."""
    angles = np.radians(np.asarray(y_tilt, dtype=np.float64))
    if len(angles) < 2:
        return np.ones(len(angles))
    order = np.argsort(angles, kind="stable")
    spacing = np.empty(len(angles))
    spacing[order] = np.gradient(angles[order])
    return np.maximum(spacing, 0)


def weighted(image: npt.NDArray[np.floating], z_rot: float, spacing: float, floor: float, binning: float) -> Volume:
    """Image with r-weighting across the tilt axis, low-passed for the binning and sampled FINER times as finely.

    Parameters
    ----------
    image : ndarray, shape (height, width)
    z_rot : float
        Direction of the tilt axis is y turned by this angle, degrees.
    spacing : float
        Angle the image stands for, radians.
    floor : float
        Least weight, for frequencies so low that all images share the same voxels: 1 / (images · thickness in pixels).
    binning : float
        Voxel in pixels; frequencies above 0.5 / binning are removed.

    Returns
    -------
    float32 ndarray, shape (FINER·padded height, FINER·padded width)
        Sample (FINER·y, FINER·x) is pixel (y, x); what lies beyond the image is padding.
    """
    height, width = (scipy.fft.next_fast_len(n + n // 4, real=True) for n in image.shape)
    height, width = height + height % 2, width + width % 2
    padded = np.zeros((height, width), np.float32)
    padded[: image.shape[0], : image.shape[1]] = image - image.mean()
    transform = scipy.fft.rfft2(padded)
    kx, ky = np.fft.rfftfreq(width)[None, :], np.fft.fftfreq(height)[:, None]
    across = np.abs(kx * np.cos(np.radians(z_rot)) + ky * np.sin(np.radians(z_rot)))
    weight = np.maximum(across * spacing, floor)
    weight[np.hypot(kx, ky) > 0.5 / binning] = 0
    transform *= weight.astype(np.float32)
    finer = np.zeros((FINER * height, FINER * width // 2 + 1), transform.dtype)
    finer[: height // 2, : width // 2 + 1] = transform[: height // 2]
    finer[-(height // 2) :, : width // 2 + 1] = transform[-(height // 2) :]
    out: Volume = scipy.fft.irfft2(finer, s=(FINER * height, FINER * width)).astype(np.float32) * np.float32(FINER**2)
    return out


def aligned(
    image: Volume, size: tuple[int, int], z_rot: float, shift_px: tuple[float, float], across: FloatArray, along: FloatArray
) -> Volume:
    """Weighted image sampled on a grid across and along the tilt axis.

    Parameters
    ----------
    image : ndarray
        From `weighted`.
    size : tuple of int
        Width and height of the unpadded tilt image in pixels.
    z_rot : float
        Degrees.
    shift_px : tuple of float
        Image shift (x, y) in pixels.
    across, along : ndarray, shapes (m,) and (n,)
        Pixels from the rotation centre.

    Returns
    -------
    float32 ndarray, shape (m, n), zero beyond the image
    """
    cosine, sine = np.cos(np.radians(z_rot)), np.sin(np.radians(z_rot))
    x = across[:, None] * cosine - along[None, :] * sine + size[0] // 2 + shift_px[0]
    y = across[:, None] * sine + along[None, :] * cosine + size[1] // 2 + shift_px[1]
    coefficients = spline_filter(image, order=2, output=np.float32, mode="grid-wrap")
    values = map_coordinates(coefficients, [y * FINER, x * FINER], order=2, output=np.float32, mode="grid-wrap", prefilter=False)
    values[(x < 0) | (y < 0) | (x > size[0] - 1) | (y > size[1] - 1)] = 0
    return np.asarray(values)


def backproject(images: npt.NDArray[np.floating], series: Alignment, frame: Frame) -> Volume:
    """Tomogram of a tilt series.

    Parameters
    ----------
    images : ndarray, shape (n_tilts, height, width)
        Raw tilt images, unbinned.
    series : Alignment
        YTilt, ZRot (deg) and shifts (Å); XTilt must be 0.
    frame : Frame
        Unbinned size, pixel and binning of the tomogram.

    Returns
    -------
    float32 ndarray, shape `frame.file_shape_zyx()`
        On the scale of the density that was projected, times the CTF.

    Raises
    ------
    GeometryError
        If an XTilt is not 0.
    """
    if np.any(np.abs(series.x_tilt) > 1e-6):
        raise GeometryError(f"Expected a tilt series without X tilt for back-projection, found {np.abs(series.x_tilt).max():.2f} deg.")
    n_tilts, height, width = images.shape
    shape, b = frame.file_shape_zyx(), frame.binning
    z, y, x = (np.arange(n, dtype=np.float64) * b - size // 2 for n, size in zip(shape, reversed(frame.size_xyz), strict=True))
    tilts = np.radians(np.asarray(series.y_tilt, dtype=np.float64))
    step = b / FINER
    reach = int(np.ceil((np.abs(x).max() + np.abs(z).max()) / step)) + 1
    across = np.arange(-reach, reach + 1, dtype=np.float64) * step
    spacing = tilt_spacing(series.y_tilt)
    floor = 1 / (n_tilts * frame.size_xyz[2])
    rows = np.empty((n_tilts, len(across), len(y)), np.float32)
    for t in range(n_tilts):
        shift = (series.x_shift[t] / frame.pixel_size, series.y_shift[t] / frame.pixel_size)
        finer = weighted(images[t], series.z_rot[t], spacing[t], floor, b)
        rows[t] = aligned(finer, (width, height), series.z_rot[t], shift, across, y)
    columns = rows.reshape(-1, len(y))
    volume = np.empty(shape, np.float32)
    for index, depth in enumerate(z):
        volume[index] = (_plane_matrix(tilts, x, float(depth), step, reach) @ columns).T
    return volume


def _plane_matrix(tilts: FloatArray, x: FloatArray, depth: float, step: float, reach: int) -> csr_matrix:
    """Linear interpolation from all images' samples across the axis to the voxels x of one plane: Σ over tilts at x cos + z sin."""
    samples = 2 * reach + 1
    place = (x[:, None] * np.cos(tilts) + depth * np.sin(tilts)) / step + reach
    low = np.floor(place).astype(np.int32)
    fraction = place - low
    column = low + np.arange(len(tilts), dtype=np.int32) * samples
    index = np.stack([column, column + 1], axis=-1).reshape(-1)
    data = np.stack([1 - fraction, fraction], axis=-1).astype(np.float32).reshape(-1)
    start = np.arange(0, len(index) + 1, 2 * len(tilts), dtype=np.int32)
    return csr_matrix((data, index, start), shape=(len(x), len(tilts) * samples))
