"""How well kept particles and classes agree with the truth of a simulated sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.star import read_star


@dataclass(frozen=True)
class Agreement:
    """Counts of picks; a false pick belongs to no species.

    Attributes
    ----------
    rand_index : float
        Adjusted Rand index of the class numbers and the true groups: every species, and the false picks as one group. 1: the same
        partition, 0: chance (Hubert & Arabie 1985).
    """

    rand_index: float
    true: int
    true_kept: int
    false: int
    false_kept: int

    def sentences(self) -> tuple[str, ...]:
        """For the end of the log."""
        return (
            f"Against the truth: adjusted Rand index {self.rand_index:.3f} over species and false picks;",
            f"{self.true_kept} of {self.true} true particles kept, {self.false - self.false_kept} of {self.false} false picks rejected.",
        )


def compare(truth: Path, classified: Path, kept: Path) -> Agreement:
    """Compare a classification and a selection with the truth; particles are matched by name.

    Parameters
    ----------
    truth : Path
        truth.star of a simulated sample.
    classified : Path
        STAR file with class numbers of all particles.
    kept : Path
        particles.star after selection.
    """
    from napari_subtomo.em.start import rand_index
    from napari_subtomo.io.relion import PARTICLES, TOMO_PARTICLE_NAME
    from napari_subtomo.simulate.files import TRUE_CLASS

    table = read_star(truth)[PARTICLES]
    species = dict(zip(table.texts(TOMO_PARTICLE_NAME), table.ints(TRUE_CLASS), strict=True))
    particles = read_particles(classified)
    true = np.array([species[name] for name in particles.names])
    staying = set(read_particles(kept).names)
    is_kept = np.array([name in staying for name in particles.names])
    return Agreement(
        rand_index=float(rand_index(true, particles.class_numbers)),
        true=sum(number > 0 for number in species.values()),
        true_kept=int((is_kept & (true > 0)).sum()),
        false=sum(number == 0 for number in species.values()),
        false_kept=int((is_kept & (true == 0)).sum()),
    )
