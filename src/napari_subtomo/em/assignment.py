"""Which poses of a particle enter the maps: all, or the best ones only ("force max over poses")."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_subtomo.em.posteriors import Poses
from napari_subtomo.em.statistics import ParticleResults


def assigned(poses: list[Poses], results: ParticleResults, how: str) -> list[Poses]:
    """The poses that enter the maps, with their weights.

    Parameters
    ----------
    poses : list of Poses
        Of each particle with their posteriors.
    results : ParticleResults
    how : str
        "soft": as they are. "best-pose": of each class the best pose, with the posterior of the class. "best": the best pose of the
        likeliest class with weight 1; nothing of a particle whose likeliest class is the empty one.
    """
    if how == "soft":
        return poses
    return [_best(p, results.posterior[i], how == "best") for i, p in enumerate(poses)]


def _best(poses: Poses, posterior: npt.NDArray[np.float64], alone: bool) -> Poses:
    """The best pose of each class, or of the likeliest alone; posteriors (classes + 1,), the last that of the empty class."""
    order = np.argsort(-poses.score, kind="stable")
    found, first = np.unique(poses.klass[order], return_index=True)
    weight = posterior[found]
    if alone:
        likeliest = int(posterior.argmax())
        weight = (found == likeliest).astype(float)
    kept = np.flatnonzero(weight > 0)
    row = order[first[kept]]
    return Poses(poses.shift[row], poses.klass[row], poses.rotation[row], weight[kept].astype(np.float32))
