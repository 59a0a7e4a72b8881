"""Two particles made of Gaussians, their tilt images, and what was extracted from these."""

from __future__ import annotations

import numpy as np

from helpers.tilt_world import POINTS, Series, TiltWorld, gaussian
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles

WIDTH = 12.0  # Å, 2.4 px
#: Å from the centre; far from each other and from the edges
PLACES = np.array([[230.0, -180.0, 35.0], [-240.0, 195.5, -60.0]])


def images_of(series: Series, positions: np.ndarray = PLACES) -> list[np.ndarray]:
    """Bright particles without any CTF: what extraction puts on them is seen alone."""
    shape = (series.image[1], series.image[0])
    images = []
    for tilt in range(len(series.y_tilt)):
        image = np.zeros(shape, np.float32)
        for position in positions:
            for *offset, height in POINTS:
                x, y, _ = series.places(position + np.array(offset), tilt)
                image += (height * gaussian(shape, x, y, WIDTH / series.pixel)).astype(np.float32)
        images.append(image)
    return images


def stacks(world: TiltWorld, job: str = "Extract/job001") -> list[np.ndarray]:
    particles = read_particles(world.root / job / "particles.star")
    return [read_mrc(world.root / path) for path in particles.image_paths]
