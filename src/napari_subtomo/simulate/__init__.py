"""A small tomography project made from densities: tilt images, tomograms, picks and the truth about them."""

from napari_subtomo.simulate.project import make_sample, run

__all__ = ["make_sample", "run"]
