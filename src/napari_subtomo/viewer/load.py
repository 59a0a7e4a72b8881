"""From files to a session."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.errors import FileMissingError, InputError, SubtomoError
from napari_subtomo.io.mrc import mrc_header
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.relion import (
    ANGLES,
    EMPTY_CLASS,
    LOG_LIKELI_CONTRIBUTION,
    MAX_VALUE_PROB_DISTRIBUTION,
    MODEL_GENERAL,
    OPTIMISER_GENERAL,
    PARTICLE_DIAMETER,
    SUBTOMOGRAM_ANGLES,
    TOMO_PARTICLE_NAME,
)
from napari_subtomo.io.star import read_star
from napari_subtomo.io.tomograms import TomogramSet, read_tomograms
from napari_subtomo.viewer.picking.files import spheres_beside
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.settings import settings
from napari_subtomo.viewer.sources import Source, find_sources, source_of, tomogram_files
from napari_subtomo.viewer.table import ParticleTable

#: Drawn diameter where no file tells the size of the particle, Å.
DEFAULT_DIAMETER = 200.0
#: Endings of MRC volumes.
VOLUME_ENDINGS = (".mrc", ".rec", ".map", ".mrcs")


def table_of(particles: ParticleSet, source: int, tomograms: TomogramSet | None) -> ParticleTable:
    """The rows of one particle set, in file order.

    Parameters
    ----------
    particles : ParticleSet
    source : int
        Its place in the session's sets.
    tomograms : TomogramSet, optional
        Needed where the file holds pixels instead of centred Å.
    """
    n = particles.n
    score = next((label for label in (MAX_VALUE_PROB_DISTRIBUTION, LOG_LIKELI_CONTRIBUTION) if particles.has(label)), None)
    oriented = any(particles.has(label) for label in (*ANGLES, *SUBTOMOGRAM_ANGLES))
    return ParticleTable(
        tomograms=np.asarray(particles.tomo_names, dtype=np.str_),
        positions=particles.positions(tomograms),
        orientations=particles.orientations if oriented else np.full((n, 3, 3), np.nan),
        classes=np.asarray(particles.class_numbers, dtype=np.int64),
        scores=particles.floats(score) if score else np.full(n, np.nan),
        names=np.asarray(particles.names, dtype=np.str_),
        source=np.full(n, source, dtype=np.int64),
        row=np.arange(n, dtype=np.int64),
        alive=np.ones(n, dtype=bool),
        columns={label: particles.texts(label) for label in particles.table.labels},
    )


def volume_session(path: Path) -> Session:
    """A tomogram that no STAR file describes: name, size and voxel come from the MRC file itself.

    Without a voxel size in the header a voxel counts as 1 Å, and the title says so.

    Raises
    ------
    InputError
        The file holds a single image.
    """
    header = mrc_header(path)
    if len(header.shape) != 3 or header.shape[0] < 2:
        raise InputError(f"Expected a volume of several slices in {path}, found a single image; open it with napari's own File > Open.")
    voxel = header.voxel_size
    depth, height, width = header.shape
    known = voxel > 0
    tomogram = Tomogram(
        path.stem, size_xyz=(width, height, depth), pixel_size=voxel if known else 1.0, binning=1.0, tomogram_path=path.resolve()
    )
    title = path.name if known else f"{path.name}, no voxel size in its header: 1 Å assumed"
    table = ParticleTable.empty()
    return Session(
        path.resolve().parent, (tomogram,), table=table, saved=table, diameter=DEFAULT_DIAMETER, title=title, shown=tomogram.name
    )


def load_session(path: Path, project: Project | None = None, source: Source | None = None) -> Session:
    """Read what a path shows.

    Parameters
    ----------
    path : Path
        Project folder, job folder, STAR file, or an MRC volume without any.
    project : Project, optional
    source : Source, optional
        What to show of the project, instead of its latest selection, classification or particle set.

    Returns
    -------
    Session
        The first tomogram with kept particles is shown.

    Raises
    ------
    InputError
        Nothing to show there, or no tomogram set that describes the particles' tomograms.
    """
    path = Path(path)
    if not path.exists():
        raise FileMissingError(f"Expected a project folder, a job folder or a STAR file, found nothing at {path}; check the path.")
    if path.is_file() and path.suffix.lower() in VOLUME_ENDINGS:
        return volume_session(path)
    if path.is_file() and path.suffix.lower() != ".star":
        raise InputError(f"Expected a project folder, a job folder, a STAR file or an MRC volume, found {path.name}.")
    found_project, found = source_of(path, project)
    source = source or found
    sets = _particle_sets(source, found_project) if source else []
    names = {str(name) for particles, _ in sets for name in particles.tomo_names}
    candidates = [path] if source is None and path.is_file() else tomogram_files(found_project, source)
    tomograms = _best_tomograms(candidates, names, found_project, path)
    table, kept = ParticleTable.empty(), np.zeros(0, dtype=bool)
    for place, (particles, keep) in enumerate(sets):
        table, kept = table.joined(table_of(particles, place, tomograms)), np.concatenate([kept, keep])
    spheres = spheres_beside(source.folder, tomograms) if source else ()
    session = Session(
        project=found_project.root,
        tomograms=tuple(tomograms),
        sets=tuple(particles for particles, _ in sets),
        table=table,
        kept=kept,
        tomogram_set=tomograms,
        saved=table,
        spheres=spheres,
        saved_spheres=spheres,
        diameter=_diameter(source, sets, table),
        title=source.title if source else "tomograms",
        rejected=settings().rejected,
        shown=tomograms.names[0] if len(tomograms) else "",
    )
    busy = next((name for name in session.names if session.counts(name)[0]), session.shown)
    return replace(session, shown=busy)


def _particle_sets(source: Source, project: Project) -> list[tuple[ParticleSet, np.ndarray]]:
    """Particle sets of a source with their masks of kept rows: the kept ones, the rejected ones, and the rest of the classification."""
    first = read_particles(source.particles)
    empty = _empty_class(source)
    sets = [(first, first.class_numbers != empty if empty else np.ones(first.n, dtype=bool))]
    if source.rejected is not None:
        rejected = read_particles(source.rejected)
        sets.append((rejected, np.zeros(rejected.n, dtype=bool)))
    if source.kind == "selection" and first.has(TOMO_PARTICLE_NAME):
        rest = _rest_of_classification(sets, project)
        if rest is not None and rest.n:
            sets.append((rest, np.zeros(rest.n, dtype=bool)))
    return sets


def _rest_of_classification(sets: list[tuple[ParticleSet, np.ndarray]], project: Project) -> ParticleSet | None:
    """Particles of the newest classification that stand in no file of the selection although all kept ones come from it."""
    known = {str(name) for particles, _ in sets for name in particles.names}
    kept = {str(name) for name in sets[0][0].names}
    for source in find_sources(project):
        if source.kind != "classification":
            continue
        try:
            whole = read_particles(source.particles)
        except SubtomoError:
            continue  # a file that cannot be read is not what was asked for: the selection is shown without it
        names = [str(name) for name in whole.names]
        if whole.has(TOMO_PARTICLE_NAME) and kept and kept <= set(names):
            return whole.select(np.asarray([name not in known for name in names], dtype=bool))
    return None


def _empty_class(source: Source) -> int:
    """Number of the class that takes false picks in a classification of ours; its particles count as rejected. 0 without one."""
    model = source.particles.with_name(source.particles.name.replace("_data.star", "_model.star"))
    if source.kind != "classification" or not model.is_file():
        return 0
    general = read_star(model).get(MODEL_GENERAL)
    return int(general.text(EMPTY_CLASS, "0")) if general is not None else 0


def _best_tomograms(candidates: list[Path], names: set[str], project: Project, path: Path) -> TomogramSet:
    """The first candidate that knows all tomograms of the particles and shows most of them; later ones only if they show more."""
    best: tuple[int, TomogramSet] | None = None
    failures: list[str] = []
    for candidate in candidates:
        try:
            tomograms = read_tomograms(candidate, project)
            if not names <= set(tomograms.names):
                missing = sorted(names - set(tomograms.names))
                failures.append(f"{project.name(candidate)} lacks {', '.join(missing[:3])}")
                continue
            value = sum(_worth(tomogram) for tomogram in tomograms)
        except SubtomoError as error:
            failures.append(str(error))
            continue
        if best is None or value > best[0]:
            best = (value, tomograms)
    if best is None:
        found = "; ".join(failures[:3]) or "no tomograms.star"
        raise InputError(f"Expected a tomogram set that describes the tomograms of {path}, found none in {project.root} ({found}).")
    return best[1]


def _worth(tomogram: Tomogram) -> int:
    """4 for a volume on disk, 2 for a named one, 1 for a size: what is needed to show, and to place particles at all."""
    volumes = [tomogram.denoised_path, tomogram.tomogram_path, *(tomogram.half_paths or ())]
    on_disk = any(path is not None and path.is_file() for path in volumes)
    return 4 * on_disk + 2 * any(path is not None for path in volumes) + (tomogram.size_xyz is not None)


def _diameter(source: Source | None, sets: list[tuple[ParticleSet, np.ndarray]], table: ParticleTable) -> float:
    """Particle diameter in Å: of the classification's mask, else 60 % of the box, else a default that keeps neighbours apart."""
    if source is not None and source.kind == "classification":
        optimiser = source.particles.with_name(source.particles.name.replace("_data.star", "_optimiser.star"))
        if optimiser.is_file():
            general = read_star(optimiser).get(OPTIMISER_GENERAL)
            if general is not None and general.has(PARTICLE_DIAMETER):
                diameter = float(general.floats(PARTICLE_DIAMETER)[0])
                if diameter > 0:
                    return diameter
    for particles, _ in sets:
        try:
            return 0.6 * particles.box_size * particles.pixel_size
        except SubtomoError:
            continue  # not extracted yet: no box
    return min(DEFAULT_DIAMETER, _spacing(table))


def _spacing(table: ParticleTable) -> float:
    """Median distance in Å from a particle to the nearest one of its tomogram, over the fullest tomogram; infinite without any."""
    if len(table) == 0:
        return np.inf
    names, counts = np.unique(table.tomograms, return_counts=True)
    points = table.positions[table.tomograms == names[counts.argmax()]]
    if len(points) < 2:
        return np.inf
    distances, _ = cKDTree(points).query(points, k=2)
    spacing = float(np.median(distances[:, 1]))
    return spacing if spacing > 0 else np.inf
