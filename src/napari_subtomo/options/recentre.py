"""Options of an extraction that starts from refined particles; names and labels are RELION's."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from napari_subtomo.options.base import JobOptions, option


class RecentreOptions(JobOptions):
    """What becomes of the offsets that a refinement found, and which point of the map new boxes are cut around."""

    reset_offsets: bool = option(
        False,
        "Forget the refined offsets: boxes are cut where they were cut before, and angles, half sets and classes stay.",
        title="Reset the refined offsets to zero?",
        group="I/O",
    )
    recenter: bool = option(
        False,
        "Put the refined offsets into the coordinates, which become those of the point of the map given below, and set offsets to 0.",
        title="OR: re-center refined coordinates?",
        group="I/O",
    )
    recenter_on: tuple[float, float, float] = option(
        (0.0, 0.0, 0.0),
        "Point of the refined map that becomes the centre of the new boxes: x y z from the centre of its box, in pixels of that map.",
        title="Re-center on - X/Y/Z (in pix)",
        unit="px",
        group="I/O",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.reset_offsets and self.recenter:
            raise ValueError("expected the refined offsets to be reset or used for re-centering, found both; choose one of the two")
        if any(self.recenter_on) and not self.recenter:
            x, y, z = self.recenter_on
            raise ValueError(f"expected re-centering for the point {x:g} {y:g} {z:g}, found it switched off; add --recenter")
        return self
