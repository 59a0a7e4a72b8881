"""From files and options to what the engine needs: particles in a fixed order, references, masks, folds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.assembly import MASK_EDGE_PX, Labels, assemble, prepared_of
from napari_subtomo.em.engine import Setup
from napari_subtomo.em.memory import remembered, where_held
from napari_subtomo.em.priors import AnglePriors
from napari_subtomo.em.remembered import Load, Remembering, Statistics3D
from napari_subtomo.errors import GeometryError, InputError, OptionError
from napari_subtomo.geometry.orientations import matrix_to_euler
from napari_subtomo.io.maps import UNSET, misfit, read_fitting, read_map
from napari_subtomo.io.optimisation import user_path
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.project import Project
from napari_subtomo.io.relion import ANGLE_PSI_PRIOR, ANGLE_TILT_PRIOR, COORDINATES, HELICAL_TUBE_ID, REFERENCE_IMAGE
from napari_subtomo.io.resolution import resolution_of
from napari_subtomo.io.star import read_star
from napari_subtomo.io.subtomograms import open_subtomograms
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.numerics.backend import free_bytes, resolve_devices
from napari_subtomo.numerics.fourier import lowpass, resize_centred
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.rescale import rescale, same_pixel_size
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Reporter

FloatArray = npt.NDArray[np.float64]
NO_PRIOR = 999.0  # RELION's number for an angle without a prior


@dataclass(frozen=True)
class Reweighted:
    """A particle whose weights are not those of its file."""

    data: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    multiplicity: npt.NDArray[np.float32] | None


def canonical_order(particles: ParticleSet) -> npt.NDArray[np.int64]:
    """Rows of the file in an order that depends on the particles alone: neither the file's order nor names change a result.

    Names of tomograms order particles at the same place of two of them, as picks on a grid are.
    """
    keys = [particles.origins, particles.angles.reshape(-1, 9)]
    try:
        keys.insert(0, particles.coordinates())
    except InputError:  # pixels from a corner of tomograms of unknown size
        keys += [particles.floats(label)[:, None] for label in COORDINATES if particles.has(label)]
    keys.insert(0, np.unique(particles.tomo_names, return_inverse=True)[1][:, None].astype(float))  # the first key counts least
    order: npt.NDArray[np.int64] = np.lexsort(np.round(np.concatenate(keys, axis=1), 4).T).astype(np.int64)
    return order


def read_reference(path: Path, project: Project, box: int, pixel_size: float, resize: bool, reporter: Reporter) -> npt.NDArray[np.float32]:
    """One map or a STAR list of maps on the particles' grid, shape (r, box, box, box)."""
    paths = [path]
    if path.suffix == ".star":
        star = read_star(path)
        block = next((b for b in star.blocks if b.has(REFERENCE_IMAGE)), None)
        if block is None:
            raise InputError(f"Expected a table with a column {REFERENCE_IMAGE} in {path}, found none; give a map or such a STAR file.")
        paths = [project.resolve(text) for text in block.texts(REFERENCE_IMAGE)]
    maps = [_on_grid(p, box, pixel_size, resize, reporter) for p in paths]
    return np.stack(maps)


def _on_grid(path: Path, box: int, pixel_size: float, resize: bool, reporter: Reporter) -> npt.NDArray[np.float32]:
    """A map on the particles' grid: as it is, or resampled and reboxed where that is allowed and its pixel size is known."""
    found = read_map(path)
    shape, voxel = found.volume.shape, found.pixel_size
    if len(set(shape)) != 1:
        raise GeometryError(f"Expected a cubic reference map, found shape {shape} in {path}; crop or pad it to a cube.")
    if found.fits(box, pixel_size):
        if voxel is None:
            reporter.warn(f"The reference {path.name} has no pixel size in its header: {pixel_size:g} Å is assumed, that of the particles.")
        elif abs(voxel - pixel_size) > 1e-6 * pixel_size:
            reporter.message(f"The pixel of the reference {path.name}, {voxel:.6g} Å, counts as that of the particles, {pixel_size:.6g} Å.")
        return found.volume
    # a header that was never filled in looks like a map of another scale: that is for the user to decide
    unset = voxel is None or (abs(voxel - UNSET) < 1e-6 and shape[0] == box)
    if not resize or unset:
        raise misfit(found, "reference", box, pixel_size, also="" if unset else ", or allow --resize-reference")
    assert voxel is not None
    same = same_pixel_size(voxel, pixel_size)
    volume = resize_centred(found.volume, box) if same else rescale(found.volume, pixel_size / voxel, box)
    reporter.message(f"Reference {path.name} resampled from {found.grid} to {box} px at {pixel_size:g} Å (--resize-reference).")
    return np.asarray(volume, dtype=np.float32)


