"""Options of the simulated sample."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from napari_subtomo.options.base import JobOptions, option


class SimulateOptions(JobOptions):
    """A small RELION 5 project with known truth: tilt images, tomograms, picks."""

    map: tuple[Path, ...] = option(
        (),
        "Own densities (.mrc, bright protein), one species each; without them made-up ones that differ by a domain.",
        group="Particles",
    )
    species: int = option(
        2,
        "Number of made-up species: holo with a domain, apo without it, all others with one as large elsewhere (holo_2 and so on).",
        title="Number of species",
        group="Particles",
        ge=2,
        le=6,
    )
    tomograms: int = option(2, "Number of tomograms.", group="Particles", ge=1, le=99)
    particles: int = option(80, "True particles in each tomogram.", group="Particles", ge=1)
    proportions: tuple[float, ...] = option((), "Share of each species, in any unit; equal without it.", group="Particles")
    false_fraction: float = option(0.3, "Share of the picks that are false.", group="Particles", ge=0, lt=1)
    structured_fraction: float = option(
        0.5, "Share of the false picks that are gold beads or membrane pieces; the rest are empty places.", group="Particles", ge=0, le=1
    )
    structured: tuple[Literal["bead", "membrane", "protein"], ...] = option(
        ("bead", "membrane"), "Kinds of the structured false picks, in equal numbers; protein: another complex.", group="Particles"
    )
    diameter: float = option(320.0, "Outer diameter of the particles; own maps are masked to it.", unit="Å", group="Particles", gt=0)
    domain_fraction: float = option(
        0.12, "Share of the mass of the domain by which made-up species differ.", group="Particles", gt=0, le=0.5
    )
    density_seed: int = option(1, "Which made-up complex.", group="Particles", ge=0)
    crowding: float = option(0.5, "Share of the particles that sit close to another one.", group="Particles", ge=0, le=1)
    min_distance: float = option(-1.0, "Least distance between centres; -1: 1.06 times the diameter.", unit="Å", group="Particles")
    prior_error: float = option(
        8.0, "Error of the picks' orientations: a Gaussian rotation of this r.m.s. angle before the cut.", unit="deg", group="Picks", ge=0
    )
    prior_error_max: float = option(
        -1.0, "Larger errors of orientation are drawn again; -1: 1.25 times the prior error.", unit="deg", group="Picks", le=180
    )
    position_error: float = option(
        5.0, "Error of the picks' positions: standard deviation in each direction.", unit="Å", group="Picks", ge=0
    )
    snr: float = option(
        0.03,
        "Variance of the noise-free untilted image inside particle discs divided by the noise's variance per unbinned pixel there.",
        group="Images",
        gt=0,
    )
    noise_growth: float = option(
        1.0, "The variance of the noise grows as 1 / cos(tilt) to this power, as the thickness does; 0: constant.", group="Images", ge=0
    )
    pixel_size: float = option(10.0, "Pixel of the tilt images.", unit="Å", group="Images", gt=0)
    width: int = option(384, "Width and height of images and tomograms; even.", unit="px", group="Images", ge=32)
    thickness: float = option(960.0, "Thickness of the tomograms.", unit="Å", group="Images", gt=0)
    binning: float = option(1.0, "Voxel of the tomograms divided by the pixel of the images.", group="Images", ge=1)
    tilt_range: float = option(
        60.0, "Largest tilt angle; the series goes from minus to plus this.", unit="deg", group="Tilt series", ge=0, le=80
    )
    tilt_step: float = option(3.0, "Step between tilt angles.", unit="deg", group="Tilt series", gt=0)
    tilt_axis: float = option(85.0, "In-plane direction of the tilt axis.", unit="deg", group="Tilt series")
    image_shift: float = option(
        15.0, "Shifts of the tilt images: standard deviation in each direction.", unit="Å", group="Tilt series", ge=0
    )
    dose: float = option(3.0, "Dose of each tilt image, least tilted ones first.", unit="e/Å²", group="Tilt series", ge=0)
    hand: int = option(-1, "Sign of the change of defocus with depth, -1 or 1.", group="Tilt series", ge=-1, le=1)
    defocus_min: float = option(25000.0, "Least defocus of a tomogram.", unit="Å", group="CTF")
    defocus_max: float = option(45000.0, "Largest defocus of a tomogram.", unit="Å", group="CTF")
    defocus_spread: float = option(150.0, "Standard deviation of the defocus from tilt to tilt.", unit="Å", group="CTF", ge=0)
    astigmatism: float = option(200.0, "Difference of the defoci along the two axes.", unit="Å", group="CTF", ge=0)
    voltage: float = option(300.0, "Acceleration voltage.", unit="kV", group="CTF", gt=0)
    cs: float = option(2.7, "Spherical aberration.", unit="mm", group="CTF", ge=0)
    amplitude_contrast: float = option(0.1, "Amplitude contrast.", group="CTF", ge=0, lt=1)
    seed: int = option(1, "Seed of all random numbers but the densities'.", title="Random seed", group="Compute", ge=0)
    threads: int = option(2, "Threads.", title="Number of threads", group="Compute", ge=1)

    @model_validator(mode="after")
    def _fit_together(self) -> SimulateOptions:
        if self.width % 2:
            raise ValueError(f"expected an even width, found {self.width} px")
        if self.hand == 0:
            raise ValueError("expected a hand of -1 or 1, found 0")
        if self.defocus_max < self.defocus_min:
            raise ValueError(f"expected a defocus range from small to large, found {self.defocus_min:g} to {self.defocus_max:g} Å")
        if self.structured_fraction > 0 and self.false_fraction > 0 and not self.structured:
            raise ValueError("expected at least one kind of structured false picks, found none; use --structured-fraction 0 for none")
        if len(set(self.structured)) < len(self.structured):
            raise ValueError(f"expected each kind of structured false picks once, found {' '.join(self.structured)}")
        species = len(self.map) or self.species
        if self.proportions and (len(self.proportions) != species or min(self.proportions) < 0 or sum(self.proportions) <= 0):
            raise ValueError(f"expected {species} proportions, none negative, found {' '.join(f'{p:g}' for p in self.proportions)}")
        return self

    @property
    def box(self) -> int:
        """Even box in pixels that holds a particle with room around it, 1.5 diameters."""
        return 2 * round(0.75 * self.diameter / self.pixel_size)

    @property
    def size_xyz(self) -> tuple[int, int, int]:
        """Size of a tomogram in pixels; even, because RELION's own rules differ by half a pixel for odd ones."""
        return self.width, self.width, 2 * round(self.thickness / self.pixel_size / 2)

    @property
    def largest_error(self) -> float:
        """Largest error of orientation in degrees."""
        return self.prior_error_max if self.prior_error_max >= 0 else 1.25 * self.prior_error

    @property
    def separation(self) -> float:
        """Least distance between centres in Å."""
        return self.min_distance if self.min_distance > 0 else 1.06 * self.diameter
