"""Options of `check-extraction`."""

from __future__ import annotations

from napari_subtomo.options.base import InputOptions, option


class CheckExtractionOptions(InputOptions):
    """Ask whether extracted particles are what they should be: signal, centre, box, contrast, hand, tilt geometry, pixel sizes."""

    count: int = option(
        300, "How many particles are looked at: the first ones of each tomogram, equally many of each.", title="Particles to check", ge=4
    )
    diameter: float = option(
        -1.0, "Largest extent of the particle; -1: two thirds of the written box.", title="Particle diameter", unit="Å"
    )
    resolution: float = option(
        -1.0,
        "Resolution that the box should be large enough for; -1: what the pixel size allows (Nyquist).",
        title="Wanted resolution",
        unit="Å",
    )
    box_before_crop: int = option(
        -1,
        "Box in which the CTF was applied, before it was cropped; -1: as the records of the extraction say.",
        title="Box size before cropping",
        unit="px",
    )
    threads: int = option(2, "CPU threads.", title="Number of threads", group="Compute", ge=1)
