"""Figures of a classification by either program against the truth of a simulated sample; keys are those of `judge.judge`."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from chain import proposed
from judge import FALSE, one_class, picks_like, poses

from napari_subtomo.em.start import rand_index
from napari_subtomo.io import relion
from napari_subtomo.io.class3d import iteration_file
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.star import read_star
from napari_subtomo.jobs.truth import Truth, read_truth

IntArray = npt.NDArray[np.int64]


def judge_run(project: Path, classified: Path, iteration: int, classes: int) -> dict[str, Any]:
    """All figures of one run as plain numbers; docs/benchmarks-peer.md says what they mean.

    Parameters
    ----------
    project : Path
        Simulated project.
    classified : Path
        Folder with the files of the iterations.
    iteration : int
        Which to judge.
    classes : int
        Classes asked for; a class behind them is the empty one.
    """
    everything = read_truth(project / "truth.star")
    picks = read_particles(project / "particles.star")
    particles = posed(picks, read_particles(classified / iteration_file(iteration, "data")))
    truth, labels = everything.of(particles), particles.class_numbers
    true = truth.species > 0
    resolutions = class_resolutions(classified, iteration)[:classes]
    keep = proposed(classified / iteration_file(iteration, "optimiser"), project)
    stays, best = np.isin(labels, keep), best_choice(truth, labels, classes)
    best_stays = np.isin(labels, best)
    return {
        "particles": len(particles),
        "keep": list(keep),
        "rand_index": {
            "found": rand_index(truth.species, labels),
            "kept": rand_index(truth.species, np.where(stays, labels, -1)),
            "species": rand_index(truth.species[true], labels[true]),
        },
        **shares(truth, stays),
        "best": {
            "keep": list(best),
            "rand_index": rand_index(truth.species, np.where(best_stays, labels, -1)),
            **shares(truth, best_stays),
        },
        "poses": poses(truth, particles, stays & true),
        "all_poses": poses(truth, particles, true),
        "picks": poses(truth, picks_like(picks, particles), true),
        "noise_temperature": None,
        "duplicates": None,
        "classes": [
            one_class(project, classified, iteration, c, truth, labels, c in keep, resolutions[c - 1]) for c in range(1, classes + 1)
        ],
        "empty_class": dict(Counter(truth.kinds[labels > classes].tolist())),
    }


def posed(picks: ParticleSet, found: ParticleSet) -> ParticleSet:
    """The picks in the order of `found` with its poses and class numbers.

    Boxes were cut along the axes of the tomogram around the picked positions: angles and origins of `found` refer to these.
    """
    same = picks_like(picks, found)
    columns = {label: np.zeros(len(same)) for label in relion.SUBTOMOGRAM_ANGLES if same.has(label)}
    there = same.with_coordinates(same.positions()).with_columns(columns)
    return there.with_poses(found.angles, found.origins).with_columns({relion.CLASS_NUMBER: found.class_numbers})


def class_resolutions(classified: Path, iteration: int) -> list[float]:
    """Each class's own estimate in Å, from the model file; a class without any is as coarse as can be."""
    block = read_star(classified / iteration_file(iteration, "model"))[relion.MODEL_CLASSES]
    return [float(value) if np.isfinite(value) and value > 0 else 999.0 for value in block.floats(relion.ESTIMATED_RESOLUTION)]


def shares(truth: Truth, stays: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Counts of true particles kept, and of false picks rejected in all and by kind."""
    true, kinds = truth.species > 0, truth.kinds
    return {
        "true": {"of": int(true.sum()), "kept": int((stays & true).sum())},
        "false": {"of": int((~true).sum()), "rejected": int((~stays & ~true).sum())},
        "false_by_kind": {k: {"of": int((kinds == k).sum()), "rejected": int((~stays & (kinds == k)).sum())} for k in FALSE},
    }


def best_choice(truth: Truth, labels: IntArray, classes: int) -> tuple[int, ...]:
    """The classes that someone who knew the truth would keep: those of the largest adjusted Rand index, everything else as one group."""
    choices = [keep for size in range(1, classes + 1) for keep in combinations(range(1, classes + 1), size)]
    return max(choices, key=lambda keep: rand_index(truth.species, np.where(np.isin(labels, keep), labels, -1)))
