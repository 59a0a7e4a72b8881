"""Options of `select`."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from napari_subtomo.options.base import JobOptions, option


class SelectOptions(JobOptions):
    """Keep the particles and maps of some classes of any iteration of a classification, made here or by RELION."""

    optimiser: Path | None = option(
        None, "run_itNNN_optimiser.star of the iteration to choose from.", title="Select classes from job", group="I/O"
    )
    model: Path | None = option(None, "run_itNNN_model.star in place of the optimiser file.", title="OR from model.star", group="I/O")
    data: Path | None = option(
        None,
        "run_itNNN_data.star or any particle file with class numbers in place of the optimiser file.",
        title="OR from particles.star",
        group="I/O",
    )
    keep: tuple[int, ...] = option(
        (), "Numbers of the classes to keep, the first class is 1.", title="Classes to keep", group="Class options"
    )
    auto: bool = option(
        False,
        "Keep the classes that size, resolution, evidence and stability speak for, in place of --keep; the reason for each class is "
        "printed and written to selection.txt.",
        group="Class options",
    )
    min_distance: float | None = option(
        None,
        "Then also remove duplicates: of two kept particles this far apart or nearer, one goes.",
        title="Minimum inter-particle distance (A)",
        unit="Å",
        group="Duplicates",
        gt=0,
    )
    score: str | None = option(
        None,
        "Column whose higher value decides which duplicate stays; without it the first in the file stays.",
        title="Score column",
        group="Duplicates",
    )

    @model_validator(mode="after")
    def _check(self) -> SelectOptions:
        given = [name for name in ("optimiser", "model", "data") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of --optimiser, --model and --data, found {' and '.join(f'--{name}' for name in given) or 'none'}"
            )
        if not self.keep and not self.auto:
            raise ValueError("give the number of at least one class to keep, or --auto")
        if self.keep and self.auto:
            raise ValueError("give the classes to keep or --auto, not both")
        return self

    @property
    def source(self) -> Path:
        """The file that was given."""
        path = self.optimiser or self.model or self.data
        assert path is not None
        return path
