"""Pictures of tomograms with matplotlib, without a display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import convolve

from napari_subtomo.viewer import palette
from napari_subtomo.viewer.overlay import OverlayState
from napari_subtomo.viewer.volume import DENOISED, SMOOTHING, Volume, smoothing_kernel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = npt.NDArray[np.float64]

INK = "#222222"
BAR_STEPS = (1, 2, 5)


def new_figure(width: float, height: float) -> Figure:
    """A figure with its own canvas; pyplot and its global state are left alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def pixels_of(figure: Figure) -> npt.NDArray[np.uint8]:
    """The figure as pixels (y, x, 4)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


def nice_length(length: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not longer than `length`."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step * power for step in BAR_STEPS if step * power <= length * (1 + 1e-9)))


def scale_bar(axes: Axes, width: float, voxel_size: float) -> None:
    """Draw a bar of about a fifth of an image `width` pixels wide, with its length in Å."""
    length = nice_length(width * voxel_size / 5)
    start = 0.04
    ends = [start, start + length / voxel_size / width]
    axes.plot(ends, [0.05, 0.05], color="white", lw=3, transform=axes.transAxes, solid_capstyle="butt")
    label = f"{length:g} Å" if length < 10_000 else f"{length / 10_000:g} µm"
    box = {"facecolor": "black", "alpha": 0.45, "pad": 1.5, "edgecolor": "none"}
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    axes.annotate(label, (start, 0.05), (1, 5), color="white", fontsize=9, bbox=box, **place)


def best_window(values: FloatArray, thickness: float) -> tuple[float, float]:
    """The interval of a given thickness with most of the values (n,); around 0 without any."""
    if not len(values):
        return -thickness / 2, thickness / 2
    ordered = np.sort(values)
    inside = np.searchsorted(ordered, ordered + thickness, side="right") - np.arange(len(ordered))
    start = int(np.argmax(inside))
    middle = (ordered[start] + ordered[start + inside[start] - 1]) / 2
    return float(middle - thickness / 2), float(middle + thickness / 2)


def slab(volume: Volume, axis: int, low: float, high: float) -> npt.NDArray[np.float32]:
    """Mean of the slices low ... high (voxels, both included) along an axis of the volume, read from disk slice by slice."""
    n = volume.data.shape[axis]
    first, last = int(np.clip(np.ceil(low), 0, n - 1)), int(np.clip(np.floor(high), 0, n - 1))
    first, last = min(first, last), max(first, last)
    total = np.zeros([size for other, size in enumerate(volume.data.shape) if other != axis], dtype=np.float64)
    for index in range(first, last + 1):
        total += np.asarray(volume.data[(slice(None),) * axis + (index,)], dtype=np.float32)
    return (total / (last - first + 1)).astype(np.float32)


def smoothed(image: npt.NDArray[np.float32], volume: Volume, voxel_size: float) -> npt.NDArray[np.float32]:
    """A slab as the window shows it: noisy tomograms smoothed, denoised ones as they are."""
    if volume.kind == DENOISED:
        return image
    result: npt.NDArray[np.float32] = convolve(image, smoothing_kernel(voxel_size), mode="nearest")
    return result


def tomogram_figure(state: OverlayState, volume: Volume | None, shape_zyx: tuple[int, int, int], title: str) -> Figure:
    """A slab of the tomogram from above and from the side, with its particles.

    Rings are particles inside of the slab, dots those above or below it, crosses the rejected ones. The slab is one particle thick and
    lies where most of the kept particles are. Seen from above, y points down as in napari.

    Parameters
    ----------
    state : OverlayState
    volume : Volume or None
        None leaves the background empty.
    shape_zyx : tuple of int
        Shape of the tomogram in voxels.
    title : str
    """
    depth, height, width = shape_zyx
    panel = 7.2
    side = panel * min(max(depth / width, 0.12), 0.8)
    figure = new_figure(panel + 2.9, panel * height / width + side + 1.0)
    grid = figure.add_gridspec(2, 2, height_ratios=[panel * height / width, side], width_ratios=[panel, 2.7], hspace=0.06, wspace=0.03)
    top, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    for axes, (axis, names) in zip((top, below), ((0, "xy"), (1, "xz")), strict=True):
        _panel(axes, state, volume, shape_zyx, axis)
        axes.set_ylabel(names[1], rotation=0, labelpad=8, color=INK)
        scale_bar(axes, width, state.voxel_size)
    below.set_xlabel("x", color=INK)
    top.set_title(title, loc="left", fontsize=11, color=INK)
    _legend(figure.add_subplot(grid[0, 1]), state, volume)
    return figure


def _panel(axes: Axes, state: OverlayState, volume: Volume | None, extent: tuple[int, int, int], axis: int) -> None:
    from matplotlib.collections import EllipseCollection

    vertical = 1 - axis
    depth, height, width = extent
    shape = (height, width) if axis == 0 else (depth, width)
    kept = np.asarray(state.features["kept"], dtype=bool) if len(state.rows) else np.zeros(0, dtype=bool)
    thickness = float(state.sizes.max()) if len(state.rows) else extent[axis] / 10
    chosen = state.points_zyx[kept][:, axis] if kept.any() else np.asarray([extent[axis] / 2])
    low, high = best_window(chosen, thickness)
    if volume is not None:
        image = smoothed(slab(volume, axis, low, high), volume, state.voxel_size)
        limits = np.percentile(image[np.isfinite(image)], (0.5, 99.5))
        axes.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1], interpolation="nearest", aspect="equal")
    else:
        axes.set_facecolor("#444444")
        axes.set_aspect("equal")
    axes.set_xlim(-0.5, shape[1] - 0.5)
    ends = (-0.5, shape[0] - 0.5)
    axes.set_ylim(ends if axis == 1 else ends[1:] + ends[:1])
    axes.set_xticks([])
    axes.set_yticks([])
    if not len(state.rows):
        return
    where = state.points_zyx[:, axis]
    inside = (where >= low) & (where <= high)
    xy = np.stack([state.points_zyx[:, 2], state.points_zyx[:, vertical]], axis=1)
    rings, dots, crosses = kept & inside & state.shown, kept & ~inside & state.shown, ~kept & state.shown
    colours = state.face_colours
    axes.scatter(xy[dots, 0], xy[dots, 1], s=9, c=colours[dots, :3], edgecolors="black", linewidths=0.4, zorder=2)
    axes.scatter(xy[crosses, 0], xy[crosses, 1], s=16, marker="x", c="#E8E8E8", linewidths=1.0, alpha=0.75, zorder=2)
    if not rings.any():
        return
    sizes = state.sizes[rings]
    line = float(np.clip(1.8 * np.sqrt(100 / len(sizes)), 0.6, 1.8))
    style: dict[str, Any] = {"units": "x", "offsets": xy[rings], "transOffset": axes.transData, "zorder": 3}
    look: dict[str, Any] = {"facecolors": "none", "edgecolors": colours[rings], "linewidths": line}
    axes.add_collection(EllipseCollection(sizes, sizes, np.zeros(len(sizes)), **style, **look))
    starts, arrows = state.vectors[:, 0], 0.8 * state.vectors[:, 1]
    here = (starts[:, axis] >= low) & (starts[:, axis] <= high)
    if here.any():
        columns = [starts[here, 2], starts[here, vertical], arrows[here, 2], arrows[here, vertical]]
        axes.quiver(*columns, angles="xy", scale_units="xy", scale=1.0, color=state.vector_colours[here], width=0.0035, zorder=4)


def _legend(axes: Axes, state: OverlayState, volume: Volume | None) -> None:
    axes.axis("off")
    y = 0.98
    axes.text(0.02, y, "Particles", fontsize=11, color=INK, va="top", weight="bold", transform=axes.transAxes)
    axes.text(0.02, y - 0.04, "here / in all tomograms", fontsize=8.5, color="#666666", va="top", transform=axes.transAxes)
    y -= 0.115
    for entry in state.legend:
        marker: dict[str, Any] = {"marker": "o", "mfc": "none", "mec": entry.colour, "mew": 2.4}
        if entry.colour == palette.UNCLASSIFIED:
            marker["mec"] = "#BBBBBB"
        if entry.label == "rejected":
            marker = {"marker": "x", "mec": palette.GREY, "mew": 1.6}
        axes.plot([0.07], [y], ls="none", ms=10, transform=axes.transAxes, clip_on=False, **marker)
        axes.text(0.16, y, f"{entry.label}: {entry.here} / {entry.total}", fontsize=10, color=INK, va="center", transform=axes.transAxes)
        y -= 0.052
    notes = "○ in the slab\n• above or below it\n→ particle z axis"
    if volume is None:
        notes += "\n\nThe tomogram's file\nis not here."
    elif volume.kind != DENOISED:
        notes += f"\n\nsmoothed by {SMOOTHING:g} Å\nfor this picture"
    axes.text(0.02, y - 0.02, notes, fontsize=8.5, color="#666666", va="top", linespacing=1.5, transform=axes.transAxes)
