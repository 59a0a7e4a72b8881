"""Reconstruct particle: the weighted average of subtomograms, in halves, with its FSC."""

from napari_subtomo.reconstruct.job import run

__all__ = ["run"]
