"""What a finished job hands back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class JobResult:
    """Files a job wrote and the lines it ends with.

    Attributes
    ----------
    outputs : mapping of str to Path
        Absolute paths by role, e.g. "particles", "tomograms", "optimisation_set", "merged", "optimiser".
    summary : tuple of str
        Sentences for the end of the log, counts first.
    numbers : mapping
        Figures for records and tests, e.g. {"particles": 120, "dropped": 3}.
    """

    outputs: Mapping[str, Path]
    summary: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
