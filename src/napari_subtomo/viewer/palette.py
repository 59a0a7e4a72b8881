"""Colours that stay apart for colour-blind eyes and on grey tomograms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

#: Okabe and Ito's palette without black (Color Universal Design, 2008), the most distinct pairs first.
OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#D55E00", "#CC79A7", "#F0E442", "#0072B2")
#: Perceptually even and readable without colour (matplotlib's viridis at 0, 1/8, ..., 1).
VIRIDIS = ("#440154", "#472D7B", "#3B528B", "#2C728E", "#21918C", "#28AE80", "#5EC962", "#ADDC30", "#FDE725")
#: Rejected particles in legends and charts, and on grey tomograms, where they must be lighter to be seen; particles without a class.
GREY = "#9A9A9A"
REJECTED = "#E4E4E4"
UNCLASSIFIED = "#FFFFFF"


def rgba(colour: str, alpha: float = 1.0) -> FloatArray:
    """Red, green, blue, alpha in 0...1, shape (4,), of "#RRGGBB"."""
    values = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    return np.asarray([*values, alpha], dtype=np.float64)


def to_hex(colour: npt.ArrayLike) -> str:
    """ "#RRGGBB" of red, green, blue (, alpha) in 0...1."""
    values = np.clip(np.round(np.asarray(colour, dtype=np.float64)[:3] * 255), 0, 255).astype(int)
    return "#{:02X}{:02X}{:02X}".format(*values)


def category_colours(n: int) -> FloatArray:
    """Colours (n, 4) of categories 0 ... n-1; after seven the palette comes again, lighter and darker in turn.

    The colour of a category does not depend on `n`, so class 2 looks the same in every tomogram, iteration and picture.
    """
    base = np.stack([rgba(colour) for colour in OKABE_ITO])
    colours = base[np.arange(n) % len(base)]
    turn = (np.arange(n) // len(base))[:, None]
    white = np.where(turn % 2 == 1, 0.5, 0.0)
    black = np.where((turn % 2 == 0) & (turn > 0), 0.45, 0.0)
    colours[:, :3] = colours[:, :3] * (1 - white - black) + white
    return colours


def class_colours(numbers: npt.ArrayLike) -> FloatArray:
    """Colours (n, 4) of 1-based class numbers; 0 and below (no class) is white."""
    numbers = np.asarray(numbers, dtype=np.int64)
    if numbers.size == 0:
        return np.zeros((0, 4))
    table = np.vstack([rgba(UNCLASSIFIED), category_colours(max(int(numbers.max()), 0))])
    chosen: FloatArray = table[np.maximum(numbers, 0)]
    return chosen


def continuous_colours(values: npt.ArrayLike, low: float, high: float) -> FloatArray:
    """Colours (n, 4) of numbers between `low` (dark) and `high` (light); values that are not finite are grey."""
    values = np.asarray(values, dtype=np.float64)
    anchors = np.stack([rgba(colour) for colour in VIRIDIS])
    span = high - low
    finite = np.isfinite(values)
    place = np.clip((np.where(finite, values, low) - low) / span, 0, 1) if span > 0 else np.full(values.shape, 0.5)
    positions = np.linspace(0, 1, len(anchors))
    colours = np.stack([np.interp(place, positions, anchors[:, channel]) for channel in range(4)], axis=-1)
    colours[~finite] = rgba(GREY)
    return colours
