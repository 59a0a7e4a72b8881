"""The Fourier shell correlation of a job, found in its files or computed from its half maps, and sections of its map."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import FileMissingError, InputError, SubtomoError
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import mrc_header, read_mrc, require_finite
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star
from napari_subtomo.numerics.fsc import fsc, resolution_at
from napari_subtomo.progress import Reporter
from napari_subtomo.reconstruct.curve import KIND_LABEL, resolution_text
from napari_subtomo.viewer import palette
from napari_subtomo.viewer.results.pictures import FloatImage, job_title, map_sections
from napari_subtomo.viewer.results.plots import Curve, Plot

FloatArray = npt.NDArray[np.float64]

#: Where the curves of a job can be, best first.
_TABLES = ("fsc.star", "postprocess.star", "PostProcess/postprocess.star")
_MODELS = ("run_model.star", "run_half1_model.star")
_MAPS = ("merged.mrc", "postprocess.mrc", "run_class001.mrc")
_HALVES = (("half1.mrc", "half2.mrc"), ("run_half1_class001_unfil.mrc", "run_half2_class001_unfil.mrc"))
#: Columns of the curves and what they are called, the one that the resolution is read from first.
_COLUMNS = (
    (r.FSC_CORRECTED, "corrected"),
    (r.FSC_MASKED_MAPS, "masked"),
    (r.FSC_UNMASKED_MAPS, "unmasked"),
    (r.FSC_RANDOMISED_MASKED_MAPS, "randomised"),
)
_COLOURS = {
    "corrected": palette.OKABE_ITO[3],
    "masked": palette.OKABE_ITO[1],
    "unmasked": palette.OKABE_ITO[2],
    "randomised": palette.GREY,
    "refinement": palette.OKABE_ITO[3],
}
THRESHOLDS = (0.143, 0.5)


@dataclass(frozen=True, eq=False)
class FscResult:
    """Curves and sections.

    Attributes
    ----------
    title : str
        The job.
    frequency : ndarray, shape (m,)
        1/Å.
    curves : dict of str to ndarray (m,)
        By name; the one that the resolution is read from first. Empty where there is none.
    kind : str
        What kind of FSC it is, "" where no file tells.
    sections : tuple of ndarray (n, n)
        Central xy, xz and yz; empty without a map.
    map_name : str
        "" without a map.
    voxel_size : float
        Å, of the map; 0 where the header has none.
    note : str
        What is missing, in a sentence.
    """

    title: str
    frequency: FloatArray
    curves: dict[str, FloatArray]
    kind: str = ""
    sections: tuple[FloatImage, ...] = ()
    map_name: str = ""
    voxel_size: float = 0.0
    note: str = ""

    def resolution(self, threshold: float) -> float:
        """Å where the first curve falls below a threshold; infinite if it begins below or there is none."""
        if not self.curves:
            return float("inf")
        values = next(iter(self.curves.values()))
        n = 2 * (len(values) - 1)
        return resolution_at(values, 1 / (float(self.frequency[1]) * n), n, threshold)

    @property
    def headline(self) -> str:
        """Job and resolutions in a line."""
        if not self.curves:
            return self.title
        at = [self.resolution(threshold) for threshold in THRESHOLDS]
        if not np.isfinite(at).any():
            return f"{self.title}: below FSC 0.143 from the first shell on"
        return f"{self.title}: {resolution_text(at[0])} at 0.143, {resolution_text(at[1])} at 0.5"

    def plot(self) -> Plot:
        """The curves over resolution."""
        lowest = min((float(values.min()) for values in self.curves.values()), default=0.0)
        curves = tuple(
            Curve(name, self.frequency, values, _COLOURS[name], dashed=name == "randomised") for name, values in self.curves.items()
        )
        end = float(self.frequency[-1]) if len(self.frequency) else 0.1
        return Plot(
            curves, "Resolution (Å)", "FSC", (0.0, end), (min(lowest, -0.05), 1.05), over="resolution", across=THRESHOLDS,
            empty="There is no FSC here.", decimals=3,
        )  # fmt: skip


def read_fsc(folder: Path, project: Project, reporter: Reporter) -> FscResult:
    """What a folder tells of its resolution: our own averages, RELION's Reconstruct, Refine3D (running too) and PostProcess.

    In this order: a table of curves, half maps (correlated here, without a mask), the FSC in a refinement's model.

    Raises
    ------
    InputError
        There is neither a curve nor a map.
    """
    title = job_title(folder, project)
    notes: list[str] = []
    found: tuple[FloatArray, dict[str, FloatArray], str] | None = None
    for reader in (_from_table, _from_halves, _from_model):
        reporter.check()
        try:
            found = reader(folder)
        except (SubtomoError, OSError) as error:
            notes.append(str(error))
        if found is not None:
            break
    reporter.check()
    path = _first(folder, (*_MAPS, *(_HALVES[0]), *_iteration_maps(folder)))
    sections: tuple[FloatImage, ...] = ()
    if path is not None:
        try:
            sections = map_sections(path)
        except SubtomoError as error:
            notes.append(str(error))
    if found is None and not sections:
        if notes:
            raise InputError(notes[0])
        raise InputError(f"Expected half maps, a map or an FSC in {title}, found none; the job has not got that far, or it is no average.")
    if found is None and not notes:
        notes.append("There are no half maps here, so there is no FSC.")
    if not sections and path is None:
        notes.append("The map itself is not here.")
    frequency, curves, kind = found or (np.zeros(0), {}, "")
    voxel = mrc_header(path).voxel_size if path is not None and sections else 0.0
    return FscResult(title, frequency, curves, kind, sections, path.name if path is not None and sections else "", voxel, " ".join(notes))


def _from_table(folder: Path) -> tuple[FloatArray, dict[str, FloatArray], str] | None:
    """Curves as relion_postprocess and our own averages write them."""
    path = _first(folder, _TABLES)
    if path is None:
        return None
    star = read_star(path)
    block = star[r.FSC]
    curves = {name: block.floats(label) for label, name in _COLUMNS if block.has(label)}
    if not curves or len(block) < 2:
        raise FileMissingError(f"Expected a curve in data_{r.FSC} of {path}, found none.")
    general = star.get(r.GENERAL)
    # shells are equally spaced; RELION writes another number than 0 for the first
    step = block.floats(r.RESOLUTION)[1]
    return np.arange(len(block)) * step, curves, general.text(KIND_LABEL, "") if general is not None else ""


def _from_halves(folder: Path) -> tuple[FloatArray, dict[str, FloatArray], str] | None:
    """The correlation of two half maps; None if they are not both there."""
    for names in _HALVES:
        paths = [folder / name for name in names]
        if all(path.is_file() for path in paths):
            volumes = [read_mrc(path) for path in paths]
            for path, volume in zip(paths, volumes, strict=True):
                require_finite(volume, path)
            voxel = mrc_header(paths[0]).voxel_size
            if voxel <= 0:
                raise InputError(f"Expected the voxel size in the header of {paths[0]}, found none; set it with relion_image_handler.")
            values = fsc(*volumes)
            return np.arange(len(values)) / (len(volumes[0]) * voxel), {"unmasked": values}, "of the two half maps, without a mask"
    return None


def _from_model(folder: Path) -> tuple[FloatArray, dict[str, FloatArray], str] | None:
    """The FSC of a refinement's newest model; None without one, or where the model has no halves (a classification)."""
    running = sorted((path.name for path in folder.glob("run_it[0-9][0-9][0-9]_half1_model.star")), reverse=True)
    for name in (*_MODELS, *running):
        path = folder / name
        try:
            block = read_star(path).get(r.MODEL_CLASS.format(1)) if path.is_file() else None
        except SubtomoError:
            continue  # it is being written
        if block is None or not block.has(r.GOLD_STANDARD_FSC) or len(block) < 2:
            continue
        values = block.floats(r.GOLD_STANDARD_FSC)
        if values[1:].any():
            iteration = f" at iteration {int(name[6:9])}" if name.startswith("run_it") else ""
            return np.arange(len(values)) * block.floats(r.RESOLUTION)[1], {"refinement": values}, f"of the refinement's halves{iteration}"
    return None


def _iteration_maps(folder: Path) -> list[str]:
    """Half maps of a refinement that runs, newest first."""
    return sorted((path.name for path in folder.glob("run_it[0-9][0-9][0-9]_half1_class001.mrc")), reverse=True)


def _first(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)
