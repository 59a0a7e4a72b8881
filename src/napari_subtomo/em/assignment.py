"""Which poses of a particle enter the maps: all, or the best ones only ("force max over poses")."""

from __future__ import annotations

import numpy as np

from napari_subtomo.em.posteriors import Poses
from napari_subtomo.em.statistics import ParticleResults


def assigned(poses: Poses, results: ParticleResults, how: str) -> Poses:
    """The poses that enter the maps, with their weights.

    Parameters
    ----------
    poses : Poses
        With their posteriors, the best of each particle first.
    results : ParticleResults
    how : str
        "soft": as they are. "best-pose": of each class the best pose, with the posterior of the class. "best": the best pose of the
        likeliest class with weight 1; nothing of a particle whose likeliest class is the empty one.
    """
    if how == "soft":
        return poses
    particle, classes = poses.particle, results.posterior.shape[1]
    best = np.zeros(len(particle), bool)
    best[np.unique(particle * classes + poses.klass, return_index=True)[1]] = True
    weight = results.posterior[particle, poses.klass]
    if how == "best":
        weight = (poses.klass == results.posterior.argmax(1)[particle]).astype(float)
    return poses.kept(best & (weight > 0), weight.astype(np.float32))
