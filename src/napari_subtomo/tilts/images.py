"""Tilt images: MRC files, sections of MRC stacks, and TIFF, each read once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import TiltSeries
from napari_subtomo.errors import FileFormatError, FileMissingError, GeometryError, InputError
from napari_subtomo.io.mrc import mrc_header, open_mrc

Image = npt.NDArray[Any]
_TIFF = (".tif", ".tiff")


def missing_image(series: TiltSeries) -> str | None:
    """Why a series cannot be extracted from by its images: a clause without a full stop; None where every image is there."""
    if not series.image_paths:
        return f"the tilt series {series.name} names no images"
    absent = [path for path in dict.fromkeys(series.image_paths) if not path.is_file()]
    if not absent:
        return None
    more = f" and {len(absent) - 1} more images of {series.name}" if len(absent) > 1 else ""
    return f"{absent[0]}{more} cannot be found" if more else f"the image {absent[0]} of {series.name} cannot be found"


class TiltImages:
    """The images of a tilt series.

    Parameters
    ----------
    series : TiltSeries

    Attributes
    ----------
    size : tuple of int
        Width and height in pixels, the same for all images.

    Raises
    ------
    FileMissingError, FileFormatError, GeometryError
        Images that are missing, unreadable, or of different sizes.
    """

    def __init__(self, series: TiltSeries) -> None:
        reason = missing_image(series)
        if reason:
            raise FileMissingError(f"Expected the images of the tilt series {series.name}, but {reason}; check the tilt-series STAR file.")
        self.series = series
        sections = series.sections or (0,) * len(series)
        self.files = tuple(zip(series.image_paths, sections, strict=True))
        checked: dict[Path, tuple[int, int, int]] = {path: _shape(path) for path in dict.fromkeys(series.image_paths)}
        sizes = set()
        for path, section in self.files:
            count, height, width = checked[path]
            if section > count or (section == 0 and count != 1):
                found = f"{count} images in it" if section else f"{count} images in it and no number before an @"
                raise FileFormatError(f"Expected {f'image {section} of' if section else 'one image in'} {path}, found {found}.")
            sizes.add((width, height))
        if len(sizes) > 1:
            found = ", ".join(f"{width} x {height}" for width, height in sorted(sizes))
            raise GeometryError(f"Expected images of one size in the tilt series {series.name}, found {found} px.")
        self.size: tuple[int, int] = next(iter(sizes))
        self._loaded: dict[int, Image] = {}
        self._scratch: Any = None

    @property
    def states(self) -> list[tuple[str, int, int, int]]:
        """Path, section, bytes and time of each image: another list means other images."""
        stats = {path: path.stat() for path, _ in self.files}
        return [(str(path), section, stats[path].st_size, stats[path].st_mtime_ns) for path, section in self.files]

    def __getitem__(self, tilt: int) -> Image:
        """An image [y, x] in the type of its file, loaded if it was not."""
        if tilt not in self._loaded:
            self._loaded[tilt] = self._read(tilt)
        return self._loaded[tilt]

    def load(self, tilts: Sequence[int], most_bytes: float, folder: Path, threads: int = 1, tick: Callable[[], None] | None = None) -> None:
        """Read images, each once. What goes beyond `most_bytes` is mapped from a file instead of kept in memory.

        Parameters
        ----------
        tilts : sequence of int
        most_bytes : float
        folder : Path
            Gets a temporary file for compressed images that are not kept in memory.
        threads : int
        tick : callable, optional
            Called after each image; what it raises ends the reading.
        """
        room = most_bytes
        kept: list[int] = []
        mapped: list[int] = []
        for tilt in tilts:
            size = self.size[0] * self.size[1] * _item_bytes(self.files[tilt][0])
            (kept if size <= room else mapped).append(tilt)
            room -= size
        for tilt in mapped:
            self._loaded[tilt] = self._map(tilt, folder)
            if tick:
                tick()
        with ThreadPoolExecutor(max(1, threads), thread_name_prefix="images") as pool:
            for tilt, image in zip(kept, pool.map(self._read, kept), strict=True):
                self._loaded[tilt] = image
                if tick:
                    tick()

    def release(self) -> None:
        """Forget what was read."""
        self._loaded.clear()
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def _read(self, tilt: int) -> Image:
        path, section = self.files[tilt]
        if path.suffix.lower() in _TIFF:
            return _read_tiff(path, max(1, section))
        header = mrc_header(path)
        width, height = self.size
        offset = header.offset + max(0, section - 1) * width * height * header.dtype.itemsize
        return np.fromfile(path, dtype=header.dtype, count=width * height, offset=offset).reshape(height, width)

    def _map(self, tilt: int, folder: Path) -> Image:
        path, section = self.files[tilt]
        if path.suffix.lower() not in _TIFF:
            image: Image = open_mrc(path)[max(0, section - 1)]
            return image
        image = self._read(tilt)
        if self._scratch is None:
            try:
                self._scratch = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - `release` closes it
            except OSError as error:
                raise InputError(f"Cannot write a temporary file in {folder}: {error.strerror or error}.") from error
        start = self._scratch.seek(0, 2)
        start += -start % image.dtype.itemsize
        self._scratch.seek(start)
        self._scratch.write(np.ascontiguousarray(image).tobytes())
        self._scratch.flush()
        return np.memmap(self._scratch, dtype=image.dtype, mode="r", offset=start, shape=image.shape)


def _shape(path: Path) -> tuple[int, int, int]:
    """Number of images, height and width."""
    if path.suffix.lower() not in _TIFF:
        return mrc_header(path).shape
    with _open_tiff(path) as file:
        shape = file.pages[0].shape
        if len(shape) != 2:
            raise FileFormatError(f"Expected a grey TIFF image in {path}, found the shape {tuple(shape)}.")
        return len(file.pages), int(shape[0]), int(shape[1])


def _item_bytes(path: Path) -> int:
    if path.suffix.lower() not in _TIFF:
        return mrc_header(path).dtype.itemsize
    with _open_tiff(path) as file:
        return int(np.dtype(file.pages[0].dtype).itemsize)


def _open_tiff(path: Path) -> Any:
    import tifffile

    try:
        return tifffile.TiffFile(path)
    except (tifffile.TiffFileError, ValueError, OSError) as error:
        raise FileFormatError(f"Expected a TIFF file, found something else in {path}: {error}.") from error


def _read_tiff(path: Path, page: int) -> Image:
    """An image of a TIFF file with its last row first: TIFF counts rows from the top, MRC from the bottom, and so does RELION."""
    with _open_tiff(path) as file:
        try:
            image: Image = np.ascontiguousarray(np.flipud(file.pages[page - 1].asarray()))
        except (ValueError, OSError, IndexError) as error:
            raise FileFormatError(f"Cannot read image {page} of {path}: {error}.") from error
    if image.dtype.kind not in "iuf":
        raise FileFormatError(f"Expected real numbers in {path}, found {image.dtype}.")
    return image
