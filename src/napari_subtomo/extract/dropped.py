"""Particles that were left out of an extraction, and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.progress import Reporter

REASON_LABEL = "subtomoReason"
"""Private column of the dropped particles: why."""

NOT_A_NUMBER = "holds NaN or infinite values"
FILE = "dropped.star"
_NAMES_IN_LOG = 8


def report_dropped(
    folder: JobFolder, particles: ParticleSet, reasons: Mapping[int, str], outputs: dict[str, Path], reporter: Reporter, subject: str = ""
) -> list[str]:
    """Write dropped.star and say so; nothing where no particle was dropped.

    Parameters
    ----------
    folder : JobFolder
    particles : ParticleSet
        All of them.
    reasons : mapping of int to str
        Row of each dropped particle to what is wrong with it.
    outputs : dict
        Gets "dropped".
    reporter : Reporter
    subject : str
        What the reasons speak of, with a space after it.

    Returns
    -------
    list of str
        At most one sentence.
    """
    path = folder.file(FILE)
    path.unlink(missing_ok=True)
    if not reasons:
        return []
    rows = sorted(reasons)
    named = particles.with_columns({relion.TOMO_PARTICLE_NAME: particles.names})  # their default counts rows
    write_particles(path, named.select(np.array(rows)).with_columns({REASON_LABEL: [reasons[row] for row in rows]}))
    outputs["dropped"] = path
    names = ", ".join(particles.names[row] for row in rows[:_NAMES_IN_LOG]) + (", ..." if len(rows) > _NAMES_IN_LOG else "")
    found = ", or ".join(dict.fromkeys(reasons.values()))
    sentence = f"{len(rows)} particles dropped ({subject}{found}): {names}. They are listed in {path.name}."
    reporter.warn(sentence)
    return [sentence]
