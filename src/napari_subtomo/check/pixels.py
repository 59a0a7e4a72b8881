"""Do the files agree about pixel sizes?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_subtomo.check.verdict import CANNOT, FAIL, PASS, Verdict
from napari_subtomo.errors import SubtomoError
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import mrc_header
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.project import Project
from napari_subtomo.io.tomograms import TomogramSet

TOLERANCE = 0.005
UNSET = (0.0, 1.0)  # what programs leave in a header that they do not fill in
_BINNED = "tilt-series pixel times binning"
MOST_FILES = 20  # of each kind that are opened


@dataclass(frozen=True)
class Size:
    """One statement about a pixel size: where it stands, Å found, Å expected from the other files, and what that is."""

    where: str
    found: float
    expected: float
    meaning: str

    @property
    def deviation(self) -> float:
        """Relative difference."""
        return self.found / self.expected - 1


def _header(path: Path) -> float | None:
    """Pixel size in the header of an MRC file; None where there is none."""
    if not path.is_file() or path.suffix.lower() in (".tif", ".tiff"):
        return None
    try:
        size = float(mrc_header(path).voxel_size)
    except SubtomoError:
        return None
    return None if any(abs(size - value) < 1e-6 for value in UNSET) or not np.isfinite(size) else size


def _spread(items: list[Path]) -> list[Path]:
    unique = list(dict.fromkeys(items))
    return [unique[i] for i in np.unique(np.linspace(0, len(unique) - 1, min(len(unique), MOST_FILES)).astype(int))]


def sizes(particles: ParticleSet, tomograms: TomogramSet | None, project: Project) -> Iterator[Size]:
    """All pairs of statements that can be compared: tables with tables, and headers with tables."""
    names = list(dict.fromkeys(particles.tomo_names))
    unbinned = {name: tomograms[name].pixel_size for name in names} if tomograms is not None else {}
    optics = particles.optics
    if optics is not None and optics.has(relion.TILT_SERIES_PIXEL_SIZE):
        groups = optics.ints(relion.OPTICS_GROUP).tolist() if optics.has(relion.OPTICS_GROUP) else list(range(1, len(optics) + 1))
        stated = dict(zip(groups, optics.floats(relion.TILT_SERIES_PIXEL_SIZE).tolist(), strict=True))
        for name, group in dict(zip(particles.tomo_names, particles.optics_groups.tolist(), strict=True)).items():
            pixel = unbinned.get(name)
            if pixel and group in stated:
                meaning = f"the tilt-series pixel of {name} in the tomogram set"
                yield Size(f"optics group {group} of the particles", stated[group], pixel, meaning)
        if optics.has(relion.SUBTOMOGRAM_BINNING) and optics.has(relion.IMAGE_PIXEL_SIZE):
            binning, image = optics.floats(relion.SUBTOMOGRAM_BINNING), optics.floats(relion.IMAGE_PIXEL_SIZE)
            for row, group in enumerate(groups):
                where = f"image pixel of optics group {group}"
                yield Size(where, float(image[row]), stated[group] * float(binning[row]), _BINNED)
    for path in _spread([project.resolve(text) for text in particles.image_paths if text not in relion.NOT_AVAILABLE]):
        size = _header(path)
        if size is not None:
            yield Size(f"header of {project.name(path)}", size, particles.pixel_size, "the image pixel in the particles' optics table")
    if tomograms is None:
        return
    for name in names:
        tomogram, pixel = tomograms[name], unbinned[name]
        if not pixel:
            continue
        if tomogram.tomogram_path is not None and tomogram.binning:
            size = _header(tomogram.tomogram_path)
            if size is not None:
                yield Size(f"header of {project.name(tomogram.tomogram_path)}", size, pixel * tomogram.binning, _BINNED)
        for path in _spread(list(tomograms.tilt_series(name).image_paths))[:3]:
            size = _header(path)
            if size is not None:
                yield Size(f"header of {project.name(path)}", size, pixel, f"the tilt-series pixel of {name} in the tomogram set")


def check_pixels(particles: ParticleSet, tomograms: TomogramSet | None, project: Project) -> Verdict:
    """Whether STAR files and headers of particles, tomograms and tilt images agree."""
    rule = (
        f"Pixel sizes of STAR tables and of MRC headers of particles, tomograms and tilt images, compared where one follows from another: "
        f"fail if any differs by more than {100 * TOLERANCE:g} %. Headers with 0 or 1 Å say nothing."
    )
    found = list(sizes(particles, tomograms, project))
    wrong = [size for size in found if abs(size.deviation) > TOLERANCE]
    numbers = {
        "compared": len(found),
        "different": len(wrong),
        "largest_deviation": round(max((abs(size.deviation) for size in found), default=0.0), 6),
        "differences": [f"{s.where}: {s.found:.4g} Å, expected {s.expected:.4g} Å ({s.meaning})" for s in wrong[:10]],
    }
    headers = [size for size in found if size.where.startswith("header")]
    if wrong:
        worst = max(wrong, key=lambda size: abs(size.deviation))
        text = f"{worst.where} says {worst.found:.4g} Å, {worst.meaning} is {worst.expected:.4g} Å ({100 * worst.deviation:+.1f} %)"
        text = f"{len(wrong)} of {len(found)} statements about pixel sizes do not fit: {text}."
        return Verdict("pixels", FAIL, text, rule, numbers)
    if not headers:
        text = "No file has a pixel size in its header, so the tables cannot be compared with anything."
        return Verdict("pixels", CANNOT, text, rule, numbers)
    text = f"All {len(found)} statements about pixel sizes agree, {len(headers)} of them in headers of files."
    return Verdict("pixels", PASS, text, rule, numbers)
