"""Remove particles that were picked more than once.

Two rules. The default is greedy on true positions (``c - S·o``): particles are visited from the best score to the worst; a particle
that is still there stays and removes all others of its tomogram within the distance. A removed particle removes nobody, so a chain
of near neighbours is thinned and not wiped out. The other rule is RELION's (`removeDuplicatedParticles`), for equal counts: a row
goes if any later row of its tomogram lies within the distance, whether that row stays or not, on positions ``c - o`` with origins
that are not rotated by the subtomogram frame.

In both rules a distance equal to the threshold counts as a duplicate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from napari_subtomo.data.result import JobResult
from napari_subtomo.data.selection import Selection
from napari_subtomo.errors import GeometryError, InputError, OptionError
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import resolve_inputs, write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.options.duplicates import DuplicatesOptions
from napari_subtomo.progress import Reporter

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

_SLACK = 1 + 1e-9  # the tree finds candidates, the exact squared distance decides


def greedy_keep(
    positions: npt.ArrayLike,
    groups: Sequence[str],
    distance: float,
    scores: npt.ArrayLike | None = None,
    sets: Sequence[int] | None = None,
) -> tuple[BoolArray, npt.NDArray[np.int64]]:
    """The particles that stay when the best of each neighbourhood is kept.

    Parameters
    ----------
    positions : array_like, shape (n, 3)
        Å, xyz; any common origin within a group.
    groups : sequence of str, length n
        Tomogram of each particle; only particles of one group are compared.
    distance : float
        Å; pairs at this distance or nearer are duplicates.
    scores : array_like, shape (n,), optional
        Higher is better; equal scores are decided by the row order, the first stays. NaN is worse than any number, minus infinity
        included. Without scores the first in the row order stays.
    sets : sequence of int, length n, optional
        Particles of one set are never duplicates of each other.

    Returns
    -------
    keep : ndarray of bool, shape (n,)
    winner : ndarray of int, shape (n,)
        Row of the particle that removed this one; the own row for those that stay.

    Raises
    ------
    GeometryError
        A position is not finite.
    """
    points = _checked(positions, groups)
    n = len(points)
    values = np.zeros(n) if scores is None else np.asarray(scores, dtype=np.float64)
    order = np.lexsort((np.arange(n), -np.where(np.isnan(values), 0, values), np.isnan(values)))
    rank = np.empty(n, dtype=np.int64)
    rank[order] = np.arange(n)
    keep, winner = np.ones(n, dtype=bool), np.arange(n)
    for rows in _group_rows(groups):
        rows = rows[np.argsort(rank[rows])]
        tree = cKDTree(points[rows])
        for i, row in enumerate(rows):
            if keep[row]:
                for other in _within(tree, points[rows], i, distance):
                    if other > i and keep[rows[other]] and (sets is None or sets[rows[other]] != sets[row]):
                        keep[rows[other]], winner[rows[other]] = False, row
    return keep, winner


def relion_keep(positions: npt.ArrayLike, groups: Sequence[str], distance: float) -> BoolArray:
    """The particles that stay by RELION's rule: a row goes if any later row of its group lies within the distance.

    Parameters
    ----------
    positions : array_like, shape (n, 3)
        Å, xyz; for RELION's counts the coordinates minus the origins, not rotated.
    groups : sequence of str, length n
    distance : float
        Å.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    points = _checked(positions, groups)
    keep = np.ones(len(points), dtype=bool)
    for rows in _group_rows(groups):
        tree = cKDTree(points[rows])
        for i, row in enumerate(rows):
            keep[row] = max(_within(tree, points[rows], i, distance), default=-1) <= i
    return keep


def _checked(positions: npt.ArrayLike, groups: Sequence[str]) -> FloatArray:
    points = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    if len(groups) != len(points):
        raise InputError(f"Expected one tomogram name a particle, found {len(groups)} names for {len(points)} particles.")
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if len(bad):
        raise GeometryError(
            f"Expected finite positions, found {points[bad[0]].tolist()} Å for particle {bad[0] + 1}; correct or remove the row."
        )
    return points


def _group_rows(groups: Sequence[str]) -> Iterator[npt.NDArray[np.int64]]:
    """Row numbers of each group, ascending."""
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    for members in rows.values():
        yield np.array(members, dtype=np.int64)


