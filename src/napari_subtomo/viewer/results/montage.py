"""Central slices of subtomograms, so that the eye can tell whether an extraction is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError, SubtomoError
from napari_subtomo.extract.montage import low_pass_resolution
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import mrc_header, open_mrc
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.results.pictures import FloatImage, central_range, job_title, shared_limits

IntArray = npt.NDArray[np.int64]

MOST = 24
#: Tikhonov term of the division by the weights, as a part of their mean.
_FLOOR = 0.3
_PERCENTILES = (1.0, 99.5)


@dataclass(frozen=True, eq=False)
class Montage:
    """Pictures of some particles.

    Attributes
    ----------
    title : str
    names : tuple of str, length m
        Particles that are shown.
    images : tuple of ndarray (n, n), length m
        Bright protein if the files have it, mean 0.
    mean : ndarray (n, n)
        Of all images.
    limits : tuple of float
        Grey values of black and white.
    total, box : int
        Particles of the job; px.
    pixel_size, resolution, thickness : float
        Å; low-pass, and depth that is averaged (0 for images of tilts).
    divided : bool
        Whether the images were divided by their weights.
    broken : tuple of str
        A sentence for each particle that could not be read.
    """

    title: str
    names: tuple[str, ...]
    images: tuple[FloatImage, ...]
    mean: FloatImage
    limits: tuple[float, float]
    total: int
    box: int
    pixel_size: float
    resolution: float
    thickness: float
    divided: bool
    broken: tuple[str, ...] = ()

    @property
    def caption(self) -> str:
        """What is shown, with units."""
        what = "subtomograms" if self.thickness else "2D tilt stacks"
        return f"{len(self.names)} of {self.total} {what}, box {self.box} px, {self.pixel_size:.1f} Å/px"

    @property
    def treatment(self) -> str:
        """What was done to the files' grey values."""
        depth = f"Central {self.thickness:.0f} Å" if self.thickness else "Middle image of each"
        divided = ", divided by its weights" if self.divided else ""
        return f"{depth}{divided}, low-passed to {self.resolution:.0f} Å; one grey scale; their mean comes first"


def particles_of(folder: Path, project: Project) -> ParticleSet:
    """The particles of a job folder: its particles.star, or those that its optimisation set names.

    Raises
    ------
    FileMissingError
        Neither is there.
    """
    path = folder / "particles.star"
    if not path.is_file():
        for beside in sorted(folder.glob("*optimisation_set.star")):
            named = read_optimisation_set(beside).particles
            if named is not None:
                path = project.resolve(named)
                if not path.is_file():
                    raise FileMissingError(f"Expected the particles {path}, which {beside.name} names, found nothing there.")
                return read_particles(path)
        raise FileMissingError(f"Expected particles.star in {folder}, found none; the extraction has not ended or another job wrote here.")
    return read_particles(path)


def choose_rows(tomograms: Sequence[str], count: int, page: int = 0, seed: int = 0) -> IntArray:
    """Rows of `count` particles in random order, evenly from all tomograms; another page has others until all were shown.

    Parameters
    ----------
    tomograms : sequence of str
        Tomogram of each particle.
    count, page, seed : int

    Returns
    -------
    ndarray, shape (min(count, n),)
        Grouped by tomogram, ascending.
    """
    names = np.asarray(tomograms, dtype=object)
    rng = np.random.default_rng(seed)
    order, turn = rng.permutation(len(names)), np.empty(len(names), dtype=np.int64)
    ranks: dict[str, int] = {}
    for row in order.tolist():
        turn[row] = ranks[names[row]] = ranks.get(names[row], -1) + 1
    by_turn = order[np.argsort(turn[order], kind="stable")]  # the first of each tomogram, then the second of each, …
    count = min(count, len(names))
    chosen = np.take(by_turn, np.arange(page * count, (page + 1) * count), mode="wrap") if count else by_turn[:0]
    return np.sort(chosen).astype(np.int64)


