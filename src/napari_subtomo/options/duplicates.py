"""Options of `remove-duplicates`."""

from __future__ import annotations

from typing import Literal

from napari_subtomo.options.base import InputOptions, option


class DuplicatesOptions(InputOptions):
    """Remove particles that lie closer than a minimum distance to a better one of the same tomogram."""

    min_distance: float = option(
        30.0,
        "Of two particles of one tomogram that are this far apart or nearer, one is removed.",
        title="Minimum inter-particle distance (A)",
        unit="Å",
        group="Duplicates",
        gt=0,
    )
    score: str | None = option(
        None,
        "Column whose higher value decides which particle stays, e.g. rlnMaxValueProbDistribution; without it the first in the file stays.",
        title="Score column",
        group="Duplicates",
    )
    rule: Literal["greedy", "relion"] = option(
        "greedy",
        "greedy: the best stays, on true positions, and a removed particle removes nobody; relion: exactly RELION's rule and counts.",
        title="Rule",
        group="Duplicates",
    )
