"""Particles in the images of a tilt series."""
