"""What is known of the inputs of a job before it runs: the ground for suggestions and forecasts."""

from __future__ import annotations

import os
import shutil
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from napari_subtomo.errors import SubtomoError
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import mrc_header
from napari_subtomo.io.optimisation import input_paths, read_optimisation_set
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import Project, find_project
from napari_subtomo.io.resolution import resolution_of
from napari_subtomo.io.tomograms import TomogramSet, read_tomograms
from napari_subtomo.numerics.backend import free_bytes, resolve_device
from napari_subtomo.options.base import InputOptions
from napari_subtomo.tilts.images import missing_image

#: how orientations came about: none, the normals of surfaces with in-plane angles at random, given with the picks, or refined
Orientations = Literal["none", "normals", "given", "refined"]
#: where averages lie that may be references
_AVERAGES = ("Reconstruct/*/merged.mrc", "Refine3D/*/run_class001.mrc")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Facts:
    """What is known; None wherever a file is missing, does not say, or cannot be read.

    Attributes
    ----------
    project : Path or None
        Folder of the project.
    n_particles : int or None
    n_tomograms : int or None
        Tomograms that hold particles, else all of the tomogram set.
    n_optics : int or None
        Optics groups of the particles.
    pixel_size : float or None
        Unbinned pixel of the tilt series, Å.
    tomogram_binning : float or None
        The coarsest of the tomograms.
    tomogram_voxels : int or None
        Voxels of one tomogram.
    tilts : int or None
        Images of the first tilt series.
    voltage : float or None
        kV.
    defocus : float or None
        Å; the mean over the first tilt series, positive for underfocus.
    particle_pixel : float or None
        Pixel of extracted particles, Å.
    particle_box : int or None
        Box of extracted particles, px.
    has_tilt_images : bool or None
        Whether the images that the first tilt series names are there.
    series_bytes : int or None
        Of the images of the first tilt series.
    doses : tuple of float, or None
        Exposure before each image of the first tilt series, e/Å².
    last_resolution : float or None
        Å; of the job that made the reference.
    last_average : Path or None
        The newest average of the project.
    last_optimiser : Path or None
        Newest iteration of the newest classification.
    reference_box, reference_pixel : int or None, float or None
        Of the reference: px, Å.
    orientations : str or None
        "none", "normals", "given" or "refined".
    half_sets : bool or None
        Whether every particle belongs to a half set.
    is_2d_stacks : bool or None
    extracted : bool or None
        Whether particles have images.
    clearances : tuple of float, or None
        Distance in Å of each particle to the nearest face of its tomogram, ascending.
    free_memory, free_disk : int or None
        Bytes; of memory, and where the project lies.
    gpu_memory : int or None
        Free bytes of the first GPU; None without one.
    cores : int
        Processors that this program may use.
    """

    project: Path | None = None
    n_particles: int | None = None
    n_tomograms: int | None = None
    n_optics: int | None = None
    pixel_size: float | None = None
    tomogram_binning: float | None = None
    tomogram_voxels: int | None = None
    tilts: int | None = None
    voltage: float | None = None
    defocus: float | None = None
    particle_pixel: float | None = None
    particle_box: int | None = None
    has_tilt_images: bool | None = None
    series_bytes: int | None = None
    doses: tuple[float, ...] | None = None
    last_resolution: float | None = None
    last_average: Path | None = None
    last_optimiser: Path | None = None
    reference_box: int | None = None
    reference_pixel: float | None = None
    orientations: Orientations | None = None
    half_sets: bool | None = None
    is_2d_stacks: bool | None = None
    extracted: bool | None = None
    clearances: tuple[float, ...] | None = None
    free_memory: int | None = None
    free_disk: int | None = None
    gpu_memory: int | None = None
    cores: int = 1

    @property
    def has_orientations(self) -> bool | None:
        """Whether the angles are not all zero; None where nothing is known."""
        return None if self.orientations is None else self.orientations != "none"

    def fitting(self, edge: float) -> int | None:
        """Number of particles whose boxes of `edge` Å lie within their tomograms."""
        if self.clearances is None:
            return None
        return len(self.clearances) - bisect_left(self.clearances, edge / 2)

    @property
    def gpu(self) -> bool:
        """Whether there is a GPU that can be used."""
        return self.gpu_memory is not None

    @property
    def tomogram_voxel(self) -> float | None:
        """Voxel of the tomograms in Å."""
        return None if self.pixel_size is None or self.tomogram_binning is None else self.pixel_size * self.tomogram_binning


