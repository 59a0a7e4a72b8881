"""One picture for each check that has something to show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.check.sample import Frame, Sample
from napari_subtomo.check.signal import brightness
from napari_subtomo.io.atomic import atomic_path

if TYPE_CHECKING:
    from napari_subtomo.check.job import Findings

SIZE = (3.6, 2.6)  # inches
_FLOOR = 0.1  # Wiener term of pictures, as a part of the mean weight


def draw_pictures(found: Findings, folder: Path) -> dict[str, Path]:
    """Write ``<check>.png`` for signal, centre, contrast, hand and wedge; paths by check."""
    drawers: dict[str, Callable[[Any, Findings], bool]] = {
        "signal": _signal, "centre": _centre, "contrast": _contrast, "hand": _hand, "wedge": _wedge,
    }  # fmt: skip
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    written = {}
    for name, draw in drawers.items():
        figure = Figure(figsize=SIZE, dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        if draw(figure, found):
            path = folder / f"{name}.png"
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format="png")
            written[name] = path
    return written


def average(frame: Frame) -> npt.NDArray[np.float32]:
    """The weighted average of all particles, for looking at; shape (n, n, n)."""
    n = frame.n
    inside = (frame.shell >= 1) & (frame.shell < n // 2)
    weights = frame.weights + _FLOOR * frame.weights[inside].mean()
    transform = np.where(inside, frame.values.sum(axis=0) / weights, 0).reshape(n, n, n // 2 + 1)
    return np.fft.fftshift(np.fft.irfftn(transform, s=(n, n, n), axes=(0, 1, 2))).astype(np.float32)


def half_fsc(frame: Frame) -> npt.NDArray[np.float64]:
    """Correlation of the sums of every other particle by shell."""
    last = frame.n // 2
    where = np.flatnonzero(frame.shell < last)
    shell = frame.shell[where]
    a, b = (frame.values[start::2][:, where].sum(axis=0) for start in (0, 1))
    cross = np.bincount(shell, (a * b.conj()).real.astype(np.float64), last)
    size = np.sqrt(np.bincount(shell, np.abs(a) ** 2, last) * np.bincount(shell, np.abs(b) ** 2, last))
    return np.where(size > 0, cross / np.maximum(size, 1e-30), 0.0)


def _resolution_axis(axes: Any, count: int, length: float) -> None:
    ticks = np.unique(np.linspace(0, count - 1, 5).round().astype(int))[1:]
    axes.set_xticks(ticks, [f"{length / tick:.0f}" for tick in ticks])
    axes.set(xlabel="resolution (Å)", ylabel="FSC", xlim=(0, count - 1), ylim=(-0.25, 1.05))
    axes.axhline(0.143, color="0.6", linewidth=0.8, linestyle="--")
    axes.axhline(0, color="0.8", linewidth=0.8)


def _signal(figure: Any, found: Findings) -> bool:
    curve = half_fsc(found.sample.reference)
    axes = figure.add_subplot()
    axes.plot(curve, linewidth=1.6)
    _resolution_axis(axes, len(curve), found.sample.extent)
    axes.set_title(f"Half averages, {found.sample.n} particles", fontsize=9)
    return True


def _centre(figure: Any, found: Findings) -> bool:
    sample = found.sample
    for place, (name, frame) in enumerate((("particles' axes", sample.reference), ("tomogram's axes", sample.tomogram))):
        axes = figure.add_subplot(1, 2, place + 1)
        _section(axes, average(frame), sample, found.diameter)
        axes.set_title(name, fontsize=9)
    return True


def _section(axes: Any, volume: npt.NDArray[np.float32], sample: Sample, diameter: float) -> None:
    from matplotlib.patches import Circle

    n, half = volume.shape[0], sample.extent / 2
    slab = volume[n // 2 - 1 : n // 2 + 2].mean(axis=0)
    axes.imshow(slab, cmap="gray", origin="lower", extent=(-half, half, -half, half))
    axes.add_patch(Circle((0, 0), diameter / 2, fill=False, color="tab:orange", linewidth=1))
    axes.plot([0], [0], "+", color="tab:orange")
    axes.tick_params(labelsize=7)


def _contrast(figure: Any, found: Findings) -> bool:
    scores = brightness(found.sample, min(found.diameter, found.sample.extent))
    spread = scores.std()
    if spread <= 0:
        return False
    axes = figure.add_subplot()
    axes.hist(scores / spread, bins=min(40, max(8, len(scores) // 5)), color="tab:blue")
    axes.axvline(0, color="0.3", linewidth=1)
    axes.set(xlabel="dark  ←  middle of the particle  →  bright", ylabel="particles")
    return True


def _hand(figure: Any, found: Findings) -> bool:
    if found.tried.hand is None:
        return False
    axes = figure.add_subplot()
    for name, curve in zip(("hand of the files", "other hand"), found.tried.hand.fsc, strict=True):
        axes.plot(curve, label=name, linewidth=1.4)
    _resolution_axis(axes, len(curve), found.tried.hand_box * found.tried.hand_voxel)
    axes.legend(frameon=False, fontsize=8)
    return True


def _wedge(figure: Any, found: Findings) -> bool:
    if found.directions is None:
        return False
    one = found.directions
    axes = figure.add_subplot()
    power, expected = one.power.mean(axis=0), one.expected()
    axes.fill_between(one.angles, expected * power.max(), color="0.85", label="tilt angles")
    axes.plot(one.angles, power, linewidth=1.4, label=f"power of the {one.source}")
    axes.set(xlabel="direction about the tilt axis (°)", ylabel="power", xlim=(-90, 90), xticks=np.arange(-90, 91, 45), ylim=(0, None))
    axes.legend(frameon=False, fontsize=8, loc="lower center")
    return True
