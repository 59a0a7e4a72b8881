"""Pictures of classes and of iterations with matplotlib, without a display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.viewer import palette
from napari_subtomo.viewer.classjob import ClassJob
from napari_subtomo.viewer.figures import INK, new_figure, scale_bar
from napari_subtomo.viewer.gallery import Slices, grey_limits, read_slices

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

#: Classes side by side in the gallery.
MOST_COLUMNS = 8


def gallery_figure(job: ClassJob, kept_classes: frozenset[int] | None = None) -> Figure:
    """Central slices of all class maps along three axes on one grey scale, with fraction and count.

    Parameters
    ----------
    job : ClassJob
    kept_classes : frozenset of int, optional
        Classes that were selected; the others are marked as rejected.
    """
    slices = [None if path is None else read_slices(path) for path in job.maps]
    low, high = grey_limits(slices, job.fractions[-1])
    blocks = -(-job.n_classes // MOST_COLUMNS)
    columns = -(-job.n_classes // blocks)
    figure = new_figure(max(1.75 * columns + 0.8, 5.0), blocks * 6.3 + 0.3)
    outer = figure.add_gridspec(blocks, 1, hspace=0.16, left=0.06, right=0.99, top=1 - 0.95 / (blocks * 6.3 + 0.3), bottom=0.01)
    grids = [outer[block, 0].subgridspec(3, columns, hspace=0.04, wspace=0.05) for block in range(blocks)]
    for number, one in enumerate(slices, start=1):
        block, column = divmod(number - 1, columns)
        for axis, name in enumerate(("xy", "xz", "yz")):
            axes = figure.add_subplot(grids[block][axis, column])
            _slice_panel(axes, one, axis, low, high)
            if column == 0:
                axes.set_ylabel(name, rotation=0, labelpad=12, color=INK)
            if axis == 0:
                rejected = kept_classes is not None and number not in kept_classes
                axes.set_title(_class_title(job, number, rejected), fontsize=9, color=INK, linespacing=1.35)
            colour = palette.GREY if number == job.empty_class else palette.to_hex(palette.class_colours([number])[0])
            for spine in axes.spines.values():
                spine.set(color=colour, linewidth=2.5)
            if axis == 0 and number == 1 and one is not None and one.voxel_size > 0:
                scale_bar(axes, one.sections[0].shape[1], one.voxel_size)
    figure.suptitle(f"Classes of {job.title} (central slices, one grey scale)", fontsize=11, color=INK, x=0.02, ha="left")
    return figure


def _slice_panel(axes: Axes, slices: Slices | None, axis: int, low: float, high: float) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if slices is None:
        axes.set_aspect("equal")
        axes.text(0.5, 0.5, "map\nmissing", ha="center", va="center", fontsize=9, color="#888888", transform=axes.transAxes)
        return
    axes.imshow(slices.sections[axis], cmap="gray", vmin=low, vmax=high, origin="lower", interpolation="nearest")


def _class_title(job: ClassJob, number: int, rejected: bool) -> str:
    lines = [f"class {number}" + (" (empty)" if number == job.empty_class else "")]
    fraction = job.fractions[-1, number - 1]
    share = f"{100 * fraction:.1f} %" if np.isfinite(fraction) else ""
    count = f"{job.counts[number - 1]} particles" if job.counts is not None else ""
    lines.append(" · ".join(part for part in (share, count) if part))
    resolution = job.resolutions[-1, number - 1]
    lines.append((f"{resolution:.1f} Å" if np.isfinite(resolution) else "–") + (" · rejected" if rejected else ""))
    return "\n".join(lines)


def curves_figure(job: ClassJob) -> Figure:
    """Class fractions, resolutions and changes over the iterations; bars by class where there is only one iteration."""
    several = len(job.iterations) > 1
    figure = new_figure(10.5, 6.6 if several else 3.8)
    grid = {"hspace": 0.35, "wspace": 0.25, "left": 0.08, "right": 0.92, "top": 0.88 if several else 0.82, "bottom": 0.09}
    axes = figure.subplots(2 if several else 1, 2, gridspec_kw=grid, squeeze=False)
    draw = _lines if several else _bars
    draw(axes[0, 0], job, 100 * job.fractions, "particles in the class (%)")
    draw(axes[0, 1], job, job.resolutions, "resolution (Å)")
    _from_zero(axes[0, 0], 100 * job.fractions)
    title = job.title
    if several:
        axes[0, 1].plot(job.iterations, job.current_resolution, color=INK, ls="--", lw=1.2, label="of the next step")
        lines, names = axes[0, 1].get_legend_handles_labels()
        place: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 0.89), "frameon": False}
        figure.legend(lines, names, fontsize=8.5, ncols=min(len(names), 8), **place)
        _line(axes[1, 0], job.iterations, 100 * job.change_classes, "particles that changed class (%)", palette.OKABE_ITO[6])
        _line(axes[1, 1], job.iterations, job.change_orientations, "change of orientations (°)", palette.OKABE_ITO[3])
        _line(axes[1, 1].twinx(), job.iterations, job.change_offsets, "change of offsets (Å)", palette.OKABE_ITO[2])
    else:
        title += f": {100 * job.change_classes[0]:.1f} % changed class, {job.change_orientations[0]:.1f}°, {job.change_offsets[0]:.1f} Å"
    height = figure.get_figheight()
    figure.suptitle(title, fontsize=11, color=INK, x=0.02, y=1 - 0.12 / height, ha="left", va="top")
    if job.missing:
        figure.text(0.02, 1 - 0.42 / height, missing_sentence(job), fontsize=8.5, color="#A33B00", va="center")
    for panel in axes.ravel():
        panel.spines[["top"]].set_visible(False)
        panel.grid(alpha=0.25)
    return figure


def missing_sentence(job: ClassJob) -> str:
    """Which files of the job are not there, by name."""
    names = [Path(text).name for text in job.missing]
    return f"Not here: {', '.join(names[:4])}" + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _lines(axes: Axes, job: ClassJob, values: FloatArray, label: str) -> None:
    for number in range(1, job.n_classes + 1):
        empty = number == job.empty_class
        colour = palette.GREY if empty else palette.to_hex(palette.class_colours([number])[0])
        name = f"class {number}" + (" (empty)" if empty else "")
        axes.plot(job.iterations, values[:, number - 1], color=colour, marker="o", ms=4, lw=1.8, label=name)
    axes.set_ylabel(label)
    _iterations(axes)


def _bars(axes: Axes, job: ClassJob, values: FloatArray, label: str) -> None:
    numbers = np.arange(1, job.n_classes + 1)
    bars = axes.bar(numbers, np.nan_to_num(values[0]), color=[palette.to_hex(colour) for colour in palette.class_colours(numbers)])
    axes.bar_label(bars, [f"{value:.1f}" if np.isfinite(value) else "–" for value in values[0]], fontsize=8)
    axes.set_xlabel(f"class (iteration {job.iterations[0]})")
    axes.set_xticks(numbers)
    axes.set_ylabel(label)
    _from_zero(axes, values)


def _line(axes: Axes, x: npt.NDArray[Any], y: FloatArray, label: str, colour: str) -> None:
    axes.plot(x, y, color=colour, marker="o", ms=4, lw=1.8)
    axes.set_ylabel(label, color=colour)
    _from_zero(axes, y)
    _iterations(axes)


def _from_zero(axes: Axes, values: FloatArray) -> None:
    finite = values[np.isfinite(values)]
    axes.set_ylim(0, 1.12 * float(finite.max()) if finite.size and finite.max() > 0 else 1.0)


def _iterations(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("iteration")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
