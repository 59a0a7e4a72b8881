"""The base of all option models: one definition for CLI, job record, docs and docks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class JobOptions(BaseModel):
    """Options of one job: frozen, no unknown names, every field with help, unit and RELION's label where it has one."""

    # by name as well: an alias such as "from" cannot be written as an argument in Python
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, populate_by_name=True)

    #: values of the field `preset` to the options that each of them sets, where they are not given
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}


def option(default: Any, help: str, *, title: str | None = None, unit: str | None = None, group: str = "Options", **bounds: Any) -> Any:
    """Field of an option model.

    Parameters
    ----------
    default : Any
        Default value; `...` for a required option.
    help : str
        One sentence for the CLI's help and the dock's tooltip.
    title : str, optional
        RELION's label of the option, shown in forms.
    unit : str, optional
        Unit shown after the value: "Å", "px", "deg", "e/Å²".
    group : str
        Tab of the form and section of the help: "I/O", "Reference", "CTF", "Optimisation", "Advanced", "Sampling", "Compute".
    **bounds
        `ge`, `gt`, `le`, `lt` as in pydantic.
    """
    return Field(default, title=title, description=help, json_schema_extra={"unit": unit, "group": group}, **bounds)


class InputOptions(JobOptions):
    """Where particles and tomograms come from: an optimisation set, or single files that override its entries."""

    optimisation_set: Path | None = option(
        None, "STAR file that names particles, tomograms and trajectories.", title="Input optimisation set", group="I/O"
    )
    particles: Path | None = option(None, "particles.star; overrides the optimisation set.", title="Input particle set", group="I/O")
    tomograms: Path | None = option(None, "tomograms.star; overrides the optimisation set.", title="Input tomogram set", group="I/O")
    trajectories: Path | None = option(None, "motion.star; overrides the optimisation set.", title="Input trajectory set", group="I/O")


class SubtomogramInputOptions(InputOptions):
    """Inputs of jobs that read extracted particles."""

    scratch_dir: Path | None = option(
        None,
        "Folder on a fast disk for particles of 2D stacks in 3D, and in a classification for particles that do not fit the memory; "
        "without it, in the job's folder. Removed at the end.",
        title="Copy particles to scratch directory",
        group="Compute",
    )
