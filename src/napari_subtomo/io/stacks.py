"""Particles kept as 2D stacks, one image a tilt: inserted into 3D boxes, so that they are read as subtomograms are.

A stack holds ``CTF·dose·image`` of the visible tilts in the order of the tilt-series table. Its images are set into a square half as
large again, so that their transforms are finely sampled, and inserted in the particle's frame as RELION makes its 3D pseudo-subtomograms
(`numerics.slices`): with a box cropped from one of 1.5 times its size the result is RELION's own. The weights Σ CTF²·dose² are not in the
files; they come from the tilt series.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.subtomograms import Labelled, Subtomogram, SubtomogramBlock, SubtomogramLabels
from napari_subtomo.data.tomogram import TiltSeries, Tomogram
from napari_subtomo.errors import FileFormatError, SubtomoError
from napari_subtomo.geometry.projection import defocus_offset
from napari_subtomo.io import relion
from napari_subtomo.io.modulation import Modulation
from napari_subtomo.io.mrc import read_mrc, require_finite
from napari_subtomo.io.scratch import ScratchFile
from napari_subtomo.numerics.fourier import resize_centred
from napari_subtomo.numerics.slices import SliceInsertion, slice_insertion

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
_Made = TypeVar("_Made")
_KEPT = 4  # tomograms whose transfer functions and insertions stay in memory


@dataclass(frozen=True)
class Tilts:
    """A tomogram and its tilt series."""

    tomogram: Tomogram
    series: TiltSeries
    matrices: FloatArray


class _Recent:
    """The few things made last, by key; not shared with other processes."""

    def __init__(self, size: int) -> None:
        self.size, self.lock, self.items = size, Lock(), OrderedDict[Any, Any]()

    def __reduce__(self) -> tuple[Any, ...]:
        return _Recent, (self.size,)

    def get(self, key: Any, make: Callable[[], _Made]) -> _Made:
        with self.lock:
            if key in self.items:
                self.items.move_to_end(key)
                found: _Made = self.items[key]
                return found
        made = make()
        with self.lock:
            self.items[key] = made
            while len(self.items) > self.size:
                self.items.popitem(last=False)
        return made


@dataclass(frozen=True)
class StackSubtomograms(Labelled):
    """A source (`SubtomogramSource`) that inserts each particle's stack into 3D when it is asked for, and keeps it in scratch space.

    Attributes
    ----------
    names : tuple of str
        Particle names, for error sentences.
    paths : tuple of Path
        Stacks.
    tilts : tuple of Tilts
        Of the tomograms, in the order of `labels.tomogram_names`.
    centres : ndarray, shape (n, 3)
        Box centres in Å from the centre of the tomogram: where the images were cut.
    frames : ndarray, shape (n, 3, 3)
        Frames S of the boxes in the tomogram.
    visible : tuple of ndarray of bool
        Rows of the tilt series that each particle is seen in.
    premultiplied : ndarray of bool, shape (n,)
        Whether images are multiplied with CTF and dose weights already.
    box : int
        Pixels.
    pixel_size : float
        Å.
    labels : SubtomogramLabels
    scratch : ScratchFile or None
    with_multiplicity : bool
        Whether the number of tilts per voxel is handed out too.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    tilts: tuple[Tilts, ...]
    centres: FloatArray
    frames: FloatArray
    visible: tuple[BoolArray, ...]
    premultiplied: BoolArray
    box: int
    pixel_size: float
    labels: SubtomogramLabels
    scratch: ScratchFile | None = None
    with_multiplicity: bool = False
    _recent: _Recent = field(default_factory=lambda: _Recent(2 * _KEPT), repr=False, compare=False)

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self.names)

    @property
    def square(self) -> int:
        """Edge of the square that images are set into, in pixels: even, half as large again as the box."""
        return 2 * int(np.ceil(0.75 * self.box))

    def read(self, particle: int) -> Subtomogram:
        """One particle.

        Raises
        ------
        InputError
            The stack is missing, cut off, of another size, has another number of images than tilts are visible, or holds NaN; the
            sentence names the particle.
        """
        kept = None if self.scratch is None else self.scratch.get(particle)
        if kept is None:
            try:
                kept = self._insert(particle)
            except SubtomoError as error:
                raise type(error)(f"Particle {self.names[particle]} (row {particle + 1}): {error}") from error
            if self.scratch is not None:
                self.scratch.put(particle, kept)
        return Subtomogram(*kept)

    def block(self, ids: npt.ArrayLike) -> SubtomogramBlock:
        """The particles `ids` (m,), in that order. Errors as in `read`."""
        rows = np.atleast_1d(np.asarray(ids, np.int64))
        found = [self.read(row) for row in rows.tolist()]
        return SubtomogramBlock(rows, np.stack([p.data for p in found]), np.stack([p.weights for p in found]))

    def _insert(self, particle: int) -> list[npt.NDArray[np.float32]]:
        """Data, weights and, if wanted, multiplicity of a particle from its stack."""
        number = int(self.tomograms[particle])
        tilts, seen = self.tilts[number], np.flatnonzero(self.visible[particle])
        images = stack_images(self.paths[particle], self.box, self.visible[particle])
        transfer: Modulation = self._recent.get(
            ("ctf", number), lambda: Modulation(tilts.series, tilts.tomogram, self.square, self.pixel_size)
        )
        pixel = float(tilts.tomogram.pixel_size or self.pixel_size)
        depth = tilts.matrices[seen, 2] @ self.centres[particle] / pixel
        ctf = transfer.at(seen, defocus_offset(depth, pixel, tilts.tomogram.hand, tilts.tomogram.defocus_slope))
        large = resize_centred(images, (len(images), self.square, self.square))
        values = np.fft.rfft2(np.fft.ifftshift(large, axes=(1, 2))).astype(np.complex64)
        if not self.premultiplied[particle]:
            values *= ctf
        data, weights, tilts_per_voxel = self._insertion(number, particle, seen).insert(values, ctf**2, transfer.counts(seen))
        # the grey scale of RELION's pseudo-subtomograms: 2D and 3D extractions of the same particles give the same maps
        scale = np.sqrt(self.box * self.pixel_size / pixel)
        volume = np.fft.fftshift(np.fft.irfftn(data, s=(self.box,) * 3, axes=(0, 1, 2))) * scale
        found = [volume.astype(np.float32), weights]
        return [*found, tilts_per_voxel] if self.with_multiplicity else found

    def _insertion(self, number: int, particle: int, seen: IntArray) -> SliceInsertion:
        frame = self.frames[particle]

        def make() -> SliceInsertion:
            axes = (self.tilts[number].matrices[seen] @ frame)[:, :2] * (self.box / self.square)
            return slice_insertion(axes, self.square, self.box)

        if not np.array_equal(frame, np.eye(3)):  # no other particle has it
            return make()
        return self._recent.get(("insertion", number, seen.tobytes()), make)


def stack_images(path: Path, box: int, visible: BoolArray) -> npt.NDArray[np.float32]:
    """The images of visible tilts, shape (m, box, box); a stack may hold the hidden ones too, as Warp's do."""
    images = read_mrc(path)
    if images.shape[1:] != (box, box):
        raise FileFormatError(f"Expected images of {box} x {box} pixels as of the other particles in {path}, found {images.shape[1:]}.")
    if len(images) == len(visible) and not visible.all():
        images = images[visible]
    if len(images) != np.count_nonzero(visible):
        raise FileFormatError(
            f"Expected {np.count_nonzero(visible)} images, one for each visible frame (_{relion.VISIBLE_FRAMES}), in {path}, "
            f"found {len(images)}; do stack, particles and tomograms belong together?"
        )
    require_finite(images, path)
    return images
