"""Options of the command `open`."""

from __future__ import annotations

from pathlib import Path

from napari_subtomo.options.base import JobOptions, option


class OpenOptions(JobOptions):
    """Show the tomograms of a project with its particles, their classes and the latest selection."""

    directory: Path = option(..., "Project folder, or a job folder in it.", group="I/O")
    pictures: Path | None = option(
        None, "Write pictures into this folder in place of a window; without a display they go to DIR/pictures.", group="I/O"
    )
