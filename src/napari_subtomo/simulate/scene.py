"""What is where in a simulated tomogram, how it was imaged, and what a picker made of it.

Random numbers are keyed by (seed, purpose, tomogram, tilt or particle): no draw depends on what was drawn for something else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import TiltSeries
from napari_subtomo.errors import OptionError
from napari_subtomo.geometry.frames import Frame
from napari_subtomo.geometry.orientations import random_matrices, rotation_vectors_to_matrices
from napari_subtomo.geometry.projection import project
from napari_subtomo.options.simulate import SimulateOptions

FloatArray = npt.NDArray[np.float64]
STRUCTURED = ("bead", "membrane", "protein")
FALSE_NAMES = (*STRUCTURED, "empty")


class Purpose(IntEnum):
    """First key of the random numbers after the seed."""

    PLACES = 1
    TRUE_POSE = 2
    PICK = 3
    SERIES = 4
    NOISE = 5
    MIX = 6


ATTEMPTS = 8


def generator(seed: int, purpose: Purpose, *keys: int) -> np.random.Generator:
    """Random numbers for one thing."""
    return np.random.default_rng([seed, int(purpose), *keys])


@dataclass(frozen=True)
class Scene:
    """Objects of one tomogram and the picks of them, in the order of the files.

    Attributes
    ----------
    kinds : ndarray of int, shape (n,)
        Index of the density: species first, then bead, membrane and another protein; -1 for an empty place.
    classes : ndarray of int, shape (n,)
        True class from 1; 0 for false picks.
    names : tuple of str
        Name of the species or kind of false pick.
    positions, picked_positions : ndarray, shape (n, 3)
        Å from the tomogram's centre, xyz.
    matrices, picked_matrices : ndarray, shape (n, 3, 3)
        Orientations A, reference to tomogram.
    """

    kinds: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    names: tuple[str, ...]
    positions: FloatArray
    matrices: FloatArray
    picked_positions: FloatArray
    picked_matrices: FloatArray


def counts(total: int, shares: Sequence[float]) -> npt.NDArray[np.int64]:
    """Whole numbers that add up to `total` in the proportions of `shares` (largest remainders)."""
    exact = np.asarray(shares, dtype=np.float64) / np.sum(shares) * total
    whole: npt.NDArray[np.int64] = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: total - whole.sum()]] += 1
    return whole


def structured_counts(total: int, kinds: Sequence[str]) -> list[int]:
    """Equal numbers of the wanted kinds of structured false picks, in the order of `STRUCTURED`; the last ones take the remainder."""
    wanted = [kind for kind in STRUCTURED if kind in kinds]
    part, rest = divmod(total, max(len(wanted), 1))
    many = dict.fromkeys(wanted[len(wanted) - rest :], part + 1) if rest else {}
    return [many.get(kind, part) if kind in wanted else 0 for kind in STRUCTURED]


def tilt_series(options: SimulateOptions, name: str, tomogram: int) -> TiltSeries:
    """Angles, doses, defoci and shifts of one series, rows in the order of the tilt angle."""
    n = int(np.floor(2 * options.tilt_range / options.tilt_step + 1e-6)) + 1
    tilts = (np.arange(n, dtype=np.float64) - (n - 1) / 2) * options.tilt_step
    dose = np.empty(n)
    dose[np.lexsort((tilts, np.abs(tilts)))] = np.arange(n) * options.dose  # dose-symmetric: 0, -3, 3, -6, 6 ...
    rng = generator(options.seed, Purpose.SERIES, tomogram)
    defocus = rng.uniform(options.defocus_min, options.defocus_max)
    angle = rng.uniform(0, 180)
    draws = np.stack([generator(options.seed, Purpose.SERIES, tomogram, 1 + t).standard_normal(3) for t in range(n)])
    middle = defocus + options.defocus_spread * draws[:, 0]
    zeros = np.zeros(n)
    return TiltSeries(
        name=name,
        x_tilt=zeros,
        y_tilt=tilts,
        z_rot=np.full(n, options.tilt_axis),
        x_shift=options.image_shift * draws[:, 1],
        y_shift=options.image_shift * draws[:, 2],
        defocus_u=middle + options.astigmatism / 2,
        defocus_v=middle - options.astigmatism / 2,
        defocus_angle=np.full(n, angle),
        phase_shift=zeros,
        scale=np.cos(np.radians(tilts)),
        dose=dose,
    )


def make_scene(options: SimulateOptions, species: Sequence[str], tomogram: int, series: TiltSeries, frame: Frame) -> Scene:
    """Place particles and false objects, and pick them.

    Raises
    ------
    OptionError
        They do not fit into the tomogram.
    """
    n_true = options.particles
    n_false = round(n_true * options.false_fraction / (1 - options.false_fraction))
    n_structured = round(n_false * options.structured_fraction)
    n_kinds = len(species) + len(STRUCTURED)
    numbers = [*counts(n_true, options.proportions or [1.0] * len(species)), *structured_counts(n_structured, options.structured)]
    kinds = np.repeat([*range(n_kinds), -1], [*numbers, n_false - n_structured])
    kinds = kinds[generator(options.seed, Purpose.MIX, tomogram).permutation(len(kinds))]
    names = (*species, *FALSE_NAMES)
    positions = _places(options, len(kinds), tomogram, series, frame)
    poses = [generator(options.seed, Purpose.TRUE_POSE, tomogram, i) for i in range(len(kinds))]
    matrices = np.concatenate([random_matrices(1, rng) for rng in poses])
    classes = np.where((kinds >= 0) & (kinds < len(species)), kinds + 1, 0)
    picks = [generator(options.seed, Purpose.PICK, tomogram, i) for i in range(len(kinds))]
    picked_positions = positions + options.position_error * np.stack([rng.standard_normal(3) for rng in picks])
    errors = np.stack([_rotation_error(options.prior_error, options.largest_error, rng) for rng in picks])
    guesses = np.concatenate([random_matrices(1, rng) for rng in picks])
    picked = np.where((classes > 0)[:, None, None], matrices @ rotation_vectors_to_matrices(errors), guesses)
    return Scene(kinds, classes, tuple(names[k] for k in kinds), positions, matrices, picked_positions, picked)


def _rotation_error(rms: float, largest: float, rng: np.random.Generator) -> FloatArray:
    """Rotation vector in degrees: Gaussian with r.m.s. length `rms`, drawn again while longer than `largest`."""
    for _ in range(10_000):
        vector: FloatArray = rng.standard_normal(3) * (rms / np.sqrt(3))
        if np.linalg.norm(vector) <= largest:
            return vector
    raise OptionError(f"Expected a prior error that is not far above its maximum, found {rms:g} and {largest:g} degrees.")


def _places(options: SimulateOptions, n: int, tomogram: int, series: TiltSeries, frame: Frame) -> FloatArray:
    """Centres (n, 3) in Å, none closer than the separation, each with room for its box in the tomogram and in every tilt image."""
    rng = generator(options.seed, Purpose.PLACES, tomogram)
    room = 0.5 * options.box * options.pixel_size + 4 * options.position_error
    half = np.asarray(frame.size_xyz) / 2 * options.pixel_size - room
    if half.min() < 0:
        raise OptionError(
            f"Expected tomograms of at least {2 * room:.0f} Å in each direction for particles of {options.diameter:.0f} Å, found "
            f"{' x '.join(f'{s * options.pixel_size:.0f}' for s in frame.size_xyz)} Å; raise --width or --thickness."
        )
    edge = room / options.pixel_size

    def allowed(points: FloatArray) -> npt.NDArray[np.bool_]:
        places = project(points, series, frame, (options.width, options.width))[..., :2]
        within = (places >= edge) & (places <= options.width - 1 - edge)
        return np.asarray(within.all(axis=(0, 2)) & (np.abs(points) <= half).all(axis=1), dtype=np.bool_)

    most = 0
    for attempt in range(ATTEMPTS):
        places: list[FloatArray] = []
        for _ in range(n):
            place = _one_place(rng, places, half, options, allowed)
            if place is None:
                break
            places.append(place)
        if len(places) == n:
            return np.asarray(places).reshape(-1, 3)
        most = max(most, len(places))
        # a random packing can run out of room a few objects early; another one will not
        rng = generator(options.seed, Purpose.PLACES, tomogram, attempt)
    raise OptionError(
        f"Expected room for {n} objects {options.separation:.0f} Å apart in a tomogram of "
        f"{' x '.join(map(str, frame.size_xyz))} px, found room for {most}; "
        "lower --particles or --min-distance, or raise --width or --thickness."
    )


def _one_place(
    rng: np.random.Generator,
    taken: Sequence[FloatArray],
    half: FloatArray,
    options: SimulateOptions,
    allowed: Callable[[FloatArray], npt.NDArray[np.bool_]],
) -> FloatArray | None:
    """A free place: anywhere, or (for a crowded one) just beyond the least distance from one that is taken."""
    there = np.asarray(taken).reshape(-1, 3)
    crowded = len(there) > 0 and rng.random() < options.crowding
    for attempt in range(40):
        if crowded and attempt < 10:
            direction = rng.standard_normal((64, 3))
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            distance = options.separation * rng.uniform(1.0, 1.15, (64, 1))
            candidates = there[rng.integers(len(there), size=64)] + direction * distance
        else:
            candidates = rng.uniform(-half, half, (64, 3))
        free = (np.linalg.norm(candidates[:, None] - there, axis=2) >= options.separation).all(axis=1)
        candidates = candidates[free]
        if len(candidates) and (good := allowed(candidates)).any():
            first: FloatArray = candidates[good][0]
            return first
    return None
