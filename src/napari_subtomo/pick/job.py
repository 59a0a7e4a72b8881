"""The job: picks from one source to annotations, `particles.star` and `optimisation_set.star`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import FileMissingError, InputError, OptionError
from napari_subtomo.io import relion
from napari_subtomo.io.annotations import Annotations, annotation_path, find_annotations, read_annotations, write_annotations
from napari_subtomo.io.optimisation import input_paths, user_path, write_optimisation_set
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.tomograms import TomogramSet, read_tomograms
from napari_subtomo.options.pick import PickOptions
from napari_subtomo.pick.fresh import lattice_points, orientation_columns, points_to_particles, spheres_to_particles
from napari_subtomo.pick.rejoin import Joined, join_particles, stable_ids
from napari_subtomo.pick.sources import Picks, Spheres, parse_spheres, read_points, read_spheres
from napari_subtomo.progress import Reporter

ANNOTATIONS = "annotations"


@dataclass(frozen=True, eq=False)
class Plan:
    """What the job will write.

    Attributes
    ----------
    particles : ParticleSet
    annotations : tuple of Annotations
        One a tomogram.
    summary : str
        How many particles from where.
    numbers : dict
    keeps : bool
        Whether particles of the input are among the particles.
    """

    particles: ParticleSet
    annotations: tuple[Annotations, ...]
    summary: str
    numbers: dict[str, int]
    keeps: bool = False


def run(options: PickOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Write `annotations/<tomogram>_particles.star` or `_spheres.star`, `particles.star` and `optimisation_set.star`.

    Nothing is written before all input was read and understood.
    """
    project = folder.project
    particles_path, tomograms_path, trajectories = input_paths(options, project)
    if tomograms_path is None:
        raise InputError("Expected a tomogram set, found none; give --tomograms or --optimisation-set.")
    tomograms = read_tomograms(tomograms_path, project)
    for sentence in tomograms.warnings:
        reporter.warn(sentence)
    reporter.stage("pick")
    plan = _plan(options, project, tomograms, particles_path, reporter)
    if trajectories is not None and not plan.keeps:
        trajectories = None  # they belong to particles that are not in this set
    _warn_outside(plan.particles, tomograms, reporter)
    for picks in plan.annotations:
        annotation_path(folder.file(ANNOTATIONS), picks.tomo_name, picks.kind)  # refuses impossible names before writing
    for picks in plan.annotations:
        write_annotations(folder.file(ANNOTATIONS), picks)
        reporter.check()
    outputs = {name: folder.file(f"{name}.star") for name in ("particles", "optimisation_set")}
    write_particles(outputs["particles"], plan.particles)
    write_optimisation_set(
        outputs["optimisation_set"],
        particles=folder.name("particles.star"),
        tomograms=folder.link(tomograms_path),
        trajectories=folder.link(trajectories) if trajectories is not None else None,
    )
    numbers = {"particles": plan.particles.n, "tomograms": len(set(plan.particles.tomo_names))} | plan.numbers
    return JobResult(outputs | {ANNOTATIONS: folder.file(ANNOTATIONS)}, (plan.summary,), numbers)


def _plan(options: PickOptions, project: Project, tomograms: TomogramSet, particles_path: Path | None, reporter: Reporter) -> Plan:
    """One of the sources, in the order points, spheres, edited annotations, particles."""
    if options.points is not None:
        picks = read_points(user_path(options.points, project), tomograms, options.units, options.tomogram)
        particles = points_to_particles(picks)
        return Plan(particles, particle_annotations(particles, tomograms), f"{len(picks)} particles at points.", {})
    if options.spheres is not None or options.sphere:
        spheres = _given_spheres(options, project, tomograms)
        assert options.spacing is not None
        _warn_small(spheres, options.spacing, reporter)
        particles = spheres_to_particles(spheres, options.spacing, options.seed)
        summary = f"{particles.n} particles on {len(spheres)} sphere{'s' if len(spheres) != 1 else ''}, {options.spacing:g} Å apart."
        return Plan(particles, sphere_annotations(spheres, tomograms), summary, {"spheres": len(spheres)})
    if options.annotations is not None:
        return _edited(options, user_path(options.annotations, project), tomograms, particles_path, reporter)
    if particles_path is None:
        raise OptionError(
            "Expected something to pick from, found nothing; give --points, --spheres, --sphere, --annotations or --particles."
        )
    particles, _ = stable_ids(as_relion5(read_particles(particles_path), tomograms))
    return Plan(particles, particle_annotations(particles, tomograms), f"{particles.n} particles turned into annotations.", {}, True)


def _given_spheres(options: PickOptions, project: Project, tomograms: TomogramSet) -> Spheres:
    parts = [parse_spheres(options.sphere, tomograms, options.units)]
    if options.spheres is not None:
        parts.insert(0, read_spheres(user_path(options.spheres, project), tomograms, options.units, options.tomogram))
    return _all_spheres(parts)


def _all_spheres(parts: list[Spheres]) -> Spheres:
    names = tuple(name for part in parts for name in part.tomo_names)
    return Spheres(names, np.concatenate([p.positions for p in parts]), np.concatenate([p.radii for p in parts]))


