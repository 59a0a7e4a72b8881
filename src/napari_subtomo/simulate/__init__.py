"""A small tomography project made from densities: tilt images, tomograms, picks and the truth about them."""
