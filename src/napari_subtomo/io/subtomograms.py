"""Read subtomograms: RELION 5 pseudo-subtomograms (data and weights), its 2D stacks, and RELION 3.1 volumes with a 3D CTF."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.subtomograms import Labelled, Subtomogram, SubtomogramBlock, SubtomogramLabels
from napari_subtomo.errors import FileFormatError, InputError, SubtomoError
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import mrc_header, read_mrc, require_finite
from napari_subtomo.io.open_stacks import open_stacks, premultiplied
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.project import Project
from napari_subtomo.io.stacks import StackSubtomograms
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.numerics.backend import fft_module
from napari_subtomo.numerics.fourier import full_to_half
from napari_subtomo.progress import Reporter

FloatVolume = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class FileSubtomograms(Labelled):
    """A source (`SubtomogramSource`) that reads each particle from its files when it is asked for; holds paths and no open file.

    Attributes
    ----------
    names : tuple of str
        Particle names, for error sentences.
    data_paths, weight_paths : tuple of Path
        Absolute.
    premultiplied : tuple of bool
        Whether the optics group says that the data are multiplied with their CTF.
    box : int
        Voxels.
    pixel_size : float
        Å.
    labels : SubtomogramLabels
    """

    names: tuple[str, ...]
    data_paths: tuple[Path, ...]
    weight_paths: tuple[Path, ...]
    premultiplied: tuple[bool, ...]
    box: int
    pixel_size: float
    labels: SubtomogramLabels

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self.names)

    def read(self, particle: int) -> Subtomogram:
        """One particle.

        Raises
        ------
        InputError
            A file is missing, cut off, of another size or holds NaN; the sentence names the particle.
        """
        try:
            return _read(self.data_paths[particle], self.weight_paths[particle], self.premultiplied[particle], self.box)
        except SubtomoError as error:
            raise type(error)(f"Particle {self.names[particle]} (row {particle + 1}): {error}") from error

    def block(self, ids: npt.ArrayLike) -> SubtomogramBlock:
        """The particles `ids` (m,), in that order. Errors as in `read`."""
        rows = np.atleast_1d(np.asarray(ids, np.int64))
        data = np.empty((len(rows), self.box, self.box, self.box), np.float32)
        weights = np.empty((len(rows), self.box, self.box, self.box // 2 + 1), np.float32)
        for place, row in enumerate(rows.tolist()):
            particle = self.read(row)
            data[place], weights[place] = particle.data, particle.weights
        return SubtomogramBlock(rows, data, weights)


def open_subtomograms(
    particles: ParticleSet,
    project: Project,
    tomograms: TomogramSet | None = None,
    scratch: Path | None = None,
    *,
    with_multiplicity: bool = False,
    reporter: Reporter | None = None,
) -> FileSubtomograms | StackSubtomograms:
    """The subtomograms of a particle set; nothing is read yet but the header of the first one.

    Parameters
    ----------
    particles : ParticleSet
        After extraction: with image and weight (or 3D CTF) columns, or with 2D stacks.
    project : Project
        What the paths in the columns are relative to.
    tomograms : TomogramSet, optional
        Needed for 2D stacks.
    scratch : Path, optional
        Folder where particles of 2D stacks are cached.
    with_multiplicity : bool
        Whether the number of tilts per Fourier voxel is needed; files have it or not, 2D stacks make it when asked.
    reporter : Reporter, optional

    Raises
    ------
    InputError
        No particles, missing columns or files, or differing boxes or pixel sizes; for 2D stacks also no tomogram set.
    """
    if particles.n == 0:
        raise InputError(f"Expected at least one particle in {particles.path or 'the particle set'}, found none.")
    if has_stacks(particles):
        return open_stacks(particles, project, tomograms, scratch, with_multiplicity=with_multiplicity, reporter=reporter)
    cells = {relion.IMAGE_NAME: particles.image_paths, relion.CTF_IMAGE: particles.ctf_paths}
    for label, texts in cells.items():
        empty = next((row for row, text in enumerate(texts) if text in relion.NOT_AVAILABLE), None)
        if empty is not None:
            raise InputError(
                f"Expected a file name in column _{label} for particle {particles.names[empty]} (row {empty + 1}) of "
                f"{particles.path or 'the particle set'}, found none; extract the particles first."
            )
    data_paths = tuple(project.resolve(text) for text in particles.image_paths)
    return FileSubtomograms(
        particles.names,
        data_paths,
        tuple(project.resolve(text) for text in particles.ctf_paths),
        premultiplied(particles),
        mrc_header(data_paths[0]).shape[2],
        particles.pixel_size,
        SubtomogramLabels.of(particles.tomo_names, particles.half_sets, particles.optics_groups),
    )


def read_subtomogram(particles: ParticleSet, particle: int, project: Project, tomograms: TomogramSet | None = None) -> Subtomogram:
    """The subtomogram in row `particle` (from 0) of a set; for many of them use `open_subtomograms`. Errors as there."""
    return open_subtomograms(particles.select([particle]), project, tomograms).read(0)


def has_stacks(particles: ParticleSet) -> bool:
    """Whether the images of a set that is not empty are 2D stacks, by its flag or by the name of the first one."""
    image = particles.image_paths[0]
    return particles.is_2d_stacks or "@" in image or image.endswith(".mrcs")


def _read(data_path: Path, weight_path: Path, premultiplied: bool, box: int) -> Subtomogram:
    """Sufficient statistics from a pair of files.

    A weight file with two volumes is RELION 5's: Σ CTF² and the multiplicity, the data are sums already. A single volume is the CTF
    itself, and the data are multiplied with it here, unless the optics table calls them premultiplied: then it is Σ CTF² too.
    """
    data = _volume(data_path)
    if data.shape != (box, box, box):
        raise FileFormatError(f"Expected a cube of {box} voxels as of the other particles in {data_path}, found shape {data.shape}.")
    volume = _volume(weight_path)
    half = (box, box, box // 2 + 1)
    if volume.shape == (2 * box, *half[1:]):
        return Subtomogram(data, np.maximum(volume[:box], 0), volume[box:])
    if volume.shape == (box, box, box):  # centred full layout, origin at n // 2; of the two Nyquist planes only one is kept
        volume = np.asarray(full_to_half(volume), np.float32)
    if volume.shape != half:
        raise FileFormatError(
            f"Expected a 3D CTF of shape {half} or {(box, box, box)} or weights of shape {(2 * box, *half[1:])} (z, y, x) "
            f"in {weight_path}, found {volume.shape}."
        )
    if premultiplied:
        return Subtomogram(data, np.maximum(volume, 0))
    transforms = fft_module(np)  # wherever the origin lies: a product of transforms moves with the data
    real = transforms.irfftn(transforms.rfftn(data) * volume, s=data.shape, axes=(0, 1, 2))
    return Subtomogram(real.astype(np.float32, copy=False), volume**2)


def _volume(path: Path) -> FloatVolume:
    volume = read_mrc(path)
    require_finite(volume, path)
    return volume
