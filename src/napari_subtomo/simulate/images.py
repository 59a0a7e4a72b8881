"""Noise-free tilt images, particle by particle: central slices of densities with the CTF and dose of their own place.

An image is ``−Σ F⁻¹[ scale · dose · CTF · slice ]`` shifted to each particle's projected position: protein is dark, as in raw data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import map_coordinates

from napari_subtomo.geometry.frames import reverse_axes
from napari_subtomo.numerics.ctf import ctf, dose_weight
from napari_subtomo.numerics.fourier import centred_fft, resize_centred

FloatArray = npt.NDArray[np.float64]
Image = npt.NDArray[np.float32]
PADDING = 4  # a density fills a quarter of its padded box or less: trilinear sampling errs by half a per cent of the maximum


@dataclass(frozen=True)
class Optics:
    """What all images of a tilt series share: kV, mm, fraction, Å per pixel."""

    voltage: float
    cs: float
    amplitude_contrast: float
    pixel_size: float


@dataclass(frozen=True)
class Exposure:
    """One tilt image: defocus (Å, at the tomogram's centre) and its angle (deg), dose before it (e/Å²), amplitude scale."""

    defocus_u: float
    defocus_v: float
    defocus_angle: float
    dose: float
    scale: float


class Slicer:
    """Central slices of one density, on the half disc of frequencies of an image patch.

    Parameters
    ----------
    density : ndarray, shape (n, n, n)
        Density per voxel, protein positive, centre at n // 2.
    patch : int
        Even side of the image patches in pixels; room for what the CTF spreads.
    """

    def __init__(self, density: npt.NDArray[np.floating], patch: int) -> None:
        n = density.shape[0]
        size = int(scipy.fft.next_fast_len(PADDING * n, real=True))
        size += size % 2
        kernel = np.sinc((np.arange(n) - n // 2) / size) ** 2  # transform of the trilinear kernel: divided out beforehand
        corrected = density / (kernel[:, None, None] * kernel[None, :, None] * kernel[None, None, :])
        self.padded = centred_fft(resize_centred(corrected.astype(np.float32), size)).astype(np.complex64)
        self.patch = patch
        kx, ky = np.fft.rfftfreq(patch), np.fft.fftfreq(patch)
        inside = (kx[None, :] ** 2 + ky[:, None] ** 2) < 0.25
        self.index = np.flatnonzero(inside)
        self.kx = np.broadcast_to(kx[None, :], inside.shape)[inside]
        self.ky = np.broadcast_to(ky[:, None], inside.shape)[inside]

    def slices(self, matrices: FloatArray) -> npt.NDArray[np.complex64]:
        """Transforms of the projections along z of the density turned by `matrices`.

        Parameters
        ----------
        matrices : ndarray, shape (m, 3, 3)
            Map the density's xyz into the microscope's. Slice theorem: the projection's transform at k is the density's at Mᵀ(k, 0).

        Returns
        -------
        complex64 ndarray, shape (m, len(kx))
            Values at the frequencies (kx, ky) in 1/pixel, phases relative to the centre.
        """
        size = self.padded.shape[0]
        k = self.kx[None, :, None] * matrices[:, None, 0, :] + self.ky[None, :, None] * matrices[:, None, 1, :]
        nodes = np.moveaxis(reverse_axes(k) * size + size // 2, -1, 0)  # padded has axes z, y, x
        values: npt.NDArray[np.complex64] = map_coordinates(self.padded, nodes, order=1, mode="constant", prefilter=False)
        return values

    def add(self, image: Image, transforms: npt.NDArray[np.complex64], places: FloatArray) -> None:
        """Add patches of given transforms to an image, each centred on its sub-pixel place; parts outside the image are lost.

        Parameters
        ----------
        image : float32 ndarray, shape (height, width)
            Changed in place.
        transforms : ndarray, shape (m, len(kx))
        places : ndarray, shape (m, 2)
            x and y in pixels, centre of the first pixel at 0.
        """
        whole = np.rint(places).astype(int)
        shift = places - whole + self.patch // 2
        ramp = np.exp(-2j * np.pi * (shift[:, :1] * self.kx + shift[:, 1:] * self.ky))
        full = np.zeros((len(places), self.patch * (self.patch // 2 + 1)), np.complex64)
        full[:, self.index] = transforms * ramp
        patches = scipy.fft.irfft2(full.reshape(len(places), self.patch, -1), s=(self.patch, self.patch))
        height, width = image.shape
        for patch, (x, y) in zip(patches, whole - self.patch // 2, strict=True):
            top, bottom, left, right = max(0, y), min(height, y + self.patch), max(0, x), min(width, x + self.patch)
            if top < bottom and left < right:
                image[top:bottom, left:right] += patch[top - y : bottom - y, left - x : right - x]


def transfer(slicer: Slicer, optics: Optics, exposure: Exposure, defocus_offset: FloatArray) -> FloatArray:
    """What multiplies a slice: ``−scale · dose weight · CTF`` at each particle's own defocus.

    Parameters
    ----------
    slicer : Slicer
        Gives the frequencies.
    optics : Optics
    exposure : Exposure
    defocus_offset : ndarray, shape (m,)
        Å, added to both defoci.

    Returns
    -------
    ndarray, shape (m, len(slicer.kx))
    """
    kx, ky = slicer.kx / optics.pixel_size, slicer.ky / optics.pixel_size
    u, v = exposure.defocus_u + defocus_offset[:, None], exposure.defocus_v + defocus_offset[:, None]
    oscillation = ctf(kx, ky, optics.voltage, optics.cs, optics.amplitude_contrast, u, v, exposure.defocus_angle)
    return np.asarray(oscillation * (-exposure.scale * dose_weight(np.hypot(kx, ky), exposure.dose)))


def tilt_image(
    shape: tuple[int, int],
    slicers: Sequence[Slicer],
    kinds: npt.NDArray[np.integer],
    matrices: FloatArray,
    places: FloatArray,
    defocus_offsets: FloatArray,
    optics: Optics,
    exposure: Exposure,
) -> Image:
    """Noise-free image of one tilt.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image.
    slicers : sequence of Slicer
        One for each kind of object.
    kinds : ndarray of int, shape (n,)
        Which slicer an object uses; negative numbers leave it out.
    matrices : ndarray, shape (n, 3, 3)
        From the object's own axes into the microscope (tilt matrix times orientation).
    places : ndarray, shape (n, 2)
        x and y in the image, pixels.
    defocus_offsets : ndarray, shape (n,)
        Å.
    optics : Optics
    exposure : Exposure

    Returns
    -------
    float32 ndarray of `shape`
    """
    image = np.zeros(shape, np.float32)
    for kind, slicer in enumerate(slicers):
        mine = np.flatnonzero(kinds == kind)
        if len(mine):
            transforms = slicer.slices(matrices[mine]) * transfer(slicer, optics, exposure, defocus_offsets[mine])
            slicer.add(image, transforms.astype(np.complex64), places[mine])
    return image
