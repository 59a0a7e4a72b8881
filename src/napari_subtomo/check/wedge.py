"""Which directions are in the data, and which should be: the power spectrum about the tilt axis against the tilt angles.

A tilt image fills the plane of Fourier space perpendicular to its beam. A tomogram has power in the directions its images were
inserted in and (nearly) none in between, whatever is in it, so noise alone shows the geometry it was made with. Directions are angles
about the tilt axis, of which the wedge of missing ones is the largest gap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from napari_subtomo.check.sample import IntArray, Sample
from napari_subtomo.geometry.projection import tilt_matrices
from napari_subtomo.io.mrc import open_mrc
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.wedge import tilt_axis
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
BINS = 60  # of 3 degrees
CUBE = 48  # voxels of the pieces of tomograms that are looked at
GROUPS = 8
STEP = 1.0  # degrees between the shifts that are tried
FAR = 30  # largest shift, degrees


@dataclass(frozen=True, eq=False)
class Directions:
    """Power by direction, measured and expected.

    Attributes
    ----------
    source : str
        What the power was measured in.
    angles : ndarray, shape (BINS,)
        Middle of each bin, degrees about the tilt axis, -90 to 90.
    power : ndarray, shape (groups, BINS)
        Of groups of particles; the mean of each ring of equal frequency is 1.
    tilts : tuple of ndarray
        Directions of the planes of each tomogram, degrees.
    """

    source: str
    angles: FloatArray
    power: FloatArray
    tilts: tuple[FloatArray, ...]

    def expected(self, shift: float = 0.0, sign: float = 1.0) -> FloatArray:
        """How many tilt images stand behind each direction, 1 for dense ones, if all angles were `sign` times themselves plus `shift`."""
        total = np.zeros(BINS)
        for directions in self.tilts:
            planes = sign * directions + shift
            step = np.median(np.diff(np.sort(directions))) if len(directions) > 1 else 3.0
            width = max(1.5, 0.75 * float(step))
            away = (self.angles[:, None] - planes + 90) % 180 - 90
            total += np.minimum(np.exp(-0.5 * (away / width) ** 2).sum(axis=1), 1)
        return total / max(len(self.tilts), 1)


@dataclass(frozen=True)
class Turn:
    """How the measured directions lie to the expected ones.

    Attributes
    ----------
    shift, error : float
        Degrees that bring the expected directions onto the measured ones, and its standard error.
    match, match_here : float
        Correlation of measured and expected power with that shift, and without it.
    mirrored : float
        Correlation with angles of the other sign, at its best shift.
    """

    shift: float
    error: float
    match: float
    match_here: float
    mirrored: float


def turn_of(found: Directions) -> Turn:
    """Best shift of all tilt angles, with a delete-a-group jackknife."""
    shifts = np.arange(-FAR, FAR + STEP / 2, STEP)
    tables = {sign: np.stack([found.expected(float(s), sign) for s in shifts]) for sign in (1.0, -1.0)}
    total = found.power.mean(axis=0)
    scores = _correlations(tables[1.0], total)
    best = _peak(shifts, scores)
    count = len(found.power)
    error = float("inf")
    if count > 2:
        parts = [_peak(shifts, _correlations(tables[1.0], np.delete(found.power, i, axis=0).mean(axis=0))) for i in range(count)]
        error = float(np.sqrt((count - 1) / count * np.sum((np.asarray(parts) - np.mean(parts)) ** 2)))
    here = float(scores[np.argmin(np.abs(shifts))])
    return Turn(best, error, float(scores.max()), here, float(_correlations(tables[-1.0], total).max()))


def _correlations(expected: FloatArray, power: FloatArray) -> FloatArray:
    a = expected - expected.mean(axis=1, keepdims=True)
    b = power - power.mean()
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum())
    return np.where(size > 0, (a @ b) / np.maximum(size, 1e-30), 0.0)


def _peak(shifts: FloatArray, scores: FloatArray) -> float:
    """Place of the maximum: the mean of what is within 2 % of it, as scores near it are flat."""
    near = scores >= scores.max() - 0.02 * max(float(np.ptp(scores)), 1e-9)
    weight = np.where(near, scores - scores.max() + 0.02 * max(float(np.ptp(scores)), 1e-9), 0) + 1e-12 * near
    return float((shifts * weight).sum() / weight.sum())


def _direction_bins(n: int, axis: FloatArray) -> tuple[IntArray, IntArray, IntArray]:
    """Voxels of the half layout that tell a direction, and the bin and ring of each."""
    wrapped, x = np.fft.fftfreq(n, 1 / n), np.arange(n // 2 + 1.0)
    kz, ky, kx = np.meshgrid(wrapped, wrapped, x, indexing="ij")
    k = np.stack([kx.ravel(), ky.ravel(), kz.ravel()], axis=1)
    across, up = _across(axis)
    u, w = k @ across, k @ up
    r = np.hypot(u, w)
    radius = np.sqrt((k**2).sum(axis=1))
    where = np.flatnonzero((r >= n / 6) & (radius <= 0.45 * n)).astype(np.int64)
    angle = (np.degrees(np.arctan2(w[where], u[where])) + 90) % 180
    return where, np.minimum((angle / 180 * BINS).astype(np.int64), BINS - 1), np.floor(radius[where]).astype(np.int64)


def _across(axis: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two directions perpendicular to the tilt axis: near x, and near z."""
    across = np.array([1.0, 0.0, 0.0]) - axis[0] * axis
    across /= np.linalg.norm(across)
    return across, np.cross(across, axis)


