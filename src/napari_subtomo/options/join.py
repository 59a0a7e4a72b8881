"""Options of `join`."""

from __future__ import annotations

from pathlib import Path

from pydantic import model_validator

from napari_subtomo.options.base import JobOptions, option


class JoinOptions(JobOptions):
    """Join particle sets and their tomograms into one set."""

    sets: tuple[Path, ...] = option(
        ...,
        "Two or more sets: optimisation_set.star files, or particle files, whose tomograms are those of the optimisation set beside them.",
        title="Particle STAR files",
        group="I/O",
    )
    tomograms: Path | None = option(
        None,
        "tomograms.star that holds the tomograms of all sets, in place of their own: for sets whose tomogram files differ.",
        title="Input tomogram set",
        group="I/O",
    )
    keep_images: bool = option(
        True,
        "Keep the extracted images; if not, images, boxes and pixel sizes are left out, so that sets of any extraction can be joined and "
        "are extracted again.",
        title="Keep the extracted images?",
        group="I/O",
    )
    min_distance: float = option(
        30.0,
        "Particles of two sets that lie this far apart or nearer in one tomogram are duplicates; they are counted and listed.",
        title="Minimum inter-particle distance (A)",
        unit="Å",
        group="Duplicates",
        gt=0,
    )
    remove_duplicates: bool = option(
        False,
        "Leave duplicates out: the one of the set that was given first stays, or the one with the better score.",
        title="Remove duplicates?",
        group="Duplicates",
    )
    score: str | None = option(
        None,
        "Column whose higher value decides which duplicate stays, e.g. rlnMaxValueProbDistribution.",
        title="Score column",
        group="Duplicates",
    )

    @model_validator(mode="after")
    def _several(self) -> JoinOptions:
        if len(self.sets) < 2:
            raise ValueError(f"expected at least two sets to join, found {len(self.sets)}")
        return self
