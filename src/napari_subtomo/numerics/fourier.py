"""Centred Fourier transforms, shells, cropping, shifts. Frequencies are integer Fourier pixels; DC sits at index n // 2.

All functions take numpy or cupy arrays and answer in kind.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import GeometryError
from napari_subtomo.numerics.backend import namespace


def centred_fft(volume: Any) -> Any:
    """Transform over all axes with real-space origin and DC at index n // 2.

    Parameters
    ----------
    volume : array, shape (n, ...)

    Returns
    -------
    complex array of the same shape
    """
    xp = namespace(volume)
    return xp.fft.fftshift(xp.fft.fftn(xp.fft.ifftshift(volume)))


def centred_ifft(transform: Any) -> Any:
    """Inverse of `centred_fft`; complex (take `.real` for real maps)."""
    xp = namespace(transform)
    return xp.fft.fftshift(xp.fft.ifftn(xp.fft.ifftshift(transform)))


@lru_cache(maxsize=16)
def _shells(shape: tuple[int, ...]) -> npt.NDArray[np.int32]:
    axes = np.meshgrid(*[np.arange(n) - n // 2 for n in shape], indexing="ij", sparse=True)
    total: Any = sum(a.astype(np.float64) ** 2 for a in axes)
    number: npt.NDArray[np.int32] = np.floor(np.sqrt(total) + 0.5).astype(np.int32)
    number.setflags(write=False)
    return number


def shells(shape: int | tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Shell number (rounded radius in Fourier pixels) of each voxel of a centred transform; an int means a cube. Read-only."""
    return _shells((shape,) * 3 if isinstance(shape, int) else tuple(shape))


def radial_mean(volume: Any, n_shells: int | None = None) -> Any:
    """Mean of a centred cubic (or square) array in each shell 0 … n//2.

    Parameters
    ----------
    volume : array, shape (n, n, n) or (n, n)
        Real or complex.
    n_shells : int, optional
        Number of shells; default n // 2 + 1.

    Returns
    -------
    array, shape (n_shells,)
    """
    xp = namespace(volume)
    count = volume.shape[0] // 2 + 1 if n_shells is None else n_shells
    index = xp.asarray(shells(tuple(volume.shape)).ravel())
    inside = index < count
    index, values = index[inside], volume.ravel()[inside]
    number = xp.maximum(xp.bincount(index, minlength=count), 1)
    if xp.iscomplexobj(values):
        return (xp.bincount(index, values.real, count) + 1j * xp.bincount(index, values.imag, count)) / number
    return xp.bincount(index, values.astype(xp.float64), count) / number


def fourier_crop(volume: Any, new_n: int | tuple[int, ...]) -> Any:
    """Real-space array resampled to fewer (or more) samples over the same extent by cutting (or zero-padding) its transform.

    The centre index n // 2 stays the centre and grey values are kept.

    Parameters
    ----------
    volume : real array, shape (n, ...)
    new_n : int or tuple of int
        New shape; an int for all axes.

    Returns
    -------
    real array of the new shape
    """
    new_shape = (new_n,) * volume.ndim if isinstance(new_n, int) else tuple(new_n)
    transform = resize_centred(centred_fft(volume), new_shape)
    return centred_ifft(transform).real * (np.prod(new_shape) / np.prod(volume.shape))


def resize_centred(array: Any, new_shape: int | tuple[int, ...]) -> Any:
    """Array cut or zero-padded to a new shape with index n // 2 kept at the centre; works in real and Fourier space."""
    shape = (new_shape,) * array.ndim if isinstance(new_shape, int) else tuple(new_shape)
    if len(shape) != array.ndim:
        raise GeometryError(f"Expected a shape of {array.ndim} numbers, found {shape}.")
    xp = namespace(array)
    out = xp.zeros(shape, array.dtype)
    source, target = [], []
    for old, new in zip(array.shape, shape, strict=True):
        start = new // 2 - old // 2
        low, high = max(0, start), min(new, start + old)
        target.append(slice(low, high))
        source.append(slice(low - start, high - start))
    out[tuple(target)] = array[tuple(source)]
    return out


def half_to_full(half: Any) -> Any:
    """Centred full cube of a real-symmetric array kept in FFTW's half layout.

    Parameters
    ----------
    half : array, shape (n, n, n // 2 + 1)
        x index 0 … n/2 is k_x >= 0; y and z wrap; DC at [0, 0, 0].

    Returns
    -------
    array, shape (n, n, n), DC at n // 2; complex input is completed with Friedel mates.
    """
    xp = namespace(half)
    n = half.shape[0]
    full = xp.empty((n, n, n), half.dtype)
    full[:, :, : n // 2 + 1] = half
    rest = n - (n // 2 + 1)
    if rest:
        minus = (-xp.arange(n)) % n
        mates = half[:, :, 1 : rest + 1][minus][:, minus][:, :, ::-1]
        full[:, :, n // 2 + 1 :] = mates.conj() if xp.iscomplexobj(half) else mates
    return xp.fft.fftshift(full)


def full_to_half(full: Any) -> Any:
    """FFTW half layout (n, n, n // 2 + 1) of a centred full cube; inverse of `half_to_full`."""
    xp = namespace(full)
    n = full.shape[0]
    return xp.ascontiguousarray(xp.fft.ifftshift(full)[:, :, : n // 2 + 1])


def phase_ramp(shape: tuple[int, int, int], shift_xyz: npt.ArrayLike) -> npt.NDArray[np.complex64]:
    """Factor on a centred transform that moves the real-space content by `shift_xyz` voxels: exp(-2πi k·s/n).

    Parameters
    ----------
    shape : tuple of int
        (nz, ny, nx).
    shift_xyz : array_like, shape (3,)
        Shift in voxels, x first.

    Returns
    -------
    ndarray of `shape`, complex64
    """
    sx, sy, sz = np.asarray(shift_xyz, dtype=np.float64)
    factors = [np.exp(-2j * np.pi * (np.arange(n) - n // 2) * s / n) for n, s in zip(shape, (sz, sy, sx), strict=True)]
    ramp: npt.NDArray[np.complex64] = (factors[0][:, None, None] * factors[1][None, :, None] * factors[2][None, None, :]).astype(
        np.complex64
    )
    return ramp


def lowpass(volume: Any, voxel_size: float, resolution: float, width_shells: float = 2.0) -> Any:
    """Map low-passed by a raised cosine `width_shells` wide about the shell of `resolution` (RELION's initial low-pass).

    Parameters
    ----------
    volume : real array, shape (n, n, n)
    voxel_size, resolution : float
        Å.

    Returns
    -------
    real array, same shape
    """
    xp = namespace(volume)
    n = volume.shape[0]
    axes = np.meshgrid(*[np.arange(m) - m // 2 for m in volume.shape], indexing="ij", sparse=True)
    total: Any = sum(a.astype(np.float64) ** 2 for a in axes)
    edge = np.clip((np.sqrt(total) - (n * voxel_size / resolution - width_shells / 2)) / width_shells, 0, 1)
    return centred_ifft(centred_fft(volume) * xp.asarray(0.5 + 0.5 * np.cos(np.pi * edge))).real.astype(volume.dtype)
