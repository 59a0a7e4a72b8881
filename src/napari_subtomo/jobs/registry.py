"""All jobs by name; nothing is imported until a job is asked for."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import OptionError
from napari_subtomo.options.base import JobOptions

RunFunction = Callable[..., JobResult]


@dataclass(frozen=True)
class JobSpec:
    """Where a job is found and where it writes.

    Attributes
    ----------
    options, run : str
        ``module:name`` of the option model and of ``run(options, folder, reporter) -> JobResult``.
    folder : str or None
        RELION's job type, e.g. "Extract" for Extract/jobNNN. None: no numbered folder is made.
    help : str
        One line for the list of commands.
    positionals : tuple of str
        Option names that are given without a flag, in order.
    place : str
        Name of the positional argument that says where a job without numbered folder writes (``simulate DIR``); empty: such a job
        keeps no record and writes nothing but what it is told to.
    resumes : bool
        An unfinished run with equal options is gone on with; other jobs start again from their beginning.
    free : tuple of str
        Options that do not change the result and may differ when a run is gone on with.
    extends : str
        Option by which a run, finished or not, may be made longer.
    stops : str
        Switch by which a run ends before that; given as no, a run that ended so goes on.
    """

    name: str
    options: str
    run: str
    folder: str | None
    help: str
    positionals: tuple[str, ...] = ()
    place: str = ""
    resumes: bool = False
    free: tuple[str, ...] = ("device", "threads")
    extends: str = ""
    stops: str = ""

    @property
    def model(self) -> type[JobOptions]:
        """The option model."""
        model: type[JobOptions] = _load(self.options)
        return model

    @property
    def function(self) -> RunFunction:
        """The run function."""
        function: RunFunction = _load(self.run)
        return function

    @property
    def available(self) -> bool:
        """Whether the modules are there, found without importing them."""
        return all(_exists(target.partition(":")[0]) for target in (self.options, self.run))


def _spec(name: str, module: str, model: str, folder: str | None, help: str, **more: Any) -> JobSpec:
    options = more.pop("options", module)
    return JobSpec(name, f"napari_subtomo.options.{options}:{model}", f"napari_subtomo.{module}:run", folder, help, **more)


_ALL = (
    _spec("simulate", "simulate", "SimulateOptions", None, "make a small RELION 5 project with known truth", place="DIR"),
    _spec("pick", "pick", "PickOptions", "Picks", "points, spheres or particles to annotations and particles.star"),
    _spec("extract", "extract", "ExtractOptions", "Extract", "cut subtomograms and their weights", resumes=True),
    _spec(
        *("check-extraction", "check", "CheckExtractionOptions", "Check", "is an extraction right? seven checks with reasons"),
        options="check_extraction",
    ),
    _spec("reconstruct", "reconstruct", "ReconstructOptions", "Reconstruct", "average particles, in halves, with their FSC"),
    _spec(
        *("classify", "em.classify", "ClassifyOptions", "Class3D", "sort particles into 3D classes"),
        options="classify",
        resumes=True,
        free=("device", "threads", "preread", "scratch_dir"),
        extends="iterations",
        stops="stop_when_converged",
    ),
    _spec(
        *("sweep", "jobs.sweep", "SweepOptions", "Sweep", "classify with several numbers of classes and values of T, and compare"),
        options="sweep",
        resumes=True,
    ),
    _spec(*("assess", "assess", "AssessOptions", "Assess", "false-discovery rate of each particle of a classification"), resumes=True),
    _spec("select", "select", "SelectOptions", "Select", "keep the particles of chosen classes"),
    _spec("remove-duplicates", "duplicates", "DuplicatesOptions", "Select", "drop particles that are too close to others"),
    _spec("join", "join", "JoinOptions", "JoinStar", "one set of several, with their tomograms and optics groups", positionals=("sets",)),
    _spec("resize-map", "resize", "ResizeOptions", "ResizeMap", "change box and pixel size of maps and masks", positionals=("maps",)),
    _spec("table", "table", "TableOptions", None, "print and plot columns of any STAR file", positionals=("file", "table", "columns")),
)
JOBS: dict[str, JobSpec] = {spec.name: spec for spec in _ALL}


def get_job(name: str) -> JobSpec:
    """The job called `name`.

    Raises
    ------
    OptionError
        There is no such job.
    """
    if name not in JOBS:
        raise OptionError(f"There is no job '{name}'; the jobs are {', '.join(JOBS)}.")
    return JOBS[name]


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
