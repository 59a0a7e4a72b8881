"""What is assessed: an iteration of a classification made here, its inputs, and how its particles were extracted."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from napari_subtomo.em.state import State, read_state
from napari_subtomo.errors import FileFormatError, InputError
from napari_subtomo.io import relion
from napari_subtomo.io.optimisation import resolve_inputs, user_path
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import StarBlock, read_star
from napari_subtomo.io.tomograms import TomogramSet
from napari_subtomo.options.assess import AssessOptions
from napari_subtomo.options.base import JobOptions
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.options.extract import ExtractOptions

RECORD = "job_record.json"
Model = TypeVar("Model", bound=JobOptions)


@dataclass(frozen=True, eq=False)
class Classification:
    """An iteration that is assessed.

    Attributes
    ----------
    options : ClassifyOptions
        With which it was run; device and threads are those of the assessment.
    iteration : int
    state : State
        What the iteration left to the next one: references without each fold, noise, fractions.
    particles : ParticleSet
        The input, with the poses that searches begin from.
    data : ParticleSet
        The iteration's particles, rows as in the input.
    tomograms : TomogramSet or None
    optimiser : StarBlock
    project : Project
        Of the classification.
    """

    options: ClassifyOptions
    iteration: int
    state: State
    particles: ParticleSet
    data: ParticleSet
    tomograms: TomogramSet | None
    optimiser: StarBlock
    project: Project


@dataclass(frozen=True, eq=False)
class Extraction:
    """An extraction that particles come from.

    Attributes
    ----------
    folder : Path
    options : ExtractOptions
        As it ran, the source (tilts or tomogram) decided.
    rows : ndarray of int
        Particles of the set that it wrote.
    project : Project
    """

    folder: Path
    options: ExtractOptions
    rows: npt.NDArray[np.int64]
    project: Project


def read_classification(options: AssessOptions, project: Project) -> Classification:
    """The iteration that the options name.

    Raises
    ------
    InputError
        It was not made by this package, is iteration 0, or what it was made from is gone or changed.
    """
    path = user_path(options.optimiser, project)
    star = read_star(path)
    block = star.get(relion.OPTIMISER_GENERAL)
    if block is None:
        raise FileFormatError(f"Expected an optimiser (data_{relion.OPTIMISER_GENERAL}) in {path}, found {', '.join(star.names)}.")
    iteration = int(block.ints(relion.CURRENT_ITERATION)[0])
    if iteration < 1:
        raise InputError(f"Expected an iteration from 1 on in {path}, found 0, in which nothing was compared yet; name a later one.")
    state_file = path.with_name(f"run_it{iteration:03d}_state.npz")
    if not state_file.is_file() or not (path.parent / RECORD).is_file():
        missing = state_file if not state_file.is_file() else path.parent / RECORD
        raise InputError(
            f"Expected {missing.name} beside {path.name}, found none: only classifications made here can be assessed; "
            "run classify on the particles, or name the optimiser in its own job folder."
        )
    classify, home, _ = read_job(path.parent, "classify", ClassifyOptions)
    particles, tomograms, _ = resolve_inputs(classify, home)
    state = read_state(state_file)
    data = read_particles(home.resolve(block.text(relion.EXPERIMENTAL_DATA_STAR_FILE, "")))
    if not len(particles) == len(state.labels) == len(data):
        raise InputError(
            f"Expected the {len(state.labels)} particles that were classified in {particles.path}, found {len(particles)}; "
            "the file was changed since then: classify again."
        )
    classify = classify.model_copy(update={"device": options.device, "threads": options.threads, "scratch_dir": options.scratch_dir})
    return Classification(classify, iteration, state, particles, data, tomograms, block, home)


def read_job(folder: Path, job: str, model: type[Model]) -> tuple[Model, Project, dict[str, Any]]:
    """Options, project and record of a job from its folder.

    Raises
    ------
    FileFormatError
        The record is that of another job, or of a version with other options.
    """
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["job"] != job:
            raise FileFormatError(f"Expected the record of a job '{job}' in {path}, found one of '{record['job']}'.")
        options = model.model_validate(record["resolved"])
        project = Project(Path(os.path.normpath(folder.absolute() / record["project"])))
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise FileFormatError(
            f"Expected a readable record of a job '{job}' in {path}, found a damaged one or one of another version; run the job again."
        ) from error
    anchored = {}
    for name in model.model_fields:
        value = getattr(options, name)
        if isinstance(value, Path):
            anchored[name] = project.resolve(value)
    return options.model_copy(update=anchored), project, record


def find_extractions(particles: ParticleSet, project: Project) -> list[Extraction]:
    """The extractions of all particles, found from the folders of their images.

    Raises
    ------
    InputError
        Images without a record of an extraction above them.
    """
    folders: dict[Path, Path | None] = {}
    members: dict[Path, list[int]] = {}
    for row, cell in enumerate(particles.image_paths):
        parent = project.resolve(cell).parent
        if parent not in folders:
            folders[parent] = _job_above(parent)
        found = folders[parent]
        if found is None:
            raise InputError(
                f"Expected the record of the extraction ({RECORD}) above {cell or 'the images of the particles'}, found none, so it is not "
                "known how to extract places without particles; extract such places as the particles were and give them with --nulls."
            )
        members.setdefault(found, []).append(row)
    return [_extraction(folder, np.array(rows, dtype=np.int64)) for folder, rows in members.items()]


def _job_above(folder: Path) -> Path | None:
    for candidate in [folder, *folder.parents][:5]:
        if (candidate / RECORD).is_file():
            try:
                if json.loads((candidate / RECORD).read_text(encoding="utf-8")).get("job") == "extract":
                    return candidate
            except (OSError, ValueError, AttributeError):
                continue
    return None


def _extraction(folder: Path, rows: npt.NDArray[np.int64]) -> Extraction:
    options, project, record = read_job(folder, "extract", ExtractOptions)
    numbers = record.get("numbers") or {}
    if options.source == "auto":  # what was decided then, whatever is on the disk now
        options = options.model_copy(update={"source": "tilts" if "frames" in numbers else "tomogram"})
    return Extraction(folder, options, rows, project)
