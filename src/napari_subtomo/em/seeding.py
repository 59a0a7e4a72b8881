"""The first references of classes: clustered at the best poses so far, or random classes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.accumulate import mean_noise
from napari_subtomo.em.constraints import Region, composed
from napari_subtomo.em.lattice import lattice_map
from napari_subtomo.em.maximisation import CONSENSUS_T, DELTA
from napari_subtomo.em.prepare import resample
from napari_subtomo.em.start import Inside, cluster, shell_power
from napari_subtomo.em.state import State
from napari_subtomo.numerics.rotate import PaddedGrid
from napari_subtomo.progress import Reporter

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]


def random_classes(n: int, classes: int, seed: int) -> npt.NDArray[np.bool_]:
    """One random class allowed for each particle (RELION's seeding), shape (n, classes)."""
    order = np.random.default_rng([seed, 3]).permutation(n)
    allowed = np.zeros((n, classes), bool)
    allowed[order, np.arange(n) % classes] = True
    return allowed


def clustered_references(setup: Setup, state: State, reporter: Reporter) -> State:
    """References of all classes from leave-one-out clustering at the best poses of a state.

    Particles of the empty class take no part. Each fold's references are made from the other folds.
    """
    o, lattice = setup.options, setup.lattice
    kept = np.flatnonzero(state.labels <= o.classes)
    if len(kept) < 2 * o.classes:
        reporter.warn(
            f"Expected at least {2 * o.classes} particles that are not empty for {o.classes} classes, found {len(kept)}: "
            "the classes begin as copies of one reference; check the reference, or use fewer classes."
        )
        return _same_for_all(state, o.classes)
    voxels = lattice.prefix(state.last_shell)
    g, h = _aligned(setup, state, kept, voxels, reporter)
    if o.particle_scales:  # the same likelihoods with references of scale 1; else classes would begin as bright and dark ones
        scale = state.scales[kept].astype(np.float32)[:, None]
        g, h = g * scale, h * scale**2
    maximiser = replace(setup.maximiser, solvent=state.solvent if state.solvent.size else None)
    region = maximiser.region
    # noise outside would tell particles apart in far more ways than what is inside can
    whole = Region(region, lattice, voxels)
    inside = Inside.of(g, h, whole if setup.focus is None else Region(setup.focus, lattice, voxels), whole, o.threads)
    group, shell = setup.particles.noise[kept], lattice.shell[:voxels]
    noise = state.noise.astype(np.float32)[group][:, shell]
    restarts = o.restarts if o.classes > 1 else 1
    gamma, agreement = cluster(
        g, h, lattice, noise, state.temperature, o.classes, o.regularisation, restarts, o.seed, o.threads, reporter, inside
    )
    sizes = ", ".join(str(s) for s in np.bincount(gamma.argmax(1), minlength=o.classes))
    reporter.message(f"Leave-one-out clustering of {len(kept)} particles: classes of {sizes}; agreement between starts {agreement:.2f}.")
    if agreement < 0.3 and o.restarts > 1 and o.classes > 1:
        reporter.warn(
            f"Starts of the clustering agree little (adjusted Rand index {agreement:.2f}): "
            f"the data may not hold {o.classes} distinct classes."
        )
    sigma2 = mean_noise(state.noise, np.bincount(group, minlength=len(state.noise)))[shell]
    fold, folds = setup.particles.fold[kept], setup.folds
    n = lattice.n
    maps = np.empty((folds, o.classes, n, n, n), np.float32)
    for f in range(folds):
        others = fold != f if folds > 1 else np.ones(len(kept), bool)
        here = others.astype(np.float32)  # products with 0 and 1: a copy of the others would take as much again as all of them
        sums = here @ g, here @ h
        raw = sums[0] / (sums[1] + 1e-9)
        power = np.maximum(shell_power(raw, lattice, voxels), 1e-30)
        mean = sums[0] / (sums[1] + sigma2 / (CONSENSUS_T * power))
        strength = DELTA * o.regularisation / maximiser.solvent_share
        rho = sigma2 / (strength * np.maximum(shell_power(mean, lattice, voxels), 1e-30))
        for c in range(o.classes):
            share = here * gamma[:, c].astype(np.float32)
            values = (share @ g + rho * mean) / (share @ h + rho)
            maps[f, c] = lattice_map(values, lattice) * region
        if setup.focus is not None:
            maps[f] = composed(maps[f][None], (lattice_map(mean, lattice) * region)[None], setup.focus)[0]
    map_noise = maximiser.map_noise(maps, o.threads)
    fractions = np.append(gamma.sum(0) / len(state.labels), 1 - len(kept) / len(state.labels) if o.empty_class else 0.0)
    if o.empty_class:
        fractions = np.maximum(fractions, 1e-3)
    with np.errstate(divide="ignore"):
        log_fractions = np.log(fractions / fractions.sum())
    return replace(state, maps=maps, map_noise=map_noise, log_fractions=log_fractions)


def _same_for_all(state: State, classes: int) -> State:
    """Copies of the one reference."""
    fractions = np.exp(state.log_fractions)
    with np.errstate(divide="ignore"):
        log_fractions = np.log(np.append(np.full(classes, fractions[:-1].sum() / classes), fractions[-1]))
    maps, map_noise = np.repeat(state.maps[:, :1], classes, axis=1), np.repeat(state.map_noise[:1], classes, axis=0)
    return replace(state, maps=maps, map_noise=map_noise, log_fractions=log_fractions)


def _aligned(
    setup: Setup, state: State, kept: npt.NDArray[np.intp], voxels: int, reporter: Reporter
) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]]:
    """Data and weights of particles at their best poses, on the first voxels of the lattice."""
    if not setup.options.align:
        return setup.prepared.G[kept, :voxels], setup.prepared.H[kept, :voxels]
    k = setup.lattice.k[:voxels]
    g, h = np.empty((len(kept), voxels), np.complex64), np.empty((len(kept), voxels), np.float32)
    grid = PaddedGrid(setup.lattice.n).up_to(int(setup.lattice.shell[voxels - 1]))
    reporter.stage("Resample at best poses", len(kept), "particles")

    def one(row: int) -> None:
        i = int(kept[row])
        g[row], _, h[row] = resample(setup.load(i), grid, k, state.orientations[i], state.offsets[i])

    with ThreadPoolExecutor(setup.options.threads) as pool:
        for _ in pool.map(one, range(len(kept))):
            reporter.advance()
    return g, h
