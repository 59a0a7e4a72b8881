"""Particles at fixed poses, of species that differ up to some shell."""

from types import SimpleNamespace

import numpy as np

from napari_subtomo.em.constraints import Region
from napari_subtomo.em.fixed_poses import FixedPoses
from napari_subtomo.em.inside import Inside
from napari_subtomo.em.lattice import Lattice

N = 24
WHOLE = np.ones((N, N, N), np.float32)


def particles(counts=(40, 40), differ=5, last=11, noise=3.0, seed=1, power=0.25):
    """Species that differ up to a shell, at fixed poses, with noise up to another; and which is which."""
    rng = np.random.default_rng(seed)
    lattice = Lattice.of(N, last)
    voxels = len(lattice)

    def transform(size):
        return (rng.normal(size=voxels) + 1j * rng.normal(size=voxels)) * np.sqrt(size / 2)

    base = transform(1.0)
    kinds = [base + transform(power) * (lattice.shell <= differ) for _ in counts]
    which = np.repeat(np.arange(len(counts)), counts)
    g = np.stack([kinds[k] + noise * transform(1.0) for k in which]).astype(np.complex64)
    h, variance = np.ones(g.shape, np.float32), np.full(g.shape, noise**2, np.float32)
    whole = Region(WHOLE, lattice, voxels)
    inside = Inside.of(g, h, whole, whole, 1)
    return FixedPoses(np.arange(len(g)), g, h, variance, lattice, SimpleNamespace(region=WHOLE), inside), which