def _edited(options: PickOptions, folder: Path, tomograms: TomogramSet, particles_path: Path | None, reporter: Reporter) -> Plan:
    """Edited annotations: spheres where a spacing is given, else particles."""
    kind = "spheres" if options.spacing is not None else "particles"
    files = list(find_annotations(folder, "spheres" if kind == "spheres" else "particles"))
    if not files:
        hint = "give --spacing for spheres" if kind == "particles" else "leave out --spacing for particles"
        raise FileMissingError(f"Expected files <tomogram>_{kind}.star in the folder {folder}, found none; check the path or {hint}.")
    found = [read_annotations(path) for path in files]
    beside = folder.parent / "particles.star"
    former = beside if options.particles is None and beside.is_file() else particles_path
    base = None if former is None else as_relion5(read_particles(former), tomograms)
    if former is None:
        reporter.message(f"There is no {beside} with the columns of these annotations; all particles are new.")
    picks = Picks(
        tuple(one.tomo_name for one in found for _ in range(len(one))),
        np.concatenate([tomograms[one.tomo_name].frame.positions(one.points_zyx) for one in found]),
    )
    if kind == "particles":
        ids = [key for one in found for key in (one.ids or ("",) * len(one))]
        joined = _joined(base, picks, tomograms, ids)
        return _edit_plan(joined, particle_annotations(joined.particles, tomograms, [one.tomo_name for one in found]))
    radii = [one.radii * tomograms[one.tomo_name].frame.voxel_size for one in found if one.radii is not None]
    spheres = Spheres(picks.tomo_names, picks.positions, np.concatenate(radii))
    assert options.spacing is not None
    _warn_small(spheres, options.spacing, reporter)
    points, frames, _ = lattice_points(spheres, options.spacing, options.seed)
    if base is None:
        particles = spheres_to_particles(spheres, options.spacing, options.seed)
        joined = Joined(particles, 0, 0, particles.n, 0)
    else:
        joined = join_particles(base, points, tomograms, columns=orientation_columns(frames))
    empty = [one.tomo_name for one in found if not len(one)]
    return _edit_plan(joined, sphere_annotations(spheres, tomograms, empty))


def _joined(base: ParticleSet | None, picks: Picks, tomograms: TomogramSet, ids: list[str]) -> Joined:
    if base is None:
        particles = points_to_particles(picks)
        return Joined(particles, 0, 0, particles.n, 0)
    return join_particles(base, picks, tomograms, ids)


def _edit_plan(joined: Joined, picks: tuple[Annotations, ...]) -> Plan:
    n = joined.particles.n
    summary = (
        f"{n} particles after the edit: {joined.kept} kept, of them {joined.moved} moved; {joined.added} new; {joined.dropped} dropped."
    )
    numbers = {"kept": joined.kept, "moved": joined.moved, "added": joined.added, "dropped": joined.dropped}
    return Plan(joined.particles, picks, summary, numbers, joined.kept > 0)


def as_relion5(particles: ParticleSet, tomograms: TomogramSet) -> ParticleSet:
    """The set with tomogram names and centred coordinates in Å; a set of RELION 5 is not changed."""
    if particles.dialect == "relion5":
        return particles
    if not particles.has(relion.TOMO_NAME):
        particles = particles.with_columns({relion.TOMO_NAME: particles.tomo_names})
    return particles.with_coordinates(particles.coordinates(tomograms))


def particle_annotations(particles: ParticleSet, tomograms: TomogramSet, also: list[str] | None = None) -> tuple[Annotations, ...]:
    """True positions (``c - S·o``) of the particles of each tomogram with their row ids; `also`: tomograms listed even if empty."""
    particles, ids = stable_ids(particles)
    positions, names = particles.positions(tomograms), np.asarray(particles.tomo_names, dtype=object)
    result = []
    for name in dict.fromkeys((*particles.tomo_names, *(also or ()))):
        rows = np.flatnonzero(names == name)
        result.append(Annotations(name, tomograms[name].frame.voxels_zyx(positions[rows]), ids=tuple(ids[i] for i in rows)))
    return tuple(result)


def sphere_annotations(spheres: Spheres, tomograms: TomogramSet, also: list[str] | None = None) -> tuple[Annotations, ...]:
    """Centres and radii in voxels; `also`: tomograms listed even if empty."""
    names = np.asarray(spheres.tomo_names, dtype=object)
    result = []
    for name in dict.fromkeys((*spheres.tomo_names, *(also or ()))):
        rows, frame = np.flatnonzero(names == name), tomograms[name].frame
        result.append(Annotations(name, frame.voxels_zyx(spheres.positions[rows]), spheres.radii[rows] / frame.voxel_size))
    return tuple(result)


def _warn_outside(particles: ParticleSet, tomograms: TomogramSet, reporter: Reporter) -> None:
    """Say how many particles lie outside of their tomogram: a wrong unit shows here."""
    positions, names = particles.positions(tomograms), np.asarray(particles.tomo_names, dtype=object)
    for name in dict.fromkeys(particles.tomo_names):
        frame = tomograms[name].frame
        pixels = frame.unbinned(positions[names == name])
        outside = int(((pixels < -0.5) | (pixels > np.asarray(frame.size_xyz) - 0.5)).any(axis=1).sum())
        if outside:
            reporter.warn(f"{outside} of {len(pixels)} particles lie outside of the tomogram {name}; check the unit of the coordinates.")


def _warn_small(spheres: Spheres, spacing: float, reporter: Reporter) -> None:
    from napari_subtomo.geometry.shapes import sphere_point_count

    for i, (name, radius) in enumerate(zip(spheres.tomo_names, spheres.radii, strict=True)):
        if sphere_point_count(float(radius), spacing) == 0:
            reporter.warn(f"Sphere {i + 1} ({name}, radius {radius:g} Å) is too small for points {spacing:g} Å apart and gives none.")
