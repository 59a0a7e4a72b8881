"""Options of `extract`."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from napari_subtomo.options.base import InputOptions, option
from napari_subtomo.options.recentre import RecentreOptions


class ExtractOptions(RecentreOptions, InputOptions):
    """Cut a subtomogram and its weights at each particle."""

    source: Literal["auto", "tilts", "tomogram"] = option(
        "auto",
        "What to cut from: the tilt images as RELION does, or the reconstructed tomograms; auto: the tilt images where they are there.",
        title="Extract from",
        group="I/O",
        alias="from",
    )
    binning: float = option(
        1.0,
        "Pixel of the subtomograms divided by the unbinned pixel of the tilt series, any number from 1; not below the binning of the "
        "tomograms where these are cut from.",
        title="Binning factor",
        group="Reconstruct",
        gt=0,
    )
    box_size: int = option(
        128,
        "Box in which the CTF is applied; larger than the cropped box it keeps signal that defocus has spread.",
        title="Box size (binned pix)",
        unit="px",
        group="Reconstruct",
        ge=8,
        multiple_of=2,
    )
    crop_size: int = option(
        -1, "Box that is written; -1: the whole box.", title="Cropped box size (binned pix)", unit="px", group="Reconstruct"
    )
    max_dose: float = option(
        -1,
        "Tilt images with a larger exposure before them are left out; -1: none. (From tilt images.)",
        title="Maximum dose",
        unit="e/Å²",
        group="Reconstruct",
    )
    min_frames: int = option(
        1,
        "Particles that are visible in fewer tilt images are dropped. (From tilt images.)",
        title="Minimum nr. frames",
        group="Reconstruct",
        ge=1,
    )
    stack2d: bool = option(
        True,
        "A stack of the tilt images of each particle; otherwise a 3D pseudo-subtomogram with weights and multiplicity. (From tilt images.)",
        title="Write output as 2D stacks?",
        group="Reconstruct",
    )
    circle_crop: bool = option(
        True,
        "Cut images to a circle of the cropped box with a soft edge, less the mean of what lies outside. (From tilt images.)",
        title="Circle crop?",
        group="Reconstruct",
    )
    fold_offsets: bool = option(
        True,
        "Put refined offsets into the coordinates and set them to 0, as RELION does; otherwise boxes lie at the coordinates and offsets "
        "stay. (From tilt images.)",
        title="Fold offsets into coordinates?",
        group="Reconstruct",
    )
    invert: bool = option(
        True,
        "Turn dark protein, as RELION and IMOD reconstruct it, into bright protein, as averages have it.",
        title="Invert contrast?",
        group="Reconstruct",
    )
    normalize: bool = option(
        True,
        "Divide each tomogram by its standard deviation, one number for all its particles, so that tomograms of different grey scales "
        "go together; the mean of a tomogram is always subtracted. (From tomograms.)",
        title="Normalise tomograms?",
        group="Reconstruct",
    )
    tomogram_ctf: Literal["none", "phase-flipped", "corrected"] = option(
        "none",
        "What the reconstruction did about the CTF: nothing (as IMOD does by default, and RELION with --noctf), phase flipping, or full "
        "correction. (From tomograms.)",
        title="CTF of the tomograms",
        group="CTF",
    )
    use_denoised: bool = option(
        False,
        "Cut from the denoised tomograms; their noise is not what averaging and classification expect.",
        title="Use denoised tomograms?",
        group="I/O",
    )
    output_format: Literal["relion5", "relion31"] = option(
        "relion5",
        "relion5: what RELION 5 writes; relion31: volume and 3D CTF for RELION 3.1 and its peers, from tomograms.",
        title="Output format",
        group="I/O",
        alias="format",
    )
    float16: bool = option(
        True,
        "Write half the bytes (MRC mode 12); RELION 3.1 cannot read it and gets float32.",
        title="Write output in float16?",
        group="I/O",
    )
    device: str = option("cpu", "Where to compute: auto, cpu, or cuda:N.", title="Which GPUs to use", group="Compute")
    threads: int = option(2, "CPU threads.", title="Number of threads", group="Compute", ge=1)

    @model_validator(mode="after")
    def _fit_together(self) -> ExtractOptions:
        if self.max_dose != -1 and not self.max_dose > 0:
            raise ValueError(f"expected a maximum dose above 0 e/Å², or -1 for none, found {self.max_dose:g}")
        if self.crop_size != -1 and not (8 <= self.crop_size <= self.box_size and self.crop_size % 2 == 0):
            raise ValueError(
                f"expected a cropped box of -1 or an even number from 8 to {self.box_size} px (the box), found {self.crop_size}"
            )
        return self

    @property
    def written_size(self) -> int:
        """Box of the files in px."""
        return self.box_size if self.crop_size == -1 else self.crop_size

    @property
    def needs_tomograms(self) -> str | None:
        """What of these options only tomograms can give, as a noun; None if nothing."""
        if self.output_format == "relion31":
            return "files of RELION 3.1 (--format relion31)"
        return "denoised particles (--use-denoised)" if self.use_denoised else None
