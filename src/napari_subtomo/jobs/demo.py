"""The demo: every job once, on a simulated sample, each in its own folder of one project."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import JobError
from napari_subtomo.io.project import Project
from napari_subtomo.jobs.commandline import command_words, shown
from napari_subtomo.jobs.opening import check_folder, finished_result
from napari_subtomo.jobs.record import anchored, dump_options
from napari_subtomo.jobs.registry import get_job
from napari_subtomo.jobs.runner import run_job
from napari_subtomo.options.base import JobOptions
from napari_subtomo.options.demo import DemoOptions
from napari_subtomo.progress import Reporter

#: settings that fit the default sample: particles of 320 Å in pixels of 10 Å, orientations known to about 10 degrees
LARGE_BOX, BOX, MASK_DIAMETER, INITIAL_LOWPASS, LOCAL_RANGE, OFFSET_RANGE = 64, 48, 380.0, 60.0, 15.0, 3.0
#: no two particles can be closer than this; the sample keeps particles apart by a little more than their diameter
MIN_DISTANCE = 100.0


@dataclass(frozen=True)
class Step:
    """What became of one step."""

    job: str
    folder: Path
    result: JobResult
    seconds: float
    reused: bool


@dataclass
class Demo:
    """Steps in one project; a step that is finished is not done again, unless an earlier one was.

    Parameters
    ----------
    root : Path
        Folder of the project.
    reporter : Reporter
    """

    root: Path
    reporter: Reporter
    steps: list[Step] = field(default_factory=list)

    def step(self, job: str, options: JobOptions, output: str) -> JobResult:
        """Run a job in the folder `output` of the project, or take what it left there earlier."""
        spec, project, folder = get_job(job), Project(self.root), self.root / output
        options = anchored(options, lambda path: project.resolve(path))
        resolved = dump_options(options, project.name)
        earlier = all(step.reused for step in self.steps)
        reused = finished_result(folder, spec, resolved, project) if earlier else None
        words = command_words(job, type(options), dump_options(options, project.name, given_only=True))
        words = [job, ".", *words[1:]] if spec.place else [*words, "-o", output]
        self.reporter.message(f"--- {shown(words)}")
        begun = time.monotonic()
        if reused is not None:
            self.reporter.message("Finished earlier, not done again.")
            result = reused
        else:
            where = {"output": folder} if spec.place else {"output": output, "project": project}
            overwrite = not spec.place and not _usable(lambda: check_folder(folder, spec, resolved))
            _, result = run_job(job, options, **where, reporter=self.reporter, overwrite=overwrite)
        self.steps.append(Step(job, folder, result, time.monotonic() - begun, reused is not None))
        return result


def run_demo(options: DemoOptions, reporter: Reporter, sample: Mapping[str, Any] | None = None) -> list[Step]:
    """Simulate, pick, extract, average, classify, select and remove duplicates in `options.directory`.

    Parameters
    ----------
    options : DemoOptions
    reporter : Reporter
    sample : mapping, optional
        Options of `SimulateOptions` for another sample than the default one; particles and pixels of the same size.

    Returns
    -------
    list of Step

    Raises
    ------
    JobError
        The folder holds something else.
    """
    from napari_subtomo.options.classify import ClassifyOptions
    from napari_subtomo.options.duplicates import DuplicatesOptions
    from napari_subtomo.options.extract import ExtractOptions
    from napari_subtomo.options.pick import PickOptions
    from napari_subtomo.options.reconstruct import ReconstructOptions
    from napari_subtomo.options.select import SelectOptions
    from napari_subtomo.options.simulate import SimulateOptions

    demo = Demo(options.directory.absolute(), reporter)
    compute: dict[str, Any] = {"threads": options.threads, "seed": options.seed}
    made = _simulate(demo, SimulateOptions(**compute, **(sample or {})))
    pick = demo.step(
        "pick",
        PickOptions(particles=made.outputs["particles"], tomograms=made.outputs["tomograms"], seed=options.seed),
        "Picks/job001",
    )
    extract = demo.step(
        "extract",
        ExtractOptions(
            optimisation_set=pick.outputs["optimisation_set"], box_size=LARGE_BOX, crop_size=BOX, binning=1, threads=options.threads
        ),
        "Extract/job002",
    )
    particles = extract.outputs["optimisation_set"]
    average = demo.step(
        "reconstruct", ReconstructOptions(optimisation_set=particles, device=options.device, **compute), "Reconstruct/job003"
    )
    classify = demo.step(
        "classify",
        ClassifyOptions(
            optimisation_set=particles,
            reference=average.outputs["merged"],
            classes=options.classes,
            iterations=options.iterations,
            mask_diameter=MASK_DIAMETER,
            initial_lowpass=INITIAL_LOWPASS,
            local_range=LOCAL_RANGE,
            offset_range=OFFSET_RANGE,
            device=options.device,
            **compute,
        ),
        "Class3D/job004",
    )
    select = demo.step("select", SelectOptions(optimiser=classify.outputs["optimiser"], auto=True), "Select/job005")
    demo.step(
        "remove-duplicates",
        DuplicatesOptions(particles=select.outputs["particles"], tomograms=made.outputs["tomograms"], min_distance=MIN_DISTANCE),
        "Select/job006",
    )
    return demo.steps


def _simulate(demo: Demo, options: JobOptions) -> JobResult:
    """The sample; a folder of something else is left alone."""
    spec, project = get_job("simulate"), Project(demo.root)
    resolved = dump_options(options, project.name)
    if finished_result(project.root, spec, resolved, project) is None:
        try:
            check_folder(project.root, spec, resolved)
        except JobError as error:
            found = str(error).partition(";")[0]
            raise JobError(f"Expected a new folder or an earlier demo with the same seed; choose another folder. {found}.") from error
    return demo.step("simulate", options, ".")


def _usable(check: Callable[[], object]) -> bool:
    try:
        check()
    except JobError:
        return False
    return True