def gather_facts(
    particles: Path | None = None, tomograms: Path | None = None, reference: Path | None = None, project: Project | Path | None = None
) -> Facts:
    """What the files say; takes as long as it takes to read the particles, and never raises.

    Parameters
    ----------
    particles : Path, optional
        particles.star, a data file of a classification, or an optimisation set.
    tomograms : Path, optional
        tomograms.star; else that of the optimisation set beside the particles.
    reference : Path, optional
        A map; else the newest average of the project.
    project : Project or Path, optional
        Else found from the particles, or the tomograms.
    """
    place = _project(particles or tomograms, project)
    facts = _machine(place)
    if place is None:
        return facts
    particles, tomograms = _inputs(particles, tomograms, place)
    found = _known(lambda: read_particles(place.resolve(particles))) if particles else None
    tomogram_set = _known(lambda: read_tomograms(place.resolve(tomograms), place)) if tomograms else None
    if tomogram_set is not None:
        facts = _of_tomograms(facts, tomogram_set, found)
    if found is not None:
        facts = _of_particles(facts, found)
        if tomogram_set is not None:
            facts = replace(facts, clearances=_known(lambda: _clearances(found, tomogram_set)))
    average = _newest(place, _AVERAGES)
    return _of_reference(replace(facts, last_average=average, last_optimiser=newest_optimiser(place)), reference or average, place)


def newest_optimiser(project: Project) -> Path | None:
    """Optimiser file of the last iteration of the classification that was written to last."""
    newest = _newest(project, ("Class3D/*/run*_optimiser.star",))
    if newest is None:
        return None
    return max(newest.parent.glob("run*_it*_optimiser.star"), key=lambda path: path.name, default=newest)


def _known(read: Callable[[], _T]) -> _T | None:
    """What a function gives; None if a file is missing or odd."""
    try:
        return read()
    except (SubtomoError, OSError, ValueError, KeyError, IndexError):
        return None


def _project(path: Path | None, given: Project | Path | None) -> Project | None:
    if isinstance(given, Project):
        return given
    return _known(lambda: Project(given) if given is not None else find_project(path)) if given or path else None


def _inputs(particles: Path | None, tomograms: Path | None, project: Project) -> tuple[Path | None, Path | None]:
    """Particles and tomograms that two paths, one of them perhaps an optimisation set, stand for."""
    if particles is not None and _known(lambda: read_optimisation_set(project.resolve(particles))) is not None:
        options = InputOptions(optimisation_set=project.resolve(particles), tomograms=tomograms)
    else:
        options = InputOptions(particles=particles and project.resolve(particles), tomograms=tomograms and project.resolve(tomograms))
    paths = _known(lambda: input_paths(options, project))
    return (particles, tomograms) if paths is None else paths[:2]


