"""The cells of a sweep in one picture: class sizes, resolutions, likelihood, agreement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_subtomo.io.atomic import atomic_path
from napari_subtomo.jobs.sweep_table import UNKNOWN, Cell, Outcome, agreements

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GREY = "#9a9a9a"


def draw(path: Path, cells: Sequence[Cell], outcomes: Sequence[Outcome | None]) -> None:
    """Write the picture (PNG); cells without a result leave gaps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    n = len(cells)
    figure = Figure(figsize=(max(8.0, 2 + 1.1 * n), 7.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    ((sizes, resolutions), (likelihood, matrix)) = figure.subplots(2, 2)
    _sizes(sizes, outcomes)
    for i, outcome in enumerate(outcomes):
        if outcome is not None:
            found = outcome.resolutions[outcome.real & (outcome.counts > 0) & (outcome.resolutions < UNKNOWN)]
            resolutions.plot(np.full(len(found), i), found, "o", color="#0072b2", ms=5)
            likelihood.plot([i], [outcome.log_likelihood], "s", color="#009e73")
    resolutions.set_ylabel("resolution of each class (Å)")
    resolutions.invert_yaxis()
    likelihood.set_ylabel("mean log-likelihood of a particle (nats)")
    for axes in (sizes, resolutions, likelihood):
        axes.set_xticks(range(n), [cell.name.replace(", ", "\n") for cell in cells], fontsize=7)
        axes.set_xlim(-0.6, n - 0.4)
        axes.grid(axis="y", alpha=0.25)
    table = agreements(outcomes)
    matrix.imshow(table, vmin=0, vmax=1, cmap="cividis")
    for i, j in np.argwhere(np.isfinite(table)):
        matrix.text(j, i, f"{table[i, j]:.2f}", ha="center", va="center", fontsize=7, color="w" if table[i, j] < 0.6 else "k")
    names = [f"{cell.classes}, {cell.regularisation:g}" for cell in cells]
    matrix.set_xticks(range(n), names, fontsize=7, rotation=90)
    matrix.set_yticks(range(n), names, fontsize=7)
    matrix.set_title("agreement of labels (adjusted Rand index); K, T", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _sizes(axes: Axes, outcomes: Sequence[Outcome | None]) -> None:
    """Stacked shares, the largest class below, the empty class in grey."""
    from matplotlib import colormaps

    colours = colormaps["tab10"](np.arange(10))
    for i, outcome in enumerate(outcomes):
        if outcome is None:
            continue
        below = 0.0
        shares = 100 * np.sort(outcome.fractions[outcome.real])[::-1]
        for c, share in enumerate(shares):
            axes.bar(i, share, bottom=below, color=colours[c % 10], width=0.7, edgecolor="w", linewidth=0.5)
            below += share
        if outcome.empty:
            axes.bar(i, 100 * outcome.fractions[~outcome.real].sum(), bottom=below, color=GREY, width=0.7)
    axes.set_ylabel("class sizes (%; grey: empty)")
