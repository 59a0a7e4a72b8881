"""The histogram of a job: scores of particles and of null places, and where the rates are reached."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.io.atomic import atomic_path

FloatArray = npt.NDArray[np.float64]

RATES = (0.01, 0.05, 0.1)
MIRROR_PANEL = "References less their mirror images"
_BLUE, _GREY, _INK = "#0072b2", "#999999", "#333333"


def threshold(scores: FloatArray, rates: FloatArray, level: float) -> float | None:
    """Least score of the particles that are accepted at a rate; None where none is."""
    accepted = scores[rates <= level]
    return float(accepted.min()) if len(accepted) else None


def draw_scores(path: Path, panels: Mapping[str, tuple[FloatArray, FloatArray | None, FloatArray]]) -> None:
    """Draw one histogram a test.

    Parameters
    ----------
    path : Path
        PNG.
    panels : mapping
        Title of each to scores of the particles (n,), scores of the null (m,) or None for the particles' own mirror images, and the
        false-discovery rate of each particle (n,).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 2.9 * len(panels)), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, (scores, nulls, rates)) in zip(figure.subplots(len(panels), squeeze=False).ravel(), panels.items(), strict=True):
        other = -scores[scores < 0] if nulls is None else nulls
        everything = np.concatenate([scores, other])
        bins = np.linspace(everything.min(), everything.max() + 1e-6, 61)
        name = "particles below 0, turned round" if nulls is None else f"{len(other)} null places"
        axes.hist(scores, bins, color=_BLUE, alpha=0.75, label=f"{len(scores)} particles")
        axes.hist(other, bins, histtype="step", color=_INK, linewidth=1.2, label=name)
        top = axes.get_ylim()[1]
        for level in RATES:
            at = threshold(scores, rates, level)
            if at is not None:
                axes.axvline(at, color=_GREY, linewidth=0.8, linestyle="--")
                axes.text(at, 0.97 * top, f"{100 * level:g} %", fontsize=7, color=_INK, va="top", ha="right", rotation=90)
        axes.set_title(title, fontsize=9, color=_INK)
        axes.set_xlabel("log evidence (nats)" if nulls is not None else "difference of log evidence, relative to its size", fontsize=8)
        axes.set_ylabel("number", fontsize=8)
        axes.tick_params(labelsize=7)
        axes.legend(fontsize=7, frameon=False, loc="upper right")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