def _machine(project: Project | None) -> Facts:
    """Memory, disk and processors."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    device = _known(lambda: resolve_device("auto")) or "cpu"
    return Facts(
        project=project.root if project else None,
        free_memory=_known(lambda: free_bytes("cpu")),
        free_disk=_known(lambda: shutil.disk_usage(project.root).free) if project else None,
        gpu_memory=None if device == "cpu" else _known(lambda: free_bytes(device)),
        cores=cores,
    )


def _of_tomograms(facts: Facts, tomograms: TomogramSet, particles: ParticleSet | None) -> Facts:
    """Geometry and optics, of the tomograms that hold particles where these are known."""
    named = _known(lambda: set(particles.tomo_names)) if particles is not None else None
    rows = [t for t in _known(lambda: list(tomograms)) or [] if not named or t.name in named]
    if not rows:
        return facts
    first = rows[0]
    pixels = [t.pixel_size for t in rows if t.pixel_size]
    binnings = [t.binning for t in rows if t.binning]
    series = _known(lambda: tomograms.tilt_series(first.name))
    volume = first.tomogram_path or first.display_path
    shape = _known(lambda: mrc_header(volume).shape) if volume else None
    defocus = None
    if series is not None and series.has_ctf:
        defocus = float(np.mean((series.defocus_u + series.defocus_v) / 2))
    return replace(
        facts,
        n_tomograms=len(rows),
        pixel_size=max(pixels, default=None),
        tomogram_binning=max(binnings, default=None),
        tomogram_voxels=None if shape is None else int(np.prod(shape)),
        tilts=len(series) or None if series is not None else None,
        voltage=first.voltage,
        defocus=defocus,
        has_tilt_images=None if series is None else missing_image(series) is None,
        series_bytes=None if series is None else _known(lambda: sum(path.stat().st_size for path in set(series.image_paths)) or None),
        doses=None if series is None or np.isnan(series.dose).any() else tuple(series.dose.tolist()),
    )


def _of_particles(facts: Facts, particles: ParticleSet) -> Facts:
    """Numbers, sampling, orientations and half sets."""
    names = _known(lambda: len(set(particles.tomo_names)))
    extracted = _known(lambda: any(path not in relion.NOT_AVAILABLE for path in particles.image_paths))
    optics = _known(lambda: particles.optics)
    unbinned = _known(lambda: float(optics.floats(relion.TILT_SERIES_PIXEL_SIZE).max())) if optics is not None else None
    half_sets = _known(lambda: bool(particles.n and np.isin(particles.half_sets, (1, 2)).all()))
    return replace(
        facts,
        n_particles=particles.n,
        n_tomograms=names or facts.n_tomograms,
        n_optics=_known(lambda: len(np.unique(particles.optics_groups))),
        pixel_size=facts.pixel_size or unbinned,
        particle_pixel=_known(lambda: particles.pixel_size) if extracted else None,
        particle_box=_known(lambda: particles.box_size) if extracted else None,
        orientations=_known(lambda: _orientations(particles)),
        half_sets=half_sets,
        is_2d_stacks=_known(lambda: particles.is_2d_stacks) if extracted else None,
        extracted=extracted,
    )


def _clearances(particles: ParticleSet, tomograms: TomogramSet) -> tuple[float, ...]:
    """Distances to the nearest face, ascending."""
    sizes = {name: np.array(frame.size_xyz) * frame.pixel_size for name in set(particles.tomo_names) for frame in [tomograms[name].frame]}
    half = np.array([sizes[name] for name in particles.tomo_names]).reshape(-1, 3) / 2
    found = (half - np.abs(particles.positions(tomograms))).min(axis=1)
    return tuple(np.sort(found).tolist())


def _orientations(particles: ParticleSet) -> Orientations:
    """How far the angles can be believed.

    Picks on surfaces carry priors of tilt and psi, and in-plane angles drawn at random; once a refinement has left its figures
    (probabilities of the best pose) the angles are its own.
    """

    def any_value(*labels: str) -> bool:
        return any(bool(np.any(np.abs(particles.floats(label)) > 1e-6)) for label in labels if particles.has(label))

    if not any_value(*relion.ANGLES, *relion.SUBTOMOGRAM_ANGLES):
        return "none"
    if any_value(relion.MAX_VALUE_PROB_DISTRIBUTION, relion.LOG_LIKELI_CONTRIBUTION):
        return "refined"
    return "normals" if particles.has(relion.ANGLE_TILT_PRIOR) else "given"


def _of_reference(facts: Facts, reference: Path | None, project: Project) -> Facts:
    if reference is None:
        return facts
    path = project.resolve(reference)
    header = _known(lambda: mrc_header(path))
    if header is None:
        return facts
    return replace(
        facts,
        reference_box=int(header.shape[-1]),
        reference_pixel=header.voxel_size or None,
        last_resolution=resolution_of(path, project),
    )


def _newest(project: Project, patterns: tuple[str, ...]) -> Path | None:
    """The file that was written last, of those that match."""
    found = _known(lambda: [(path.stat().st_mtime_ns, path.as_posix()) for pattern in patterns for path in project.root.glob(pattern)])
    return Path(max(found)[1]) if found else None
