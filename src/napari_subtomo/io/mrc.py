"""MRC volumes and stacks: read any mode, map into memory, write whole or not at all."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError
from napari_subtomo.io.atomic import atomic_path

HEADER_BYTES = 1024
_MRC_VERSION = 20141
_HALF_LIMIT = 65520.0  # the smallest number that float16 rounds to infinity
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}


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
    header, order = _plain_header(raw) or _mrcfile_header(path)
    mode = int(header["mode"])
    if mode not in _MODES:
        raise FileFormatError(f"Expected an MRC file of mode 0, 1, 2, 6 or 12, found mode {mode} in {path}; convert it to float32.")
    axes = (int(header["mapc"]), int(header["mapr"]), int(header["maps"]))
    if axes not in ((1, 2, 3), (0, 0, 0)):
        raise FileFormatError(
            f"Expected x fastest and z slowest (MAPC, MAPR, MAPS = 1, 2, 3) in {path}, found {', '.join(map(str, axes))}; "
            "rewrite the file with standard axes."
        )
    extended = int(header["nsymbt"])
    if extended < 0:
        raise FileFormatError(f"Expected an extended header of 0 bytes or more in {path}, found {extended}.")
    sampling = [int(header[name]) for name in ("mx", "my", "mz")]
    cell = [float(header["cella"][axis]) for axis in "xyz"]
    sizes = tuple(c / n if n > 0 and math.isfinite(c) and c > 0 else 0.0 for c, n in zip(cell, sampling, strict=True))
    nx, ny, nz = (int(header[name]) for name in ("nx", "ny", "nz"))
    dtype = np.dtype(_MODES[mode]).newbyteorder(order)
    if mode == 0 and _is_unsigned_imod(raw, order):
        dtype = np.dtype("u1")
    stack = int(header["ispg"]) == 0
    found = MrcHeader((nz, ny, nx), sizes[0], mode, dtype, HEADER_BYTES + extended, stack, (sizes[0], sizes[1], sizes[2]))
    if size < found.file_bytes:
        raise FileFormatError(
            f"Expected {found.file_bytes} bytes for {nx} x {ny} x {nz} values of {dtype.itemsize} bytes in {path}, "
            f"found {size}; the file is cut off."
        )
    return found


def _plain_header(raw: bytes) -> tuple[Any, Any] | None:
    """The header record and its byte order, of a file that states all it should; None for others.

    An iteration may read each of thousands of small files anew, and opening them with `mrcfile` takes as long as their transforms.
    """
    from mrcfile.dtypes import HEADER_DTYPE
    from mrcfile.utils import byte_order_from_machine_stamp

    header = np.frombuffer(raw, HEADER_DTYPE)[0]
    if not bytes(header["map"]).startswith(b"MAP"):
        return None
    try:
        order = byte_order_from_machine_stamp(header["machst"])
    except ValueError:
        return None
    header = np.frombuffer(raw, HEADER_DTYPE.newbyteorder(order))[0]
    return (header, order) if int(header["mode"]) in _MODES and _makes_sense(header) else None


def _mrcfile_header(path: Path) -> tuple[Any, Any]:
    """The header record as `mrcfile` reads it, and the byte order of the file; refused where it makes no sense."""
    import mrcfile

    refused = FileFormatError(f"Expected an MRC file, found no MRC header in {path}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old files lack the map stamp: what matters is checked below
            with mrcfile.open(path, permissive=True, header_only=True) as file:
                header = file.header.copy()
    except (ValueError, OSError) as error:
        raise refused from error
    if not _makes_sense(header):
        raise refused
    return header, header.mode.dtype.byteorder


def _makes_sense(header: Any) -> bool:
    """Whether mode, sizes and axes may be those of an MRC file."""
    sizes, axes = ([int(header[name]) for name in names] for names in (("nx", "ny", "nz"), ("mapc", "mapr", "maps")))
    return 0 <= int(header["mode"]) <= 127 and all(0 < n < 2**30 for n in sizes) and all(0 <= a <= 3 for a in axes)


def _is_unsigned_imod(raw: bytes, order: Any) -> bool:
    """IMOD stores bytes of mode 0 as unsigned unless the first bit of its flags is set (its stamp is 1146047817)."""
    words = np.frombuffer(raw, dtype=np.dtype("i4").newbyteorder(order))
    return int(words[38]) == 1146047817 and int(words[39]) & 1 == 0


def open_mrc(path: str | Path) -> npt.NDArray[Any]:
    """The values of an MRC file as a read-only memory map [z, y, x], in the type of the file.

    Convert a piece to float32 before arithmetic: float16 and integers overflow. Errors as in `mrc_header`.
    """
    return _mapped(path, mrc_header(path))


def _mapped(path: str | Path, header: MrcHeader) -> npt.NDArray[Any]:
    """The values of a file, by its header."""
    return np.memmap(path, dtype=header.dtype, mode="r", offset=header.offset, shape=header.shape)


def read_mrc(path: str | Path) -> npt.NDArray[np.float32]:
    """The values of an MRC file as float32 [z, y, x]. Errors as in `mrc_header`."""
    header = mrc_header(path)
    if header.dtype != np.float32:  # from the map, so that a large file is in memory once
        return np.array(_mapped(path, header), dtype=np.float32)
    with Path(path).open("rb") as stream:  # small files are read faster than mapped
        stream.seek(header.offset)
        return np.fromfile(stream, np.float32, math.prod(header.shape)).reshape(header.shape)


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
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(values, dtype=np.float32)
    largest = float(np.abs(numbers).max())
    if not largest < (_HALF_LIMIT if float16 else np.inf):  # NaN is never smaller
        name, limit = ("float16", _HALF_LIMIT) if float16 else ("float32", np.inf)
        count = int(numbers.size - (np.abs(numbers) < limit).sum())
        hint = "; write float32" if float16 and np.isfinite(values).all() else ""
        raise InputError(f"Expected finite values that fit {name} for {path}, found {count} that do not{hint}.")
    stored = numbers.astype("<f2") if float16 else numbers.astype("<f4", copy=False)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_new_header(numbers, voxel_size, 12 if float16 else 2, stack))
        file.write(stored.data)


def _new_header(values: npt.NDArray[np.float32], voxel_size: float, mode: int, stack: bool) -> bytes:
    """The header of a file of `values`, without labels: those of other programs hold the time, and equal volumes shall be equal files."""
    from mrcfile.dtypes import HEADER_DTYPE

    header = np.zeros((), HEADER_DTYPE.newbyteorder("<"))
    header["nz"], header["ny"], header["nx"] = values.shape
    sampling = (values.shape[2], values.shape[1], 1 if stack else values.shape[0])
    for name, axis, number in zip(("mx", "my", "mz"), "xyz", sampling, strict=True):
        header[name] = number
        header["cella"][axis] = voxel_size * number
    for angle in ("alpha", "beta", "gamma"):
        header["cellb"][angle] = 90
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    header["mode"], header["ispg"], header["nversion"] = mode, 0 if stack else 1, _MRC_VERSION
    header["map"], header["machst"] = b"MAP ", (0x44, 0x44, 0, 0)
    header["dmin"], header["dmax"] = values.min(), values.max()
    header["dmean"], header["rms"] = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    return header.tobytes()
