"""The answer to one question about an extraction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["pass", "fail", "cannot tell"]
PASS: Status = "pass"
FAIL: Status = "fail"
CANNOT: Status = "cannot tell"

#: The questions in their order: name in files -> title.
TITLES = {
    "signal": "Signal at all",
    "centre": "Centre of the particles",
    "box": "Box and the delocalised CTF",
    "contrast": "Contrast",
    "hand": "CTF handedness",
    "wedge": "Tilt angles and wedge",
    "pixels": "Pixel sizes",
}


@dataclass(frozen=True)
class Verdict:
    """One answer.

    Attributes
    ----------
    name : str
        Key of `TITLES`.
    status : "pass", "fail" or "cannot tell"
    sentence : str
        What was found, for a reader.
    rule : str
        When this check passes and when it fails.
    numbers : mapping
        What the rule was applied to; plain numbers, texts, and lists of them.
    """

    name: str
    status: Status
    sentence: str
    rule: str
    numbers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The question in words."""
        return TITLES[self.name]
