"""Options of `pick`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from napari_subtomo.options.base import InputOptions, option

Units = Literal["voxels", "pixels", "angstrom"]


class PickOptions(InputOptions):
    """Turn points, spheres or an existing particle set into annotations that RELION's picker opens, and into particles."""

    points: Path | None = option(
        None,
        "CSV with columns x, y, z (and one with the tomogram's name) or STAR file with points.",
        title="Coordinates to import",
        group="I/O",
    )
    spheres: Path | None = option(
        None, "STAR file with sphere centres and radii, as RELION's picker writes it.", title="Spheres", group="I/O"
    )
    sphere: tuple[str, ...] = option(
        (), "A sphere as NAME,X,Y,Z,R (tomogram, centre, radius); may be given again.", title="Sphere", group="I/O"
    )
    annotations: Path | None = option(
        None,
        "Folder of edited annotations of another pick job; their unchanged particles keep all columns of that job's particles.star.",
        title="Annotations",
        group="I/O",
    )
    tomogram: str | None = option(None, "Tomogram of all points of a file that names none.", title="Tomogram", group="I/O")
    units: Units = option(
        "voxels",
        "Unit of the given coordinates and radii: tomogram voxels or unbinned pixels, both from the first voxel, or Å from the centre.",
        title="Units",
        group="Coordinates",
    )
    spacing: float | None = option(
        None, "Distance between neighbours on a sphere.", title="Particle spacing (A)", unit="Å", group="Coordinates", gt=0
    )
    seed: int = option(1, "Seed of the random in-plane angles of particles on spheres.", title="Random seed", group="Coordinates", ge=0)

    @model_validator(mode="after")
    def _check(self) -> PickOptions:
        sources = {
            "points": self.points is not None,
            "spheres": self.spheres is not None or bool(self.sphere),
            "annotations": self.annotations is not None,
        }
        given = [name for name, there in sources.items() if there]
        if len(given) > 1:
            raise ValueError(f"give one of points, spheres and annotations, found {' and '.join(given)}")
        if self.particles is not None and (sources["points"] or sources["spheres"]):
            raise ValueError(f"give either particles or {given[0]}; to add picks to a particle set, edit its annotations")
        if sources["spheres"] and self.spacing is None:
            raise ValueError("spheres need a spacing in Å")
        return self