def _within(tree: cKDTree, points: FloatArray, i: int, distance: float) -> list[int]:
    """Points at `distance` or nearer to point `i`, itself left out."""
    found = [j for j in tree.query_ball_point(points[i], distance * _SLACK) if j != i]
    if not found:
        return found
    squared = np.sum((points[found] - points[i]) ** 2, axis=1)
    return [j for j, d in zip(found, squared, strict=True) if d <= distance * distance]


def score_values(particles: ParticleSet, column: str) -> FloatArray:
    """The numbers of a score column, shape (n,); the label may carry its underscore.

    Raises
    ------
    InputError
        No such column, or a value that is no number.
    """
    label = column.removeprefix("_")
    if not particles.has(label):
        table = particles.table
        known = ", ".join(name for name in table.labels if _numeric(table.columns[name][:1]))
        raise InputError(f"Expected the score column {label} in {particles.path or 'the particles'}, found the numeric columns {known}.")
    return particles.floats(label)


def _numeric(texts: Sequence[str]) -> bool:
    try:
        return bool([float(text) for text in texts])
    except ValueError:
        return False


def remove_duplicates(
    particles: ParticleSet, distance: float, *, score: str | None = None, tomograms: TomogramSet | None = None
) -> Selection:
    """Duplicate removal by the greedy rule on true positions.

    Parameters
    ----------
    particles : ParticleSet
    distance : float
        Å.
    score : str, optional
        Column whose higher value stays; values that are no number (NaN) lose against all others.
    tomograms : TomogramSet, optional
        Needed for files of RELION 4 and before, which hold pixels.
    """
    scores = None if score is None else score_values(particles, score)
    keep, _ = greedy_keep(particles.positions(tomograms), particles.tomo_names, distance, scores)
    return Selection(keep)


def remove_duplicates_as_relion(particles: ParticleSet, distance: float, *, tomograms: TomogramSet | None = None) -> Selection:
    """Duplicate removal as `relion_star_handler --remove_duplicates` does it (`removeDuplicatedParticles`).

    Positions are coordinates minus origins without the subtomogram frame, groups are micrographs where the file has them and
    tomograms elsewhere, and the last of a cluster stays. Parameters as in `remove_duplicates`; scores play no role.
    """
    groups = particles.texts(relion.MICROGRAPH_NAME) if particles.has(relion.MICROGRAPH_NAME) else particles.tomo_names
    return Selection(relion_keep(particles.coordinates(tomograms) - particles.origins, groups, distance))


def run(options: DuplicatesOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Write `particles.star` without duplicates, `particles_removed.star` with them, and `optimisation_set.star`.

    Rows keep their order, columns and text.
    """
    particles, tomograms, trajectories = resolve_inputs(options, folder.project)
    reporter.stage("remove duplicates", len(particles), "particles")
    if options.rule == "relion":
        if options.score is not None:
            raise OptionError(
                "Expected no score with the rule relion, which looks at the order of rows alone; leave out --score or the rule."
            )
        if not particles.has(*relion.ORIGINS):
            reporter.warn(f"The particles have no origins (_{relion.ORIGIN_X} ...), which RELION itself asks for; they count as 0.")
        selection = remove_duplicates_as_relion(particles, options.min_distance, tomograms=tomograms)
    else:
        if options.score is not None:
            unscored = int(np.isnan(score_values(particles, options.score)).sum())
            if unscored:
                reporter.warn(f"{unscored} particles have no score (NaN in {options.score}); any scored particle is kept in their place.")
        selection = remove_duplicates(particles, options.min_distance, score=options.score, tomograms=tomograms)
    reporter.advance(len(particles))
    outputs = {name: folder.file(f"{name}.star") for name in ("particles", "particles_removed", "optimisation_set")}
    write_particles(outputs["particles"], particles.select(selection.keep))
    write_particles(outputs["particles_removed"], particles.select(selection.rejected))
    write_optimisation_set(
        outputs["optimisation_set"],
        particles=folder.name("particles.star"),
        tomograms=folder.link(tomograms.path) if tomograms is not None and tomograms.path is not None else None,
        trajectories=folder.link(trajectories) if trajectories is not None else None,
    )
    near = f"{options.min_distance:g} Å or nearer to another one of their tomogram (rule {options.rule})"
    summary = (f"{selection.n_kept} of {len(particles)} particles kept; {selection.n_rejected} removed that lay {near}.",)
    numbers = {
        "particles": selection.n_kept,
        "removed": selection.n_rejected,
        "input": len(particles),
        "min_distance": options.min_distance,
    }
    return JobResult(outputs, summary, numbers)
