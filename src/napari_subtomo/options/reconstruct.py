"""Options of `reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import field_validator, model_validator

from napari_subtomo.errors import OptionError
from napari_subtomo.geometry.symmetry import symmetry_name
from napari_subtomo.options.base import SubtomogramInputOptions, option


class ReconstructOptions(SubtomogramInputOptions):
    """Average particles at their poses, all together and in two halves, with the FSC of the halves."""

    source: Literal["auto", "tilts", "subtomograms"] = option(
        "auto",
        "What to average: the particles in the tilt images, as RELION does, or the subtomograms that were extracted; auto: subtomograms "
        "where the particles have image files, else the tilt images.",
        title="Average from",
        group="I/O",
        alias="from",
    )
    binning: float | None = option(
        None,
        "Pixel of the map divided by the unbinned pixel of the tilt series, any number from 1; without it that of the extracted particles, "
        "or 1. (From tilt images.)",
        title="Binning factor",
        group="Average",
        ge=1,
    )
    box_size: int | None = option(
        None,
        "Box in which particles are cut from the tilt images and averaged; larger than the cropped box it keeps signal that defocus has "
        "spread. Without it half as large again as the cropped box, or as the box of the extracted particles. (From tilt images.)",
        title="Box size (binned pix)",
        unit="px",
        group="Average",
        ge=8,
        multiple_of=2,
    )
    crop_size: int | None = option(
        None,
        "Box of the maps that are written, with a soft spherical edge; without it the whole box or, from tilt images where no box is given "
        "either, as wide as that of the extracted particles.",
        title="Cropped box size (binned pix)",
        unit="px",
        group="Average",
        ge=8,
    )
    snr: float | None = option(
        None,
        "Wiener constant: 1/SNR is added to the weights; without it small weights are only raised to 0.001 of their shell's mean.",
        title="Wiener SNR constant",
        group="Average",
        gt=0,
    )
    symmetry: str = option("C1", "Point group: C1, C2, ..., D2, ..., T, O, I1, I2 (also I), I3, I4.", title="Symmetry", group="Average")
    circle_crop: bool = option(
        True,
        "Cut images to a circle of the box with a soft edge, less the mean of what lies outside, before anything else. (From tilt images.)",
        title="Cut images to a circle?",
        group="Average",
    )
    gridding_correction: bool = option(
        False,
        "Divide by the sinc² over the box of the particles that trilinear insertion of tilt images leaves, which weakens density far from "
        "the centre. For 2D stacks, and for 3D pseudo-subtomograms made of tilt images by RELION or here; not for subtomograms cut from "
        "tomograms. From tilt images it is always done.",
        title="Correct for back-projection?",
        group="Average",
    )
    mask: Path | None = option(
        None,
        "Map (0 to 1) of the size written; adds the FSC within it, corrected by phase randomisation.",
        title="Solvent mask",
        group="Average",
    )
    seed: int = option(1, "Random seed of the half sets where the particles have none.", title="Random seed", group="Compute", ge=0)
    device: str = option("auto", "Where to compute: auto, cpu, or cuda:N.", title="Which GPUs to use", group="Compute")
    threads: int = option(2, "CPU threads.", title="Number of threads", group="Compute", ge=1)

    @field_validator("symmetry")
    @classmethod
    def _known(cls, value: str) -> str:
        try:
            return symmetry_name(value)
        except OptionError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _fit_together(self) -> ReconstructOptions:
        if self.box_size is not None and self.crop_size is not None and (self.crop_size > self.box_size or self.crop_size % 2):
            raise ValueError(f"expected a cropped box that is even and at most {self.box_size} px (the box), found {self.crop_size}")
        return self

    @property
    def needs_tilts(self) -> str | None:
        """What of these options only tilt images can give, as a noun; None if nothing."""
        if self.box_size is not None:
            return "a box of any size (--box-size)"
        return "any binning (--binning)" if self.binning is not None else None
