"""A picture of the first particles: central slices, low-passed, on one grey scale."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_subtomo.io.atomic import atomic_path
from napari_subtomo.numerics.fourier import lowpass

MOST = 20
_COLUMNS = 5
_THICKNESS = 5  # slices that are averaged
_NICE = (1, 2, 5, 10)


def scale_bar(extent: float) -> float:
    """Length of a scale bar in Å, 1, 2 or 5 times a power of ten, at most a third of `extent`."""
    power = 10 ** np.floor(np.log10(extent / 3))
    return float(max(n * power for n in _NICE if n * power <= extent / 3))


def low_pass_resolution(voxel_size: float, size: int) -> float:
    """Resolution in Å of the pictures: a sixth of the box of `size` voxels, 40 to 80 Å but not below 4 voxels.

    A particle shows by its outline; finer detail of single particles is noise.
    """
    return float(max(np.clip(voxel_size * size / 6, 40.0, 80.0), 4 * voxel_size))


def draw_montage(path: Path, crops: Sequence[npt.NDArray[np.float32]], names: Sequence[str], voxel_size: float, resolution: float) -> None:
    """Draw the central slices (z = n // 2, x to the right, y up) of crops with bright protein.

    Parameters
    ----------
    path : Path
        PNG.
    crops : sequence of ndarray, shape (n, n, n)
        At most `MOST` are drawn.
    names : sequence of str
    voxel_size : float
        Å.
    resolution : float
        Low-pass in Å.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    shown = [np.asarray(lowpass(c, voxel_size, resolution)) for c in crops[:MOST]]
    middle = shown[0].shape[0] // 2
    slices = [s[middle - _THICKNESS // 2 : middle + _THICKNESS // 2 + 1].mean(axis=0) for s in shown]
    low, high = np.percentile(np.stack(slices), [1, 99.5])
    columns = min(_COLUMNS, len(slices))
    rows = -(-len(slices) // columns)
    figure = Figure(figsize=(2.0 * columns + 0.4, 2.2 * rows + 0.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    extent = slices[0].shape[0] * voxel_size
    for axis in axes:
        axis.set_axis_off()
    for axis, image, name in zip(axes, slices, names, strict=False):
        axis.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower", extent=(0, extent, 0, extent))
        axis.set_title(name, fontsize=8, pad=3)
    bar = scale_bar(extent)
    axes[0].add_patch(Rectangle((0, 0), bar + 0.1 * extent, 0.2 * extent, facecolor="black", alpha=0.7))
    axes[0].add_patch(Rectangle((0.05 * extent, 0.04 * extent), bar, 0.025 * extent, facecolor="white"))
    axes[0].text(0.05 * extent + bar / 2, 0.08 * extent, f"{bar:g} Å", color="white", fontsize=8, ha="center", va="bottom")
    depth = _THICKNESS * voxel_size
    figure.suptitle(f"Central {depth:.0f} Å of the first {len(slices)} particles, low-passed to {resolution:.0f} Å", fontsize=9)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