def plane_directions(matrices: FloatArray, axis: FloatArray) -> FloatArray:
    """Directions (degrees about the axis) of the planes that tilt images fill, of matrices (n_tilts, 3, 3)."""
    across, up = _across(axis)
    beams = matrices[:, 2]
    # in the plane and perpendicular to the axis: the beam turned by 90 degrees about it
    return np.asarray((np.degrees(np.arctan2(beams @ across, -(beams @ up))) + 90) % 180 - 90)


class _Profile:
    """Adds power by direction."""

    def __init__(self, n: int, axis: FloatArray) -> None:
        self.where, self.bin, self.ring = _direction_bins(n, axis)

    def of(self, power: npt.NDArray[np.floating]) -> FloatArray:
        """Mean power by direction of a spectrum (half layout, flat), each ring divided by its mean."""
        values = power[self.where].astype(np.float64)
        mean = np.bincount(self.ring, values) / np.maximum(np.bincount(self.ring), 1)
        values = values / np.maximum(mean[self.ring], 1e-30)
        return np.bincount(self.bin, values, BINS) / np.maximum(np.bincount(self.bin, minlength=BINS), 1)


def _pieces(sample: Sample, tomograms: TomogramSet, positions: FloatArray, most: int) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Cubes of the tomograms at particles, with the number of their tomogram."""
    for number, name in enumerate(sample.tomogram_names):
        tomogram = tomograms[name]
        assert tomogram.tomogram_path is not None
        volume = open_mrc(tomogram.tomogram_path)
        rows = np.flatnonzero(sample.tomograms == number)[:most]
        corners = np.rint(tomogram.frame.voxels_zyx(positions[rows])).astype(int) - CUBE // 2
        size = np.array(volume.shape)
        if (size < CUBE).any():
            continue
        for z, y, x in np.clip(corners, 0, size - CUBE).tolist():
            yield number, np.asarray(volume[z : z + CUBE, y : y + CUBE, x : x + CUBE], dtype=np.float32)


def measure(sample: Sample, tomograms: TomogramSet | None, stacks: bool, reporter: Reporter) -> tuple[Directions | None, str]:
    """Power by direction, in the tomograms if they are there, else in 3D files of particles; or why there is none.

    Parameters
    ----------
    sample : Sample
    tomograms : TomogramSet or None
    stacks : bool
        Particles are 2D stacks, which have no wedge of their own.
    reporter : Reporter
    """
    if tomograms is None:
        return None, "no tomogram set, so tilt angles are not known"
    series = [tomograms.tilt_series(name) for name in sample.tomogram_names]
    if any(len(one) < 3 for one in series):
        return None, "tilt angles are not known"
    matrices = [tilt_matrices(one) for one in series]
    axes = [tilt_axis(m[:, 2]) for m in matrices]
    tilts = tuple(plane_directions(m, a) for m, a in zip(matrices, axes, strict=True))
    angles = (np.arange(BINS) + 0.5) * 180 / BINS - 90
    paths = [tomograms[name].tomogram_path for name in sample.tomogram_names]
    groups: list[list[FloatArray]] = [[] for _ in range(GROUPS)]
    if all(path is not None and path.is_file() for path in paths):
        window = soft_sphere(CUBE, 0.3 * CUBE, 0.2 * CUBE)
        profiles = [_Profile(CUBE, axis) for axis in axes]
        positions = sample.particles.positions(tomograms)
        reporter.stage("power in the tomograms")
        for count, (number, piece) in enumerate(_pieces(sample, tomograms, positions, max(8, 64 // len(paths)))):
            spectrum = np.abs(scipy.fft.rfftn((piece - piece.mean()) * window)) ** 2
            groups[count % GROUPS].append(profiles[number].of(spectrum.ravel()))
            reporter.check()
        source = "tomograms"
    elif stacks:
        return None, "2D stacks have no wedge of their own and the tomograms are not there"
    else:
        n = sample.tomogram.n
        profiles = [_Profile(n, axis) for axis in axes]
        for row in range(sample.n):
            groups[row % GROUPS].append(profiles[sample.tomograms[row]].of(np.abs(sample.tomogram.values[row]) ** 2))
        source = "particles"
    full = [np.mean(group, axis=0) for group in groups if group]
    if not full:
        return None, f"the tomograms are smaller than {CUBE} voxels"
    return Directions(source, angles, np.stack(full), tilts), ""
