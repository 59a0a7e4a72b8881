"""Pixel sizes of particle files, and coordinates of files older than RELION 5, which count pixels from a corner."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileFormatError, GeometryError
from napari_subtomo.io import relion
from napari_subtomo.io.star import StarBlock
from napari_subtomo.io.tomograms import TomogramSet

FloatArray = npt.NDArray[np.float64]
WARP_ENDING = ".tomostar"


def per_group(table: StarBlock, optics: StarBlock, label: str) -> FloatArray:
    """A number of the optics table for each row of `table`, shape (n,); group 1 where a row names none.

    Raises
    ------
    FileFormatError
        A group that the optics table does not have.
    """
    numbers = optics.ints(relion.OPTICS_GROUP) if optics.has(relion.OPTICS_GROUP) else np.arange(1, len(optics) + 1)
    values = dict(zip(numbers.tolist(), optics.floats(label, finite=True).tolist(), strict=True))
    groups = table.ints(relion.OPTICS_GROUP).tolist() if table.has(relion.OPTICS_GROUP) else [1] * len(table)
    missing = sorted(set(groups) - set(values))
    if missing:
        raise FileFormatError(f"Expected the optics group {missing[0]} of the particles in {optics.where}, found {sorted(values)}.")
    return np.array([values[group] for group in groups], dtype=np.float64)


def image_pixels(table: StarBlock, optics: StarBlock | None) -> FloatArray:
    """Pixel of the images of each row in Å, shape (n,): from the optics table, or from the columns of RELION 3.0.

    Raises
    ------
    FileFormatError
        No pixel size is known.
    """
    if optics is not None and optics.has(relion.IMAGE_PIXEL_SIZE):
        return per_group(table, optics, relion.IMAGE_PIXEL_SIZE)
    if optics is not None and optics.has(relion.TILT_SERIES_PIXEL_SIZE, relion.SUBTOMOGRAM_BINNING):
        return per_group(table, optics, relion.TILT_SERIES_PIXEL_SIZE) * per_group(table, optics, relion.SUBTOMOGRAM_BINNING)
    for label in (relion.IMAGE_PIXEL_SIZE, relion.PIXEL_SIZE):
        if table.has(label):
            return table.floats(label, finite=True)
    if table.has(relion.DETECTOR_PIXEL_SIZE, relion.MAGNIFICATION):  # µm on the detector
        detector = table.floats(relion.DETECTOR_PIXEL_SIZE, finite=True) * 1e4
        return np.asarray(detector / table.floats(relion.MAGNIFICATION, finite=True))
    raise FileFormatError(
        f"Expected the pixel size of the images (_{relion.IMAGE_PIXEL_SIZE} in data_{relion.OPTICS}) beside the {table.where}, "
        "found none; extract the particles first."
    )


def coordinate_pixels(table: StarBlock, optics: StarBlock | None) -> FloatArray:
    """Pixel of RELION 3.1 coordinates in Å, shape (n,): that of the micrograph if the optics table has one, else of the images."""
    for label in (relion.MICROGRAPH_PIXEL_SIZE, relion.MICROGRAPH_ORIGINAL_PIXEL_SIZE):
        if optics is not None and optics.has(label):
            return per_group(table, optics, label)
    return image_pixels(table, optics)


def centred_coordinates(
    table: StarBlock, optics: StarBlock | None, tomo_names: tuple[str, ...], tomograms: TomogramSet | None
) -> FloatArray:
    """Coordinates in Å from the centre, shape (n, 3) xyz, of RELION 4 and 3.1 files.

    RELION 4 counts unbinned pixels of the tomogram named in the row, ``c = (u - N/2)·p``; RELION 3.1 pixels of `coordinate_pixels`.
    WarpTools (tomogram names `*.tomostar`) writes RELION 4's columns in pixels of the exported images.

    Raises
    ------
    GeometryError
        Tomogram sizes are missing.
    FileFormatError
        No coordinates, or values that are no finite numbers.
    """
    if not table.has(*relion.COORDINATES):
        there = [f"_{label}" for label in (*relion.CENTRED, *relion.COORDINATES) if table.has(label)]
        raise FileFormatError(
            f"Expected particle coordinates (_{relion.CENTRED_X} or _{relion.COORDINATE_X}, and the same for Y and Z) in {table.where}, "
            f"found {'only ' + ' and '.join(there) if there else 'neither'}."
        )
    is_relion4 = table.has(relion.TOMO_NAME)
    binned = not is_relion4 or any(name.endswith(WARP_ENDING) for name in tomo_names)
    if tomograms is None:
        raise GeometryError(
            f"Expected a tomogram set with sizes for the RELION {'4' if is_relion4 else '3.1'} coordinates in {table.where}, "
            "which count pixels from a corner of the tomogram, found none; give --tomograms."
        )
    pixels = np.stack([table.floats(label, finite=True) for label in relion.COORDINATES], axis=-1)
    angstroms = pixels * coordinate_pixels(table, optics)[:, None] if binned else pixels
    positions = np.empty_like(pixels)
    names = np.asarray(tomo_names, dtype=object)
    for name in dict.fromkeys(tomo_names):
        rows, frame = names == name, tomograms[name].frame
        if is_relion4 and not name.endswith(WARP_ENDING):
            positions[rows] = frame.from_unbinned(pixels[rows])
        else:
            positions[rows] = angstroms[rows] - frame.centre_px * frame.pixel_size
    return positions
