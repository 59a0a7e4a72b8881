"""A proposal which classes to keep, with a reason for each: what a user without the truth would go by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_subtomo.io import relion as r
from napari_subtomo.io.class_files import ClassTable
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star
from napari_subtomo.select.correlation import Likeness, likenesses

#: a class is small below this share of all particles, or below `LEAST_OF_MEAN` of an equal share where there are many classes
LEAST_SHARE, LEAST_OF_MEAN = 0.1, 0.3
#: a class is blurred when its resolution (Å) is more than this many times that of the best class
WORST_RESOLUTION = 1.5
#: maps are alike where both are resolved when they correlate by more than this: species that share most of their mass have 0.9, gold 0.4
ALIKE = 0.7
#: a class that is not alike and this many times as dense as the largest one is of metal: species have about 1, and gold stands out
#: against water about eight times as much as protein does (`simulate`)
METAL = 3.0
#: a class dissolves when its stability is below this (Hennig 2007)
LEAST_STABILITY = 0.5
UNKNOWN = 999.0


@dataclass(frozen=True)
class ClassFacts:
    """What is known of one class.

    Attributes
    ----------
    number : int
    count : int
        Particles whose best class it is.
    resolution : float
        Å; 999 or NaN where no shell holds more signal than noise or where it is not known.
    is_empty : bool
    evidence : float
        Median over its particles of the log evidence of "a particle" against "nothing there"; NaN where unknown.
    stability : float
        0 … 1; NaN where no repeats were run.
    twins : tuple of int
        Classes that it is not distinct from.
    score : float
        RELION's class score, 0 … 1; NaN where its class ranker has not run.
    correlation : float
        Correlation of its map with that of the largest class where both are resolved; NaN for the largest and where unknown.
    density : float
        Highest density of its map there in units of that of the largest class; NaN for the largest and where unknown.
    """

    number: int
    count: int
    resolution: float
    is_empty: bool = False
    evidence: float = np.nan
    stability: float = np.nan
    twins: tuple[int, ...] = ()
    score: float = np.nan
    correlation: float = np.nan
    density: float = np.nan

    @property
    def figures(self) -> str:
        """ "80 particles, 40.0 Å, stability 0.92" """
        parts = [f"{self.count} particles"]
        parts += [f"{self.resolution:.1f} Å"] if self.resolution < UNKNOWN else []
        parts += [f"stability {self.stability:.2f}"] if np.isfinite(self.stability) else []
        parts += [f"RELION's class score {self.score:.2f}"] if np.isfinite(self.score) else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Proposal:
    """Whether a class is kept, and why, in a sentence."""

    number: int
    keep: bool
    reason: str


def facts_of(table: ClassTable, project: Project) -> tuple[ClassFacts, ...]:
    """What the files of an iteration, of this package or of RELION, say of each class; `project` finds the maps."""
    block = table.classes
    rows = 0 if block is None else len(block)

    def column(label: str) -> list[float]:
        known = block.floats(label).tolist() if block is not None and block.has(label) else [np.nan] * rows
        return known + [np.nan] * (max(table.numbers, default=0) - rows)

    resolutions, stability, score = column(r.ESTIMATED_RESOLUTION), column(r.STABILITY), column(r.CLASS_SCORE)
    evidence = table.particles.floats(r.LOG_EVIDENCE) if table.particles.has(r.LOG_EVIDENCE) else None
    twins = _twins(table)
    real = {n: resolutions[n - 1] for n in table.numbers if n != table.empty_class and 0 < resolutions[n - 1] < UNKNOWN}
    likeness, unknown = likenesses(table, real, project), Likeness(np.nan, np.nan)
    found = []
    for number in table.numbers:
        members = table.class_numbers == number
        median = float(np.median(evidence[members])) if evidence is not None and members.any() else np.nan
        i = number - 1
        found.append(
            ClassFacts(
                number,
                int(members.sum()),
                resolutions[i],
                number == table.empty_class,
                median,
                stability[i],
                tuple(twins.get(number, ())),
                score[i],
                likeness.get(number, unknown).correlation,
                likeness.get(number, unknown).density,
            )
        )
    return tuple(found)


def _twins(table: ClassTable) -> dict[int, list[int]]:
    """Classes that each class is not distinct from, by the model file."""
    found: dict[int, list[int]] = {}
    pairs = None if table.files.model is None else read_star(table.files.model).get(r.MODEL_PAIRS)
    if pairs is not None:
        for a, b, distinct in zip(*(pairs.ints(label) for label in (*r.PAIR, r.DISTINCT)), strict=True):
            if not distinct:
                found.setdefault(int(a), []).append(int(b))
                found.setdefault(int(b), []).append(int(a))
    return found


def proposals_of(table: ClassTable, project: Project) -> tuple[Proposal, ...]:
    """Which classes of an iteration to keep, by what its files say; `project` finds the maps."""
    return propose(facts_of(table, project))


def propose(facts: Sequence[ClassFacts]) -> tuple[Proposal, ...]:
    """Which classes to keep, by size, resolution against the best class, density, evidence and stability, in this order.

    What is no particle gathers in the empty class, or in small and blurred ones; beads of gold are many times denser. A class that is
    blurred but like the largest one is of few particles, not of something else. One that is sharp and unlike it may be another kind of
    particle: that is said. A class that dissolves in repeats is left out, unless what makes it dissolve is another class that it is not
    distinct from: such classes are one thing, and belong together.
    """
    total = max(1, sum(one.count for one in facts))
    real = [one for one in facts if not one.is_empty]
    least = min(LEAST_SHARE, LEAST_OF_MEAN / max(1, len(real))) * total
    sound = [one.resolution for one in real if one.count >= least and one.resolution < UNKNOWN]
    best = min(sound, default=np.nan)
    found = []
    for one in facts:
        objection = _objection(one, least, total, best, known=bool(sound))
        share = f"{one.figures} ({100 * one.count / total:.0f} %)" if not one.is_empty else ""
        if one.is_empty:
            reason = f"Class {one.number} is left out: it is the empty class, {one.count} particles that fit no density better than none."
        elif objection:
            reason = f"Class {one.number} is left out: {share}; {objection}."
        else:
            reason = f"Class {one.number} is kept: {share}{_remarks(one, best)}."
        found.append(Proposal(one.number, not objection and not one.is_empty, reason))
    return tuple(found)


def _objection(one: ClassFacts, least: float, total: int, best: float, *, known: bool) -> str:
    """What speaks against a class; "" if nothing does."""
    if one.count < max(1.0, least):
        return f"it has less than {100 * least / total:.0f} % of the particles"
    if known and not one.resolution < UNKNOWN:
        return "no shell holds more signal than noise"
    if known and one.resolution > WORST_RESOLUTION * best and not one.correlation > ALIKE:
        return f"the best class has {best:.1f} Å"
    if one.correlation < ALIKE and one.density > METAL:
        unlike = f"its map is unlike that of the largest class ({one.correlation:.2f})"
        return f"{unlike} and {one.density:.1f} times as dense, as beads of gold are"
    if one.evidence <= 0:
        return f"half of its particles are explained no better than by nothing (median log evidence {one.evidence:.1f})"
    if one.stability < LEAST_STABILITY and not one.twins:
        return "it dissolves when the classification is repeated on halves of the particles"
    return ""


def _remarks(one: ClassFacts, best: float) -> str:
    """What a user should know of a class that is kept; "" if nothing."""
    said = ""
    if one.resolution > WORST_RESOLUTION * best:
        said += (
            f"; the best class has {best:.1f} Å, but its map is like that of the largest class as far as it goes ({one.correlation:.2f})"
        )
    if one.correlation < ALIKE:
        said += f"; its map is unlike that of the largest class ({one.correlation:.2f}): look whether it is a particle"
    if one.twins:
        said += f"; it is not distinct from class {' and '.join(map(str, one.twins))}"
    return said
