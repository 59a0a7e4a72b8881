"""Which half each particle belongs to, and what the FSC of those halves may be called."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet

NOT_GOLD = "not gold-standard"
MAYBE_GOLD = "gold-standard only if the halves were aligned apart"


@dataclass(frozen=True)
class Halves:
    """Half sets and their meaning.

    Attributes
    ----------
    numbers : ndarray, shape (n,), int
        1 or 2; 0 for particles of neither.
    made_here : bool
        Whether they were drawn here rather than read.
    label : str
        What the FSC is, for plot, log and STAR file.
    explanation : str
        The label as a sentence.
    warnings : tuple of str
    """

    numbers: npt.NDArray[np.int64]
    made_here: bool
    label: str
    explanation: str
    warnings: tuple[str, ...] = ()

    @property
    def both(self) -> bool:
        """Whether each half has a particle, so that there is an FSC."""
        return bool((self.numbers == 1).any() and (self.numbers == 2).any())


def choose_halves(particles: ParticleSet, seed: int) -> Halves:
    """The half sets of the particle file, or a seeded split where it has none.

    Particles that share a subtomogram (copies at symmetry-related poses, for one) stay together: the same noise in both halves would
    correlate. The split hangs on seed and file name alone, so the order of the particles does not matter.

    Parameters
    ----------
    particles : ParticleSet
    seed : int

    Raises
    ------
    InputError
        A half set other than 0, 1 and 2.
    """
    given = particles.half_sets
    if not np.isin(given, (0, 1, 2)).all():
        wrong = int(np.flatnonzero(~np.isin(given, (0, 1, 2)))[0])
        raise InputError(
            f"Expected 1 or 2 in column _{relion.RANDOM_SUBSET}, found {given[wrong]} for particle {particles.names[wrong]} "
            f"(row {wrong + 1}) of {particles.path or 'the particle set'}."
        )
    if (given > 0).any():
        return _given(particles, given)
    images = np.asarray(_images(particles), dtype=object)
    order = sorted(set(images.tolist()), key=lambda text: hashlib.blake2b(f"{seed} {text}".encode()).digest())
    half_of = {text: 1 + place % 2 for place, text in enumerate(order)}
    numbers = np.array([half_of[text] for text in images.tolist()], dtype=np.int64)
    explanation = (
        "FSC not gold-standard: the particles had no half sets, so they were split at random, after their orientations were found "
        "against references that had seen all of them; the true resolution may be lower."
    )
    few = () if len(order) > 1 else ("Expected at least two subtomograms for an FSC, found one; only the merged map is written.",)
    return Halves(numbers, True, NOT_GOLD, explanation, few)


def _images(particles: ParticleSet) -> tuple[str, ...]:
    """What particles may share: their images, or their names where they have none yet."""
    cells = zip(particles.image_paths, particles.names, strict=True)
    return tuple(name if image in relion.NOT_AVAILABLE else image for image, name in cells)


def _given(particles: ParticleSet, given: npt.NDArray[np.int64]) -> Halves:
    counts = np.bincount(given, minlength=3)
    explanation = (
        f"FSC of the half sets in the file ({counts[1]} and {counts[2]} particles): gold-standard only if the orientations of each half "
        "were found against that half's own reference, which the file does not tell."
    )
    warnings = []
    if counts[0]:
        warnings.append(f"{counts[0]} of {len(given)} particles belong to neither half set; they are in the merged map only.")
    for half in (1, 2):
        if counts[half] == 0:
            warnings.append(f"Half set {half} has no particles, so there is no FSC; only the merged map is written.")
    images = _images(particles)
    shared = {image for image, half in zip(images, given.tolist(), strict=True) if half == 1} & {
        image for image, half in zip(images, given.tolist(), strict=True) if half == 2
    }
    label = MAYBE_GOLD
    if shared:
        label = NOT_GOLD
        explanation = f"FSC not gold-standard: {len(shared)} subtomograms are in both half sets, so their noise correlates."
        warnings.append(explanation)
    return Halves(given, False, label, explanation, tuple(warnings))
