"""MRC volumes and stacks: read any mode, map into memory, write whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError
from napari_subtomo.io.atomic import atomic_path

HEADER_BYTES = 1024
_MODES = {0: "i1", 1: "i2", 2: "f4", 4: "c8", 6: "u2", 12: "f2"}
_ANGLE = 90.0


@dataclass(frozen=True)
class MrcHeader:
    """What the header of an MRC file says.

    Attributes
    ----------
    shape : tuple of int
        Sections, rows, columns of the file; zyx of the volume as all files read here have x fastest.
    voxel_size : float
        Å along x; 0 where the header has none.
    mode : int
        0 int8, 1 int16, 2 float32, 6 uint16, 12 float16.
    dtype : numpy dtype
        Of the stored values, with byte order.
    offset : int
        First byte of the values.
    is_stack : bool
        Whether the sections are images rather than a volume.
    voxel_sizes : tuple of float
        Å along x, y, z.
    """

    shape: tuple[int, int, int]
    voxel_size: float
    mode: int
    dtype: np.dtype[Any]
    offset: int
    is_stack: bool = False
    voxel_sizes: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def file_bytes(self) -> int:
        """Size the file must have at least."""
        return self.offset + self.shape[0] * self.shape[1] * self.shape[2] * self.dtype.itemsize


def mrc_header(path: str | Path) -> MrcHeader:
    """Read and check the header of an MRC file.

    Raises
    ------
    FileMissingError
    FileFormatError
        No MRC file, an unknown mode, an axis order other than x fastest and z slowest, or a file that is cut off.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            raw = stream.read(HEADER_BYTES)
        size = path.stat().st_size
    except FileNotFoundError:
        raise FileMissingError(f"Expected the MRC file {path}, found nothing there; check the path.") from None
    except OSError as error:
        raise FileMissingError(f"Cannot read the MRC file {path}: {error.strerror or error}.") from error
    if len(raw) < HEADER_BYTES:
        raise FileFormatError(f"Expected an MRC header of {HEADER_BYTES} bytes in {path}, found {len(raw)} bytes; the file is cut off.")
    for order in "<", ">":
        words = np.frombuffer(raw, dtype=f"{order}i4")
        if 0 <= words[3] <= 127 and all(0 < n < 2**30 for n in words[:3]) and all(0 <= a <= 3 for a in words[16:19]):
            break
    else:
        raise FileFormatError(f"Expected an MRC file, found no MRC header in {path}.")
    floats = np.frombuffer(raw, dtype=f"{order}f4")
    mode = int(words[3])
    if mode not in _MODES or mode == 4:
        raise FileFormatError(f"Expected an MRC file of mode 0, 1, 2, 6 or 12, found mode {mode} in {path}; convert it to float32.")
    axes = tuple(int(a) for a in words[16:19])
    if axes not in ((1, 2, 3), (0, 0, 0)):
        raise FileFormatError(
            f"Expected x fastest and z slowest (MAPC, MAPR, MAPS = 1, 2, 3) in {path}, found {', '.join(map(str, axes))}; "
            "rewrite the file with standard axes."
        )
    extended = int(words[23])
    if extended < 0:
        raise FileFormatError(f"Expected an extended header of 0 bytes or more in {path}, found {extended}.")
    sampling = [int(n) for n in words[7:10]]
    cell = [float(a) for a in floats[10:13]]
    sizes = tuple(c / n if n > 0 and np.isfinite(c) and c > 0 else 0.0 for c, n in zip(cell, sampling, strict=True))
    nx, ny, nz = (int(n) for n in words[:3])
    dtype = np.dtype(order + _MODES[mode])
    if mode == 0 and _is_unsigned_imod(words, raw):
        dtype = np.dtype("u1")
    header = MrcHeader((nz, ny, nx), sizes[0], mode, dtype, HEADER_BYTES + extended, int(words[22]) == 0, (sizes[0], sizes[1], sizes[2]))
    if size < header.file_bytes:
        raise FileFormatError(
            f"Expected {header.file_bytes} bytes for {nx} x {ny} x {nz} values of {dtype.itemsize} bytes in {path}, "
            f"found {size}; the file is cut off."
        )
    return header


