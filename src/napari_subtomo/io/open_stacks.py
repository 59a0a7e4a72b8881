"""Opening particles kept as 2D stacks: what must be there, and clear words where it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.subtomograms import SubtomogramLabels
from napari_subtomo.errors import FileFormatError, FileMissingError, InputError
from napari_subtomo.geometry.projection import tilt_matrices
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import mrc_header
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.project import Project
from napari_subtomo.io.scratch import ScratchFile
from napari_subtomo.io.stacks import StackSubtomograms, Tilts
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.progress import Reporter

BoolArray = npt.NDArray[np.bool_]


def open_stacks(
    particles: ParticleSet,
    project: Project,
    tomograms: TomogramSet | None,
    scratch: Path | None = None,
    *,
    with_multiplicity: bool = False,
    reporter: Reporter | None = None,
) -> StackSubtomograms:
    """Particles of 2D stacks as 3D subtomograms; no image is read yet, but every stack is there.

    Parameters
    ----------
    particles : ParticleSet
        With 2D stacks in the image column.
    project : Project
        What the paths in the columns are relative to.
    tomograms : TomogramSet or None
        With the tilt series the stacks were cut from: angles and defocus.
    scratch : Path, optional
        Folder for a cache of what was inserted; without it stacks are inserted each time they are asked for.
    with_multiplicity : bool
        Hand out the number of tilts per Fourier voxel too.
    reporter : Reporter, optional
        Hears where the cache is and how large it may become.

    Raises
    ------
    InputError
        No tomogram set, missing columns or stacks, or visible frames that do not fit the tilt series.
    """
    if tomograms is None:
        raise InputError(
            f"Expected the tomogram set that the 2D stacks of {particles.path or 'the particles'} were extracted from, found none: "
            "their tilt angles and CTFs stand there; give --tomograms or an optimisation set that names it."
        )
    paths = tuple(project.resolve(_stack_name(particles, row)) for row in range(particles.n))
    missing = next((row for row, path in enumerate(paths) if not path.is_file()), None)
    if missing is not None:
        raise FileMissingError(
            f"Particle {particles.names[missing]} (row {missing + 1}): Expected the 2D stack {paths[missing]}, found nothing there; "
            "check the project folder that paths are relative to, or extract again."
        )
    labels = SubtomogramLabels.of(particles.tomo_names, particles.half_sets, particles.optics_groups)
    tilts = tuple(_tilts(tomograms, name) for name in labels.tomogram_names)
    box = mrc_header(paths[0]).shape[2]
    source = StackSubtomograms(
        particles.names,
        paths,
        tilts,
        particles.coordinates(tomograms),
        particles.frames,
        _visible_frames(particles, [len(tilts[i].series) for i in labels.tomograms.tolist()]),
        np.asarray(premultiplied(particles)),
        box,
        particles.pixel_size,
        labels,
        _cache(scratch, box, particles.n, with_multiplicity, reporter),
        with_multiplicity,
    )
    if reporter is not None and not source.premultiplied.all():
        count = int(np.count_nonzero(~source.premultiplied))
        reporter.message(f"{count} stacks are not multiplied with their CTF (_{relion.CTF_PREMULTIPLIED}); that is done here.")
    return source


def premultiplied(particles: ParticleSet) -> tuple[bool, ...]:
    """Per particle whether the optics table calls its images multiplied with their CTF; False where it says nothing."""
    optics = particles.optics
    if optics is None or not optics.has(relion.CTF_PREMULTIPLIED):
        return (False,) * particles.n
    groups = optics.ints(relion.OPTICS_GROUP) if optics.has(relion.OPTICS_GROUP) else np.arange(1, len(optics) + 1)
    flags = dict(zip(groups.tolist(), optics.ints(relion.CTF_PREMULTIPLIED).tolist(), strict=True))
    return tuple(bool(flags.get(group, 0)) for group in particles.optics_groups.tolist())


def _stack_name(particles: ParticleSet, row: int) -> str:
    text = particles.image_paths[row]
    where = f"for particle {particles.names[row]} (row {row + 1}) of {particles.path or 'the particle set'}"
    if text in relion.NOT_AVAILABLE:
        raise InputError(f"Expected a 2D stack in column _{relion.IMAGE_NAME} {where}, found none; extract the particles first.")
    if "@" in text:
        raise InputError(
            f"Expected the name of a whole 2D stack in column _{relion.IMAGE_NAME} {where}, found '{text}', one image of a stack; "
            "single images of tilts cannot be used, give particles with one row each."
        )
    return text


def _tilts(tomograms: TomogramSet, name: str) -> Tilts:
    series = tomograms.tilt_series(name)
    return Tilts(tomograms[name], series, tilt_matrices(series))


def _visible_frames(particles: ParticleSet, n_tilts: list[int]) -> tuple[BoolArray, ...]:
    """Flags of the rows of the tilt series; all of them where the particles do not say."""
    if not particles.has(relion.VISIBLE_FRAMES):
        return tuple(np.ones(n, bool) for n in n_tilts)
    flags = []
    for row, (text, n) in enumerate(zip(particles.texts(relion.VISIBLE_FRAMES), n_tilts, strict=True)):
        values = text.strip("[] ").split(",")
        if len(values) != n or any(value.strip() not in ("0", "1") for value in values):
            raise FileFormatError(
                f"Particle {particles.names[row]} (row {row + 1}): Expected {n} flags 0 or 1 in column _{relion.VISIBLE_FRAMES}, one for "
                f"each row of the tilt series {particles.tomo_names[row]}, found {len(values)} in '{text[:60]}'; do the tomograms "
                "belong to these particles?"
            )
        seen = np.array([value.strip() == "1" for value in values])
        if not seen.any():
            raise FileFormatError(
                f"Particle {particles.names[row]} (row {row + 1}): Expected at least one visible frame in column "
                f"_{relion.VISIBLE_FRAMES}, found none; leave the particle out."
            )
        flags.append(seen)
    return tuple(flags)


def _cache(scratch: Path | None, box: int, count: int, multiplicity: bool, reporter: Reporter | None) -> ScratchFile | None:
    if scratch is None:
        return None
    half = (box, box, box // 2 + 1)
    cache = ScratchFile(scratch / "particles.f16", ((box,) * 3, half, *((half,) if multiplicity else ())), count)
    if reporter is not None:
        text = f"2D stacks of {count} particles are inserted into 3D and cached in float16 in {scratch}"
        text += f", up to {cache.room * cache.record_bytes / 2**20:.0f} MB of {cache.free / 2**20:.0f} MB free"
        if cache.room < count:
            text += (
                f"; {count - cache.room} particles do not fit and are inserted again when needed (name a larger disk with --scratch-dir)"
            )
        reporter.message(f"{text}.")
    return cache