def read_montage(folder: Path, project: Project, reporter: Reporter, page: int = 0, count: int = MOST) -> Montage:
    """Read and filter the central slices of some particles of an extraction; of RELION or of this package, 2D stacks too.

    Only the central slices of each file are read.

    Parameters
    ----------
    folder : Path
        Job folder.
    project : Project
    reporter : Reporter
        Asked after each particle whether to stop.
    page : int
        0, 1, …: another choice of particles.
    count : int

    Raises
    ------
    InputError
        No particles, no images, or none of them can be read.
    """
    particles = particles_of(folder, project)
    if particles.n == 0:
        raise InputError(f"Expected at least one particle in {particles.path}, found none; all were too close to an edge or left out.")
    if not particles.has(r.IMAGE_NAME):
        raise FileFormatError(
            f"Expected images (_{r.IMAGE_NAME}) in {particles.path}, found none; these particles are not extracted yet, run Extraction."
        )
    stacks = particles.is_2d_stacks or particles.image_paths[0].endswith(".mrcs")
    ctfs = () if stacks or not particles.has(r.CTF_IMAGE) else particles.ctf_paths
    rows = choose_rows(particles.tomo_names, count, page)
    pixel_size = particles.pixel_size
    names: list[str] = []
    images: list[FloatImage] = []
    broken: list[str] = []
    divided, box, resolution, thickness = False, 0, 0.0, 1
    for row in rows.tolist():
        reporter.check()
        try:
            path = project.resolve(particles.image_paths[row])
            box = mrc_header(path).shape[2]
            resolution = low_pass_resolution(pixel_size, box)
            thickness = max(3, round(0.75 * resolution / pixel_size))
            section = _middle_image(path) if stacks else _section(path, thickness)
            weights = _plane_weights(project.resolve(ctfs[row]), box, thickness) if ctfs else None
            image = filtered(section, pixel_size, resolution, weights)
        except (SubtomoError, OSError) as error:
            broken.append(str(error))
            continue
        divided |= weights is not None
        if images and image.shape != images[0].shape:
            broken.append(f"Expected a box of {len(images[0])} px in {path}, found {box}.")
            continue
        names.append(particles.names[row])
        images.append(image)
    if not images:
        raise FileMissingError(f"None of {len(rows)} subtomograms of {job_title(folder, project)} can be read. {broken[0]}")
    limits = shared_limits([[image] for image in images], None, _PERCENTILES)
    depth = 0.0 if stacks else min(thickness, box) * pixel_size
    return Montage(
        title=job_title(folder, project),
        names=tuple(names),
        images=tuple(images),
        mean=np.mean(images, axis=0),
        limits=limits,
        total=particles.n,
        box=len(images[0]),
        pixel_size=pixel_size,
        resolution=resolution,
        thickness=depth,
        divided=divided,
        broken=tuple(broken),
    )


def filtered(section: FloatImage, pixel_size: float, resolution: float, weights: npt.NDArray[np.float32] | None = None) -> FloatImage:
    """A section divided by the weights near its plane, low-passed by a raised cosine two Fourier pixels wide, with mean 0.

    CTF-premultiplied data hardly have any low frequencies; divided by Σ CTF² they have.

    Parameters
    ----------
    section : ndarray, shape (n, n)
    pixel_size, resolution : float
        Å.
    weights : ndarray, shape (n, n // 2 + 1), optional
        Half layout, DC at [0, 0].
    """
    n = len(section)
    transform = np.fft.rfft2(np.fft.ifftshift(section))
    radius = np.hypot(np.fft.fftfreq(n)[:, None] * n, np.arange(n // 2 + 1)[None, :])
    edge = n * pixel_size / resolution
    factor = 0.5 + 0.5 * np.cos(np.pi * np.clip((radius - (edge - 1)) / 2, 0, 1))
    if weights is not None and (level := float(weights[radius <= edge].mean())) > 0:
        factor = factor * level / (weights + _FLOOR * level)
    factor[0, 0] = 0
    return np.fft.fftshift(np.fft.irfft2(transform * factor, s=section.shape)).astype(np.float32)


def _section(path: Path, thickness: int) -> FloatImage:
    volume = open_mrc(path)
    if len(set(volume.shape)) != 1:
        raise FileFormatError(f"Expected a cube in {path}, found shape {volume.shape} (z, y, x).")
    first, last = central_range(len(volume), thickness)
    return _finite(np.asarray(volume[first:last], dtype=np.float32).mean(axis=0), path)


def _middle_image(path: Path) -> FloatImage:
    stack = open_mrc(path)
    if stack.ndim != 3 or stack.shape[1] != stack.shape[2]:
        raise FileFormatError(f"Expected a stack of square images in {path}, found shape {stack.shape}.")
    return _finite(np.asarray(stack[len(stack) // 2], dtype=np.float32), path)


def _plane_weights(path: Path, box: int, thickness: int) -> npt.NDArray[np.float32] | None:
    """Σ CTF² (n, n // 2 + 1) near the plane k_z = 0, as far as the mean of some slices reaches; None for a 3D CTF, which is no weight."""
    header = mrc_header(path)
    if header.shape != (2 * box, box, box // 2 + 1):
        return None
    reach = max(1, box // (2 * thickness))
    weights = open_mrc(path)
    near = np.concatenate([weights[: reach + 1], weights[box - reach : box]]).astype(np.float32)
    return np.maximum(_finite(near.mean(axis=0), path), 0)


def _finite(image: FloatImage, path: Path) -> FloatImage:
    if not np.isfinite(image).all():
        raise FileFormatError(f"Expected finite grey values in {path}, found NaN or infinity; extract the particle again.")
    return image
