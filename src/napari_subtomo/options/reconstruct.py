"""Options of `reconstruct`."""

from __future__ import annotations

from pathlib import Path

from pydantic import field_validator

from napari_subtomo.errors import OptionError
from napari_subtomo.geometry.symmetry import symmetry_name
from napari_subtomo.options.base import SubtomogramInputOptions, option


class ReconstructOptions(SubtomogramInputOptions):
    """Average extracted subtomograms at their poses, all together and in two halves, with the FSC of the halves."""

    symmetry: str = option("C1", "Point group: C1, C2, ..., D2, ..., T, O, I1, I2 (also I), I3, I4.", title="Symmetry", group="Average")
    snr: float | None = option(
        None,
        "Wiener constant: 1/SNR is added to the weights; without it small weights are only raised to 0.001 of their shell's mean.",
        title="Wiener SNR constant",
        group="Average",
        gt=0,
    )
    crop_size: int | None = option(
        None,
        "Box of the maps that are written; smaller than the extracted one, with a soft spherical edge.",
        title="Cropped box size (binned pix)",
        unit="px",
        group="Average",
        ge=8,
    )
    backprojection_box: int | None = option(
        None,
        "For particles that RELION extracted as 3D pseudo-subtomograms: the box before cropping; divides by the sinc² that trilinear "
        "back-projection left over it, which weakens density far from the centre.",
        title="Box before cropping",
        unit="px",
        group="Average",
        ge=8,
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