def _is_unsigned_imod(words: npt.NDArray[np.int32], raw: bytes) -> bool:
    """IMOD stores bytes of mode 0 as unsigned unless the first bit of its flags is set (its stamp is 1146047817)."""
    return int(words[38]) == 1146047817 and int(words[39]) & 1 == 0


def open_mrc(path: str | Path) -> npt.NDArray[Any]:
    """The values of an MRC file as a read-only memory map [z, y, x], in the type of the file.

    Convert a piece to float32 before arithmetic: float16 and integers overflow. Errors as in `mrc_header`.
    """
    header = mrc_header(path)
    return np.memmap(path, dtype=header.dtype, mode="r", offset=header.offset, shape=header.shape)


def read_mrc(path: str | Path) -> npt.NDArray[np.float32]:
    """The values of an MRC file as float32 [z, y, x]. Errors as in `mrc_header`."""
    return np.array(open_mrc(path), dtype=np.float32)


def require_finite(array: npt.NDArray[Any], name: str | Path) -> None:
    """Refuse NaN and infinite values.

    Raises
    ------
    FileFormatError
        Says how many values and where the first one is (z, y, x).
    """
    bad = ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise FileFormatError(f"Expected finite values in {name}, found {int(bad.sum())} NaN or infinite ones, the first at zyx {first}.")


def write_mrc(path: str | Path, array: npt.ArrayLike, voxel_size: float, float16: bool = False, *, stack: bool = False) -> None:
    """Write a volume or a stack of images; the file appears whole or not at all.

    Parameters
    ----------
    path : str or Path
    array : array_like, shape (z, y, x) or (y, x)
        Written as float32 (mode 2), or float16 (mode 12) if wanted.
    voxel_size : float
        Å.
    float16 : bool
        Half the size; refused where a value does not fit (beyond 65504).
    stack : bool
        Mark the sections as images.

    Raises
    ------
    InputError
        Values that are not finite or do not fit, or a file that cannot be written.
    """
    values = np.asarray(array)
    if values.ndim == 2:
        values = values[None]
    if values.ndim != 3 or values.size == 0:
        raise InputError(f"Expected a volume or a stack to write to {path}, found shape {values.shape}.")
    dtype = np.dtype("<f2" if float16 else "<f4")
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values, dtype=dtype)
    numbers = stored.astype(np.float32) if float16 else stored
    finite = np.isfinite(numbers)
    if not finite.all():
        count = int(finite.size - finite.sum())
        hint = "; write float32" if float16 and np.isfinite(values).all() else ""
        raise InputError(f"Expected finite values that fit {dtype.name} for {path}, found {count} that do not{hint}.")
    header = _header(stored.shape, 12 if float16 else 2, voxel_size, numbers, stack)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(header)
        stream.write(stored.data)


def _header(shape: tuple[int, ...], mode: int, voxel_size: float, numbers: npt.NDArray[np.float32], stack: bool) -> bytes:
    """MRC2014 header, little endian, as RELION writes it: no extended header, origin 0."""
    words = np.zeros(HEADER_BYTES // 4, dtype="<i4")
    floats = words.view("<f4")
    sections, rows, columns = shape
    size_xyz = (columns, rows, sections)
    words[0:3] = size_xyz
    words[3] = mode
    words[7:10] = size_xyz if not stack else (*size_xyz[:2], 1)
    floats[10:13] = [n * voxel_size for n in words[7:10]]
    floats[13:16] = _ANGLE
    words[16:19] = (1, 2, 3)
    floats[19:22] = [numbers.min(), numbers.max(), numbers.mean(dtype=np.float64)]
    words[22] = 0 if stack else 1
    words[27] = 20140
    raw = bytearray(words.tobytes())
    raw[208:212] = b"MAP "
    raw[212:216] = b"\x44\x44\x00\x00"  # little endian
    raw[216:220] = np.array([numbers.std(dtype=np.float64)], dtype="<f4").tobytes()
    return bytes(raw)
