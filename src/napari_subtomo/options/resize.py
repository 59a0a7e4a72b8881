"""Options of `resize-map`."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from napari_subtomo.options.base import JobOptions, option


class ResizeOptions(JobOptions):
    """Change map box and pixel size, so that a reference or mask fits particles that were extracted anew."""

    maps: tuple[Path, ...] = option(..., "Maps (.mrc), all of them treated alike.", title="Input map", group="I/O")
    like: Path | None = option(
        None, "particles.star or map whose box and pixel size are taken, where none are given here.", title="Same grid as", group="I/O"
    )
    input_pixel_size: float | None = option(
        None,
        "Pixel size of the input maps, in place of the one in their headers; alone it corrects the header and no value.",
        title="Input pixel size",
        unit="Å",
        group="I/O",
        gt=0,
    )
    box_size: int | None = option(
        None,
        "Box of the new maps: cut about the centre, or filled up with zeros; without it the even box that holds the old extent.",
        title="New box size (px)",
        unit="px",
        group="Change",
        ge=4,
    )
    pixel_size: float | None = option(
        None,
        "Pixel size of the new maps, reached exactly by resampling; frequencies beyond its Nyquist frequency are cut off.",
        title="Rescaled pixel size",
        unit="Å",
        group="Change",
        gt=0,
    )
    fix_pixel_size: bool = option(
        True,
        "Where the pixel sizes differ by their precision alone (by up to 0.05 %, such as 1.244 and 1.24453), only the header is changed.",
        title="Fix disparities in pixel size precision?",
        group="Change",
    )
    mask: bool = option(False, "The maps are masks: values stay between 0 and 1.", title="Is this a mask?", group="Change")

    @model_validator(mode="after")
    def _something(self) -> ResizeOptions:
        if not self.maps:
            raise ValueError("give at least one map")
        if self.like is None and self.box_size is None and self.pixel_size is None and self.input_pixel_size is None:
            raise ValueError("expected a change, found none; give --box-size, --pixel-size, --like or --input-pixel-size")
        names = [path.name for path in self.maps]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"expected maps with different names, as they are written into one folder, found {twice} twice")
        return self
