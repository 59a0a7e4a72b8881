"""What a verb may say while it works, and how it is asked to stop."""

from __future__ import annotations

from typing import Any, Protocol


class Reporter(Protocol):
    """The only channel from a running verb to the outside (console, job folder, dock)."""

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Begin a stage of `total` steps (None: unknown); ends the former stage."""

    def advance(self, steps: int = 1) -> None:
        """Count steps of the current stage; raises `JobCancelled` when a stop was asked for."""

    def message(self, text: str) -> None:
        """One line for the log."""

    def warn(self, text: str) -> None:
        """One line that the user should see: the result may not be what they expect."""

    def event(self, kind: str, **data: Any) -> None:
        """A machine-readable event (numbers and text only), appended to the job's events."""

    def check(self) -> None:
        """Raise `JobCancelled` when a stop was asked for."""


class Silent:
    """A reporter that says nothing and never stops; for library use and tests."""

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Ignore."""

    def advance(self, steps: int = 1) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Ignore."""

    def warn(self, text: str) -> None:
        """Ignore."""

    def event(self, kind: str, **data: Any) -> None:
        """Ignore."""

    def check(self) -> None:
        """Never stop."""


class Quiet:
    """Passes on warnings and the wish to stop: the stages of a part would hide those of the whole.

    Parameters
    ----------
    reporter : Reporter
        Of the whole.
    """

    def __init__(self, reporter: Reporter) -> None:
        self.warn, self.check = reporter.warn, reporter.check

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Ignore."""

    def advance(self, steps: int = 1) -> None:
        """See whether to stop."""
        self.check()

    def message(self, text: str) -> None:
        """Ignore."""

    def event(self, kind: str, **data: Any) -> None:
        """Ignore."""
