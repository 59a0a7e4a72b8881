"""Columns of any STAR file as text, CSV, JSON or a picture, of one file or over the iterations of a run."""

from napari_subtomo.table.grid import Grid, file_grid
from napari_subtomo.table.iterations import iteration_grid
from napari_subtomo.table.job import render, run

__all__ = ["Grid", "file_grid", "iteration_grid", "render", "run"]
