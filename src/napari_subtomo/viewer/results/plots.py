"""What a plot of curves shows, without a window: curves, lines across, ticks, and the value next to the mouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Resolutions (Å) that a tick may stand at.
_NICE = (1000, 500, 300, 200, 150, 100, 80, 60, 50, 40, 30, 25, 20, 15, 12, 10, 8, 7, 6, 5, 4.5, 4, 3.5, 3, 2.5, 2, 1.5, 1.2, 1)


@dataclass(frozen=True, eq=False)
class Curve:
    """One curve.

    Attributes
    ----------
    name : str
        In the legend.
    x, y : ndarray, shape (m,)
        NaN where there is no value.
    colour : str
        "#RRGGBB", or "" for the colour of the text.
    dashed : bool
    points : bool
        Whether each value gets a dot.
    listed : bool
        Whether the legend names it.
    """

    name: str
    x: FloatArray
    y: FloatArray
    colour: str = ""
    dashed: bool = False
    points: bool = False
    listed: bool = True


@dataclass(frozen=True, eq=False)
class Plot:
    """Curves over iterations or over resolution.

    Attributes
    ----------
    curves : tuple of Curve
    x_label, y_label : str
        With units; that of y stands above the axis.
    x_range, y_range : tuple of float
    unit : str
        Of the values, as it is read out: " %", "°", " Å" or "".
    over : "iterations" or "resolution"
        What x is; resolution in 1/Å, labelled in Å.
    across : tuple of float
        Values with a dotted line.
    empty : str
        Said in place of curves without any value.
    decimals : int
        Of the values that are read out.
    hint : str
        Said where there is nothing to list.
    """

    curves: tuple[Curve, ...]
    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    unit: str = ""
    over: Literal["iterations", "resolution"] = "iterations"
    across: tuple[float, ...] = ()
    empty: str = ""
    decimals: int = 1
    hint: str = ""

    @property
    def shown(self) -> tuple[Curve, ...]:
        """Curves with a value."""
        return tuple(curve for curve in self.curves if np.isfinite(curve.y).any())

    def ticks(self) -> list[tuple[float, str]]:
        """Places and labels on the x axis."""
        low, high = self.x_range
        return iteration_ticks(low, high) if self.over == "iterations" else resolution_ticks(high)

    def y_ticks(self) -> list[tuple[float, str]] | None:
        """Places and labels on the y axis where lines go across; None leaves them to the axis."""
        if not self.across:
            return None
        return [(0.0, "0"), *((value, f"{value:g}") for value in self.across), (1.0, "1")]

    def nearest(self, x: float, y: float) -> tuple[Curve, int] | None:
        """The curve and the index of its value next to a point, both axes measured by their ranges; None without values."""
        best: tuple[float, Curve, int] | None = None
        wide, high = (max(b - a, 1e-12) for a, b in (self.x_range, self.y_range))
        for curve in self.shown:
            distance = ((curve.x - x) / wide) ** 2 * 4 + ((curve.y - y) / high) ** 2  # a plot is about twice as wide as high
            index = int(np.nanargmin(distance))
            if best is None or distance[index] < best[0]:
                best = (float(distance[index]), curve, index)
        return None if best is None else best[1:]

    def reading(self, curve: Curve, index: int) -> str:
        """A value in words, e.g. "iteration 7, class 3: 31.0 %"."""
        x, y = float(curve.x[index]), float(curve.y[index])
        place = f"iteration {x:.0f}" if self.over == "iterations" else (f"{1 / x:.1f} Å" if x > 0 else "mean")
        return f"{place}, {curve.name}: {y:.{self.decimals}f}{self.unit}"


def iteration_ticks(low: float, high: float, most: int = 8) -> list[tuple[float, str]]:
    """Whole numbers between two ends, at most so many, at steps of 1, 2 or 5 times a power of ten."""
    span, step = max(high - low, 1.0), 1
    for step in (base * 10**power for power in range(6) for base in (1, 2, 5)):
        if span / step <= most - 1:
            break
    first = int(np.ceil(low / step)) * step
    return [(float(value), str(value)) for value in range(first, int(np.floor(high)) + 1, step)]


def resolution_ticks(high: float, nearest: float = 0.11) -> list[tuple[float, str]]:
    """Nice resolutions in Å up to a frequency `high` (1/Å), no closer than a part of the axis; places in 1/Å, ascending."""
    ticks: list[tuple[float, str]] = []
    for resolution in reversed(_NICE):  # from the right, where they are dense
        place = 1 / resolution
        if place <= high * 1.002 and place >= 0.1 * high and (not ticks or ticks[-1][0] - place >= nearest * high):
            ticks.append((place, f"{resolution:g}"))
    return list(reversed(ticks))


def from_zero(values: FloatArray, least: float = 1e-3) -> tuple[float, float]:
    """A range from 0 to a little above the largest value."""
    finite = values[np.isfinite(values)]
    top = float(finite.max()) if finite.size else 0.0
    return 0.0, 1.08 * max(top, least)
