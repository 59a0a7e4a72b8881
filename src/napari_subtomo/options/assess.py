"""Options of `assess`."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from napari_subtomo.options.base import JobOptions, option


class AssessOptions(JobOptions):
    """False-discovery rate of each particle of a classification, from places without particles in the same tomograms."""

    optimiser: Path = option(
        ..., "run_itNNN_optimiser.star of the iteration whose references and noise are used.", title="Classification", group="I/O"
    )
    nulls: Path | None = option(
        None,
        "Places without particles that were extracted already, as the particles were; without it they are chosen and extracted.",
        title="Null particles",
        group="I/O",
    )
    avoid: tuple[Path, ...] = option(
        (), "Further particle files whose places are no null either, such as picks that were never extracted.", title="Avoid", group="I/O"
    )
    keep_nulls: bool = option(False, "Keep the images of the null places in the job's folder.", title="Keep null images?", group="I/O")
    null_count: int = option(
        -1, "Number of null places; -1: as many as particles, and at least 300.", title="Number of null places", group="Null", ge=-1
    )
    distance: float = option(
        -1.0,
        "Least distance of a null place from every particle; -1: the mask diameter.",
        title="Distance from particles",
        unit="Å",
        group="Null",
    )
    junk_share: float = option(
        -1.0,
        "Share of junk among the particles that the rate assumes; -1: estimated from low scores; 1: the most cautious.",
        title="Assumed share of junk",
        group="Null",
        le=1,
    )
    mirror: bool = option(
        True,
        "Compare with mirrored references as well: a second rate, for junk with a structure of its own.",
        title="Mirror test?",
        group="Null",
    )
    scratch_dir: Path | None = option(
        None,
        "Folder on a fast disk where particles of 2D stacks are kept in 3D while the job runs; without it, in the job's folder. "
        "Removed at the end.",
        title="Copy particles to scratch directory",
        group="Compute",
    )
    device: str = option("auto", "Where to compute: auto, cpu, or cuda:N.", title="Which GPUs to use", group="Compute")
    threads: int = option(2, "CPU threads.", title="Number of threads", group="Compute", ge=1)
    seed: int = option(1, "Random seed of the null places.", title="Random seed", group="Compute", ge=0)

    @model_validator(mode="after")
    def _sensible(self) -> AssessOptions:
        if self.null_count == 0:
            raise ValueError("expected at least one null place, or -1 for as many as particles, found 0")
        if self.junk_share != -1 and not 0 < self.junk_share <= 1:
            raise ValueError(f"expected a share of junk above 0 and up to 1, or -1 to estimate it, found {self.junk_share:g}")
        return self
