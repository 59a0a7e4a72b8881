"""Pictures of columns: a panel a label, without a display."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.atomic import atomic_path
from napari_subtomo.table.grid import Grid
from napari_subtomo.table.iterations import ITERATION, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

MAX_PANELS = 12
FORMATS = (".png", ".pdf", ".svg")
_UNITS = {
    relion.CURRENT_RESOLUTION: "Å",
    relion.ESTIMATED_RESOLUTION: "Å",
    relion.RESOLUTION: "1/Å",
    relion.ANGSTROM_RESOLUTION: "Å",
    relion.CHANGES_OPTIMAL_CLASSES: "fraction",
    relion.CHANGES_OPTIMAL_ORIENTATIONS: "°",
    relion.CHANGES_OPTIMAL_OFFSETS: "Å",
    relion.CLASS_DISTRIBUTION: "fraction",
}

_UNSET = (999.0, 9.999999e6)
_MAY_BE_UNSET = frozenset(
    {
        relion.CHANGES_OPTIMAL_CLASSES,
        relion.CHANGES_OPTIMAL_ORIENTATIONS,
        relion.CHANGES_OPTIMAL_OFFSETS,
        relion.ACCURACY_ROTATIONS,
        relion.ACCURACY_TRANSLATIONS_ANGST,
        relion.CURRENT_RESOLUTION,
        relion.ESTIMATED_RESOLUTION,
        relion.ANGSTROM_RESOLUTION,
    }
)
"""Columns in which RELION writes a large number where it knows none; drawn, it would hide all others."""


def axis_label(label: str) -> str:
    """Label with its unit where it is known."""
    unit = _UNITS.get(label) or ("Å" if label.endswith("Angst") else "")
    return f"{label} ({unit})" if unit else label


def plot_grid(path: Path, grid: Grid, x: str | None = None, log: bool = False) -> None:
    """Draw the columns of a table over the column `x` or the row number.

    Parameters
    ----------
    path : Path
        .png, .pdf or .svg.
    grid : Grid
        From `file_grid`; texts that are no numbers are refused.
    x : str, optional
        A column of `grid`.
    log : bool
        Logarithmic vertical axes; values that are not positive leave gaps.

    Raises
    ------
    InputError
        Nothing to draw, too many columns, or a column without numbers.
    """
    labels = [label for label in grid.labels if label != x]
    if not grid.rows or not labels:
        raise InputError(f"Expected columns with rows to draw from {grid.title or 'the table'}, found none.")
    across = np.arange(1, len(grid.rows) + 1, dtype=np.float64) if x is None else _drawable(x, grid.numbers(x))
    columns = {label: _drawable(label, grid.numbers(label)) for label in labels}
    figure, panels = _panels(labels, grid.title, "row" if x is None else axis_label(x), log)
    marker = "o" if len(across) <= 60 else ""
    for label, panel in zip(labels, panels, strict=True):
        panel.plot(across, columns[label], marker=marker, markersize=3, linewidth=1.2)
    _save(figure, path)


def plot_series(path: Path, series: Sequence[Series], title: str = "", x: Series | None = None, log: bool = False) -> None:
    """Draw columns over iterations: a curve a row (class); with `x` a curve an iteration over that column.

    Parameters and errors as in `plot_grid`; `x` has as many rows as each of `series`.
    """
    if not series:
        raise InputError("Expected columns to draw over iterations, found none.")
    labels = [one.label for one in series]
    figure, panels = _panels(labels, title, ITERATION if x is None else axis_label(x.label), log)
    for one, panel in zip(series, panels, strict=True):
        if x is None:
            _draw_rows(panel, one)
        else:
            _draw_iterations(panel, one, x)
    _save(figure, path)


def _draw_rows(panel: Axes, series: Series) -> None:
    from matplotlib import colormaps
    from matplotlib.ticker import MaxNLocator

    values = np.full((len(series.iterations), series.width), np.nan)
    for i, texts in enumerate(series.values):
        values[i, : len(texts)] = _numbers(series.label, texts)
    few = series.width <= 10
    colours = colormaps["tab10"](np.arange(series.width)) if few else colormaps["viridis"](np.linspace(0, 1, series.width))
    what = "class" if series.label in (relion.CLASS_DISTRIBUTION, relion.ESTIMATED_RESOLUTION) else "row"
    for row in range(series.width):
        name = f"{what} {row + 1}" if series.width > 1 else None
        panel.plot(series.iterations, values[:, row], marker="o", markersize=3, linewidth=1.2, color=colours[row], label=name)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    if 1 < series.width <= 20:
        panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _draw_iterations(panel: Axes, series: Series, x: Series) -> None:
    from matplotlib import colormaps

    colours = colormaps["viridis"](np.linspace(0.95, 0.0, max(len(series.iterations), 2)))
    shown = {0, len(series.iterations) - 1} | set(range(0, len(series.iterations), max(1, len(series.iterations) // 8)))
    for i, iteration in enumerate(series.iterations):
        across, up = x.values[i], series.values[i]
        if len(across) != len(up):
            raise InputError(
                f"Expected as many rows of {x.label} as of {series.label}, found {len(across)} and {len(up)}; take both from one table."
            )
        name = f"iteration {iteration}" if i in shown else None
        panel.plot(_numbers(x.label, across), _numbers(series.label, up), color=colours[i], linewidth=1.2, label=name)
    panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _numbers(label: str, texts: Sequence[str]) -> FloatArray:
    return _drawable(label, Grid((label,), tuple((text,) for text in texts)).numbers(label))


def _drawable(label: str, values: FloatArray) -> FloatArray:
    """The values with NaN, which is not drawn, for what is infinite or stands for "unknown"."""
    hidden = ~np.isfinite(values)
    if label in _MAY_BE_UNSET:
        hidden |= np.isin(values, _UNSET)
    return np.where(hidden, np.nan, values)


def _panels(labels: Sequence[str], title: str, x_label: str, log: bool) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if len(labels) > MAX_PANELS:
        raise InputError(f"Expected at most {MAX_PANELS} columns to draw, found {len(labels)}; name the columns.")
    figure = Figure(figsize=(7.5, 0.8 + 1.9 * len(labels)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(len(labels), 1, sharex=True, squeeze=False)[:, 0])
    for label, panel in zip(labels, axes, strict=True):
        panel.set_ylabel(axis_label(label).replace(" (", "\n("), fontsize=8)
        panel.tick_params(labelsize=8, which="both")
        panel.grid(alpha=0.3)
        if log:
            panel.set_yscale("log", nonpositive="mask")
    axes[-1].set_xlabel(x_label, fontsize=9)
    figure.suptitle(title, fontsize=9)
    return figure, axes


def _save(figure: Figure, path: Path) -> None:
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"Expected a picture name ending in {', '.join(FORMATS)}, found {path.name}.")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower().removeprefix("."))
