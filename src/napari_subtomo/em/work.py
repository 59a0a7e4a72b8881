"""The work of an iteration on particles, as units that can be done on any device or in another process and are merged in fixed order.

A unit is an E-step and the sums that it leads to. Several devices share the particles evenly, those of a fold together: a device makes the
references of its own particles' folds. Shares, and so results, depend on the number of devices alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.accumulate import map_sums, shell_sums
from napari_subtomo.em.assignment import assigned
from napari_subtomo.em.expectation import EStep, reference_volumes, search
from napari_subtomo.em.prepare import Prepared
from napari_subtomo.em.resident import Residence
from napari_subtomo.em.statistics import ParticleResults, ShellSums, Sums
from napari_subtomo.em.stored_poses import iterate_stored
from napari_subtomo.em.threads import ordered_map
from napari_subtomo.numerics.backend import device_context, release_memory
from napari_subtomo.progress import Quiet, Reporter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Done:
    """What a unit of work leads to."""

    results: ParticleResults
    sums: Sums
    shells: ShellSums


@dataclass(frozen=True)
class Work:
    """A unit of work; it can be pickled.

    Attributes
    ----------
    step : EStep
        Of these particles.
    prepared : Prepared
    last_shell : int
        Up to which maps are made.
    mates : ndarray, shape (m, 3, 3)
        Symmetry rotations of the reference, the identity first.
    assignment : str
        How much of a particle which pose gets; see `assigned`.
    threads : int
        On a processor.
    """

    step: EStep
    prepared: Prepared
    last_shell: int
    mates: FloatArray
    assignment: str = "soft"
    threads: int = 1

    def done(self, reporter: Reporter) -> Done:
        """Do it."""
        step = self.step
        if step.poses.is_single and step.grid.exact and (step.cross_correlation or self.assignment == "soft"):
            return Done(*iterate_stored(step, self.prepared, self.last_shell, self.mates, self.threads, reporter))
        with device_context(step.device):
            volumes = reference_volumes(step, self.threads)
        release_memory("cpu")  # here and below: what one part needed is not there on top of what the next one needs
        found, results = search(step, self.prepared, self.threads, reporter, volumes)
        found = assigned(found, results, "soft" if step.cross_correlation else self.assignment)
        release_memory("cpu")
        sums = map_sums(step, self.prepared, found, self.last_shell, self.mates, self.threads, reporter)
        del found
        release_memory("cpu")
        return Done(results, sums, shell_sums(step, self.prepared, results, self.threads, volumes))


@dataclass(frozen=True)
class Share:
    """The particles of a device, shape (m,), and the folds they are of, ascending."""

    device: str
    ids: IntArray
    folds: IntArray

    def step(self, step: EStep) -> EStep:
        """The E-step of these particles, with the references of their folds."""
        ids = self.ids
        some = step.particles.some(ids, len(step.model.noise))
        return replace(
            step,
            model=replace(step.model, maps=step.model.maps[self.folds]),
            particles=replace(some, fold=np.searchsorted(self.folds, some.fold)),
            offsets_px=step.offsets_px[ids],
            allowed=None if step.allowed is None else step.allowed[ids],
            device=self.device,
            rotation_prior=None if step.rotation_prior is None else step.rotation_prior.some(ids),
            given=None if step.given is None else step.given[ids],
        )


def shares(fold: IntArray, devices: Sequence[str]) -> list[Share]:
    """Particles, of which the folds are given, shape (n,), shared out evenly; none is empty."""
    order = np.argsort(fold, kind="stable")
    pieces = [piece for piece in np.array_split(order, len(devices)) if len(piece)]
    return [Share(device, ids, np.unique(fold[ids])) for device, ids in zip(devices, pieces, strict=False)]


def carried_out(work: Work, devices: Sequence[str], residence: Residence, at_most: int, reporter: Reporter) -> Done:
    """Work on all particles, on one device or shared out.

    Parameters
    ----------
    work : Work
    devices : sequence of str
        One or more.
    residence : Residence
        Of particles that stay on devices.
    at_most : int
        Voxels of a particle that later iterations may need.
    reporter : Reporter
        Told of the progress of the first share; all are alike.
    """
    step, count = work.step, len(work.prepared)
    voxels = step.lattice.prefix(max(work.last_shell, step.last_shell))
    if len(devices) == 1:
        prepared = residence.on(devices[0], work.prepared, np.arange(count), voxels, at_most)
        return replace(work, prepared=prepared).done(reporter)
    shared = shares(step.particles.fold, devices)

    def one(place: int) -> Done:
        share = shared[place]
        prepared = residence.on(share.device, work.prepared, share.ids, voxels, at_most)
        return replace(work, step=share.step(step), prepared=prepared).done(reporter if place == 0 else Quiet(reporter))

    parts = ordered_map(one, range(len(shared)), len(shared))
    return merged(step, count, zip(shared, parts, strict=True))


def merged(step: EStep, count: int, parts: Iterable[tuple[Share, Done]]) -> Done:
    """One result of those of shares, in their order.

    Parameters
    ----------
    step : EStep
        Of all particles.
    count : int
        Number of particles.
    parts : iterable of (Share, Done)
    """
    folds, classes = step.model.maps.shape[:2]
    results = ParticleResults.empty(count, classes)
    shells = ShellSums.zero(len(step.model.noise), len(step.model.scales), step.lattice.last_shell + 1)
    sums: Sums | None = None
    for share, done in parts:
        for f in fields(ParticleResults):
            getattr(results, f.name)[share.ids] = getattr(done.results, f.name)
        if sums is None:
            shape = folds, *done.sums.numerator.shape[1:]
            sums = Sums(np.zeros(shape, done.sums.numerator.dtype), np.zeros(shape, done.sums.denominator.dtype))
        sums.numerator[share.folds] += done.sums.numerator
        sums.denominator[share.folds] += done.sums.denominator
        shells = shells + done.shells
    assert sums is not None, "there is no share without particles"
    return Done(results, sums, shells)
