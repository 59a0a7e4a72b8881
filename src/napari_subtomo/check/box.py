"""Is the box large enough for the particle and for what the CTF spreads?

At spatial frequency k a defocus of Δf moves signal by ``λ Δf k - Cs λ³ k³`` Å to both sides (Downing & Glaeser 2008, Ultramicroscopy
108:921). What falls outside of the box in which the CTF is applied is lost; how much that is follows from the geometry.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.check.sample import Sample
from napari_subtomo.check.verdict import CANNOT, FAIL, PASS, Verdict
from napari_subtomo.data.tomogram import TiltSeries, Tomogram
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.numerics.ctf import dose_weight, electron_wavelength
from napari_subtomo.options.check_extraction import CheckExtractionOptions

FloatArray = npt.NDArray[np.float64]
LEAST_KEPT = 0.8
RECORD, RELION_JOB = "job_record.json", "job.star"


def spread(k: float, defocus: npt.ArrayLike, voltage: float, cs_mm: float) -> FloatArray:
    """Å by which signal at `k` (1/Å) is moved to each side at a defocus (Å): ``|λ Δf k - Cs λ³ k³|``."""
    wave = electron_wavelength(voltage)
    return np.asarray(np.abs(wave * np.asarray(defocus, dtype=np.float64) * k - cs_mm * 1e7 * wave**3 * k**3))


def share_kept(diameter: float, box: float, shift: float) -> float:
    """Share of a ball of `diameter` that is left in a box (edge, both Å) when each of its parts is moved by `shift` Å in any direction.

    A circle of the diameter of the box, as extraction cuts it; means over points of the ball's projection.
    """
    radius = diameter / 2
    line = (np.arange(24) + 0.5) / 24
    r = radius * np.sqrt(1 - (1 - line) ** (2 / 3))  # equal parts of the ball's mass in its projection
    angle = 2 * np.pi * (np.arange(48) + 0.5) / 48
    far = np.sqrt(r[:, None] ** 2 + shift**2 + 2 * r[:, None] * shift * np.cos(angle))
    return float((far <= box / 2).mean())


def box_before_crop(sample: Sample, options: CheckExtractionOptions, project: Project) -> tuple[int | None, str]:
    """Box in px in which the CTF was applied, and where that stands; None where nothing tells."""
    if options.box_before_crop > 0:
        return options.box_before_crop, "as given"
    image = next(iter(sample.particles.image_paths), "")
    for folder in list(Path(project.resolve(image)).parents)[:4] if image else []:
        if (folder / RECORD).is_file():
            try:
                found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
                return int(found["resolved"]["box_size"]), f"from {project.name(folder / RECORD)}"
            except (ValueError, KeyError, TypeError):
                continue
        if (folder / RELION_JOB).is_file():
            size = _relion_box(folder / RELION_JOB)
            if size is not None:
                return size, f"from {project.name(folder / RELION_JOB)}"
    return None, "not known"


def _relion_box(path: Path) -> int | None:
    """The box of RELION's extraction job: its option `box_size` in the table of variables and values."""
    for block in read_star(path).blocks:
        columns = list(block.columns.values())
        if len(columns) == 2 and "box_size" in columns[0]:
            text = columns[1][columns[0].index("box_size")]
            return int(text) if text.isdigit() else None
    return None


def _lost(tomogram: Tomogram, series: TiltSeries, k: float, diameter: float, box: float) -> tuple[float, float]:
    """Share of the signal at `k` that is kept, mean over tilts by their dose weight, and the largest spread in Å."""
    assert tomogram.voltage is not None and tomogram.cs is not None
    shift = spread(k, (series.defocus_u + series.defocus_v) / 2, tomogram.voltage, tomogram.cs)
    weight = dose_weight(k, np.nan_to_num(series.dose, nan=0.0)) ** 2
    kept = np.array([share_kept(diameter, box, float(s)) for s in shift])
    return float((kept * weight).sum() / weight.sum()), float(shift.max())


def check_box(sample: Sample, diameter: float, tomograms: TomogramSet | None, options: CheckExtractionOptions, project: Project) -> Verdict:
    """Whether the box holds the particle and its delocalised signal at the wanted resolution."""
    resolution = options.resolution if options.resolution > 0 else 2 * sample.pixel_size
    rule = (
        f"The written box must hold the particle; of its signal at {resolution:.1f} Å, moved by λ·defocus/resolution, at least "
        f"{100 * LEAST_KEPT:.0f} % must stay in the box in which the CTF is applied (mean over tilts, by dose)."
    )
    written = sample.extent
    numbers: dict[str, object] = {"diameter": round(diameter, 1), "written_box": round(written, 1), "resolution": round(resolution, 2)}
    if diameter > written:
        text = f"The written box of {written:.0f} Å does not hold a particle of {diameter:.0f} Å."
        return Verdict("box", FAIL, text, rule, numbers)
    box, source = box_before_crop(sample, options, project)
    if tomograms is None:
        return Verdict("box", CANNOT, "No tomogram set, so neither defocus nor optics are known.", rule, numbers)
    kept, most = [], 0.0
    for name in sample.tomogram_names:
        tomogram, series = tomograms[name], tomograms.tilt_series(name)
        if tomogram.voltage is None or tomogram.cs is None or not series.has_ctf:
            return Verdict("box", CANNOT, f"Voltage, spherical aberration or defocus of {name} are not known.", rule, numbers)
        edge = written if box is None else box * sample.pixel_size
        share, shift = _lost(tomogram, series, 1 / resolution, diameter, edge)
        kept.append(share)
        most = max(most, shift)
    edge = written if box is None else box * sample.pixel_size
    numbers |= {"box": round(edge, 1), "box_from": source, "kept": round(min(kept), 4), "spread": round(most, 1)}
    text = (
        f"at {resolution:.1f} Å the CTF moves signal by up to {most:.0f} Å, and {100 * min(kept):.0f} % of that of a particle of "
        f"{diameter:.0f} Å stays in a box of {edge:.0f} Å"
    )
    if min(kept) >= LEAST_KEPT:
        return Verdict("box", PASS, f"Large enough: {text}.", rule, numbers)
    if box is None:
        unknown = f"The box before cropping is not known; if it was the written one, {text} (give --box-before-crop)."
        return Verdict("box", CANNOT, unknown, rule, numbers)
    wanted = 2 * np.ceil((diameter + 2 * most) / sample.pixel_size / 2)
    return Verdict("box", FAIL, f"Too small: {text}; a --box-size of {wanted:.0f} px holds all of it.", rule, numbers)
