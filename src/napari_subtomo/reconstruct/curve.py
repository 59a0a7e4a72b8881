"""The FSC of two half maps as numbers, STAR file and picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.io import relion
from napari_subtomo.io.atomic import atomic_path
from napari_subtomo.io.star import StarBlock, StarFile, write_star
from napari_subtomo.numerics.fsc import corrected_fsc, fsc, resolution_at, shell_frequencies

FloatArray = npt.NDArray[np.float64]
KIND_LABEL = "subtomoFscKind"


@dataclass(frozen=True)
class Curve:
    """FSC of two half maps.

    Attributes
    ----------
    n : int
        Box in voxels.
    voxel_size : float
        Å.
    label : str
        What kind of FSC it is.
    unmasked : ndarray, shape (n // 2 + 1,)
    masked, randomised, corrected : ndarray, shape (n // 2 + 1,), or None without a mask
    """

    n: int
    voxel_size: float
    label: str
    unmasked: FloatArray
    masked: FloatArray | None = None
    randomised: FloatArray | None = None
    corrected: FloatArray | None = None

    @property
    def best(self) -> FloatArray:
        """The curve that resolution is read from: the corrected one if there is a mask."""
        return self.unmasked if self.corrected is None else self.corrected

    def resolution(self, threshold: float = 0.143) -> float:
        """Å; infinite when the curve starts below the threshold."""
        return resolution_at(self.best, self.voxel_size, self.n, threshold)


def compare(half1: Any, half2: Any, voxel_size: float, label: str, mask: Any | None = None, seed: int = 1) -> Curve:
    """The FSC of two half maps (n, n, n), and that within a mask."""
    n = int(half1.shape[0])
    unmasked = fsc(half1, half2)
    if mask is None:
        return Curve(n, voxel_size, label, unmasked)
    corrected, masked, randomised = corrected_fsc(half1, half2, mask, np.random.default_rng(seed))
    return Curve(n, voxel_size, label, unmasked, masked, randomised, corrected)


def resolution_text(angstrom: float) -> str:
    """A resolution in words."""
    return f"{angstrom:.1f} Å" if np.isfinite(angstrom) else "none"


def write_curve(path: Path, curve: Curve, explanation: str, half1: str, half2: str, mask: str | None = None) -> None:
    """Write the table `fsc` with the columns of `relion_postprocess`, and what kind of FSC it is.

    Parameters
    ----------
    path : Path
    curve : Curve
    explanation : str
        One sentence, written as a comment.
    half1, half2, mask : str
        Cells for the files' names.
    """
    general = {relion.UNFILTERED_MAP_HALF1: half1, relion.UNFILTERED_MAP_HALF2: half2}
    if mask is not None:
        general[relion.MASK_NAME] = mask
    resolution = curve.resolution()
    values = {**general, relion.FINAL_RESOLUTION: resolution if np.isfinite(resolution) else 999.0, KIND_LABEL: curve.label}
    frequency = shell_frequencies(curve.n, curve.voxel_size)
    columns: dict[str, Any] = {
        relion.SPECTRAL_INDEX: np.arange(len(frequency)),
        relion.RESOLUTION: frequency,
        relion.ANGSTROM_RESOLUTION: np.append(999.0, 1 / frequency[1:]),
        relion.FSC_UNMASKED_MAPS: curve.unmasked,
    }
    if curve.corrected is not None:
        columns[relion.FSC_MASKED_MAPS] = curve.masked
        columns[relion.FSC_RANDOMISED_MASKED_MAPS] = curve.randomised
        columns[relion.FSC_CORRECTED] = curve.corrected
    star = StarFile((StarBlock.list(relion.GENERAL, values), StarBlock.loop(relion.FSC, columns)), None, (f"# {explanation}",))
    write_star(path, star)


def plot_curve(path: Path, curve: Curve, title: str) -> None:
    """Draw the curve with lines at 0.143 and 0.5, the frequency axis labelled in Å, and the kind of FSC under the title."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.2), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    x = shell_frequencies(curve.n, curve.voxel_size)
    drawn = {"unmasked": curve.unmasked, "masked": curve.masked, "phases randomised": curve.randomised, "corrected": curve.corrected}
    for name, values in drawn.items():
        if values is not None:
            axes.plot(x, values, label=name, linewidth=1.6)
    for threshold in (0.5, 0.143):
        axes.axhline(threshold, color="0.5", linewidth=0.8, linestyle="--")
        at = resolution_text(curve.resolution(threshold))
        axes.annotate(f"{threshold}: {at}", (x[-1], threshold), xytext=(0, 2), textcoords="offset points", ha="right", fontsize=8)
    axes.axhline(0, color="0.8", linewidth=0.8)
    ticks = np.linspace(0, x[-1], 7)[1:]
    axes.set_xticks(ticks, [f"{1 / tick:.1f}" for tick in ticks])
    axes.set(xlim=(0, x[-1]), ylim=(min(-0.1, float(curve.best.min()) - 0.05), 1.05), xlabel="resolution (Å)", ylabel="FSC")
    axes.set_title(f"{title}\nFSC {curve.label}", fontsize=10)
    if curve.corrected is not None:
        axes.legend(frameon=False, fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
