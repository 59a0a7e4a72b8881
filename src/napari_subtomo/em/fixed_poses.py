"""Particles at their best poses so far, for what is done at fixed poses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.class_sums import class_sums
from napari_subtomo.em.constraints import Region
from napari_subtomo.em.inside import Inside
from napari_subtomo.em.lattice import Lattice
from napari_subtomo.em.maximisation import Maximiser
from napari_subtomo.em.start import Common
from napari_subtomo.em.state import State
from napari_subtomo.em.turning import turned
from napari_subtomo.numerics.backend import namespace, to_device
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.progress import Reporter

if TYPE_CHECKING:
    from napari_subtomo.em.engine import Setup

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FixedPoses:
    """Particles at the best poses of a state, those of the empty class left out, on the V lattice voxels that are compared.

    Arrays are numpy's, or of a GPU, which then has to be the current one wherever they are worked on.

    Attributes
    ----------
    kept : ndarray, shape (m,)
        Which of the n particles.
    g, h : array, shape (m, V), complex64 and float32
        Aligned data and weights.
    noise : array, shape (m, V), float32
        σ² of each particle.
    lattice : Lattice
    maximiser : Maximiser
        With the mask found so far.
    inside : Inside
        Where classes may differ.
    focus : ndarray, shape (box, box, box), optional
        Mask of differences, where it is another than that of the average.
    threads : int
        That may work on them; 1 on a GPU.
    """

    kept: npt.NDArray[np.intp]
    g: Any
    h: Any
    noise: Any
    lattice: Lattice
    maximiser: Maximiser
    inside: Inside
    focus: npt.NDArray[np.float32] | None = None
    threads: int = 1

    @classmethod
    def of(cls, setup: Setup, state: State, last_shell: int, device: str, reporter: Reporter) -> FixedPoses:
        """Resample them up to a shell, and bring them to a device."""
        o, lattice = setup.options, setup.lattice
        kept = np.flatnonzero(state.labels <= o.classes)
        voxels = lattice.prefix(last_shell)
        g, h = _aligned(setup, state, kept, voxels, device, reporter)
        if len(state.scales) > 1:  # the same likelihoods with references of scale 1; else classes would begin as bright and dark ones
            scale = to_device(state.scales[setup.particles.group[kept]].astype(np.float32)[:, None], device)
            g *= scale
            h *= scale**2
        maximiser = replace(setup.maximiser, solvent=state.solvent if state.solvent.size else None)
        spectra = np.ascontiguousarray(state.noise.astype(np.float32)[:, lattice.shell[:voxels]])  # a particle's values lie together
        noise = to_device(spectra[setup.particles.noise[kept]], device)
        threads = o.threads if device == "cpu" else 1
        inside = _inside(g, h, lattice, maximiser, setup.focus, threads)
        return cls(kept, g, h, noise, lattice, maximiser, inside, setup.focus, threads)

    def up_to(self, last_shell: int, rows: npt.NDArray[np.intp] | None = None, threads: int = 1) -> FixedPoses:
        """What there is up to a shell, of all particles (views of the same arrays) or of some of them (copies)."""
        voxels = min(self.lattice.prefix(last_shell), self.g.shape[1])
        if voxels == self.g.shape[1] and rows is None:
            return self
        some = slice(None) if rows is None else namespace(self.g).asarray(rows)
        g, h, noise = (values[:, :voxels][some] for values in (self.g, self.h, self.noise))
        inside = _inside(g, h, self.lattice, self.maximiser, self.focus, threads)
        return replace(self, kept=self.kept if rows is None else self.kept[rows], g=g, h=h, noise=noise, inside=inside)

    def spread(self, gamma: FloatArray, n: int) -> FloatArray:
        """Posteriors of these particles among all n; NaN for the others."""
        every = np.full((n, gamma.shape[1]), np.nan)
        every[self.kept] = gamma
        return every


def references(part: FixedPoses, gamma: FloatArray, temperature: float, regularisation: float) -> tuple[Common, list[tuple[Any, Any]]]:
    """What classes of particles at fixed poses have in common, and sums of data and weights whose ratio is the reference of a class.

    Parameters
    ----------
    part : FixedPoses
    gamma : ndarray, shape (n, classes)
        Posteriors.
    temperature, regularisation : float
        κ, T.

    Returns
    -------
    common : Common
    sums : list of (array, array), each of shape (V,)
        For each class, on the device of the particles.
    """
    g, h, lattice, inside = part.g, part.h, part.lattice, part.inside
    precision = (h / part.noise).mean(0) / temperature
    precision[: lattice.prefix(0)] = 0
    shares = namespace(g).asarray(gamma.astype(np.float32))
    sums = class_sums(g, h, shares)
    common = Common.settled(sums, part.noise.mean(0, dtype=np.float64), precision, lattice, regularisation, inside.differences)
    average, result = inside.whole(common.mean), []
    for numerator, weight in sums:
        denominator = weight + common.rho
        apart = (numerator + common.rho * common.mean) / denominator - common.mean
        result.append(((average + inside.differences(apart.astype(np.complex64))) * denominator, denominator))
    return common, result


def without_own(part: FixedPoses, rows: Any, shares: npt.NDArray[np.float32], numerator: Any, denominator: Any, least: Any) -> Any:
    """References of a class without the shares of m particles, one for each, shape (m, V), complex64.

    Parameters
    ----------
    part : FixedPoses
    rows : slice or array, shape (m,)
        Of the particles.
    shares : ndarray, shape (m,)
        Of the particles in the class, 0 … 1.
    numerator, denominator : array, shape (V,)
        Of the class, from `references`.
    least : array, shape (V,)
        ρ: what sums hold without any particle; rounding may leave less.
    """
    xp = namespace(part.g)
    share = xp.asarray(shares)[:, None]
    return (numerator - share * part.inside.g[rows]) / xp.maximum(denominator - share * part.h[rows], least)


def _inside(
    g: Any,
    h: Any,
    lattice: Lattice,
    maximiser: Maximiser,
    focus: npt.NDArray[np.float32] | None,
    threads: int,
) -> Inside:
    """Masked: noise outside would tell particles apart in far more ways than what is inside can."""
    xp = namespace(g)
    whole = Region(maximiser.region, lattice, g.shape[1], xp)
    return Inside.of(g, h, whole if focus is None else Region(focus, lattice, g.shape[1], xp), whole, threads)


def _aligned(setup: Setup, state: State, kept: npt.NDArray[np.intp], voxels: int, device: str, reporter: Reporter) -> tuple[Any, Any]:
    """Data and weights of particles at their best poses, on the first voxels of the lattice and on a device."""
    if not setup.options.align:
        return to_device(setup.prepared.G[kept, :voxels], device), to_device(setup.prepared.H[kept, :voxels], device)
    k = setup.lattice.k[:voxels]
    xp = namespace(to_device(k, device))
    g, h = xp.empty((len(kept), voxels), xp.complex64), xp.empty((len(kept), voxels), xp.float32)
    grid = PaddedGrid(setup.lattice.n).up_to(int(setup.lattice.shell[voxels - 1]))
    reporter.stage("Resample at best poses", len(kept), "particles")

    def put(rows: slice, data: Any, _: Any, weights: Any) -> None:
        g[rows], h[rows] = to_device(data, device), to_device(weights, device)

    poses = state.orientations[kept], state.offsets[kept]
    turned(lambda row: setup.load(int(kept[row])), *poses, grid, k, put, device, setup.options.threads, reporter)
    return g, h
