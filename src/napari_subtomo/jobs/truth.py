"""How well kept particles and classes agree with the truth of a simulated sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.simulate.files import TRUE_CLASS, TRUE_NAME

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """What the picks of a simulated sample really are: the rows of its truth.star, with true poses."""

    particles: ParticleSet

    @property
    def species(self) -> npt.NDArray[np.int64]:
        """True class from 1, shape (n,); 0 for a false pick."""
        return self.particles.ints(TRUE_CLASS)

    @property
    def kinds(self) -> npt.NDArray[np.str_]:
        """Name of the species or kind of false pick, shape (n,)."""
        return np.array(self.particles.texts(TRUE_NAME))

    def of(self, particles: ParticleSet) -> Truth:
        """The truth about these particles, in their order; matched by name.

        Raises
        ------
        InputError
            A particle is not of this sample.
        """
        row = {name: i for i, name in enumerate(self.particles.names)}
        unknown = [name for name in particles.names if name not in row]
        if unknown:
            raise InputError(
                f"Expected particles of the sample {self.particles.path}, found {unknown[0]}; give the truth of their own sample."
            )
        return Truth(self.particles.select(np.array([row[name] for name in particles.names], dtype=np.int64)))


@dataclass(frozen=True)
class PoseErrors:
    """Found against true poses of n particles.

    Attributes
    ----------
    degrees : ndarray, shape (n,)
        Angle of the rotation between the true and the found orientation.
    offsets : ndarray, shape (n, 3)
        Found minus true position, Å, xyz of the tomogram.
    own_offsets : ndarray, shape (n, 3)
        The same in the frame of the reference, where an error that all particles share shows as their mean.
    """

    degrees: FloatArray
    offsets: FloatArray
    own_offsets: FloatArray


def read_truth(path: Path) -> Truth:
    """Read truth.star of a simulated sample."""
    return Truth(read_particles(path))


def pose_errors(truth: Truth, particles: ParticleSet) -> PoseErrors:
    """Errors of the poses of particles, `truth` being that of the same particles in the same order."""
    orientations, offsets = truth.particles.orientations, particles.positions() - truth.particles.positions()
    own = np.einsum("nji,nj->ni", orientations, offsets)
    return PoseErrors(angular_distance(orientations, particles.orientations), offsets, own)


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

    everything, particles = read_truth(truth), read_particles(classified)
    species = everything.of(particles).species
    staying = set(read_particles(kept).names)
    is_kept = np.array([name in staying for name in particles.names])
    return Agreement(
        rand_index=float(rand_index(species, particles.class_numbers)),
        true=int((everything.species > 0).sum()),
        true_kept=int((is_kept & (species > 0)).sum()),
        false=int((everything.species == 0).sum()),
        false_kept=int((is_kept & (species == 0)).sum()),
    )
