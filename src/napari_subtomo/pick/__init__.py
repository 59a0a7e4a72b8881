"""Picks: points, spheres or particles to annotation files that RELION's picker opens, and to `particles.star`."""

from napari_subtomo.pick.fresh import points_to_particles, spheres_to_particles
from napari_subtomo.pick.job import run
from napari_subtomo.pick.rejoin import Joined, join, join_particles, stable_ids
from napari_subtomo.pick.sources import Picks, Spheres, parse_spheres, read_points, read_spheres

__all__ = [
    "Joined",
    "Picks",
    "Spheres",
    "join",
    "join_particles",
    "parse_spheres",
    "points_to_particles",
    "read_points",
    "read_spheres",
    "run",
    "spheres_to_particles",
    "stable_ids",
]
