"""From a crop to what is written: premultiplied data and weights, or a volume and its 3D CTF."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_subtomo.numerics.backend import namespace
from napari_subtomo.numerics.fourier import resize_centred
from napari_subtomo.numerics.wedge import Wedge


def _forward(volume: Any) -> Any:
    """Half transform with the real-space origin at n // 2."""
    xp = namespace(volume)
    return xp.fft.rfftn(xp.fft.ifftshift(volume))


def _backward(half: Any) -> Any:
    """Inverse of `_forward`."""
    xp = namespace(half)
    n = half.shape[0]
    return xp.fft.fftshift(xp.fft.irfftn(half, s=(n, n, n), axes=(0, 1, 2)))


def premultiplied(crop: Any, wedge: Wedge, transfer: Any, size: int) -> tuple[Any, Any, Any]:
    """RELION 5's statistics: ``data = F⁻¹[m·C·X]``, weights ``m·C²``, multiplicity m (with a/v of `wedge` for m in the data).

    Parameters
    ----------
    crop : real array, shape (n, n, n)
        Bright protein, particle at n // 2.
    wedge : Wedge
    transfer : array, shape (n, n, n // 2 + 1)
        C.
    size : int
        Box to write. Smaller than n, the data are cut in real space; what that leaves of signal and noise takes the place of m·C².

    Returns
    -------
    data : float32 array, shape (size, size, size)
    weights, multiplicity : float32 arrays, shape (size, size, size // 2 + 1)
        Noise power of the data per voxel is σ²·weights.
    """
    xp = namespace(crop)
    data = _backward(_forward(crop) * (wedge.filter * transfer))
    weights, tilts = wedge.multiplicity * transfer**2, wedge.multiplicity
    n = wedge.n
    if size != n:
        # slabs of the larger box are thinner: with this factor m counts tilts in slabs of the box that is written
        gain = n / size
        signal, noise = smooth_amplitude(weights, size), smooth_power(weights, size)
        ratio = xp.clip(signal / xp.maximum(noise, 1e-12), 0, 2)
        data = _backward(_forward(resize_centred(data, size)) * (ratio * gain))
        weights, tilts = ratio**2 * noise * gain, smooth_power(tilts, size) * gain
    return data.astype(xp.float32), weights.astype(xp.float32), tilts.astype(xp.float32)


def whitened(crop: Any, wedge: Wedge, transfer: Any, size: int) -> tuple[Any, Any]:
    """RELION 3.1's pair, whose noise is white: ``X31 = F⁻¹[√m·X]`` and the 3D CTF ``√m·C``; C31·X31 and C31² are the statistics above.

    Parameters as in `premultiplied`.

    Returns
    -------
    volume : float32 array, shape (size, size, size)
    ctf : float32 array, shape (size, size, size // 2 + 1)
    """
    xp = namespace(crop)
    root = xp.sqrt(wedge.multiplicity)
    volume = _backward(_forward(crop) * (wedge.filter / xp.maximum(root, 1e-6)))
    amplitude = root * transfer
    if size != wedge.n:
        gain = float(np.sqrt(wedge.n / size))
        volume = resize_centred(volume, size) * gain
        amplitude = smooth_amplitude(amplitude, size) * gain
    return volume.astype(xp.float32), amplitude.astype(xp.float32)


def smooth_amplitude(transfer: Any, size: int) -> Any:
    """Amplitude left of a small particle in the middle when the data, filtered by `transfer`, are cut to `size` voxels.

    Parameters
    ----------
    transfer : array, shape (n, n, n // 2 + 1)
        Real filter of the data of the larger box.
    size : int
        Even, below n.

    Returns
    -------
    array, shape (size, size, size // 2 + 1)
    """
    return _forward(resize_centred(_backward(transfer), size)).real


def smooth_power(weights: Any, size: int) -> Any:
    """Noise power of data of which only the central box is kept.

    Cutting multiplies the autocorrelation of the noise by that of the box, ``Π (1 - |lag| / size)``; sampling its transform at the
    coarser frequencies folds the lags.

    Parameters
    ----------
    weights : array, shape (n, n, n // 2 + 1)
    size : int
        Even, below n.

    Returns
    -------
    array, shape (size, size, size // 2 + 1), non-negative
    """
    xp = namespace(weights)
    lags = _backward(weights)
    reach = min(2 * size, lags.shape[0])
    lags = resize_centred(lags, reach)
    line = xp.maximum(1 - abs(xp.arange(reach) - reach // 2) / size, 0)
    lags = lags * line[:, None, None] * line[None, :, None] * line[None, None, :]
    lags = resize_centred(lags, 2 * size)
    for axis in range(3):  # lags that differ by `size` are one and the same to the coarser frequencies
        first, second = xp.split(xp.roll(lags, size // 2, axis=axis), 2, axis=axis)
        lags = first + second
    return xp.maximum(_forward(lags).real, 0)


def relion5_weights(weights: Any, multiplicity: Any) -> Any:
    """RELION 5's weight file, shape (2n, n, n // 2 + 1): the weights, and behind them along z the multiplicity."""
    return namespace(weights).concatenate([weights, multiplicity])
