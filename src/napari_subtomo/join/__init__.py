"""Join particle sets: particles, optics groups, tomograms and trajectories of several files become those of one."""

from napari_subtomo.join.job import run

__all__ = ["run"]
