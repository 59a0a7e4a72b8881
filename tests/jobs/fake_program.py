"""Two made-up jobs and the program with them: `python fake_program.py count --steps 5 -o DIR`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Literal

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import DeviceError, InputError, JobError
from napari_subtomo.io.project import JobFolder
from napari_subtomo.jobs.registry import JOBS, JobSpec
from napari_subtomo.options.base import InputOptions, option
from napari_subtomo.progress import Reporter

FAILURES = {
    "input": InputError("Expected a star, found a moon; give a star."),
    "job": JobError("The job cannot go on."),
    "device": DeviceError("There is no GPU; use --device cpu."),
    "bug": ZeroDivisionError("a slip"),
    "memory": MemoryError(),
    "disk": OSError(28, "No space left on device", "map.mrc"),
}


class CountOptions(InputOptions):
    """Count to a number, and write it down."""

    steps: int = option(5, "How far.", title="Number of steps", group="Counting", ge=1, unit="px")
    sleep: float = option(0.0, "Time for each step; 100 % of it is wasted.", group="Counting", unit="s", ge=0)
    fail: Literal["no", "input", "job", "device", "bug", "memory", "disk"] = option("no", "How to fail, half-way.", group="Counting")
    source: Literal["tomogram", "images"] = option("tomogram", "From what.", group="Counting", alias="from")
    keep: tuple[int, ...] = option((), "Some numbers.", group="Counting")
    centre: tuple[float, float, float] = option((0.0, 0.0, 0.0), "A place.", group="Counting", unit="Å")
    threads: int = option(1, "Threads.", group="Compute")
    align: bool = option(True, "A switch.", group="Counting")


def count(options: CountOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """Write one line a step into numbers.txt; go on where the file ends."""
    path = folder.file("numbers.txt")
    begun = len(path.read_text().splitlines()) if path.exists() else 0
    reporter.message(f"Starting after {begun}.")
    reporter.stage("Counting", options.steps, "steps")
    reporter.advance(begun)
    for step in range(begun, options.steps):
        time.sleep(options.sleep)
        if options.fail != "no" and step >= options.steps // 2:
            raise FAILURES[options.fail]
        with path.open("a") as stream:
            stream.write(f"{step}\n")
        reporter.event("iteration", iteration=step + 1, of=options.steps)
        reporter.advance()
    reporter.warn("Numbers never end.")
    return JobResult({"particles": path}, (f"Counted to {options.steps}.",), {"steps": options.steps})


def project(options: CountOptions, folder: JobFolder, reporter: Reporter) -> JobResult:
    """A job that fills the folder it is given."""
    return count(options, folder, reporter)


def register(jobs: dict[str, JobSpec]) -> None:
    """Add the jobs to a registry."""
    model = "fake_program:CountOptions"
    jobs["count"] = JobSpec("count", model, "fake_program:count", "Count", "count to a number", resumes=True, extends="steps")
    jobs["recount"] = JobSpec("recount", model, "fake_program:count", "Count", "count from the beginning")
    jobs["found"] = JobSpec("found", model, "fake_program:project", None, "make a project", place="DIR")
    jobs["broken"] = JobSpec("broken", "no_such_module:Options", "no_such_module:run", "Broken", "a job whose module is missing")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    register(JOBS)
    from napari_subtomo.cli.main import main

    sys.exit(main())
