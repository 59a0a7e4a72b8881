"""The classes of one iteration as a gallery shows them: entries, their order, central slices and one grey scale. No Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileMissingError, SubtomoError
from napari_subtomo.io import relion as r
from napari_subtomo.io.class_files import map_path
from napari_subtomo.io.mrc import mrc_header
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import StarBlock, read_star
from napari_subtomo.viewer.classjob import NO_RESOLUTION
from napari_subtomo.viewer.sources import iterations

FloatArray = npt.NDArray[np.float64]
Section = npt.NDArray[np.float32]

#: Ways to sort the classes; the first is the one to begin with.
BY_FRACTION, BY_COUNT, BY_RESOLUTION, BY_NUMBER = SORTS = ("class distribution", "particles", "resolution", "class number")
#: Planes of the central slices by the axis they are cut across, z, y, x.
PLANES = ("Z (xy)", "Y (xz)", "X (yz)")
#: Percentiles of the central slices of a map that are black and white.
GREY_ENDS = (0.2, 99.9)


@dataclass(frozen=True)
class ClassEntry:
    """One class.

    Attributes
    ----------
    number : int
        1-based.
    fraction : float
        `rlnClassDistribution`, 0…1; NaN where the model has none.
    count : int or None
        Particles whose best class it is; None without the particle file.
    resolution : float
        Å; NaN where it is not known.
    is_empty : bool
        The class without density that takes false picks.
    cell : str
        The map as the model names it.
    path : Path or None
        The map; None if it is not there.
    metadata : tuple of (label, text)
        All columns of `model_classes`.
    """

    number: int
    fraction: float = np.nan
    count: int | None = None
    resolution: float = np.nan
    is_empty: bool = False
    cell: str = ""
    path: Path | None = None
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def lines(self) -> tuple[str, str, str]:
        """The label under the picture: number and fraction; hard count; resolution, or that it is the empty class."""
        share = f" · {100 * self.fraction:.1f} %" if np.isfinite(self.fraction) else ""
        count = f"{self.count} particle{'' if self.count == 1 else 's'}" if self.count is not None else "– particles"
        size = f"{self.resolution:.1f} Å" if np.isfinite(self.resolution) else "– Å"
        return f"class {self.number}{share}", count, "empty class" if self.is_empty else size


@dataclass(frozen=True, eq=False)
class Gallery:
    """One iteration of a classification, made here or by RELION.

    Attributes
    ----------
    project : Project
    folder : Path
    iteration : int
    entries : tuple of ClassEntry
        By class number.
    particles : ParticleSet or None
        The iteration's particles with their classes; None if the file is missing.
    model, data : Path
    optimiser : Path or None
    missing : tuple of str
        Files that the iteration names and that are not there.
    """

    project: Project
    folder: Path
    iteration: int
    entries: tuple[ClassEntry, ...]
    particles: ParticleSet | None
    model: Path
    data: Path
    optimiser: Path | None = None
    missing: tuple[str, ...] = ()

    @cached_property
    def class_of(self) -> dict[str, int]:
        """Class number by particle name."""
        found = self.particles
        return {} if found is None else dict(zip(found.names, found.class_numbers.tolist(), strict=True))

    @property
    def title(self) -> str:
        """Folder and iteration, as `viewer.sources` names it."""
        name = "." if self.folder.resolve() == self.project.root.resolve() else self.project.name(self.folder)
        return f"{name}, iteration {self.iteration}"

    @property
    def n_particles(self) -> int:
        """Particles of the iteration, those of the empty class included; 0 if their file is missing."""
        return self.particles.n if self.particles is not None else 0

    @property
    def empty_class(self) -> int:
        """Number of the empty class, 0 without one."""
        return next((entry.number for entry in self.entries if entry.is_empty), 0)

    def entry(self, number: int) -> ClassEntry:
        """The class with that number."""
        return next(entry for entry in self.entries if entry.number == number)

    @property
    def missing_sentence(self) -> str:
        """Which files are not there; "" if all are."""
        names = [Path(text).name for text in self.missing]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        return f"Not here: {', '.join(names[:4])}{more}." if names else ""


@dataclass(frozen=True, eq=False)
class Slices:
    """Central slices of a map across z, y and x (rows are the slower axis that is left), and its voxel size in Å (0: unknown)."""

    sections: tuple[Section, Section, Section]
    voxel_size: float


def read_gallery(folder: Path, iteration: int | None, project: Project) -> Gallery:
    """Read one iteration of a job folder; None for the iteration is the last one.

    Missing particles, maps and optimisers are no error: they are listed in `missing`.

    Raises
    ------
    FileMissingError
        No model of that iteration.
    FileFormatError
        A file that cannot be read.
    """
    models = iterations(folder, "model")
    number = max(models, default=0) if iteration is None else iteration
    if number not in models:
        known = ", ".join(map(str, models)) or "none"
        raise FileMissingError(f"Expected run_it{number:03d}_model.star in {folder}, found the iterations {known}; choose one of those.")
    model = models[number]
    data, optimiser = (model.with_name(model.name.replace("_model.star", f"_{what}.star")) for what in ("data", "optimiser"))
    star = read_star(model)
    general = star.get(r.MODEL_GENERAL)
    missing: list[str] = []
    particles = read_particles(data) if data.is_file() else None
    if particles is None:
        missing.append(project.name(data))
    empty = int(general.text(r.EMPTY_CLASS, "0")) if general is not None else 0
    entries = _entries(star[r.MODEL_CLASSES], model, project, particles, empty, missing)
    found = Gallery(project, folder, number, entries, particles, model, data, optimiser if optimiser.is_file() else None, tuple(missing))
    _ = found.class_of  # made here, beside the window, rather than at the first hover
    return found


def _entries(
    block: StarBlock, model: Path, project: Project, particles: ParticleSet | None, empty: int, missing: list[str]
) -> tuple[ClassEntry, ...]:
    n = len(block)
    counts = np.bincount(np.maximum(particles.class_numbers, 0), minlength=n + 1) if particles is not None else None
    fractions, resolutions = _column(block, r.CLASS_DISTRIBUTION), _column(block, r.ESTIMATED_RESOLUTION)
    cells = block.texts(r.REFERENCE_IMAGE) if block.has(r.REFERENCE_IMAGE) else ("",) * n
    entries = []
    for row, cell in enumerate(cells):
        path = map_path(cell, model, project) if cell else None
        if path is None or not path.is_file():
            path = None
            missing.append(cell or f"map of class {row + 1}")
        resolution = resolutions[row] if resolutions[row] < NO_RESOLUTION else np.nan
        metadata = tuple((label, block.columns[label][row]) for label in block.labels)
        count = int(counts[row + 1]) if counts is not None else None
        entries.append(ClassEntry(row + 1, fractions[row], count, resolution, row + 1 == empty, cell, path, metadata))
    return tuple(entries)


def _column(block: StarBlock, label: str) -> FloatArray:
    return block.floats(label) if block.has(label) else np.full(len(block), np.nan)


def ordered(entries: Sequence[ClassEntry], by: str = BY_FRACTION, reverse: bool = False) -> tuple[int, ...]:
    """Class numbers in the order in which they are shown.

    Fractions and counts begin with the largest, resolutions with the finest, numbers with 1; `reverse` turns that round. Classes
    without a value come last either way, equal ones by their numbers.
    """
    values = {entry.number: _sort_value(entry, by) for entry in entries}
    known = sorted((number for number, value in values.items() if np.isfinite(value)), key=lambda number: (values[number], number))
    if reverse:
        known = sorted(known, key=lambda number: (-values[number], number))
    return (*known, *sorted(number for number in values if number not in set(known)))


def _sort_value(entry: ClassEntry, by: str) -> float:
    if by == BY_FRACTION:
        return -entry.fraction
    if by == BY_COUNT:
        return np.nan if entry.count is None else -float(entry.count)
    return entry.resolution if by == BY_RESOLUTION else float(entry.number)


def read_slices(path: Path) -> Slices:
    """Central slices (index n // 2) of a map; only their pages of the file are read.

    Raises
    ------
    FileMissingError, FileFormatError
        No MRC file, or one that is cut off.
    """
    header = mrc_header(path)  # once: reading it is most of the work
    volume = np.memmap(path, dtype=header.dtype, mode="r", offset=header.offset, shape=header.shape)
    sections = [np.nan_to_num(np.asarray(np.take(volume, n // 2, axis=axis), dtype=np.float32)) for axis, n in enumerate(volume.shape)]
    return Slices((sections[0], sections[1], sections[2]), header.voxel_size)


@dataclass
class SliceCache:
    """Central slices of files, read again only when a file has changed."""

    most: int = 8000
    _known: dict[tuple[Path, int, int], Slices] = field(default_factory=dict)

    def read(self, entry: ClassEntry) -> Slices | None:
        """Slices of a class; None if its map is missing, or broken, which is the same to the eye."""
        try:
            if entry.path is None:
                return None
            stat = entry.path.stat()
            key = (entry.path, stat.st_mtime_ns, stat.st_size)
            if key not in self._known:
                self._known[key] = read_slices(entry.path)
                while len(self._known) > self.most:
                    self._known.pop(next(iter(self._known)))
            return self._known[key]
        except (OSError, SubtomoError):
            return None


def grey_limits(slices: Sequence[Slices | None], fractions: npt.ArrayLike) -> tuple[float, float]:
    """Grey limits for all class maps: those that most particles need, so that one class of beads does not take the scale.

    The percentiles `GREY_ENDS` of the central slices of each map, then their median weighted by the fractions of the classes; flat and
    missing maps do not count.

    Parameters
    ----------
    slices : sequence of Slices or None, length K
    fractions : array_like, shape (K,)
    """
    ends, weights = [], []
    for one, fraction in zip(slices, np.asarray(fractions, dtype=np.float64), strict=True):
        pixels = np.concatenate([section.ravel() for section in one.sections]) if one is not None else np.zeros(1)
        if np.ptp(pixels) > 0:
            ends.append(np.percentile(pixels, GREY_ENDS))
            weights.append(max(float(np.nan_to_num(fraction)), 1e-6))
    if not ends:
        return 0.0, 1.0
    limits = []
    for values in np.asarray(ends).T:
        order = np.argsort(values)
        share = np.cumsum(np.asarray(weights)[order]) / sum(weights)
        limits.append(float(values[order][np.searchsorted(share, 0.5)]))
    return limits[0], limits[1]


def to_grey(section: Section, low: float, high: float) -> npt.NDArray[np.uint8]:
    """A slice as grey values, `low` black and `high` white, shape as given; limits that are equal or reversed are allowed (inverted)."""
    span = high - low if high != low else np.inf
    grey: npt.NDArray[np.uint8] = np.ascontiguousarray(np.round(255 * np.clip((section - low) / span, 0, 1)), dtype=np.uint8)
    return grey
