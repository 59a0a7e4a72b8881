"""Options of the command `demo`."""

from __future__ import annotations

from pathlib import Path

from napari_subtomo.options.base import JobOptions, option


class DemoOptions(JobOptions):
    """Go through the whole loop on a small simulated project: pick, extract, average, classify, select, remove duplicates, look."""

    directory: Path = option(
        Path("napari-subtomo-demo"), "Folder of the project; steps that are finished there are not done again.", group="I/O"
    )
    show: bool = option(True, "Open napari at the end where there is a display; pictures are written in either case.", group="I/O")
    classes: int = option(
        3, "Number of classes, the empty class not counted: two species, and one for beads and membranes.", group="Classification", ge=1
    )
    iterations: int = option(15, "Iterations of the classification.", group="Classification", ge=1)
    device: str = option("auto", "Where to compute: auto, cpu, or cuda:N.", group="Compute")
    threads: int = option(2, "CPU threads.", group="Compute", ge=1)
    seed: int = option(1, "Seed of the sample and of every step.", group="Compute", ge=0)