def read_mask(path: Path | None, box: int, pixel_size: float, diameter: float) -> npt.NDArray[np.float32]:
    """The mask of the references: a file on the particles' grid, or a soft sphere."""
    if path is None:
        if diameter > box * pixel_size:
            raise OptionError(
                f"Expected a mask diameter of at most the box, {box * pixel_size:g} Å, found {diameter:g} Å; "
                "use a smaller mask or a larger box."
            )
        return soft_sphere(box, diameter / 2 / pixel_size, MASK_EDGE_PX)
    mask = read_fitting(path, "mask", box, pixel_size, mask=True).volume
    if mask.min() < -1e-3 or mask.max() > 1 + 1e-3:
        raise GeometryError(f"Expected a mask with values 0 to 1, found {mask.min():g} to {mask.max():g} in {path}.")
    return mask


def set_up(
    options: ClassifyOptions,
    particles: ParticleSet,
    project: Project,
    reporter: Reporter,
    tomograms: TomogramSet | None = None,
    scratch: Path | None = None,
) -> Setup:
    """Everything an engine keeps through its iterations.

    Parameters
    ----------
    options : ClassifyOptions
    particles : ParticleSet
    project : Project
    reporter : Reporter
    tomograms : TomogramSet, optional
        Needed for particles kept as 2D stacks.
    scratch : Path, optional
        Folder where these are cached in 3D, and where particles go that do not fit the memory; without it stacks are inserted each
        time they are needed, and all particles are kept in memory.

    Raises
    ------
    InputError
        No particles, unusable files, sizes that do not fit.
    """
    if len(particles) == 0:
        raise InputError(f"Expected at least one particle, found none in {particles.path}; extract particles first.")
    if particles.has(HELICAL_TUBE_ID):
        reporter.warn(
            f"The particles are pieces of filaments ({HELICAL_TUBE_ID}): helical symmetry and priors along filaments are not supported; "
            "they are classified as single particles."
        )
    devices = resolve_devices(options.device)
    other_weights = not options.ctf_correction or options.ignore_ctf_until_first_peak
    source = open_subtomograms(particles, project, tomograms, scratch, with_multiplicity=other_weights, reporter=reporter)
    box, pixel_size = source.box, source.pixel_size
    mask = read_mask(_given(options.solvent_mask, project), box, pixel_size, options.mask_diameter)
    raw = read_reference(user_path(options.reference, project), project, box, pixel_size, options.resize_reference, reporter)
    if len(raw) not in (1, options.classes):
        raise InputError(f"Expected one reference or {options.classes}, one per class, found {len(raw)} in {options.reference}.")
    references = np.stack([lowpass(r, pixel_size, options.initial_lowpass) * mask for r in raw]).astype(np.float32)
    if not np.any(references):
        raise InputError(f"Expected a reference with density inside the mask, found an empty one in {options.reference}.")
    order = canonical_order(particles)
    names, group = np.unique(source.tomogram_names, return_inverse=True)  # the source has them in the order of the file
    labels = Labels(
        np.unique(source.optics_groups[order], return_inverse=True)[1].astype(np.int64),
        group[source.tomograms[order]].astype(np.int64),
        tuple(names.tolist()),
    )
    load = _loader(options, source.read, order)
    poses = particles.angles[order], -particles.origins[order] / pixel_size
    held, gpu = None, devices != ("cpu",)
    if scratch is not None:
        resolution = resolution_of(user_path(options.reference, project), project)
        held = where_held(options, len(order), box, pixel_size, resolution, scratch, reporter, gpu)
    room = remembered(options, len(order), box, free_bytes("cpu"), gpu) if held is None else 0.0
    prepared = prepared_of(options, load, poses, box, pixel_size, reporter, held, devices[0])
    setup = assemble(options, prepared, Remembering(load, room), order, poses, labels, references, mask, pixel_size, devices)
    if options.focus_mask is not None:
        setup = replace(setup, focus=_focus(user_path(options.focus_mask, project), mask, pixel_size, options.mask_diameter))
    return replace(setup, priors=angle_priors(options, particles, order))


def angle_priors(options: ClassifyOptions, particles: ParticleSet, order: npt.NDArray[np.int64]) -> AnglePriors | None:
    """Priors of tilt and psi in the engine's order: of their columns, or the input angles where there are none."""
    if not options.align or max(options.sigma_tilt, options.sigma_psi) <= 0:
        return None
    angles = matrix_to_euler(particles.angles)

    def centres(label: str, axis: int) -> FloatArray:
        given = particles.floats(label) if particles.has(label) else np.full(len(particles), NO_PRIOR)
        return np.where(given < NO_PRIOR, given, angles[:, axis])[order]

    return AnglePriors(centres(ANGLE_TILT_PRIOR, 1), centres(ANGLE_PSI_PRIOR, 2), options.sigma_tilt, options.sigma_psi)


