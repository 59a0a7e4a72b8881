"""How many tilts stand behind each Fourier voxel of a box cut from a weighted back-projection.

By the projection theorem a tilt image fills the central plane perpendicular to its beam. A weighted back-projection is the sum of
these planes times the ramp ``f = (angular step) · (distance u from the tilt axis)``, so that a voxel holds the mean of the tilts that
reach it. Cutting a box widens the planes to slabs of thickness 1/box: the power of white noise is smeared by the window ``D``, the
transform of the box's autocorrelation, and so is the amplitude of a particle that nearly fills the box. With sums over tilts i and
integrals along their planes, for an image's noise σ² and a particle's transform A,

    E[X(k)] = a(k)·A(k),  a = Σ_i ∫ f D(k - u e_i) du        var[X(k)] = v(k)·σ²,  v = Σ_i ∫ f² D(k - u e_i) du

the statistic that loses nothing is (a/v)·X with the weight ``m = a²/v``. That is the number of tilts: 1 on the plane of a lone tilt,
1/(angular step · u) where slabs overlap (there a = 1, and the statistic is m·X), 0 in the missing wedge; at the rim of the wedge, in
gaps between slabs and near the axis the same formula undoes the ramp. Arrays keep FFTW's half layout (n, n, n // 2 + 1).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from napari_subtomo.numerics.backend import namespace, to_device
from napari_subtomo.numerics.fourier import half_to_full

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]
_NODES = 2  # nodes of the table of a and v per Fourier pixel; on a tomogram's own tilt axis, y, all voxels are nodes
_SAMPLES = 4  # samples of the integral per Fourier pixel: the integrand is band-limited to 2 box lengths, so this is exact


def lattice(n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fourier pixels kz, ky, kx of the half layout, as broadcastable axes of shape (n,1,1), (1,n,1), (1,1,n//2+1)."""
    wrapped: FloatArray = np.fft.fftfreq(n, 1 / n).astype(np.float64)
    return wrapped[:, None, None], wrapped[None, :, None], np.arange(n // 2 + 1, dtype=np.float64)[None, None, :]


def sphere(n: int) -> npt.NDArray[np.bool_]:
    """Voxels of the half layout within the Nyquist sphere |k| <= n/2."""
    kz, ky, kx = lattice(n)
    inside: npt.NDArray[np.bool_] = kz**2 + ky**2 + kx**2 <= (n / 2) ** 2
    return inside


def tilt_axis(beams: FloatArray) -> FloatArray:
    """Unit vector perpendicular to all beam directions (n_tilts, 3) as well as can be; near y for a single direction."""
    _, sizes, rows = np.linalg.svd(beams)
    axis = rows[2]
    if len(beams) < 2 or sizes[1] < 1e-6 * sizes[0]:
        beam = beams[0] / np.linalg.norm(beams[0])
        axis = np.array([0.0, 1.0, 0.0]) - beam[1] * beam
    return np.asarray(axis / np.linalg.norm(axis) * (1 if axis[1] >= 0 else -1))


def angular_steps(angles: FloatArray) -> FloatArray:
    """Half the angle between the neighbours of each tilt, shape (n_tilts,), in the unit of `angles`; 0.02 for a lone tilt."""
    if len(angles) < 2:
        return np.full(len(angles), 0.02)
    order = np.argsort(angles, kind="stable")
    gaps = np.diff(angles[order])
    steps = np.empty(len(angles))
    steps[order] = (np.r_[gaps[:1], gaps] + np.r_[gaps, gaps[-1:]]) / 2
    return np.maximum(steps, 1e-6)


def box_window(distance: FloatArray, n: int) -> FloatArray:
    """Power of the transform of n ones at a distance in Fourier pixels; integral 1: ``(sin(πd) / (n sin(πd/n)))²``."""
    below = n * np.sin(np.pi * distance / n)
    return np.asarray(np.where(np.abs(below) < 1e-9, 1.0, np.sin(np.pi * distance) / np.where(below == 0, 1, below)) ** 2)


@dataclass(frozen=True, eq=False)
class Wedge:
    """The sampling of a box by a tilt series; arrays on one device.

    Attributes
    ----------
    n : int
        Box in voxels.
    multiplicity : array, shape (n, n, n // 2 + 1), float32
        m, the number of tilts behind a voxel; 0 in the missing wedge and beyond the Nyquist sphere.
    filter : array, same shape
        a/v, what the transform of the box is multiplied by; m where slabs overlap.
    index : array of int, shape (s,)
        Flat voxel of each (tilt, voxel) pair closer than one Fourier pixel.
    tilt : array of int, shape (s,)
        Tilt of each pair.
    share : array, shape (s,)
        Weight of the pair; the shares of a voxel add to 1.
    kx, ky : array, shape (s,)
        Place of the pair in its tilt image, Fourier pixels of the box along the image axes.
    """

    n: int
    multiplicity: Any
    filter: Any
    index: Any
    tilt: Any
    share: Any
    kx: Any
    ky: Any

    def mean(self, values: Any) -> Any:
        """Mean over the tilts of a voxel of `values` (s,) given for each pair; shape (n, n, n // 2 + 1), 0 where there is none."""
        xp = namespace(values)
        total = xp.bincount(self.index, values * self.share, minlength=self.multiplicity.size)
        return total.reshape(self.multiplicity.shape).astype(xp.float32)

    def to(self, device: str) -> Wedge:
        """The same on a device."""
        moved = {f.name: to_device(getattr(self, f.name), device) for f in fields(self) if f.name != "n"}
        return replace(self, **moved)


def make_wedge(n: int, tilt_matrices: npt.ArrayLike) -> Wedge:
    """Count the tilts of each voxel of a box.

    Parameters
    ----------
    n : int
        Box in voxels.
    tilt_matrices : array_like, shape (n_tilts, 3, 3)
        From the tomogram into the microscope, xyz columns; row 2 is the beam.

    Returns
    -------
    Wedge
    """
    matrices = np.asarray(tilt_matrices, dtype=np.float64)
    z, y, x = np.broadcast_arrays(*lattice(n))
    k = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    inside = sphere(n).ravel()
    pairs = [_near(k, inside, beam) for beam in matrices[:, 2]]
    index = np.concatenate([i for i, _ in pairs])
    share = np.concatenate([s for _, s in pairs])
    tilt = np.repeat(np.arange(len(pairs)), [len(i) for i, _ in pairs])
    total = np.bincount(index, share, inside.size)
    signal, noise = _ramp_sums(n, k, matrices[:, 2])
    reached = (total > 0) & inside
    shape = sphere(n).shape
    noise = np.maximum(noise, 1e-12)
    return Wedge(
        n=n,
        multiplicity=np.where(reached, signal**2 / noise, 0).astype(np.float32).reshape(shape),
        filter=np.where(reached, signal / noise, 0).astype(np.float32).reshape(shape),
        index=index,
        tilt=tilt,
        share=(share / total[index]).astype(np.float32),
        kx=np.einsum("si,si->s", k[index], matrices[tilt, 0]).astype(np.float32),
        ky=np.einsum("si,si->s", k[index], matrices[tilt, 1]).astype(np.float32),
    )


def multiplicity(n: int, tilt_matrices: npt.ArrayLike) -> Volume:
    """m of `make_wedge` as a centred volume, shape (n, n, n), DC at n // 2."""
    full: Volume = half_to_full(make_wedge(n, tilt_matrices).multiplicity)
    return full


def _near(k: FloatArray, inside: npt.NDArray[np.bool_], beam: FloatArray) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Voxels within one Fourier pixel of a tilt's plane, and a weight that falls linearly with the distance."""
    distance = np.abs(k @ beam)
    index = np.flatnonzero((distance < 1 - 1e-6) & inside)
    return index, 1 - distance[index]


def _ramp_sums(n: int, k: FloatArray, beams: FloatArray) -> tuple[FloatArray, FloatArray]:
    """a and v at the points k (m, 3) xyz; the window is taken as square in the plane perpendicular to the tilt axis."""
    axis = tilt_axis(beams)
    middle = beams.mean(axis=0) - (beams.mean(axis=0) @ axis) * axis
    middle /= np.linalg.norm(middle)
    side = np.cross(axis, middle)
    angles = np.arctan2(-beams @ side, beams @ middle)
    half = n // 2 + 1
    across, along = np.arange(0, half * _NODES + 1) / _NODES, np.arange(-half * _NODES, half * _NODES + 1) / _NODES
    u = np.arange(-n // 2 * _SAMPLES, n // 2 * _SAMPLES + 1) / _SAMPLES
    sums = np.zeros((2, len(along), len(across)))
    for angle, step in zip(angles, angular_steps(angles), strict=True):
        rows = box_window(along[:, None] - u * np.sin(angle), n)
        columns = box_window(across[:, None] - u * np.cos(angle), n).T
        ramp = step * np.abs(u)
        sums[0] += (rows * (ramp / _SAMPLES)) @ columns
        sums[1] += (rows * (ramp**2 / _SAMPLES)) @ columns
    x, z = k @ side, k @ middle
    flip = np.where(x < 0, -1.0, 1.0)
    rim = n / 2 + 0.5  # voxels in the corners of the box are not used
    places = np.stack([np.clip(z * flip, -rim, rim) + half, np.clip(x * flip, 0, rim)]) * _NODES
    signal, noise = (map_coordinates(table, places, order=1) for table in sums)
    return signal, noise
