"""Densities to simulate with: protein-like complexes built from residues, and the false objects (gold beads, membrane pieces).

A complex is a compact, asymmetric heap of globular domains inside a ball; a domain is packed with short rods of residues (helices and
strands). All sizes are Å, all densities are residues per voxel before the sample scales them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from napari_subtomo.errors import OptionError
from napari_subtomo.geometry.frames import reverse_axes
from napari_subtomo.geometry.orientations import random_matrices

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]

RESIDUE_VOLUME = 135.0  # Å³ of a residue of 110 Da at 0.81 Da/Å³
RISE, ROD, ROD_SPACING = 1.5, 12, 11.6  # rise per residue in a rod, residues in a rod, distance between rods
B_FACTOR = 3500.0  # Å²: the spectrum falls between 50 and 20 Å as those of averages from tomograms do


@dataclass(frozen=True)
class Complex:
    """Residues of a complex and of the domains that only one species each has; positions in Å from the common centre, xyz.

    Attributes
    ----------
    core : ndarray, shape (n, 3)
    domains : tuple of ndarrays, shape (m, 3)
        As many residues in each, in places that lie apart.
    """

    core: FloatArray
    domains: tuple[FloatArray, ...]

    @property
    def domain(self) -> FloatArray:
        """The first of the domains."""
        return self.domains[0]


def build_complex(diameter: float, domain_fraction: float, seed: int, domains: int = 1) -> Complex:
    """A complex of domains in a ball, with one or more places for another domain that makes up `domain_fraction` of the whole mass.

    Parameters
    ----------
    diameter : float
        Outer diameter in Å, the same with and without the domain.
    domain_fraction : float
        Mass of the extra domain divided by the mass of the complex with it, 0 to 0.5.
    seed : int
        Same seed, same complex.
    domains : int
        Places for the other domain.

    Returns
    -------
    Complex

    Raises
    ------
    OptionError
        Domains so large that so many do not fit side by side.
    """
    rng = np.random.default_rng([seed, 11])
    radius = diameter / 2 - 8.0  # the blur of the density reaches beyond the residues
    mass = 0.42 * 4 / 3 * np.pi * radius**3  # volume of protein in the ball; the rest are clefts
    extra = (0.75 * domain_fraction * mass / np.pi) ** (1 / 3)
    rim = _rim(radius, extra, domains, rng)
    centres, radii = _heap(radius, rim, extra, mass * (1 - domain_fraction), rng)
    residues = [_globule(c, r, rng) for c, r in zip(centres, radii, strict=True)]
    core = np.concatenate(residues[domains:])
    wanted = round(len(core) * domain_fraction / (1 - domain_fraction))
    centre = core.mean(axis=0)
    orders = [rng.permutation(len(each)) for each in residues[:domains]]
    # makes the mass exact: some residues left out, or a few counted twice
    exact = (each[np.resize(order, wanted)] - centre for each, order in zip(residues, orders, strict=False))
    return Complex(core - centre, tuple(exact))


def _rim(radius: float, extra: float, count: int, rng: np.random.Generator) -> list[FloatArray]:
    """Centres of extra balls on the rim, apart from each other by what a heap asks for."""
    places: list[FloatArray] = []
    for _ in range(1000):
        place = random_matrices(1, rng)[0][0] * 0.9 * (radius - extra)
        if all(np.linalg.norm(place - other) >= 0.85 * 2 * extra for other in places):
            places.append(place)
        if len(places) == count:
            return places
    raise OptionError(
        f"Expected domains of which {count} fit side by side on a complex of {2 * radius + 16:.0f} Å, found such of {2 * extra:.0f} Å; "
        "use a smaller --domain-fraction or fewer species."
    )


def _heap(radius: float, rim: Sequence[FloatArray], extra: float, volume: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Centres and radii of touching balls inside a ball: the extra ones on the rim first, the others until their volume is reached.

    Each new ball touches one that is there; of many places the one closest to the rest is taken, with a preference for the rim at the
    start, so that the heap has the ball's diameter and is compact and asymmetric.
    """
    centres, radii, filled = [*rim], [extra] * len(rim), 0.0
    core_radius = radius * 0.26
    while filled < volume:
        r = core_radius * rng.uniform(0.75, 1.25)
        partner = rng.integers(len(centres), size=400)
        direction = rng.standard_normal((400, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        there, rs = np.asarray(centres), np.asarray(radii)
        places = there[partner] + direction * (0.9 * (rs[partner] + r))[:, None]
        gaps = np.linalg.norm(places[:, None] - there, axis=2) - 0.85 * (rs + r)
        fits = (np.linalg.norm(places, axis=1) <= radius - r) & (gaps.min(axis=1) >= 0)
        if not fits.any():
            core_radius *= 0.9
            continue
        places, gaps = places[fits], gaps[fits]
        contacts = (gaps < 0.25 * core_radius).sum(axis=1) + rng.uniform(0, 1.5, len(places))
        best = places[np.argmax(contacts)]
        r = min(r, (0.75 * (volume - filled) / np.pi) ** (1 / 3) + 1e-6) if volume - filled < 4 * r**3 else r
        centres.append(best)
        radii.append(r)
        filled += 4 / 3 * np.pi * r**3
    return np.asarray(centres), np.asarray(radii)


def _globule(centre: FloatArray, radius: float, rng: np.random.Generator) -> FloatArray:
    """Residues (n, 3) of a globular domain: rods on a jittered lattice within an ellipsoid, their directions half in common."""
    axes = np.exp(rng.normal(0, 0.12, 3))
    axes /= np.prod(axes) ** (1 / 3)
    turn = random_matrices(1, rng)[0]
    reach = int(np.ceil(1.4 * radius / ROD_SPACING)) + 1
    steps = np.arange(-reach, reach + 1) * ROD_SPACING
    lattice = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lattice = lattice + rng.uniform(-0.3, 0.3, lattice.shape) * ROD_SPACING
    lattice = lattice[np.linalg.norm(lattice / axes, axis=1) < radius]
    common = rng.standard_normal(3)
    direction = rng.standard_normal(lattice.shape) + common
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    along = (np.arange(ROD) - (ROD - 1) / 2) * RISE
    residues = (lattice[:, None] + along[:, None] * direction[:, None]).reshape(-1, 3)
    wanted = round(4 / 3 * np.pi * radius**3 / RESIDUE_VOLUME)
    residues = residues[rng.permutation(len(residues))[:wanted]] if len(residues) > wanted else residues
    placed: FloatArray = residues @ turn.T + centre
    return placed


def render(residues: FloatArray, box: int, pixel_size: float, b_factor: float = B_FACTOR, weight: float = 1.0) -> Volume:
    """Density of residues on a grid: each a Gaussian with transform ``exp(-B k²/4)``, cut off at the grid's Nyquist sphere.

    Parameters
    ----------
    residues : ndarray, shape (n, 3)
        Å from the centre, xyz.
    box : int
        Voxels a side; centre at box // 2.
    pixel_size : float
        Voxel in Å.
    b_factor : float
        Å².
    weight : float
        Mass of one residue.

    Returns
    -------
    float32 ndarray, shape (box, box, box)
    """
    finer = 2
    size = box * finer
    q = reverse_axes(residues) / (pixel_size / finer) + (box // 2) * finer
    low = np.floor(q).astype(int)
    fraction = q - low
    grid = np.zeros(size**3)
    for corner in np.ndindex(2, 2, 2):
        share = np.prod(np.where(corner, fraction, 1 - fraction), axis=1) * weight
        node = (low + corner) % size
        grid += np.bincount((node[:, 0] * size + node[:, 1]) * size + node[:, 2], share, size**3)
    transform = scipy.fft.fftn(grid.reshape(size, size, size).astype(np.float32))
    keep = np.r_[0 : (box + 1) // 2, size - box // 2 : size]
    transform = transform[np.ix_(keep, keep, keep)]
    k = np.fft.fftfreq(box) / pixel_size
    k2 = k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, :] ** 2
    sinc = np.sinc(np.fft.fftfreq(box) / finer) ** 2  # of the linear sharing between nodes
    envelope = np.exp(-b_factor / 4 * k2) * (k2 < (0.5 / pixel_size) ** 2)
    transform *= envelope / (sinc[:, None, None] * sinc[None, :, None] * sinc[None, None, :])
    density: Volume = scipy.fft.ifftn(transform).real.astype(np.float32)
    return density


def gold_bead(box: int, pixel_size: float, diameter: float = 100.0, contrast: float = 8.0) -> Volume:
    """A gold bead of `diameter` Å, `contrast` times as dense as protein against water."""

    def inside(p: FloatArray) -> npt.NDArray[np.bool_]:
        ball: npt.NDArray[np.bool_] = np.linalg.norm(p, axis=-1) < diameter / 2
        return ball

    return _body(inside, box, pixel_size, contrast, diameter)


def membrane_piece(box: int, pixel_size: float, width: float, curvature_radius: float = 450.0, contrast: float = 1.2) -> Volume:
    """A disc of curved bilayer, `width` Å across: two leaflets of head groups 40 Å apart, about as dense as protein."""

    def inside(p: FloatArray) -> npt.NDArray[np.bool_]:
        height = np.linalg.norm(p + np.array([0, 0, curvature_radius]), axis=-1) - curvature_radius
        leaflets: npt.NDArray[np.bool_] = (np.abs(np.abs(height) - 20) < 7) & (np.hypot(p[..., 0], p[..., 1]) < width / 2)
        return leaflets

    return _body(inside, box, pixel_size, contrast, width)


def _body(inside: Callable[[FloatArray], npt.NDArray[np.bool_]], box: int, pixel_size: float, contrast: float, extent: float) -> Volume:
    """Render a homogeneous body from a fine cubic lattice of points; `contrast` in units of protein against water."""
    spacing = 4.0
    steps = np.arange(-extent / 2 - spacing, extent / 2 + 2 * spacing, spacing)
    points = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    points = points[inside(points)]
    return render(points, box, pixel_size, B_FACTOR, contrast * spacing**3 / RESIDUE_VOLUME)
