"""Places in a tomogram where no particle is: arrays only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

FloatArray = npt.NDArray[np.float64]

DRAWS = 20_000  # places tried at once
MOST_DRAWS = 50
CHOICE = 12  # free places among which each one is chosen
SHRINK = 0.85
LEAST_SEPARATION = 0.25  # of the distance to particles: nearer nulls show nearly the same noise


@dataclass(frozen=True)
class Region:
    """Where null places may lie in a tomogram: corners of a box, xyz, Å from its centre."""

    low: FloatArray
    high: FloatArray

    @property
    def is_empty(self) -> bool:
        """Whether nothing fits."""
        return bool((self.high < self.low).any())


def region(size: npt.ArrayLike, margin: npt.ArrayLike, particles: FloatArray, distance: float) -> Region:
    """The part of a tomogram that is like that where the particles are.

    Parameters
    ----------
    size : array_like, shape (3,)
        Of the tomogram, Å.
    margin : array_like, shape (3,)
        Least distance from its faces, Å.
    particles : ndarray, shape (n, 3)
        Å from the centre. Places lie at most `distance` above the highest and below the lowest: a tomogram is often thicker than the ice.
    distance : float
        Å.
    """
    half = np.asarray(size, dtype=np.float64) / 2 - np.asarray(margin, dtype=np.float64)
    low, high = -half, half.copy()
    low[2] = max(low[2], particles[:, 2].min() - distance)
    high[2] = min(high[2], particles[:, 2].max() + distance)
    return Region(low, high)


def free_places(where: Region, taken: FloatArray, distance: float, wanted: int, rng: np.random.Generator) -> FloatArray:
    """Random places at least `distance` from all that are taken; at most `wanted`, fewer where there is little room."""
    if where.is_empty or wanted < 1:
        return np.zeros((0, 3))
    tree = cKDTree(taken) if len(taken) else None
    found: list[FloatArray] = []
    count = 0
    for _ in range(MOST_DRAWS):
        places = rng.uniform(where.low, where.high, (DRAWS, 3))
        if tree is not None:
            places = places[tree.query(places, distance_upper_bound=distance)[0] >= distance]
        found.append(places)
        count += len(places)
        if count >= wanted:
            break
    return np.concatenate(found)[:wanted]


def null_places(where: Region, taken: FloatArray, distance: float, wanted: int, rng: np.random.Generator) -> tuple[FloatArray, float]:
    """Random places far from all particles, and as far from each other as there is room for.

    Parameters
    ----------
    where : Region
    taken : ndarray, shape (n, 3)
        Places of particles, kept or discarded, Å.
    distance : float
        Least distance from them, Å.
    wanted : int
    rng : numpy Generator

    Returns
    -------
    places : ndarray, shape (m, 3)
        m <= wanted: fewer where they would lie within a quarter of `distance` of each other.
    separation : float
        Least distance between two of them that was kept, Å.
    """
    candidates = free_places(where, taken, distance, CHOICE * wanted, rng)
    separation = distance
    while True:
        chosen = _apart(candidates, separation, wanted)
        if len(chosen) >= wanted or separation <= LEAST_SEPARATION * distance or not len(candidates):
            return candidates[chosen], separation
        separation = max(separation * SHRINK, LEAST_SEPARATION * distance)


def _apart(places: FloatArray, separation: float, wanted: int) -> npt.NDArray[np.int64]:
    """The first places, in order, of which none is nearer to another than `separation`; at most `wanted`."""
    tree = cKDTree(places) if len(places) else None
    free = np.ones(len(places), dtype=bool)
    chosen: list[int] = []
    for i in range(len(places)):
        if len(chosen) == wanted:
            break
        if free[i] and tree is not None:
            chosen.append(i)
            free[tree.query_ball_point(places[i], separation * (1 - 1e-9))] = False
    return np.array(chosen, dtype=np.int64)


def shares(total: int, counts: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """`total` things for tomograms in proportion to their particles, by largest remainders."""
    counts = np.asarray(counts, dtype=np.float64)
    exact = total * counts / counts.sum()
    whole = np.floor(exact).astype(np.int64)
    whole[np.argsort(whole - exact, kind="stable")[: total - int(whole.sum())]] += 1
    return np.asarray(whole, dtype=np.int64)
