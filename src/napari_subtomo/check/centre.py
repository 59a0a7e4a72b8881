"""Is what was cut in the middle of the boxes: in the frame of the particles, in that of the tomogram, and in each tomogram?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from napari_subtomo.check.sample import Frame, IntArray, Sample
from napari_subtomo.check.signal import blob
from napari_subtomo.check.verdict import CANNOT, FAIL, PASS, Verdict
from napari_subtomo.geometry.frames import reverse_axes

FloatArray = npt.NDArray[np.float64]
GROUPS = 10  # of the jackknife
TOLERANCE = 0.1  # of the diameter
LEAST_PX = 1.0  # of the extracted boxes: nothing below is called a drift
SURE = 3.0
FEWEST = 2 * GROUPS  # particles for a position with an error
_STEPS = 8  # of the centre of mass towards itself


@dataclass(frozen=True)
class Place:
    """Where the density of an average is.

    Attributes
    ----------
    shift_px : ndarray, shape (3,)
        xyz from the middle of the box, coarse voxels.
    error_px : float
        Standard error (jackknife), root of the sum over x, y and z.
    n : int
        Particles.
    """

    shift_px: FloatArray
    error_px: float
    n: int

    @property
    def distance_px(self) -> float:
        """Coarse voxels from the middle."""
        return float(np.linalg.norm(self.shift_px))


class Filter:
    """Matched filter of sums of particles with a blob, for each of its places.

    Images that are cut to a circle have lost the far side of a particle that lies off the middle, which draws the peak inwards: in
    simulations a sixth of the diameter was found to be a tenth to an eighth. (Dividing by what a blob gives behind that window mends
    it on average, but lets the rim of the box win where the particle nearly fills it.)

    Parameters
    ----------
    frame : Frame
    template : ndarray
        Transform of the blob in the middle.
    """

    def __init__(self, frame: Frame, template: npt.NDArray[np.complex64]) -> None:
        self.frame = frame
        noise = np.maximum(frame.noise[np.minimum(frame.shell, len(frame.noise) - 1)], 1e-30)
        inside = (frame.shell >= 1) & (frame.shell < frame.n // 2)
        self.template = np.where(inside, template.conj() / noise, 0)

    def __call__(self, total: npt.NDArray[np.complexfloating]) -> npt.NDArray[np.float64]:
        """Likeness of a sum (lattice,) with the blob at each voxel, shape (n, n, n)."""
        n = self.frame.n
        half = (total * self.template).reshape(n, n, n // 2 + 1)
        found: npt.NDArray[np.float64] = np.fft.fftshift(np.fft.irfftn(half, s=(n, n, n), axes=(0, 1, 2)))
        return found


def find_peak(density: npt.NDArray[np.float64], reach: float, start: FloatArray | None = None) -> FloatArray:
    """Place of the peak within `reach` voxels of the middle, or next to `start`, as voxel indices zyx.

    The centre of mass of what is above 0.7 of it, about it.
    """
    n = density.shape[0]
    axis = np.arange(n) - n // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    near = z**2 + y**2 + x**2 <= reach**2
    if start is None:
        start = np.array(np.unravel_index(np.argmax(np.where(near, density, -np.inf)), density.shape), dtype=np.float64)
    offsets = np.stack(np.meshgrid(*[np.arange(-2, 2.01, 0.5)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    for _ in range(_STEPS):
        points = start + offsets
        values = map_coordinates(density, points.T, order=3, mode="grid-wrap")
        above = np.maximum(values - 0.7 * values.max(), 0)
        if above.sum() <= 0:
            break
        start = (points * above[:, None]).sum(axis=0) / above.sum()
    return np.asarray(start)


def locate(matched: Filter, rows: IntArray) -> Place:
    """Place of the average of some particles, bright or dark, with a delete-a-group jackknife."""
    sums = np.stack([matched.frame.values[rows[start::GROUPS]].sum(axis=0) for start in range(GROUPS)])
    reach, whole = matched.frame.n / 3.5, matched(sums.sum(axis=0))
    sign = 1.0 if whole.max() >= -whole.min() else -1.0
    place = find_peak(sign * whole, reach)
    # from one start: a peak that is flat would else be found in this voxel or that
    parts = np.stack([find_peak(sign * matched(sums.sum(axis=0) - part), reach, place) for part in sums])
    error = np.sqrt((GROUPS - 1) / GROUPS * ((parts - parts.mean(axis=0)) ** 2).sum())
    return Place(reverse_axes(place - matched.frame.n // 2), float(error), len(rows))


def check_centre(sample: Sample, diameter: float, has_signal: bool) -> tuple[Verdict, FloatArray]:
    """Whether particles are centred, and where the middle of the average was found (coarse voxels, xyz).

    Parameters
    ----------
    sample : Sample
    diameter : float
        Å.
    has_signal : bool
    """
    tolerance = max(TOLERANCE * diameter, LEAST_PX * sample.pixel_size)
    rule = (
        f"Place of the average against the middle of the box, along the particles' axes and along the tomogram's, for all and for "
        f"each tomogram of at least {FEWEST} particles: fail where it is more than {SURE:g} standard errors (jackknife) beyond "
        f"{tolerance:.1f} Å ({100 * TOLERANCE:g} % of the diameter, at least {LEAST_PX:g} px); pass where it is as far within."
    )
    if sample.n < FEWEST or not has_signal:
        reason = f"only {sample.n} particles, {FEWEST} are needed" if sample.n < FEWEST else "without signal there is no centre"
        return Verdict("centre", CANNOT, f"Not enough to tell: {reason}.", rule, {"particles": sample.n}), np.zeros(3)
    template = blob(sample, diameter)
    filters = {"particles": Filter(sample.reference, template), "tomogram": Filter(sample.tomogram, template)}
    everyone = np.arange(sample.n)
    sets = {"all": everyone}
    if len(sample.tomogram_names) > 1:
        sets |= {name: np.flatnonzero(sample.tomograms == i) for i, name in enumerate(sample.tomogram_names)}
    places: dict[tuple[str, str], Place] = {}
    for name, rows in sets.items():
        if len(rows) >= FEWEST:
            for kind, matched in filters.items():
                places[name, kind] = locate(matched, rows)
    size = sample.voxel_size
    off = {key: p for key, p in places.items() if (p.distance_px - SURE * p.error_px) * size > tolerance}
    within = {key: p for key, p in places.items() if (p.distance_px + SURE * p.error_px) * size < tolerance}
    numbers: dict[str, Any] = {"tolerance": round(tolerance, 2), "particles": sample.n}
    for (name, kind), place in places.items():
        shift = [round(float(v) * size, 2) for v in place.shift_px]
        numbers[f"{name}, axes of the {'particles' if kind == 'particles' else 'tomogram'}"] = {
            "shift": shift, "error": round(place.error_px * size, 2), "particles": place.n,
        }  # fmt: skip
    middle = places["all", "particles"]
    overall = [key for key in places if key[0] == "all"]
    worst = max(off or [key for key in overall if key not in within] or overall, key=lambda key: places[key].distance_px)
    text = _words(worst, places[worst], sample)
    if off:
        advice = "re-centre when extracting again, or correct the coordinates"
        return Verdict("centre", FAIL, f"Off-centre: {text}; {advice}.", rule, numbers), middle.shift_px
    if all(("all", kind) in within for kind in ("particles", "tomogram")):
        return Verdict("centre", PASS, f"Centred: {text}, within {tolerance:.0f} Å.", rule, numbers), middle.shift_px
    return Verdict("centre", CANNOT, f"Not enough to tell: {text}, against {tolerance:.0f} Å.", rule, numbers), middle.shift_px


def _words(key: tuple[str, str], place: Place, sample: Sample) -> str:
    name, kind = key
    whose = "the average" if name == "all" else f"the average of {name}"
    axes = "" if kind == "particles" else " along the axes of the tomogram"
    angstrom, error = (value * sample.voxel_size for value in (place.distance_px, place.error_px))
    return f"{whose} lies {angstrom:.1f} ± {error:.1f} Å ({angstrom / sample.pixel_size:.1f} px) from the middle of the box{axes}"