def _focus(path: Path, mask: npt.NDArray[np.float32], pixel_size: float, diameter: float) -> npt.NDArray[np.float32]:
    """The focus mask from a file; it must lie in the mask of the references."""
    focus = read_mask(path, len(mask), pixel_size, diameter)
    if not np.any(focus * mask > 0.5):
        raise GeometryError(
            f"Expected a focus mask that meets the mask of the references, found none in {path}; make it where classes may differ."
        )
    return focus


def set_up_like(
    setup: Setup, particles: ParticleSet, groups: npt.NDArray[np.int64], project: Project, reporter: Reporter, **source: Any
) -> Setup:
    """Other particles, ready to be compared with what a setup's own are compared with; they are in no reference, so any fold will do.

    Parameters
    ----------
    setup : Setup
    particles : ParticleSet
        Of the same tomograms, box and pixel size.
    groups : ndarray, shape (optics groups,)
        Optics groups of the setup's particles, ascending.
    project : Project
    reporter : Reporter
    **source
        `tomograms` and `scratch` as in `set_up`.
    """
    options = setup.options
    other_weights = not options.ctf_correction or options.ignore_ctf_until_first_peak
    opened = open_subtomograms(particles, project, **source, with_multiplicity=other_weights, reporter=reporter)
    if opened.box != setup.lattice.n or not same_pixel_size(opened.pixel_size, setup.pixel_size):
        raise GeometryError(
            f"Expected particles in a box of {setup.lattice.n} px of {setup.pixel_size:g} Å as those of the classification, found "
            f"{opened.box} px of {opened.pixel_size:g} Å in {particles.path}; extract them as those were."
        )
    order = canonical_order(particles)
    place = {name: i for i, name in enumerate(setup.group_names)}
    unknown = [name for name in opened.tomogram_names if name not in place] or sorted(
        set(opened.optics_groups.tolist()) - {*groups.tolist()}
    )
    if unknown:
        raise InputError(
            f"Expected particles of the tomograms and optics groups of the classification, found {unknown[0]} in {particles.path}; "
            "leave these out."
        )
    labels = Labels(
        np.searchsorted(groups, opened.optics_groups[order]).astype(np.int64),
        np.array([place[opened.tomogram_names[t]] for t in opened.tomograms[order]], dtype=np.int64),
        setup.group_names,
    )
    poses = particles.angles[order], -particles.origins[order] / setup.pixel_size
    load = _loader(options, opened.read, order)
    mask, pixel_size = setup.maximiser.mask, setup.pixel_size
    prepared = prepared_of(options, load, poses, opened.box, pixel_size, reporter, device=setup.device)
    found = assemble(options, prepared, load, order, poses, labels, setup.references, mask, pixel_size, setup.devices, setup.noise_groups)
    return replace(found, priors=angle_priors(options, particles, order))


def _given(path: Path | None, project: Project) -> Path | None:
    return None if path is None else user_path(path, project)


def _loader(options: ClassifyOptions, read: Load, order: npt.NDArray[np.int64]) -> Load:
    """Particles by engine index, their weights as the CTF options want them."""

    def load(i: int) -> Statistics3D:
        particle = read(int(order[i]))
        if options.ctf_correction and not options.ignore_ctf_until_first_peak:
            return particle
        tilts = particle.multiplicity
        if tilts is None:
            raise InputError(
                "Expected the number of tilts per Fourier voxel beside the weights to change the CTF, found weights alone; "
                "use CTF-correction without further options, or extract again."
            )
        if not options.ctf_correction:
            return Reweighted(particle.data, tilts, tilts)
        return Reweighted(particle.data, _intact_first_peak(particle.weights, tilts), tilts)

    return load


def _intact_first_peak(weights: npt.NDArray[np.float32], tilts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Weights with CTF = 1 below the shell where the mean CTF² has its first maximum; FFTW half layout (n, n, n // 2 + 1)."""
    n = weights.shape[0]
    wrapped = np.fft.fftfreq(n, 1 / n)
    radius = np.sqrt(wrapped[:, None, None] ** 2 + wrapped[None, :, None] ** 2 + np.arange(n // 2 + 1)[None, None] ** 2)
    shell = np.floor(radius + 0.5).astype(int)
    inside = shell <= n // 2
    mean = np.bincount(shell[inside], weights[inside]) / np.maximum(np.bincount(shell[inside], tilts[inside]), 1e-9)
    falling = np.flatnonzero(np.diff(mean) < 0)
    peak = int(falling[falling > 0][0]) if np.any(falling > 0) else 0
    return np.where(shell < peak, tilts, weights).astype(np.float32)
