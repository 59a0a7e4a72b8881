"""What repeats say of particles, classes and pairs of classes of a classification."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from napari_subtomo.em.stability import Judgements

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PERMUTATIONS = 200
#: two classes are distinct from this separation on, if chance gives it in less than `LEAST_P` of the permutations
LEAST_SEPARATION, LEAST_P = 0.25, 0.01


@dataclass(frozen=True)
class Pair:
    """Two classes, numbers from 1.

    Attributes
    ----------
    separation : float
        How differently the other half's maps label the particles of the two: 1, never the same; 0, as chance would.
    p : float
        Share of random exchanges of particles between the two that separate them as much.
    """

    a: int
    b: int
    separation: float
    p: float

    @property
    def distinct(self) -> bool:
        """Whether maps that never saw these particles tell the two apart."""
        return self.separation >= LEAST_SEPARATION and self.p < LEAST_P

    @property
    def sentence(self) -> str:
        """Closing line of two classes that are not distinct."""
        return (
            f"Classes {self.a} and {self.b} are not distinct: maps made without their particles tell them apart "
            f"{'no better than chance' if self.p >= LEAST_P else 'hardly'} (separation {self.separation:.2f}, p = {self.p:.3f})."
        )


@dataclass(frozen=True)
class Stability:
    """What repeats say.

    Attributes
    ----------
    particles : ndarray, shape (n,)
        Share of the repeats that give a particle its class, numbers of classes matched.
    classes : ndarray, shape (K,)
        Mean over halves and repeats of the largest Jaccard index with a class found there (Hennig 2007, "clusterwise stability");
        NaN for a class without particles.
    pairs : tuple of Pair
        Of the real classes that have particles.
    """

    particles: FloatArray
    classes: FloatArray
    pairs: tuple[Pair, ...]


def summarise(judgements: Judgements, labels: IntArray, classes: int, empty: bool, seed: int) -> Stability:
    """Stability of the classes `labels`, shape (n,), numbers from 1, the empty class (if there is one) last of `classes`."""
    n, wanted = len(labels), len(judgements)
    agree = np.zeros(n)
    jaccard: list[FloatArray] = []
    for half, given in zip(judgements.half, judgements.labels, strict=True):
        for h in (0, 1):
            rows = np.flatnonzero(half == h)
            table = contingency(labels[rows], given[rows], classes)
            agree[rows] += matched(table, empty)[given[rows] - 1] == labels[rows]
            union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
            best = (table / np.maximum(union, 1)).max(axis=1)
            jaccard.append(np.where(table.sum(1) > 0, best, np.nan))
    known = np.isfinite(jaccard)
    of_class = np.where(known.any(0), np.where(known, jaccard, 0).sum(0) / np.maximum(known.sum(0), 1), np.nan)
    there = [c for c in range(1, classes + 1 - int(empty)) if np.any(labels == c)]
    rng = np.random.default_rng([seed, 8])
    pairs = tuple(separation(judgements, labels, a, b, classes, rng) for a, b in combinations(there, 2))
    return Stability(agree / max(wanted, 1), of_class, pairs)


def contingency(a: IntArray, b: IntArray, classes: int) -> IntArray:
    """Particles by two labelings from 1 on, shape (classes, classes)."""
    table: IntArray = np.bincount((a - 1) * classes + b - 1, minlength=classes**2).reshape(classes, classes)
    return table


def matched(table: IntArray, empty: bool) -> IntArray:
    """Row number (from 1) of each column that makes most particles agree, shape (classes,); the empty class is itself (Kuhn 1955)."""
    found = np.arange(1, len(table) + 1)
    last = len(table) - int(empty)
    rows, columns = linear_sum_assignment(-table[:last, :last])
    found[columns] = rows + 1
    return found


def separation(judgements: Judgements, labels: IntArray, a: int, b: int, classes: int, rng: np.random.Generator) -> Pair:
    """How far apart two classes are in the eyes of maps that never saw their particles.

    In each half of each repeat, the distance (total variation, 0 … 1) between the distributions over the other half's classes of the
    particles of a and of b: no matching of class numbers is needed, and it does not matter which class the other half has split. The mean
    is compared with that after random exchanges of particles between the two, which keep their sizes.
    """
    rows = np.flatnonzero((labels == a) | (labels == b))
    first = labels[rows] == a
    seen = judgements.rows(rows)
    columns = np.stack([(h * classes + given - 1) for h, given in zip(seen.half, seen.labels, strict=True)])
    repeats = len(columns)
    table = np.zeros((len(rows), repeats * 2 * classes), np.float32)
    table[np.arange(len(rows))[:, None], (columns + 2 * classes * np.arange(repeats)[:, None]).T] = 1
    members = np.stack([first, *(rng.permutation(first) for _ in range(PERMUTATIONS))]).astype(np.float32)
    of_a = (members @ table).reshape(len(members), -1, classes)
    of_b = table.sum(0).reshape(1, -1, classes) - of_a
    size_a, size_b = of_a.sum(-1, keepdims=True), of_b.sum(-1, keepdims=True)
    apart = 0.5 * np.abs(of_a / np.maximum(size_a, 1) - of_b / np.maximum(size_b, 1)).sum(-1)
    # a half without a particle of one of the two says nothing
    known = ((size_a > 0) & (size_b > 0))[..., 0]
    distance = (apart * known).sum(1) / np.maximum(known.sum(1), 1)
    chance = float(distance[1:].mean())
    p = (1 + int((distance[1:] >= distance[0] - 1e-6).sum())) / (PERMUTATIONS + 1)
    return Pair(a, b, float((distance[0] - chance) / max(1 - chance, 1e-9)), p)
