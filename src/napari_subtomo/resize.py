"""Maps on another grid: rescaled to another pixel size, then cut or padded to another box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import InputError, OptionError
from napari_subtomo.io.maps import MapFile, read_map
from napari_subtomo.io.mrc import mrc_header, write_mrc
from napari_subtomo.io.optimisation import user_path
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.numerics.fourier import resize_centred
from napari_subtomo.numerics.rescale import rescale, same_pixel_size
from napari_subtomo.options.resize import ResizeOptions
from napari_subtomo.progress import Reporter

MASK_SLACK = 1e-3


@dataclass(frozen=True)
class Grid:
    """What new maps are to have; None: as the input has it.

    Attributes
    ----------
    box : int or None
        Voxels along each axis.
    pixel_size : float or None
        Å.
    """

    box: int | None
    pixel_size: float | None


def resized(given: MapFile, grid: Grid, *, fix_pixel_size: bool = True, mask: bool = False) -> tuple[MapFile, str]:
    """A map brought onto a grid, and a sentence about what was done.

    Parameters
    ----------
    given : MapFile
        With a pixel size, if a new one is wanted.
    grid : Grid
    fix_pixel_size : bool
        Where the pixel sizes are the same up to their precision, keep the values and change the header alone.
    mask : bool
        Keep values between 0 and 1, which resampling oversteps at edges.

    Raises
    ------
    InputError
        A new pixel size is wanted and the map has none.
    """
    old, new = given.pixel_size, grid.pixel_size
    if new is not None and old is None:
        raise InputError(f"Expected the pixel size of {given.path} in its header, found none; give it with --input-pixel-size.")
    shape = given.volume.shape
    if new is None or old is None or (fix_pixel_size and same_pixel_size(old, new)) or old == new:
        volume = given.volume if grid.box is None else np.asarray(resize_centred(given.volume, grid.box))
        done = "cut" if volume.size < given.volume.size else "padded with zeros" if volume.size > given.volume.size else "values unchanged"
    else:
        even = tuple(2 * max(1, round(n * old / new / 2)) for n in shape)
        volume = rescale(given.volume, new / old, even if grid.box is None else (grid.box,) * 3)
        done = f"resampled by {new / old:.6g}"
    if mask and volume is not given.volume:
        volume = np.clip(volume, 0.0, 1.0)
    result = MapFile(given.path, volume.astype(np.float32, copy=False), new if new is not None else old)
    return result, f"{given.path.name}: {given.grid} -> {result.grid} ({done})."


def run(options: ResizeOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Write each map onto the new grid under its own name.

    Parameters
    ----------
    options : ResizeOptions
    folder : JobFolder
    reporter : Reporter

    Returns
    -------
    JobResult
        Outputs by the names of the maps without their ending; numbers "box", "pixel_size" (of the first).

    Raises
    ------
    InputError
        Files that are missing or no maps, a pixel size that is not known, or a mask with values beyond 0 and 1.
    """
    grid = _grid(options, folder.project)
    outputs: dict[str, Path] = {}
    summary = []
    numbers: dict[str, float] = {}
    reporter.stage("resize maps", len(options.maps), "maps")
    for path in options.maps:
        reporter.check()
        found = read_map(user_path(path, folder.project))
        if options.input_pixel_size is not None:
            found = MapFile(found.path, found.volume, options.input_pixel_size)
        if options.mask and (found.volume.min() < -MASK_SLACK or found.volume.max() > 1 + MASK_SLACK):
            raise InputError(
                f"Expected a mask with values 0 to 1, found {found.volume.min():g} to {found.volume.max():g} in {found.path}; "
                "leave out --mask."
            )
        result, sentence = resized(found, grid, fix_pixel_size=options.fix_pixel_size, mask=options.mask)
        target = folder.file(f"{path.stem}.mrc")
        write_mrc(target, result.volume, result.pixel_size or 0.0)
        outputs[path.stem] = target
        numbers = numbers or {"box": result.volume.shape[0], "pixel_size": result.pixel_size or 0.0}
        summary.append(sentence)
        reporter.advance()
    return JobResult(outputs, tuple(summary), numbers)


def _grid(options: ResizeOptions, project: Project) -> Grid:
    """The grid that the options ask for, by numbers or by an example."""
    box, pixel_size = options.box_size, options.pixel_size
    if options.like is not None:
        path = user_path(options.like, project)
        like = _grid_of(path)
        box, pixel_size = box or like.box, pixel_size or like.pixel_size
        if pixel_size is None:
            raise OptionError(f"Expected a pixel size in the header of {path}, found none; give --pixel-size.")
    elif pixel_size is None and options.input_pixel_size is not None:
        return Grid(box, options.input_pixel_size)
    return Grid(box, pixel_size)


def _grid_of(path: Path) -> Grid:
    """Box and pixel size of extracted particles or of a map."""
    if path.suffix == ".star":
        particles = read_particles(path)
        return Grid(particles.box_size, particles.pixel_size)
    header = mrc_header(path)
    if len(set(header.shape)) != 1:
        raise InputError(f"Expected a cubic map as the example for others, found shape {header.shape} in {path}; give --box-size.")
    return Grid(header.shape[0], header.voxel_size or None)
