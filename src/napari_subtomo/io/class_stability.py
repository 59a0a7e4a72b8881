"""Stability of particles, classes and pairs of classes, beside RELION's columns in the files of an iteration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_subtomo.io import relion as r
from napari_subtomo.io.class3d import iteration_file
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.star import StarBlock, read_star, write_star

FloatArray = npt.NDArray[np.float64]


def write_stability(
    folder: JobFolder,
    iteration: int,
    particles: FloatArray,
    classes: FloatArray,
    pairs: Sequence[tuple[int, int, float, float, bool]],
) -> None:
    """Add columns to the data and model files of an iteration, each whole or not at all.

    Parameters
    ----------
    folder : JobFolder
    iteration : int
    particles : ndarray, shape (n,)
        In the order of the file.
    classes : ndarray, shape (K,)
        NaN where unknown, written as 0.
    pairs : sequence of tuple
        Class numbers, separation, p-value, and whether the two are distinct: the table `model_class_pairs`.
    """
    data = folder.file(iteration_file(iteration, "data"))
    write_particles(data, read_particles(data).with_columns({r.STABILITY: particles}))
    path = folder.file(iteration_file(iteration, "model"))
    model = read_star(path)
    model = model.replace(model[r.MODEL_CLASSES].with_column(r.STABILITY, np.nan_to_num(classes)))
    if pairs:
        a, b, apart, p, distinct = zip(*pairs, strict=True)
        columns = {r.PAIR[0]: a, r.PAIR[1]: b, r.SEPARATION: apart, r.SEPARATION_P: p, r.DISTINCT: [int(d) for d in distinct]}
        model = model.replace(StarBlock.loop(r.MODEL_PAIRS, columns))
    write_star(path, model)
