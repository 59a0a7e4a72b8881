"""How many of the accepted particles are junk: a null from places without particles, and false-discovery rates."""

from napari_subtomo.assess.job import run

__all__ = ["run"]
