"""Subtomograms: at each particle a box with the sufficient statistics of averaging and classification."""

from napari_subtomo.extract.job import run

__all__ = ["run"]
